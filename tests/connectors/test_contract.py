"""Every connector that is installed keeps the contract."""

from __future__ import annotations

from connectors import contract, registry

for found in registry.all().values():
    globals().update(contract.cases(found))
