"""/api/transactions: bank transactions and the decision that one pays an invoice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core import audit
from core.banking import queries
from core.identity import Actor, Role
from core.reconciliation import booking, decisions, overruling, rejections, withheld
from webapp import auth
from webapp.api import models, reconciliation_models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("transactions", __name__, url_prefix="/api/transactions")


@blueprint.get("")
@operation("transactions", {200: models.Transactions}, query=reconciliation_models.TransactionsQuery)
def index(query: reconciliation_models.TransactionsQuery) -> Response:
    """Bank transactions, newest first unless `sort` says otherwise."""
    person = auth.actor()
    asked = queries.Asked(**query.model_dump(exclude={"limit", "cursor"}))
    with services().database.session() as session:
        return reply(queries.list_transactions(session, person, limit=query.limit, cursor=query.cursor, asked=asked))


@blueprint.get("/<uuid:transaction_id>")
@operation("transactions", {200: models.Transaction}, problems=(404,))
def show(transaction_id: UUID) -> Response:
    """A transaction with its match and the deliveries that told of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_transaction(session, person, transaction_id))


def _deciding(session: Session, person: Actor, transaction_id: UUID) -> None:
    """Raise NotFound for what the person may not see, and Forbidden for what is not theirs to decide."""
    queries.get_transaction(session, person, transaction_id)
    auth.require(Role.SELLER)


@blueprint.post("/<uuid:transaction_id>/match")
@operation("transactions", {200: models.Transaction}, body=reconciliation_models.MatchInput, problems=(404, 409))
def match(transaction_id: UUID, body: reconciliation_models.MatchInput) -> Response:
    """Decide what a transaction is: what is proposed, or something else. Repeating it changes nothing."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _deciding(session, person, transaction_id)
        decisions.accept(
            session,
            person.id,
            transaction_id,
            body.invoice_id,
            auth.now(),
            targets=[booking.Target(one.invoice_id, one.amount) for one in body.targets],
            payment_id=body.payment_id,
            payout_id=body.payout_id,
            match_id=body.match_id,
            short_reason=body.short_reason,
            calendar=services().rules.calendar,
        )
        audit.record(session, person, "match.accepted", "transaction", transaction_id, {}, auth.now())
        return queries.get_transaction(session, person, transaction_id), 200

    return once(person, work)


@blueprint.post("/<uuid:transaction_id>/withheld")
@operation("transactions", {201: reconciliation_models.Withheld}, problems=(404, 409))
def book_withheld(transaction_id: UUID) -> Response:
    """Book what is left of the matched invoices as tax that the customer withheld (TDS), where that explains it."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _deciding(session, person, transaction_id)
        made = withheld.book(session, person, transaction_id, auth.now(), calendar=services().rules.calendar)
        return {"payment_ids": [one["id"] for one in made]}, 201

    return once(person, work)


@blueprint.post("/match-sure")
@operation(
    "transactions", {200: reconciliation_models.MatchedSure}, body=reconciliation_models.MatchSureInput, problems=(409,)
)
def match_sure(body: reconciliation_models.MatchSureInput) -> Response:
    """Accept the proposals that are sure, of some transactions or of all; at most 500 in one call."""
    auth.require(Role.SELLER)
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        now = auth.now()
        batch = decisions.accept_sure(
            session, person.id, now, transaction_ids=body.transaction_ids, calendar=services().rules.calendar
        )
        for transaction_id in batch.done:
            audit.record(session, person, "match.accepted", "transaction", transaction_id, {"sure": True}, now)
        refused = [{"transaction_id": str(one), "reason": reason} for one, reason in batch.refused.items()]
        return {"transaction_ids": [str(one) for one in batch.done], "refused": refused}, 200

    return once(person, work)


@blueprint.post("/<uuid:transaction_id>/overrule")
@operation(
    "transactions", {200: models.Transaction}, body=reconciliation_models.OverruleInput, problems=(403, 404, 409)
)
def overrule(transaction_id: UUID, body: reconciliation_models.OverruleInput) -> Response:
    """Take a match back for its seller, also where investors were repaid with its money. Operators, with a reason."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        queries.get_transaction(session, person, transaction_id)
        overruling.undo(session, person, transaction_id, body.reason, auth.now(), calendar=services().rules.calendar)
        return queries.get_transaction(session, person, transaction_id), 200

    return once(person, work)


@blueprint.post("/<uuid:transaction_id>/unmatch")
@operation("transactions", {200: models.Transaction}, problems=(404, 409))
def unmatch(transaction_id: UUID) -> Response:
    """Take a match back, or turn a proposed one down."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _deciding(session, person, transaction_id)
        state = queries.get_transaction(session, person, transaction_id)["match_state"]
        if state == "proposed":
            decisions.reject(session, person.id, transaction_id, auth.now())
        else:
            decisions.undo(session, person.id, transaction_id, auth.now(), calendar=services().rules.calendar)
        audit.record(session, person, "match.undone", "transaction", transaction_id, {"was": state}, auth.now())
        return queries.get_transaction(session, person, transaction_id), 200

    return once(person, work)


@blueprint.post("/<uuid:transaction_id>/restore")
@operation("transactions", {200: models.Transaction}, problems=(404, 409))
def restore(transaction_id: UUID) -> Response:
    """Take the last rejection back: what was turned down is proposed again."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _deciding(session, person, transaction_id)
        rejections.restore(session, person.id, transaction_id, auth.now())
        audit.record(session, person, "match.restored", "transaction", transaction_id, {}, auth.now())
        return queries.get_transaction(session, person, transaction_id), 200

    return once(person, work)
