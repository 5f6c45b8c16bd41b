"""Posting: keys are claimed, accounts opened and locked, the arithmetic done, and everything written.

A call takes its keys first (sorted), then its accounts (sorted), each inserted before it is locked, so that a new one
is locked like any other and no two calls wait for each other. A key is claimed and its outcome written by the same
row, in the transaction of the posting itself: a concurrent duplicate waits on the unique key until that transaction
ends, and then sees what became of it. That is why there is no lease and no row "in flight" that somebody must sweep.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import Rows, array, pipelined
from core.ledger.accounts import OVERDRAWN, Account, Purpose
from core.ledger.books import AccountState, Books, HoldState, Original, by_id
from core.ledger.errors import REFUSALS, KeyReused, NotMirrored, Refused
from core.ledger.work import Hold, Leg, Outcome, Posted, Release, Transfer, Work, body_hash, is_key

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
    "SELECT id, account_id, to_account_id, amount, expires_at, open FROM ledger_holds "
    "WHERE id = ANY(CAST(:holds AS uuid[]))"
)
_READ_ORIGINALS = text(
    "SELECT transfer_id, account_id, amount, "
    "EXISTS (SELECT FROM ledger_reversals WHERE original = ledger_entries.transfer_id) AS reversed "
    "FROM ledger_entries WHERE transfer_id = ANY(CAST(:ids AS uuid[]))"
)
_READ_LEGS = text(
    "SELECT owner, purpose, ledger_accounts.currency, amount FROM ledger_entries "
    "JOIN ledger_accounts ON ledger_accounts.id = account_id WHERE transfer_id = :id ORDER BY ledger_entries.id"
)
_SET_STATES = text(_STATES.update("ledger_accounts"))
_INSERT_TRANSFERS = text(_TRANSFERS.insert("ledger_transfers"))
_INSERT_ENTRIES = text(_ENTRIES.insert("ledger_entries"))
_INSERT_HOLDS = text(_HOLDS.insert("ledger_holds"))
_INSERT_RESOLUTIONS = text(_RESOLUTIONS.insert("ledger_resolutions"))
_INSERT_REVERSALS = text(_REVERSALS.insert("ledger_reversals"))


def post(where: Session | Connection, work: Sequence[Work], now: datetime) -> list[Posted]:
    """Do all of the work or none of it, in its order and in the caller's transaction; one answer a piece.

    A repeat (same key, same request) changes nothing and answers with what was there first. Raises InsufficientFunds,
    Unbalanced, CurrencyMismatch, Invalid, HoldResolved, HoldExceeded, UnknownHold, AlreadyReversed, NotMirrored;
    KeyReused where a key came with another request before, Refused where this request was refused before. After an
    error the caller rolls back. Locks: keys, then accounts, both sorted. As a rule one call a transaction: of two,
    the second takes its keys while it holds accounts.
    """
    connection = where.connection() if isinstance(where, Session) else where
    keyed = [piece for piece in work if not isinstance(piece, Release)]
    for piece in keyed:
        piece.check()
    answers = iter(_claim(connection, keyed, now))
    posted = [Posted(id=piece.hold_id, key=None) if isinstance(piece, Release) else next(answers) for piece in work]
    todo = [piece for piece, answer in zip(work, posted, strict=True) if not answer.duplicate]
    if not todo:
        return posted
    books = _open(connection, todo, now)
    for piece in todo:
        match piece:
            case Transfer():
                books.transfer(piece)
            case Hold():
                books.hold(piece)
            case Release():
                books.release(piece)
    _write(connection, books)
    return posted


def try_post(where: Session | Connection, work: Sequence[Work], now: datetime) -> Outcome:
    """Like `post`, but a refusal is an answer: nothing moved, and the keys of the work are spent as refused.

    The caller commits in every case, or the refusal is not remembered. A repeat of a refused request is refused.
    """
    connection = where.connection() if isinstance(where, Session) else where
    try:
        with connection.begin_nested():
            posted = post(connection, work, now)
    except KeyReused as error:
        return Outcome(status="refused", reason=error.code, detail=str(error))
    except Refused as error:
        return Outcome(status="refused", reason=error.reason, detail=str(error))
    except REFUSALS as error:
        return _remember(connection, work, error, now)
    duplicate = bool(posted) and all(one.duplicate for one in posted)
    return Outcome(status="duplicate" if duplicate else "applied", posted=tuple(posted))


def reverse(
    where: Session | Connection,
    original: UUID,
    *,
    key: str,
    description: str,
    now: datetime,
    kind: str = "reversal",
    effective_at: datetime | None = None,
    invoice_id: UUID | None = None,
    event_id: UUID | None = None,
) -> Posted:
    """Undo a transfer by a new one that names it, once. Raises what `post` does, NotMirrored for an unknown one.

    Where the money is spent already (InsufficientFunds), the caller posts a cover from a recoverable account first,
    as a transfer of its own before the one of `undoing`, in one call of `post`.
    """
    transfer = undoing(
        where,
        original,
        key=key,
        description=description,
        kind=kind,
        effective_at=effective_at,
        invoice_id=invoice_id,
        event_id=event_id,
    )
    return post(where, [transfer], now)[0]


def undoing(
    where: Session | Connection,
    original: UUID,
    *,
    key: str,
    description: str,
    kind: str = "reversal",
    effective_at: datetime | None = None,
    invoice_id: UUID | None = None,
    event_id: UUID | None = None,
) -> Transfer:
    """The transfer that undoes another, to be posted. Raises NotMirrored when there is no other."""
    rows = where.execute(_READ_LEGS, {"id": original}).all()
    if not rows:
        raise NotMirrored(f"there is no transfer {original}")
    return Transfer(
        kind=kind,
        key=key,
        # What came in last goes out first.
        legs=[Leg(Account(row.owner, Purpose(row.purpose), row.currency), -row.amount) for row in reversed(rows)],
        description=description,
        effective_at=effective_at,
        invoice_id=invoice_id,
        event_id=event_id,
        reverses=original,
    )


def _claim(connection: Connection, keyed: Sequence[Transfer | Hold], now: datetime) -> list[Posted]:
    """Take the keys, and open the accounts that are not there yet. One answer a piece; raises KeyReused, Refused."""
    if not keyed:
        return []
    first: dict[str, Transfer | Hold] = {}
    for piece in keyed:
        first.setdefault(piece.key, piece)
    ordered = sorted(first)
    hashes = {key: body_hash(first[key]) for key in ordered}
    accounts = by_id(account for piece in keyed for account in piece.accounts())
    claimed = set(
        connection.scalars(
            _CLAIM,
            {
                "now": now,
                **_KEYS.arrays(
                    key=ordered,
                    body_hash=[hashes[key] for key in ordered],
                    subject_id=[first[key].id for key in ordered],
                ),
                **_ACCOUNTS.arrays(
                    id=[account.id for account in accounts],
                    owner=[account.owner for account in accounts],
                    purpose=[account.purpose.value for account in accounts],
                    currency=[account.currency for account in accounts],
                    overdraft=[account.purpose in OVERDRAWN for account in accounts],
                ),
            },
        )
    )
    subjects = {key: first[key].id for key in claimed}
    if len(claimed) < len(ordered):
        subjects |= _known(connection, {key: hashes[key] for key in ordered if key not in claimed})
    return [_answer(piece, first, hashes, claimed, subjects) for piece in keyed]


def _answer(
    piece: Transfer | Hold,
    first: dict[str, Transfer | Hold],
    hashes: dict[str, bytes],
    claimed: set[str],
    subjects: dict[str, UUID],
) -> Posted:
    """Whether a piece is the one that claimed its key, or a repeat of it."""
    again = first[piece.key] is not piece
    if again and body_hash(piece) != hashes[piece.key]:
        raise KeyReused(piece.key)
    return Posted(id=subjects[piece.key], key=piece.key, duplicate=again or piece.key not in claimed)


def _known(connection: Connection, hashes: dict[str, bytes]) -> dict[str, UUID]:
    """What stands under keys that others claimed. Raises KeyReused, Refused."""
    subjects: dict[str, UUID] = {}
    for row in connection.execute(_KNOWN, {"keys": array(hashes, "text")}):
        if bytes(row.body_hash) != hashes[row.key]:
            raise KeyReused(row.key)
        if row.outcome == "refused":
            raise Refused(row.key, row.reason)
        subjects[row.key] = row.subject_id
    return subjects


def _open(connection: Connection, work: Sequence[Work], now: datetime) -> Books:
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


def _write(connection: Connection, books: Books) -> None:
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


def _remember(connection: Connection, work: Sequence[Work], error: Any, now: datetime) -> Outcome:
    """Keep a refusal under the keys of the work, unless somebody else claimed one of them meanwhile."""
    refused = Outcome(status="refused", reason=error.code, detail=str(error))
    hashes = {piece.key: body_hash(piece) for piece in work if not isinstance(piece, Release) and is_key(piece.key)}
    if not hashes:
        return refused
    ordered = sorted(hashes)
    columns = {"key": ordered, "body_hash": [hashes[key] for key in ordered], "subject_id": [None] * len(ordered)}
    connection.execute(_REMEMBER, {"reason": error.code, "now": now, **_KEYS.arrays(**columns)})
    try:
        subjects = _known(connection, hashes)
    except KeyReused as reused:
        return Outcome(status="refused", reason=reused.code, detail=str(reused))
    except Refused as known:
        return refused if known.reason == error.code else Outcome(status="refused", reason=known.reason)
    posted = tuple(Posted(id=subjects[key], key=key, duplicate=True) for key in ordered)
    return Outcome(status="duplicate", posted=posted)
