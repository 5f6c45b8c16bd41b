"""What a person decides about a line: accept, split, link, reject, set aside, take back (marketplace rules 4.2).

Every function locks the line, raises NotFound for what is not this user's and Conflict for what cannot be, announces
what changed, and keeps a decision against the engine as a labelled case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.banking import matching
from core.bulk import array
from core.errors import Conflict, Invalid, NotFound
from core.events import Trust
from core.live.feed import announce_all
from core.marketplace import repayments, words
from core.marketplace.calendar import Calendar
from core.payments.holding import lock_by_hand
from core.reconciliation import booking, cases, known, loading, rejections, succession
from core.reconciliation.booking import Decision, Kind, Target
from core.statements import Outcome

MOST_TARGETS = 50
# So many sure ones are accepted in one transaction.
BATCH = 500
BY_HAND = "by hand"

_MATCHES = text(
    "SELECT matches.id, matches.transaction_id, matches.kind, matches.subject_id, matches.state, matches.payment_id, "
    "score, margin, tier, features, weights_version, alternatives, actor, invoice_id, target_key, "
    "ARRAY(SELECT invoice_id FROM match_targets WHERE match_id = matches.id ORDER BY position) AS invoices, "
    "ARRAY(SELECT amount FROM match_targets WHERE match_id = matches.id ORDER BY position) AS amounts "
    "FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state IN ('proposed', 'accepted') "
    "ORDER BY state = 'accepted' DESC, score DESC, id"
)


def _lock(connection: Connection, user_id: UUID, transaction_id: UUID) -> Any:
    """The line of this user, locked. Raises NotFound."""
    row = connection.execute(
        booking.LOCK_LINES, {"user": user_id, "ids": array([transaction_id], "uuid")}
    ).one_or_none()
    if row is None:
        raise NotFound("transaction", transaction_id)
    return row


def _lock_first(connection: Connection, user_id: UUID, transaction_id: UUID, outcome: Outcome, now: datetime) -> Any:
    """The line of this user, locked, with what was decided on an uploaded one of the same money.

    The engine has not looked yet, or it would know. Raises NotFound, and Conflict when another line that was decided on
    tells of this money.
    """
    book = loading.around(connection, user_id, transaction_id)
    twice = known.told_twice(book)
    if transaction_id in twice:
        raise Conflict("the same money is matched already, as another line")
    heirs = known.heirs(book, twice)
    if heirs:
        ids = array(sorted({*heirs, *heirs.values()}), "uuid")
        rows = connection.execute(booking.LOCK_LINES, {"user": user_id, "ids": ids})
        succession.take_over(connection, heirs, {row.id: row for row in rows}, outcome, now)
    return _lock(connection, user_id, transaction_id)


def _standing(connection: Connection, transaction_id: UUID) -> Sequence[Any]:
    """What is accepted or proposed for a line, the accepted one first."""
    return connection.execute(_MATCHES, {"ids": array([transaction_id], "uuid")}).all()


def accept(
    session: Session,
    user_id: UUID,
    transaction_id: UUID,
    invoice_id: UUID | None,
    now: datetime,
    *,
    targets: Sequence[Target] = (),
    payment_id: UUID | None = None,
    payout_id: UUID | None = None,
    match_id: UUID | None = None,
    short_reason: str | None = None,
    calendar: Calendar | None = None,
) -> UUID | None:
    """Decide what a line is; return the payment's id (None for a payout).

    One of: an invoice, several `targets` with amounts, a payment that was booked already, a payout, or the proposal
    `match_id` as it was shown; with none of them the best proposal is taken. Accepting what is accepted changes
    nothing. `calendar` says which days banks work.
    Raises NotFound, Invalid, or Conflict when the line cannot be that.
    """
    connection = session.connection()
    outcome = Outcome()
    line = _lock_first(connection, user_id, transaction_id, outcome, now)
    found = _standing(connection, transaction_id)
    given = _given(line, invoice_id, targets, payment_id, payout_id)
    if match_id is not None and not any(row.id == match_id for row in found):
        raise Conflict("what was proposed for this transaction has changed meanwhile; look again")
    best = next(
        (row for row in found if (given is None or row.target_key == given.target_key) and match_id in (None, row.id)),
        None,
    )
    accepted = found[0] if found and found[0].state == "accepted" else None
    if accepted is not None:
        if (given is not None and given.target_key != accepted.target_key) or match_id not in (None, accepted.id):
            raise Conflict("this transaction is matched with something else; undo that match first")
        _finish(connection, outcome, now, calendar)
        paid: UUID | None = accepted.payment_id
        return paid
    if given is None and best is None:
        raise NotFound("proposed match of transaction", transaction_id)
    decision = _decision(line, given, best, short_reason)
    check(connection, user_id, decision)
    first = next((row for row in found if row.state == "proposed"), None)
    if first is not None and first.target_key != decision.target_key:
        cases.keep(connection, "chose_other", line, first, decision, user_id, now)
    paid_by = book(connection, [decision], outcome, now, user_id)
    _finish(connection, outcome, now, calendar)
    if line.trust == Trust.MANUAL:
        # A statement that was uploaded is its seller's word.
        words.check(connection, {target.invoice_id: target.amount for target in decision.targets})
    return paid_by[line.id]


def book(
    connection: Connection, decisions: Sequence[Decision], outcome: Outcome, now: datetime, by: UUID | None
) -> dict[UUID, UUID | None]:
    """`booking.book`, with what the database refuses as a Conflict."""
    try:
        with connection.begin_nested():
            return booking.book(connection, decisions, outcome, now, by)
    except IntegrityError as error:
        named = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
        if named.startswith(("transaction_payments", "matches_one")):
            raise Conflict("the same money is matched already, as another line or with another payment") from error
        raise


def _finish(connection: Connection, outcome: Outcome, now: datetime, calendar: Calendar | None) -> None:
    # Other lines were proposed for these invoices, and they may need them no more.
    matching.refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)


def _given(
    line: Any,
    invoice_id: UUID | None,
    targets: Sequence[Target],
    payment_id: UUID | None,
    payout_id: UUID | None,
) -> Decision | None:
    """What was asked for by name; None when it is the proposal."""
    if sum(map(bool, (invoice_id, targets, payment_id, payout_id))) > 1:
        raise Invalid("", "name one thing: an invoice, targets, a payment or a payout")
    if invoice_id is not None:
        targets = [Target(invoice_id, max(line.amount, 1))]
    if targets:
        _check_targets(line, targets)
        return Decision(line=line, targets=tuple(targets))
    subject: tuple[Kind, UUID] | None = ("payment", payment_id) if payment_id else None
    if payout_id is not None:
        subject = ("payout", payout_id)
    return None if subject is None else Decision(line=line, kind=subject[0], subject_id=subject[1])


def _check_targets(line: Any, targets: Sequence[Target]) -> None:
    if len(targets) > MOST_TARGETS:
        raise Invalid("targets", f"are {MOST_TARGETS} at most")
    if len({target.invoice_id for target in targets}) < len(targets):
        raise Invalid("targets", "name an invoice twice")
    if any(target.amount <= 0 for target in targets):
        raise Invalid("targets", "have amounts above zero")
    if len(targets) > 1 and sum(target.amount for target in targets) > line.amount:
        raise Invalid("targets", "come to more than the transaction brought")


def _decision(line: Any, given: Decision | None, best: Any, short_reason: str | None) -> Decision:
    """A proposal as a decision, or what was given, with what the engine knew of it."""
    if best is None:
        assert given is not None  # noqa: S101 - The caller has looked.
        return Decision(
            line=line,
            kind=given.kind,
            targets=given.targets,
            subject_id=given.subject_id,
            features={"rules": BY_HAND},
            version=BY_HAND,
            short_reason=short_reason,
        )
    # The amounts that were given hold, also where the engine proposed the same invoices with others.
    proposed = tuple(Target(*pair) for pair in zip(best.invoices, best.amounts, strict=True))
    if best.kind == "invoices" and not proposed:
        proposed = (Target(best.invoice_id, line.amount),)
    return Decision(
        line=line,
        kind=best.kind,
        targets=proposed if given is None else given.targets,
        subject_id=best.subject_id,
        score=float(best.score),
        margin=None if best.margin is None else float(best.margin),
        tier=best.tier,
        features=best.features,
        version=best.weights_version,
        alternatives=best.alternatives,
        short_reason=short_reason,
    )


def check(connection: Connection, user_id: UUID, decision: Decision) -> None:
    """Raise NotFound or Conflict when a line cannot be what is decided."""
    line = decision.line
    if line.match_state == "duplicate":
        raise Conflict("this line tells of money that another line tells of already")
    if line.status != "posted" or line.amount <= 0:
        raise Conflict("only a posted transaction that brought money in can pay an invoice")
    if decision.kind != "invoices":
        _check_subject(connection, user_id, decision)
        return
    rows = connection.execute(
        text(
            "SELECT id, number, currency, status FROM invoices WHERE seller_id = :seller "
            "AND id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"seller": user_id, "ids": array((target.invoice_id for target in decision.targets), "uuid")},
    ).all()
    known = {row.id: row for row in rows}
    for target in decision.targets:
        invoice = known.get(target.invoice_id)
        if invoice is None:
            raise NotFound("invoice", target.invoice_id)
        if invoice.currency != line.currency:
            raise Conflict(f"the invoice is in {invoice.currency} and the transaction in {line.currency}")
        if invoice.status not in ("open", "partial"):
            raise Conflict(f"invoice {invoice.number} is {invoice.status} and takes no payment")


def _check_subject(connection: Connection, user_id: UUID, decision: Decision) -> None:
    """A payment or payout that a line is linked to is this user's, in its currency, and free."""
    if decision.kind == "payment":
        # Or it could be deleted between this look and the link to it.
        lock_by_hand(connection, [decision.subject_id] if decision.subject_id else [])
        words.refuse_line(connection, decision.subject_id)
        row = connection.execute(
            text(
                "SELECT currency, source, status = 'succeeded' AND deleted_at IS NULL AS stands, EXISTS (SELECT FROM "
                "transaction_payments WHERE payment_id = payments.id) AS taken "
                "FROM payments WHERE id = :id AND user_id = :user"
            ),
            {"id": decision.subject_id, "user": user_id},
        ).one_or_none()
        fits = row is not None and row.source in ("manual", "gateway") and row.stands
    else:
        row = connection.execute(
            text(
                "SELECT currency, transaction_id IS NOT NULL AS taken, status <> 'failed' AND NOT to_third_party "
                "AS stands FROM payouts WHERE id = :id AND user_id = :user FOR UPDATE"
            ),
            {"id": decision.subject_id, "user": user_id},
        ).one_or_none()
        fits = row is not None and row.stands
    if row is None:
        raise NotFound(decision.kind, decision.subject_id or "")
    if not fits:
        raise Conflict(f"this {decision.kind} did not bring money to the bank")
    if row.currency != decision.line.currency:
        raise Conflict(f"the {decision.kind} is in {row.currency} and the transaction in {decision.line.currency}")
    if row.taken:
        raise Conflict(f"this {decision.kind} is another line of the bank already")


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of many: the lines that were decided, and why which others were not."""

    done: list[UUID]
    refused: dict[UUID, str]


def accept_sure(
    session: Session,
    user_id: UUID,
    now: datetime,
    *,
    transaction_ids: Sequence[UUID] | None = None,
    calendar: Calendar | None = None,
) -> Batch:
    """Accept every proposal of the tier "sure", or those of the lines named; return the lines that are matched now.

    At most `BATCH` in one call. What cannot be any more (the invoice was paid meanwhile), and an uploaded line where
    investors wait for the money, is refused and the others go through.
    """
    connection = session.connection()
    ids = session.scalars(
        text(
            "SELECT DISTINCT transaction_id FROM matches WHERE user_id = :user AND state = 'proposed' "
            "AND tier = 'sure' AND (CAST(:ids AS uuid[]) IS NULL OR transaction_id = ANY(CAST(:ids AS uuid[]))) "
            "ORDER BY transaction_id LIMIT :limit"
        ),
        {"user": user_id, "ids": None if transaction_ids is None else list(transaction_ids), "limit": BATCH},
    ).all()
    lines = connection.execute(booking.LOCK_LINES, {"user": user_id, "ids": array(ids, "uuid")}).all()
    best: dict[UUID, Any] = {}
    for row in connection.execute(_MATCHES, {"ids": array(ids, "uuid")}):
        best.setdefault(row.transaction_id, row)
    outcome = Outcome()
    chosen = [
        _decision(line, None, best[line.id], None)
        for line in lines
        if line.id in best and best[line.id].tier == "sure" and best[line.id].state == "proposed"
    ]
    refused: dict[UUID, str] = {}
    done = book(connection, booking.possible(connection, chosen, refused=refused), outcome, now, user_id)
    _finish(connection, outcome, now, calendar)
    return Batch(list(done), refused)


def undo(
    session: Session, user_id: UUID, transaction_id: UUID, now: datetime, *, calendar: Calendar | None = None
) -> None:
    """Take an accepted match back: its payment is cancelled and the invoices are due again; a link is undone.

    It stays as a proposal, which the engine never accepts by itself. Raises NotFound, Conflict when nothing is
    accepted, and InvestorsRepaid when investors were repaid with its money: that is an operator's
    (`core.reconciliation.overruling`).
    """
    take_back(session, user_id, transaction_id, user_id, now, calendar, for_investors=True)


def undo_many(
    session: Session,
    user_id: UUID,
    transaction_ids: Sequence[UUID],
    now: datetime,
    *,
    most: int,
    calendar: Calendar | None = None,
) -> Batch:
    """Take several matches back, in this order and `most` of them; one that is refused stays, and the others do not."""
    batch = Batch([], {})
    for transaction_id in transaction_ids:
        if len(batch.done) == most:
            break
        try:
            with session.begin_nested():
                undo(session, user_id, transaction_id, now, calendar=calendar)
        except Conflict as error:
            batch.refused[transaction_id] = str(error)
        else:
            batch.done.append(transaction_id)
    return batch


def take_back(
    session: Session,
    user_id: UUID,
    transaction_id: UUID,
    by: UUID,
    now: datetime,
    calendar: Calendar | None,
    *,
    for_investors: bool,
) -> list[words.Taken]:
    """What `undo` does, decided by whom; return what investors lost by it, which it refuses `for_investors`."""
    connection = session.connection()
    line = _lock(connection, user_id, transaction_id)
    accepted = next((row for row in _standing(connection, transaction_id) if row.state == "accepted"), None)
    if accepted is None:
        raise Conflict("this transaction has no accepted match")
    outcome = Outcome()
    if accepted.actor == "engine":
        cases.keep(connection, "undone", line, accepted, None, by, now)
    booking.release(connection, [accepted], outcome)
    connection.execute(
        text(
            "UPDATE matches SET state = 'proposed', payment_id = NULL, decided_at = :now, decided_by = :by, "
            "actor = 'user', tier = 'suggested' WHERE id = :id"
        ),
        {"id": accepted.id, "now": now, "by": by},
    )
    booking.mark(connection, {line.id: line}, "proposed", outcome)
    named = list(outcome.settled)
    had = words.investors_have(connection, named)
    _finish(connection, outcome, now, calendar)
    have = words.investors_have(connection, named) if had else {}
    if for_investors:
        words.refuse_taking(had, have)
    return words.taken(had, have)


def reject(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
    """Turn what is proposed down, for good. Raises NotFound, or Conflict when nothing is proposed."""
    connection = session.connection()
    line = _lock(connection, user_id, transaction_id)
    if not _turn_down(connection, line, "rejected", user_id, now):
        raise Conflict("this transaction has no proposed match")
    outcome = Outcome()
    booking.mark(connection, {line.id: line}, "none", outcome)
    matching.ask(connection, [user_id])
    announce_all(connection, outcome.announcements)


def ignore(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
    """Say that a line pays no invoice (interest, a loan, a transfer of one's own): it waits no more.

    Raises NotFound, or Conflict when it is matched. A repeat changes nothing.
    """
    connection = session.connection()
    line = _lock(connection, user_id, transaction_id)
    if line.match_state == "ignored":
        return
    if line.match_state not in ("none", "proposed"):
        raise Conflict("this transaction is decided already")
    _turn_down(connection, line, "ignored", user_id, now)
    outcome = Outcome()
    booking.mark(connection, {line.id: line}, "ignored", outcome)
    announce_all(connection, outcome.announcements)


def reopen(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
    """Have a line that was set aside wait again, with what was proposed for it. Raises NotFound, Conflict."""
    connection = session.connection()
    line = _lock(connection, user_id, transaction_id)
    if line.match_state != "ignored":
        raise Conflict("this transaction was not set aside")
    outcome = Outcome()
    state = rejections.again(connection, line, "ignored", user_id, now)
    booking.mark(connection, {line.id: line}, state or "none", outcome)
    connection.execute(text("DELETE FROM judgements WHERE transaction_id = :id"), {"id": line.id})
    matching.ask(connection, [user_id])
    announce_all(connection, outcome.announcements)


def _turn_down(connection: Connection, line: Any, kind: str, user_id: UUID, now: datetime) -> bool:
    """Reject what is proposed for a line and keep the case; whether anything was."""
    found = [row for row in _standing(connection, line.id) if row.state == "proposed"]
    if not found:
        return False
    connection.execute(
        text(
            "UPDATE matches SET state = 'rejected', actor = 'user', decided_at = :now, decided_by = :user, features = "
            "CASE WHEN decided_by IS NULL THEN features ELSE features || '{\"taken_back\": true}' END "
            "WHERE transaction_id = :id AND state = 'proposed'"
        ),
        {"id": line.id, "now": now, "user": user_id},
    )
    cases.keep(connection, kind, line, found[0], None, user_id, now)
    return True
