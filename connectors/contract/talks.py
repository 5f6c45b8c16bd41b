"""Cases to come."""

from __future__ import annotations

from connectors.contract.suite import Suite


class Talks(Suite):
    """Cases to come."""
