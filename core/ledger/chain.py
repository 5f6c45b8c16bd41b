"""The hash chain: every entry is sealed, after its commit, by a hash over itself and the hash before it.

Posting does not wait for it: entries queue in `ledger_unsealed` by their own trigger, and one chainer at a time, who
holds the only row of `ledger_chain_head`, seals them in the order of their ids. An id is taken while the account is
locked, so what is visible of an account is always its beginning, and the order of the chain keeps each account's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.orm import Session

from core.bulk import Rows, array, pipelined

GENESIS = bytes(32)

_LINKS = Rows(
    position="bigint", entry_id="bigint", account_id="uuid", sequence="bigint", prev_hash="bytea", hash="bytea"
)
# What a hash covers: the entry, its transfer, and whose account it is.
CONTENT = """
    entry.id, entry.account_id, entry.sequence, entry.transfer_id, entry.currency, entry.amount,
    entry.balance_before, entry.balance_after, entry.effective_at, entry.recorded_at,
    transfer.kind, transfer.key, transfer.description, transfer.invoice_id, transfer.event_id,
    account.owner, account.purpose
"""
_NAMES = sorted(column.strip().partition(".")[2] for column in CONTENT.split(","))
JOINED = """
    ledger_entries AS entry JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    JOIN ledger_accounts AS account ON account.id = entry.account_id
"""
_LOCK_HEAD = text("SELECT position, hash FROM ledger_chain_head FOR UPDATE")
_UNSEALED = text(
    f"SELECT {CONTENT} FROM (SELECT account_id, sequence FROM ledger_unsealed ORDER BY entry_id LIMIT :limit) AS due "
    f"JOIN ({JOINED}) ON entry.account_id = due.account_id AND entry.sequence = due.sequence ORDER BY entry.id"
)
_ADD = text(_LINKS.insert("ledger_chain"))
_TAKE_OUT = text("DELETE FROM ledger_unsealed WHERE entry_id = ANY(CAST(:ids AS bigint[]))")
_MOVE_HEAD = text("UPDATE ledger_chain_head SET position = :position, hash = :hash")
_JOURNAL = text(
    "SELECT chain.position, chain.prev_hash, chain.hash, entry.id AS entry_id, entry.transfer_id, "
    "entry.account_id, account.owner, account.purpose, entry.amount, entry.currency, entry.sequence, "
    "transfer.kind, transfer.key, transfer.description, entry.effective_at, entry.recorded_at "
    f"FROM ledger_chain AS chain JOIN ({JOINED}) "
    "ON entry.account_id = chain.account_id AND entry.sequence = chain.sequence "
    "WHERE chain.position > :after ORDER BY chain.position LIMIT :limit"
)


def seal(connection: Connection, limit: int = 1000) -> int:
    """Seal up to `limit` committed entries, oldest first; return how many. The caller commits.

    Two at once wait for each other. Repeating it when nothing waits changes nothing.
    """
    head = connection.execute(_LOCK_HEAD).one()
    rows = connection.execute(_UNSEALED, {"limit": limit}).all()
    if not rows:
        return 0
    position, before = head.position, bytes(head.hash)
    links = []
    for row in rows:
        position += 1
        link = digest(before, row)
        links.append(
            {
                "position": position,
                "entry_id": row.id,
                "account_id": row.account_id,
                "sequence": row.sequence,
                "prev_hash": before,
                "hash": link,
            }
        )
        before = link
    with pipelined(connection):
        connection.execute(_ADD, _LINKS.parameters(links))
        connection.execute(_TAKE_OUT, {"ids": array((row.id for row in rows), "bigint")})
        connection.execute(_MOVE_HEAD, {"position": position, "hash": before})
    return len(rows)


def seal_all(connection: Connection, batch: int = 1000) -> int:
    """Seal everything that is committed; return how much that was."""
    total = 0
    while done := seal(connection, batch):
        total += done
    return total


def waiting(where: Session | Connection) -> int:
    """How many entries are not sealed yet."""
    return int(where.execute(text("SELECT count(*) FROM ledger_unsealed")).scalar_one())


def journal(where: Session | Connection, *, after: int = 0, limit: int = 1000) -> list[Row[Any]]:
    """Sealed entries in the order of the chain, from behind position `after` on.

    A row has position, prev_hash, hash, entry_id, transfer_id, account_id, owner, purpose, amount (credit above zero),
    currency, sequence (the account's own), kind, key, description, effective_at, recorded_at.
    """
    return list(where.execute(_JOURNAL, {"after": after, "limit": limit}).all())


def digest(before: bytes, row: Row[Any]) -> bytes:
    """The hash of an entry, given the hash before it. `row` has the columns of CONTENT."""
    return hashlib.sha256(before + canonical(row)).digest()


def canonical(row: Row[Any]) -> bytes:
    """An entry with its transfer and account as JSON that is the same wherever it is made."""
    content = {name: _spelled(getattr(row, name)) for name in _NAMES}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _spelled(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int | str) else str(value)


def links(connection: Connection, batch: int = 2000) -> Iterator[Row[Any]]:
    """Every link with the entry it seals (the columns of CONTENT, None where there is none), in order."""
    query = text(
        "SELECT chain.position AS link_position, chain.entry_id AS link_entry, chain.account_id AS link_account, "
        f"chain.sequence AS link_sequence, chain.prev_hash, chain.hash, {CONTENT} "
        "FROM (SELECT * FROM ledger_chain WHERE position > :after ORDER BY position LIMIT :limit) AS chain "
        "LEFT JOIN ledger_entries AS entry ON entry.account_id = chain.account_id AND entry.sequence = chain.sequence "
        "LEFT JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id "
        "LEFT JOIN ledger_accounts AS account ON account.id = entry.account_id ORDER BY chain.position"
    )
    after = 0
    while rows := connection.execute(query, {"after": after, "limit": batch}).all():
        yield from rows
        after = rows[-1].link_position
