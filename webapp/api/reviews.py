"""/api/reviews: what operators look at, and decide with a reason."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.risk import queue, reviews
from webapp import auth
from webapp.api import risk_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("reviews", __name__, url_prefix="/api/reviews")


@blueprint.get("")
@operation("reviews", {200: models.Reviews}, query=models.ReviewsQuery)
def index(query: models.ReviewsQuery) -> Response:
    """Stops and questions about invoices, newest first. For operators."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queue.list_reviews(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                state=query.state,
                kind=query.kind,
                code=query.code,
                search=query.search,
            )
        )


@blueprint.get("/<uuid:review_id>")
@operation("reviews", {200: models.Review}, problems=(404,))
def show(review_id: UUID) -> Response:
    """One review, with both sides of a likeness. For operators."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queue.get_review(session, person, review_id))


@blueprint.post("/<uuid:review_id>/decide")
@operation("reviews", {200: models.Review}, body=models.DecisionInput, problems=(404, 409))
def decide(review_id: UUID, body: models.DecisionInput) -> Response:
    """Clear or uphold a review. What is decided stays; an exact duplicate cannot be cleared."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        reviews.decide(session, person, review_id, body.decision, body.reason, auth.now())
        return queue.get_review(session, person, review_id), 200

    return once(person, work)
