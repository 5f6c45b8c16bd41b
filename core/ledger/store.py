"""The ledger's statements: what claims, locks, reads and writes. What they mean is decided in `posting` and `books`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from core.bulk import Rows, array
from core.ledger.accounts import OVERDRAWN, Account
from core.ledger.books import AccountState, Books, HoldState, Original, by_id
from core.ledger.wire import Statement, Trip, alone, prefixed, trip
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
_CLAIM = Statement(
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
_ACCOUNT_FIELDS = ("id", "owner", "purpose", "currency", "balance", "held", "sequence", "overdraft", "moved_at")
_HOLD_FIELDS = ("id", "account_id", "to_account_id", "amount", "expires_at", "open")
_COLUMNS = ", ".join(_ACCOUNT_FIELDS)
_LOCK = Statement(
    f"SELECT {_COLUMNS} FROM ledger_accounts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"
)
_LOCK_WITH_HOLDS = Statement(
    f"SELECT {_COLUMNS} FROM ledger_accounts WHERE id IN (SELECT unnest(CAST(:ids AS uuid[])) "
    "UNION SELECT account_id FROM ledger_holds WHERE id = ANY(CAST(:holds AS uuid[]))) ORDER BY id FOR NO KEY UPDATE"
)
_READ_HOLDS = Statement(
    "SELECT id, account_id, to_account_id, amount, expires_at, "
    "NOT EXISTS (SELECT FROM ledger_resolutions WHERE hold_id = ledger_holds.id) AS open "
    "FROM ledger_holds WHERE id = ANY(CAST(:holds AS uuid[]))"
)
_READ_ORIGINALS = Statement(
    "SELECT transfer_id, account_id, amount, "
    "EXISTS (SELECT FROM ledger_reversals WHERE original = ledger_entries.transfer_id) AS reversed "
    "FROM ledger_entries WHERE transfer_id = ANY(CAST(:ids AS uuid[]))"
)
# By the key alone: a list of them in WHERE as well would have a batch compared with itself.
_SET = (
    "UPDATE ledger_accounts SET balance = given.balance, held = given.held, sequence = given.sequence, "
    f"overdraft = given.overdraft, moved_at = given.moved_at FROM {_STATES.source('given')} "
    "WHERE ledger_accounts.id = given.id"
)
_SET_STATES = Statement(_SET)
# The guards look when the whole statement is done, and find all three.
_POST = Statement(
    f"WITH moved AS ({_SET}), "
    f"posted AS ({prefixed('transfer_', _TRANSFERS.insert('ledger_transfers'))}) "
    f"{prefixed('entry_', _ENTRIES.insert('ledger_entries'))}"
)
_INSERT_HOLDS = Statement(_HOLDS.insert("ledger_holds"))
_INSERT_RESOLUTIONS = Statement(_RESOLUTIONS.insert("ledger_resolutions"))
_INSERT_REVERSALS = Statement(_REVERSALS.insert("ledger_reversals"))


def claim_and_open(
    connection: Connection,
    hashes: Mapping[str, bytes],
    subjects: Mapping[str, UUID],
    work: Sequence[Work],
    now: datetime,
) -> tuple[set[str], Books]:
    """Take keys that nobody has, open accounts that are not there, then lock every account the work touches.

    All in one trip; returns the keys taken and the accounts as they stand. Waits for whoever is about to take or give
    up one of the keys. Keys and accounts are taken in sorted order. Of keys that others have, the accounts are locked
    for nothing, which costs less than a second trip of everybody.
    """
    accounts = by_id(account for piece in work if not isinstance(piece, Release) for account in piece.accounts())
    transfers = [piece for piece in work if isinstance(piece, Transfer)]
    holds = [part.hold_id for transfer in transfers for part in transfer.posts]
    holds += [piece.hold_id for piece in work if isinstance(piece, Release)]
    originals = [transfer.reverses for transfer in transfers if transfer.reverses is not None]
    with trip(connection) as sent:
        claims = sent.send(_CLAIM, _claims(hashes, subjects, accounts, now)) if hashes else None
        states = _lock(sent, [account.id for account in accounts], holds)
        # Whoever resolves a hold or reverses a transfer has locked its accounts: what is read now stays as it is.
        found = sent.send(_READ_HOLDS, {"holds": array(holds, "uuid")}) if holds else None
        legs = sent.send(_READ_ORIGINALS, {"ids": array(originals, "uuid")}) if originals else None
        claimed = {row[0] for row in claims} if claims else set()
        books = Books(
            accounts={row[0]: AccountState(**dict(zip(_ACCOUNT_FIELDS, row, strict=True))) for row in states},
            holds=_holds(found or ()),
            originals=_originals(legs or ()),
            now=now,
        )
    return claimed, books


def _claims(
    hashes: Mapping[str, bytes], subjects: Mapping[str, UUID], accounts: Sequence[Account], now: datetime
) -> dict[str, Any]:
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
    return {"now": now, **claimed, **opened}


def _lock(sent: Trip, ids: Sequence[UUID], holds: Sequence[UUID]) -> Iterable[tuple[Any, ...]]:
    values = {"ids": array(ids, "uuid")}
    if holds:
        return sent.send(_LOCK_WITH_HOLDS, {**values, "holds": array(holds, "uuid")})
    return sent.send(_LOCK, values)


def remember(connection: Connection, hashes: Mapping[str, bytes], reason: str, now: datetime) -> None:
    """Spend keys that nobody has as refused."""
    ordered = sorted(hashes)
    values = _KEYS.arrays(key=ordered, body_hash=[hashes[key] for key in ordered], subject_id=[None] * len(ordered))
    connection.execute(_REMEMBER, {"reason": reason, "now": now, **values})


def known(connection: Connection, keys: Collection[str]) -> Sequence[Row[Any]]:
    """What stands under keys: key, body_hash, outcome, subject_id, reason."""
    return connection.execute(_KNOWN, {"keys": array(keys, "text")}).all()


def _holds(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, HoldState]:
    return {row[0]: HoldState(**dict(zip(_HOLD_FIELDS, row, strict=True))) for row in rows}


def _originals(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, Original]:
    found: dict[UUID, Original] = {}
    for transfer_id, account_id, amount, undone in rows:
        found.setdefault(transfer_id, Original(legs=[], reversed=undone)).legs.append((account_id, amount))
    return found


def write(connection: Connection, books: Books) -> None:
    """Write what the arithmetic made: what moves in one statement, and in the same trip what refers to it."""
    changed = [state for state in books.accounts.values() if state.changed]
    values = _STATES.arrays(
        id=[state.id for state in changed],
        balance=[state.balance for state in changed],
        held=[state.held for state in changed],
        sequence=[state.sequence for state in changed],
        overdraft=[state.overdraft for state in changed],
        moved_at=[state.moved_at for state in changed],
    )
    first = _SET_STATES
    if books.transfers:
        first = _POST
        values |= {f"transfer_{name}": given for name, given in _TRANSFERS.parameters(books.transfers).items()}
        values |= {f"entry_{name}": given for name, given in _ENTRIES.parameters(books.entries).items()}
    more = [
        (statement, columns.parameters(rows))
        for statement, columns, rows in (
            (_INSERT_HOLDS, _HOLDS, books.new_holds),
            (_INSERT_REVERSALS, _REVERSALS, books.reversals),
            (_INSERT_RESOLUTIONS, _RESOLUTIONS, books.resolutions),
        )
        if rows
    ]
    if not more:
        alone(connection, first, values)
        return
    with trip(connection) as sent:
        sent.send(first, values)
        for statement, given in more:
            sent.send(statement, given)
