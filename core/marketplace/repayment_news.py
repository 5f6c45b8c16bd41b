"""Who hears of a repayment: the parties, the investors, everybody whose wallet moved, and who must ask why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import notifications
from core.ledger import Purpose
from core.marketplace import states, words
from core.marketplace.moves import Step
from core.marketplace.news import spell
from core.marketplace.repayment_posting import Till
from core.marketplace.repayment_rows import Desk
from core.marketplace.states import Financing, State
from core.notifications import Notice
from core.statements import Outcome

SHORT = "repayment.short"
OVERDUE = "invoice.overdue"
DEFAULTED = "invoice.defaulted"
RELEASED = "word.released"
_TROUBLES = (SHORT, DEFAULTED, RELEASED, *(f"{OVERDUE}.{days}" for days in (1, 30, 60)))

_OPERATORS = text("SELECT id FROM users WHERE role = 'operator' AND is_active ORDER BY id")


def tell(
    connection: Connection,
    outcome: Outcome,
    done: Sequence[tuple[Desk, Step]],
    before: Mapping[UUID, int],
    till: Till,
    now: datetime,
) -> None:
    """Announce what repayments changed. `before` and `till` are the accounts as they were and as they are."""
    balances = _wallets(outcome, before, till, done)
    for desk, step in done:
        outcome.tell(
            [*states.parties(step.after), f"invoice:{step.after.invoice_id}"],
            "invoice.updated",
            _figures(desk, step.after),
            step.event_id,
        )
        if step.moves and step.after.state is State.REPAID:
            outcome.tell(states.parties(step.after), "invoice.repaid", _figures(desk, step.after), step.event_id)
        _tell_investors(outcome, desk, step, balances)
    over = [step.after.invoice_id for _, step in done if step.moves and step.after.state is State.REPAID]
    notes = notifications.clear_all(connection, over, _TROUBLES, now) if over else []
    short = [(desk, step) for desk, step in done if desk.fresh and step.after.state is not State.REPAID]
    if short:
        operators = list(connection.scalars(_OPERATORS))
        notes += notifications.tell_all(
            connection, [notice for desk, step in short for notice in _short(desk, step, operators)], now
        )
    if reopened := [step for _, step in done if step.moves and step.before.state is State.REPAID]:
        notes += notifications.tell_all(connection, _released(connection, reopened), now)
    outcome.announcements += [(event, None) for event in notes]


def _released(connection: Connection, reopened: Sequence[Step]) -> list[Notice]:
    """Investors wait again: what their seller settled by hand of what is theirs is the customer's credit again."""
    rooms = words.rooms(connection, [step.after.invoice_id for step in reopened])
    return [
        Notice(
            user_id=step.after.seller_id,
            kind=RELEASED,
            subject_kind="invoice",
            subject_id=step.after.invoice_id,
            title=f"Invoice {room.number} is owed to its investors again",
            body=f"Money that had repaid them went back. Of what you settled by hand, a credit note or tax kept back, "
            f"{spell(room.meant - room.free, room.currency)} settles nothing until they are repaid, and is credit of "
            "the customer.",
            event_id=step.event_id,
        )
        for step in reopened
        if (room := rooms[step.after.invoice_id]).meant > room.free
    ]


def _wallets(
    outcome: Outcome, before: Mapping[UUID, int], till: Till, done: Sequence[tuple[Desk, Step]]
) -> dict[UUID, int]:
    """Tell each owner what their wallet holds now, once; return the new balances by owner."""
    sources = {desk.financing.invoice_id: step.event_id for desk, step in done}
    moved: dict[UUID, tuple[Any, UUID | None]] = {}
    for transfer in till.work:
        for leg in transfer.legs:
            if leg.account.purpose is Purpose.WALLET:
                owner = UUID(leg.account.owner.removeprefix("user:"))
                moved[owner] = leg.account, sources.get(transfer.invoice_id) if transfer.invoice_id else None
    for owner, (account, event_id) in sorted(moved.items()):
        if till.balance(account) != before.get(account.id, 0):
            outcome.tell(
                [f"user:{owner}"],
                "wallet.updated",
                {
                    "balance": till.balance(account),
                    "available": till.available(account),
                    "held": till.held.get(account.id, 0),
                    "currency": account.currency,
                },
                event_id,
            )
    return {owner: till.balance(account) for owner, (account, _) in moved.items()}


def _figures(desk: Desk, financing: Financing) -> dict[str, object]:
    return {
        **states.summary(financing),
        "number": desk.case.number,
        "collected": financing.collected,
        "repaid_principal": financing.repaid_principal,
        "repaid_interest": financing.repaid_interest,
        "paid_to_seller": financing.seller_reserve_paid,
    }


def _tell_investors(outcome: Outcome, desk: Desk, step: Step, balances: Mapping[UUID, int]) -> None:
    now = {row["id"]: row for row in desk.invested}
    touched = []
    for claim in desk.claims:
        after = now[claim.id]
        principal = after["repaid_principal"] - claim.repaid_principal
        interest = after["repaid_interest"] - claim.repaid_interest
        if (principal, interest, after["status"]) == (0, 0, claim.status):
            continue
        touched.append(claim.investor_id)
        if principal + interest > 0:
            outcome.tell(
                [f"user:{claim.investor_id}"],
                "investment.repaid",
                {
                    "investment_id": str(claim.id),
                    "invoice_id": str(desk.case.invoice_id),
                    "invoice_number": desk.case.number,
                    "amount": principal + interest,
                    "principal": principal,
                    "interest": interest,
                    "repaid": after["repaid_principal"],
                    "expected_return": claim.principal,
                    "profit": after["repaid_principal"] + after["repaid_interest"] - claim.outlay,
                    "status": after["status"],
                    "balance": balances.get(claim.investor_id),
                    "currency": desk.case.currency,
                },
                step.event_id,
            )
    news: dict[str, object] = {"invoice_id": str(desk.case.invoice_id), "status": step.after.state.value}
    outcome.tell([f"user:{person}" for person in sorted(set(touched))], "portfolio.updated", news, step.event_id)


def _short(desk: Desk, step: Step, operators: Sequence[UUID]) -> list[Notice]:
    """Less came than is owed: somebody has to ask why (tax withheld, a dispute, a part payment)."""
    after = step.after
    left = (after.principal or 0) - after.repaid_principal
    return [
        Notice(
            user_id=person,
            kind=SHORT,
            subject_kind="invoice",
            subject_id=after.invoice_id,
            title=f"Invoice {desk.case.number} was paid in part",
            body=f"{spell(after.collected, after.currency)} came, and {spell(left, after.currency)} is still owed to "
            "the investors. Ask the buyer for the reason: tax withheld, a dispute, or a part payment.",
            event_id=step.event_id,
        )
        for person in (after.seller_id, *operators)
    ]
