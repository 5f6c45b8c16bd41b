"""What the buyer's payments do to a financed invoice (marketplace rules 2.7 and 2.8).

`collect` runs at the end of every transaction that changed payments, under the locks of their invoices. It compares
what the payments say now with what stands: everything is divided anew, what came out the same stays, what came out
differently is reversed and posted again. So new money, a payment that is told late, one that shrinks or is taken back
and a repeat are all the same to it, and any order of arrival ends the same.

Locks: invoices (the caller's), then financings, then ledger accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import books, ledger, notifications
from core.bulk import array, pipelined
from core.events import DomainEvent
from core.live.feed import announce_all
from core.marketplace import clock, moves, promises, repayment_news, repayment_rows, states
from core.marketplace.calendar import Calendar
from core.marketplace.moves import Step
from core.marketplace.receipts import Receipt
from core.marketplace.repayment_posting import Till, owing, past, receive, take_back
from core.marketplace.repayment_rows import Desk, Written
from core.marketplace.rules import today
from core.marketplace.states import SETTLED, Financing, State
from core.notifications import Notice
from core.payments.settle import settle
from core.statements import Effect, EffectKind, Outcome

_FINANCED = text(
    f"SELECT {states.COLUMNS}, invoices.number FROM financings JOIN invoices ON invoices.id = financings.invoice_id "
    "WHERE financings.invoice_id = ANY(CAST(:ids AS uuid[])) "
    "AND financings.state NOT IN ('rejected', 'expired', 'withdrawn') "
    "ORDER BY financings.invoice_id FOR UPDATE OF financings"
)
# A payment that a person aimed at several invoices brings each its own part.
_MONEY = text(
    "SELECT id, invoice_id, connection_id, coalesce(object_id, '') AS object_id, currency, net, occurred_at, trust "
    "FROM payments WHERE invoice_id = ANY(CAST(:ids AS uuid[])) AND net > 0 AND trust <> 'hint' "
    "UNION ALL SELECT payments.id, target.invoice_id, connection_id, coalesce(object_id, ''), currency, "
    "least(target.amount, net - earlier.amount)::bigint, occurred_at, trust "
    "FROM payment_targets AS target JOIN payments ON payments.id = target.payment_id "
    "CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount FROM payment_targets AS before "
    "WHERE before.payment_id = target.payment_id AND before.position < target.position) AS earlier "
    "WHERE target.invoice_id = ANY(CAST(:ids AS uuid[])) AND net > earlier.amount AND trust <> 'hint'"
)


def collect(
    connection: Connection, outcome: Outcome, now: datetime | None = None, calendar: Calendar | None = None
) -> None:
    """Bring the repayments of every invoice in `outcome.settled` in line with its payments, and tell of it.

    Invoices without a financing cost one query together. An invoice that is paid before it was funded leaves the
    marketplace. Without `now` it is the transaction's own moment. A repeat changes nothing.
    """
    events, outcome.settled = outcome.settled, {}
    if not events:
        return
    books.touch(connection, now)
    found = connection.execute(_FINANCED, {"ids": array(sorted(events), "uuid")}).all()
    if not found:
        return
    moment: datetime = now or connection.execute(text("SELECT now()")).scalar_one()
    financings = [states.of_row(row) for row in found]
    numbers = {row.id: row.number for row in found}
    money = _receipts(connection, financings)
    for financing in financings:
        if financing.state not in SETTLED and money[financing.id]:
            outcome.announcements += [
                (event, None) for event in _leave(connection, financing, numbers[financing.id], moment, events)
            ]
    repay(
        connection,
        [(financing, numbers[financing.id]) for financing in financings if financing.state in SETTLED],
        money,
        outcome,
        moment,
        calendar or Calendar(),
        events,
    )


def _receipts(connection: Connection, financings: Sequence[Financing]) -> dict[UUID, list[Receipt]]:
    """What each financing's payments bring now, in its own currency. A hint brings nothing.

    What is known by a seller's word alone repays no investor; an invoice leaves the marketplace for it all the same.
    """
    by_invoice = {financing.invoice_id: financing for financing in financings}
    found: dict[UUID, list[Receipt]] = {financing.id: [] for financing in financings}
    for row in connection.execute(_MONEY, {"ids": array(by_invoice, "uuid")}):
        financing = by_invoice[row.invoice_id]
        if row.trust == "manual" and financing.state in SETTLED:
            continue
        if row.currency == financing.currency:
            found[financing.id].append(
                Receipt(
                    payment_id=row.id,
                    amount=row.net,
                    paid_at=row.occurred_at,
                    name=row.object_id,
                    connection_id=row.connection_id,
                )
            )
    return found


def _leave(
    connection: Connection, financing: Financing, number: str, now: datetime, events: Mapping[UUID, UUID | None]
) -> list[DomainEvent]:
    """Take an invoice off the marketplace because money came before investors paid; their promises are given back."""
    event_id = events[financing.invoice_id]
    reason = "money came from the buyer before it was funded"
    if financing.state in (State.PENDING, State.DISPUTED, State.CONFIRMED):
        states.move(connection, financing, State.WITHDRAWN, now, actor=None, reason=reason, event_id=event_id)
    else:
        promises.release(
            Session(connection), financing, now, reason, to=State.WITHDRAWN, due_at=None, event_id=event_id
        )
    notice = Notice(
        user_id=financing.seller_id,
        kind="invoice.withdrawn",
        subject_kind="invoice",
        subject_id=financing.invoice_id,
        title=f"Invoice {number} left the marketplace",
        body="Its buyer paid before investors did, so there is less to finance than was confirmed.",
        event_id=event_id,
    )
    return notifications.tell(connection, notice, now)


def repurchase(session: Session, financing: Financing, number: str, now: datetime, calendar: Calendar) -> Financing:
    """The seller buys the claims of a locked, defaulted financing back, as full recourse says, and it is told.

    It counts from the day of the default. What the seller's wallet lacks the platform advances, and claims. What the
    seller's words may settle now, they do (`core.marketplace.words`).
    """
    connection = session.connection()
    bought = Receipt(
        payment_id=financing.id,
        amount=0,
        paid_at=clock.opening(calendar.default_day(financing.due_date)),
        repurchase=True,
    )
    money = _receipts(connection, [financing])
    money[financing.id].append(bought)
    outcome = Outcome()
    found = repay(connection, [(financing, number)], money, outcome, now, calendar, {})
    settle(connection, {}, {}, outcome, refilled=[financing.invoice_id])
    announce_all(connection, outcome.announcements)
    return found[financing.id]


def repay(
    connection: Connection,
    financings: Sequence[tuple[Financing, str]],
    money: Mapping[UUID, Sequence[Receipt]],
    outcome: Outcome,
    now: datetime,
    calendar: Calendar,
    events: Mapping[UUID, UUID | None],
) -> dict[UUID, Financing]:
    """Divide what the payments of locked, settled financings bring, and post what differs from what stands.

    `money` is by financing, `events` (what caused this) by invoice. Returns the financings as they are now.
    """
    books.touch(connection, now)
    desks = [desk for desk in repayment_rows.desks(connection, financings, money) if desk.fresh or desk.undone]
    if not desks:
        return {financing.id: financing for financing, _ in financings}
    originals = past(connection, [row.transfer_id for desk in desks for row in desk.undone])
    touched = {leg.account for one in originals.values() for leg in one.legs}
    touched |= {account for desk in desks for row in desk.fresh for account in desk.case.accounts(row)}
    touched |= {owing(account) for account in touched if account.purpose is ledger.Purpose.WALLET}
    till = Till.open(connection, touched)
    before = dict(till.balances)
    written = Written()
    steps = []
    for desk in desks:
        event_id = events.get(desk.financing.invoice_id)
        for row in desk.undone:
            reversal = take_back(
                desk.case, row.transfer_id, originals[row.transfer_id], till, sequence=row.sequence, event_id=event_id
            )
            written.reversed.append({"id": row.id, "reversed_by": reversal})
            _note(outcome, event_id, row.id, "updated")
        for row in desk.fresh:
            desk.sequence += 1
            source = outcome.origins.get(row.receipt.payment_id, event_id)
            transfer_id = receive(desk.case, row, till, sequence=desk.sequence, event_id=source)
            _note(outcome, source, written.add(desk, row, transfer_id, now), "created")
        steps.append(_step(desk, till.work[-1].id, event_id, now, calendar))
        written.investments += desk.invested
    ledger.post(connection, till.work, now)
    with pipelined(connection):
        written.write(connection)
        moves.write(connection, steps, now)
    repayment_news.tell(connection, outcome, list(zip(desks, steps, strict=True)), before, till, now)
    return {financing.id: financing for financing, _ in financings} | {step.after.id: step.after for step in steps}


def _note(outcome: Outcome, event_id: UUID | None, repayment_id: UUID, effect: EffectKind) -> None:
    if event_id is not None:
        outcome.effects.append(
            Effect(event_id=event_id, object_kind="repayment", object_id=repayment_id, effect=effect)
        )


def standing(financing: Financing, *, principal: int, collected: int, now: datetime, calendar: Calendar) -> State:
    """The state of a settled financing by what came back of its principal, and by the date. Default is the clock's."""
    if principal == financing.principal:
        return State.REPAID
    if financing.state in (State.DEFAULTED, State.WRITTEN_OFF):
        return financing.state
    if today(now) > calendar.grace_end(financing.due_date):
        return State.OVERDUE
    return State.PART_PAID if collected else State.FUNDED


def _step(desk: Desk, transfer_id: UUID, event_id: UUID | None, now: datetime, calendar: Calendar) -> Step:
    before, sums = desk.financing, desk.sums
    state = standing(
        before, principal=sums["repaid_principal"], collected=sums["collected"], now=now, calendar=calendar
    )
    after = replace(before, **sums)
    if state is not before.state:
        after = replace(after, state=state, version=before.version + 1, updated_at=now)
        # What is overdue again is looked at at once: its parties have to hear of it.
        look = now if state is State.OVERDUE else clock.next_look(after, calendar, now)
        after = replace(after, due_at=look)
    return Step(before=before, after=after, reason=_reason(desk, state), transfer_id=transfer_id, event_id=event_id)


def _reason(desk: Desk, state: State) -> str:
    if any(row.receipt.repurchase for row in desk.fresh):
        return "the seller bought the claims back, as full recourse says"
    if state is State.REPAID:
        return "the investors have their principal back"
    return "a payment was taken back or changed" if desk.undone else "the buyer paid a part"
