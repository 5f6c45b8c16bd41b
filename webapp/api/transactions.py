"""/api/transactions: bank transactions and the decision that one pays an invoice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core import audit
from core.banking import matching, queries
from core.identity import Actor, Role
from core.payments.queries import get_payment
from webapp import auth
from webapp.api import models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("transactions", __name__, url_prefix="/api/transactions")


@blueprint.get("")
@operation("transactions", {200: models.Transactions}, query=models.TransactionsQuery)
def index(query: models.TransactionsQuery) -> Response:
    """Bank transactions, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_transactions(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                match_state=query.match_state,
                search=query.search,
            )
        )


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
@operation("transactions", {200: models.Payment}, body=models.MatchInput, problems=(404, 409))
def match(transaction_id: UUID, body: models.MatchInput) -> Response:
    """Decide that a transaction pays an invoice: the proposed one, or another. Repeating it changes nothing."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _deciding(session, person, transaction_id)
        payment_id = matching.accept(
            session, person.id, transaction_id, body.invoice_id, auth.now(), calendar=services().rules.calendar
        )
        audit.record(session, person, "match.accepted", "transaction", transaction_id, {}, auth.now())
        return get_payment(session, person, payment_id), 200

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
            matching.reject(session, person.id, transaction_id, auth.now())
        else:
            matching.undo(session, person.id, transaction_id, auth.now(), calendar=services().rules.calendar)
        audit.record(session, person, "match.undone", "transaction", transaction_id, {"was": state}, auth.now())
        return queries.get_transaction(session, person, transaction_id), 200

    return once(person, work)
