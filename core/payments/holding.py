"""How payments made by hand are held: a gateway's is held by its object key, a bank's by its transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, text


def lock_by_hand(connection: Connection, payment_ids: Iterable[UUID]) -> None:
    """Let nobody else change these payments until the transaction ends. After transactions, before invoices."""
    for key in sorted(map(_key, payment_ids)):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _key(payment_id: UUID) -> int:
    return int.from_bytes(hashlib.sha256(b"payment:" + payment_id.bytes).digest()[:8], "big", signed=True)
