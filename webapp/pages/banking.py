"""Bank transactions, and the decision whether one is a payment."""

from __future__ import annotations

from uuid import UUID

from flask import Response, request, url_for

from core.banking import queries, statement_queries
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.reconciliation import decisions, overruling, withheld
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.shell import choice, cursor, limit, looking, only, search
from webapp.services import services

MATCH_STATES = {
    "proposed": "Match proposed",
    "accepted": "Matched",
    "none": "No match",
    "duplicate": "Told twice",
    "ignored": "Set aside",
}
# So that the fragments of the page refresh also while the live feed is away.
_CHANGED: dict[str, object] = {"live:transaction.updated": {}, "live:invoice.updated": {}}


@blueprint.get("/transactions")
@page_login_required
def transactions() -> Response:
    """What the banks say, newest first."""
    match_state = choice("match_state", MATCH_STATES)
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = queries.list_transactions(
            look.db, look.actor, limit=limit(), cursor=cursor(), match_state=match_state, search=search()
        )
        return look.show(
            "pages/transactions.html",
            **found,
            match_state=match_state,
            match_states=MATCH_STATES,
            search=search(),
        )


@blueprint.get("/transactions/<uuid:transaction_id>")
@page_login_required
def transaction(transaction_id: UUID) -> Response:
    """One transaction, and the invoice it looks like a payment of."""
    with looking() as look:
        found = queries.get_transaction(look.db, look.actor, transaction_id)
        origins = statement_queries.origins(look.db, look.actor, transaction_id)
        kept_back = withheld.offer(look.db, look.actor.id, transaction_id)
        held = overruling.held_by_investors(look.db, [transaction_id]).get(transaction_id, [])
        return look.show("pages/transaction.html", transaction=found, origins=origins, kept_back=kept_back, held=held)


def _decide(transaction_id: UUID, verb: str) -> tuple[str, str]:
    """Carry out a decision; returns the words for it and where to go then."""
    target = render.back(url_for("pages.transaction", transaction_id=transaction_id))
    with looking() as look:
        if verb == "undo":
            decisions.undo(look.db, look.actor.id, transaction_id, look.now, calendar=services().rules.calendar)
            return "Undone: the payment was taken back, and the match waits for a decision again.", target
        if verb == "overrule":
            only(look, Role.OPERATOR)
            reason = request.form.get("reason", "").replace("\x00", "")
            overruling.undo(look.db, look.actor, transaction_id, reason, look.now, calendar=services().rules.calendar)
            return "Undone: what was paid with it is taken back, and the seller is told.", target
        if verb == "withheld":
            withheld.book(look.db, look.actor, transaction_id, look.now, calendar=services().rules.calendar)
            return "Booked: what was left is tax that the customer kept back.", target
        if verb == "reject":
            decisions.reject(look.db, look.actor.id, transaction_id, look.now)
            return "Rejected. This match will not be proposed again.", target
        invoice_id, match_id = (parse_id(request.form.get(name, "")) for name in ("invoice_id", "match_id"))
        if invoice_id is None and match_id is None:
            raise NotFound("invoice")
        decisions.accept(
            look.db,
            look.actor.id,
            transaction_id,
            invoice_id,
            look.now,
            match_id=match_id,
            calendar=services().rules.calendar,
        )
        return "Accepted: the transaction now pays the invoice.", target


def _answer(transaction_id: UUID, verb: str) -> Response:
    try:
        message, target = _decide(transaction_id, verb)
    except (Conflict, Invalid) as error:
        target = render.back(url_for("pages.transaction", transaction_id=transaction_id))
        return render.refused(f"{str(error)[:1].upper()}{str(error)[1:]}.".replace("..", "."), target, 409)
    return render.done(message, target, events=_CHANGED)


@blueprint.post("/transactions/<uuid:transaction_id>/accept")
@page_login_required
def accept_match(transaction_id: UUID) -> Response:
    """Decide that the transaction is a payment of the invoice."""
    return _answer(transaction_id, "accept")


@blueprint.post("/transactions/<uuid:transaction_id>/reject")
@page_login_required
def reject_match(transaction_id: UUID) -> Response:
    """Decide that it is not."""
    return _answer(transaction_id, "reject")


@blueprint.post("/transactions/<uuid:transaction_id>/withheld")
@page_login_required
def book_withheld(transaction_id: UUID) -> Response:
    """Say that what the line left due is tax that the customer kept back."""
    return _answer(transaction_id, "withheld")


@blueprint.post("/transactions/<uuid:transaction_id>/undo")
@page_login_required
def undo_match(transaction_id: UUID) -> Response:
    """Take an accepted match back."""
    return _answer(transaction_id, "undo")


@blueprint.post("/transactions/<uuid:transaction_id>/overrule")
@page_login_required
def overrule_match(transaction_id: UUID) -> Response:
    """An operator takes a match back, also where investors were repaid with its money."""
    return _answer(transaction_id, "overrule")
