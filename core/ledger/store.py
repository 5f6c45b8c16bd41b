"""The ledger's statements: what claims, locks, reads and writes. What they mean is decided in `posting` and `books`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from core.bulk import Rows, array, pipelined
from core.ledger.accounts import OVERDRAWN, Account
from core.ledger.books import AccountState, Books, HoldState, Original, by_id
from core.ledger.work import Release, Transfer, Work

_KEYS = Rows(key="text", body_hash="bytea", subject_id="uuid")
_ACCOUNTS = Rows(id="uuid", owner="text", purpose="text", currency="text", overdraft="boolean")
_STATES = Rows(
    id="uuid", balance="bigint", held="bigint", sequence="bigint", overdraft="boolean", moved_at="timestamptz"
)
_TRANSFERS = Rows(
    id="uuid",
    kind="text",
    key="text",
    description="text",
    invoice_id="uuid",
    event_id="uuid",
    effective_at="timestamptz",
    recorded_at="timestamptz",
)
_ENTRIES = Rows(
    account_id="uuid",
    sequence="bigint",
    transfer_id="uuid",
    currency="text",
    amount="bigint",
    balance_before="bigint",
    balance_after="bigint",
    effective_at="timestamptz",
    recorded_at="timestamptz",
)
_HOLDS = Rows(
    id="uuid",
    account_id="uuid",
    to_account_id="uuid",
    currency="text",
    amount="bigint",
    key="text",
    description="text",
    invoice_id="uuid",
    expires_at="timestamptz",
    created_at="timestamptz",
)
_RESOLUTIONS = Rows(hold_id="uuid", outcome="text", amount="bigint", transfer_id="uuid", at="timestamptz")
_REVERSALS = Rows(original="uuid", transfer_id="uuid")

# Made once: finding the parameters of a statement takes longer than sending it.
# No conflict target: a second session may meet any of an account's three unique keys first.
_CLAIM = text(
    f"WITH opened AS ({_ACCOUNTS.insert('ledger_accounts', 'ON CONFLICT DO NOTHING')}) "
    "INSERT INTO ledger_keys (key, body_hash, subject_id, outcome, created_at) "
    f"SELECT {_KEYS.names}, 'applied', CAST(:now AS timestamptz) FROM {_KEYS.source('claimed')} "
    "ON CONFLICT (key) DO NOTHING RETURNING key"
)
_REMEMBER = text(
    "INSERT INTO ledger_keys (key, body_hash, outcome, reason, created_at) "
    f"SELECT key, body_hash, 'refused', :reason, CAST(:now AS timestamptz) FROM {_KEYS.source('claimed')} "
    "ON CONFLICT (key) DO NOTHING"
)
_KNOWN = text(
    "SELECT key, body_hash, outcome, subject_id, reason FROM ledger_keys WHERE key = ANY(CAST(:keys AS text[]))"
)
_COLUMNS = "id, owner, purpose, currency, balance, held, sequence, overdraft, moved_at"
_LOCK = text(
    f"SELECT {_COLUMNS} FROM ledger_accounts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"
)
_LOCK_WITH_HOLDS = text(
    f"SELECT {_COLUMNS} FROM ledger_accounts WHERE id IN (SELECT unnest(CAST(:ids AS uuid[])) "
    "UNION SELECT account_id FROM ledger_holds WHERE id = ANY(CAST(:holds AS uuid[]))) ORDER BY id FOR NO KEY UPDATE"
)
# Whoever resolves a hold has locked its account, so what is read after that lock stays as it is.
_READ_HOLDS = text(
    "SELECT id, account_id, to_account_id, amount, expires_at, "
    "NOT EXISTS (SELECT FROM ledger_resolutions WHERE hold_id = ledger_holds.id) AS open "
    "FROM ledger_holds WHERE id = ANY(CAST(:holds AS uuid[]))"
)
_READ_ORIGINALS = text(
    "SELECT transfer_id, account_id, amount, "
    "EXISTS (SELECT FROM ledger_reversals WHERE original = ledger_entries.transfer_id) AS reversed "
    "FROM ledger_entries WHERE transfer_id = ANY(CAST(:ids AS uuid[]))"
)
_SET_STATES = text(_STATES.update("ledger_accounts"))
_INSERT_TRANSFERS = text(_TRANSFERS.insert("ledger_transfers"))
_INSERT_ENTRIES = text(_ENTRIES.insert("ledger_entries"))
_INSERT_HOLDS = text(_HOLDS.insert("ledger_holds"))
_INSERT_RESOLUTIONS = text(_RESOLUTIONS.insert("ledger_resolutions"))
_INSERT_REVERSALS = text(_REVERSALS.insert("ledger_reversals"))


def claim(
    connection: Connection,
    hashes: Mapping[str, bytes],
    subjects: Mapping[str, UUID],
    accounts: Sequence[Account],
    now: datetime,
) -> set[str]:
    """Take keys that nobody has, and open accounts that are not there; return the keys taken.

    Waits for whoever is about to take or give up one of them. Keys and accounts are taken in sorted order.
    """
    ordered = sorted(hashes)
    claimed = _KEYS.arrays(
        key=ordered, body_hash=[hashes[key] for key in ordered], subject_id=[subjects[key] for key in ordered]
    )
    opened = _ACCOUNTS.arrays(
        id=[account.id for account in accounts],
        owner=[account.owner for account in accounts],
        purpose=[account.purpose.value for account in accounts],
        currency=[account.currency for account in accounts],
        overdraft=[account.purpose in OVERDRAWN for account in accounts],
    )
    return set(connection.scalars(_CLAIM, {"now": now, **claimed, **opened}))


def remember(connection: Connection, hashes: Mapping[str, bytes], reason: str, now: datetime) -> None:
    """Spend keys that nobody has as refused."""
    ordered = sorted(hashes)
    values = _KEYS.arrays(key=ordered, body_hash=[hashes[key] for key in ordered], subject_id=[None] * len(ordered))
    connection.execute(_REMEMBER, {"reason": reason, "now": now, **values})


def known(connection: Connection, keys: Collection[str]) -> Sequence[Row[Any]]:
    """What stands under keys: key, body_hash, outcome, subject_id, reason."""
    return connection.execute(_KNOWN, {"keys": array(keys, "text")}).all()


def open_books(connection: Connection, work: Sequence[Work], now: datetime) -> Books:
    """Lock every account the work touches, in order, and read what the arithmetic needs."""
    ids = [account.id for account in by_id(_touched(work))]
    transfers = [piece for piece in work if isinstance(piece, Transfer)]
    holds = [part.hold_id for transfer in transfers for part in transfer.posts]
    holds += [piece.hold_id for piece in work if isinstance(piece, Release)]
    originals = [transfer.reverses for transfer in transfers if transfer.reverses is not None]
    values = {"ids": array(ids, "uuid")}
    if holds:
        rows = connection.execute(_LOCK_WITH_HOLDS, {**values, "holds": array(holds, "uuid")}).all()
    else:
        rows = connection.execute(_LOCK, values).all()
    return Books(
        accounts={row.id: AccountState(**row._asdict()) for row in rows},
        holds=_read_holds(connection, holds),
        originals=_read_originals(connection, originals),
        now=now,
    )


def _touched(work: Sequence[Work]) -> list[Account]:
    return [account for piece in work if not isinstance(piece, Release) for account in piece.accounts()]


def _read_holds(connection: Connection, ids: Collection[UUID]) -> dict[UUID, HoldState]:
    if not ids:
        return {}
    rows = connection.execute(_READ_HOLDS, {"holds": array(ids, "uuid")})
    return {row.id: HoldState(**row._asdict()) for row in rows}


def _read_originals(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Original]:
    found: dict[UUID, Original] = {}
    if ids:
        for row in connection.execute(_READ_ORIGINALS, {"ids": array(ids, "uuid")}):
            original = found.setdefault(row.transfer_id, Original(legs=[], reversed=row.reversed))
            original.legs.append((row.account_id, row.amount))
    return found


def write(connection: Connection, books: Books) -> None:
    """Write what the arithmetic made. Accounts before entries, entries before what refers to them."""
    changed = [state for state in books.accounts.values() if state.changed]
    with pipelined(connection):
        if books.transfers:
            connection.execute(_INSERT_TRANSFERS, _TRANSFERS.parameters(books.transfers))
        if books.new_holds:
            connection.execute(_INSERT_HOLDS, _HOLDS.parameters(books.new_holds))
        connection.execute(
            _SET_STATES,
            _STATES.arrays(
                id=[state.id for state in changed],
                balance=[state.balance for state in changed],
                held=[state.held for state in changed],
                sequence=[state.sequence for state in changed],
                overdraft=[state.overdraft for state in changed],
                moved_at=[state.moved_at for state in changed],
            ),
        )
        if books.entries:
            connection.execute(_INSERT_ENTRIES, _ENTRIES.parameters(books.entries))
        if books.reversals:
            connection.execute(_INSERT_REVERSALS, _REVERSALS.parameters(books.reversals))
        if books.resolutions:
            connection.execute(_INSERT_RESOLUTIONS, _RESOLUTIONS.parameters(books.resolutions))
