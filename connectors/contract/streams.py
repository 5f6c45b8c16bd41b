"""Cases to come."""

from __future__ import annotations

from connectors.contract.suite import Suite


class Streams(Suite):
    """Cases to come."""
