"""Posting: keys are claimed, accounts opened and locked, the arithmetic done, and everything written.

A call takes its keys first (sorted), then its accounts (sorted), each inserted before it is locked, so that a new one
is locked like any other and no two calls wait for each other. A key is claimed and its outcome written by the same
row, in the transaction of the posting itself: a concurrent duplicate waits on the unique key until that transaction
ends, and then sees what became of it. That is why there is no lease and no row "in flight" that somebody must sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.errors import PlatformError
from core.ledger import store
from core.ledger.accounts import Account, Purpose
from core.ledger.books import Books
from core.ledger.errors import REFUSALS, KeyReused, NotMirrored, Refused
from core.ledger.work import Hold, Leg, Outcome, Posted, Release, Transfer, Work, body_hash, is_key

_READ_LEGS = text(
    "SELECT owner, purpose, ledger_accounts.currency, amount FROM ledger_entries "
    "JOIN ledger_accounts ON ledger_accounts.id = account_id WHERE transfer_id = :id ORDER BY ledger_entries.id"
)


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
    if not work:
        return []
    claimed, books = _claim(connection, work, keyed, now)
    answers = iter(claimed)
    posted = [Posted(id=piece.hold_id, key=None) if isinstance(piece, Release) else next(answers) for piece in work]
    todo = [piece for piece, answer in zip(work, posted, strict=True) if not answer.duplicate]
    if todo:
        _do(books, todo)
        store.write(connection, books)
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


def _claim(
    connection: Connection, work: Sequence[Work], keyed: Sequence[Transfer | Hold], now: datetime
) -> tuple[list[Posted], Books]:
    """Take the keys and lock the accounts. One answer a keyed piece, and the books; raises KeyReused, Refused."""
    first: dict[str, Transfer | Hold] = {}
    for piece in keyed:
        first.setdefault(piece.key, piece)
    hashes = {key: body_hash(piece) for key, piece in first.items()}
    subjects = {key: piece.id for key, piece in first.items()}
    claimed, books = store.claim_and_open(connection, hashes, subjects, work, now)
    if len(claimed) < len(hashes):
        subjects |= _known(connection, {key: hashes[key] for key in hashes if key not in claimed})
    answers = []
    for piece in keyed:
        again = first[piece.key] is not piece
        if again:
            check_body(piece.key, body_hash(piece), hashes[piece.key])
        answers.append(Posted(id=subjects[piece.key], key=piece.key, duplicate=again or piece.key not in claimed))
    return answers, books


def check_body(key: str, given: bytes, kept: bytes) -> None:
    """A key stands for one request. Raises KeyReused."""
    if given != kept:
        raise KeyReused(key)


def _known(connection: Connection, hashes: Mapping[str, bytes]) -> dict[str, UUID]:
    """What stands under keys that others claimed. Raises KeyReused, Refused."""
    subjects: dict[str, UUID] = {}
    for row in store.known(connection, hashes):
        check_body(row.key, hashes[row.key], bytes(row.body_hash))
        if row.outcome == "refused":
            raise Refused(row.key, row.reason)
        subjects[row.key] = row.subject_id
    return subjects


def _do(books: Books, work: Sequence[Work]) -> None:
    for piece in work:
        match piece:
            case Transfer():
                books.transfer(piece)
            case Hold():
                books.hold(piece)
            case Release():
                books.release(piece)


def _remember(connection: Connection, work: Sequence[Work], error: PlatformError, now: datetime) -> Outcome:
    """Keep a refusal under the keys of the work, unless somebody else claimed one of them meanwhile."""
    refused = Outcome(status="refused", reason=error.code, detail=str(error))
    hashes = {piece.key: body_hash(piece) for piece in work if not isinstance(piece, Release) and is_key(piece.key)}
    if not hashes:
        return refused
    store.remember(connection, hashes, error.code, now)
    if len(hashes) > 1:
        return refused
    # Somebody else may have asked the same meanwhile, and may have been luckier: what stands under the key counts.
    try:
        subjects = _known(connection, hashes)
    except KeyReused as reused:
        return Outcome(status="refused", reason=reused.code, detail=str(reused))
    except Refused as before:
        return refused if before.reason == error.code else Outcome(status="refused", reason=before.reason)
    posted = tuple(Posted(id=identity, key=key, duplicate=True) for key, identity in subjects.items())
    return Outcome(status="duplicate", posted=posted)
