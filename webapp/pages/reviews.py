"""Duplicates and fraud: the operator's queue, with both sides of a likeness and a decision that stays."""

from __future__ import annotations

from typing import Any, Literal, cast
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core import risk
from core.errors import Invalid
from core.identity import Role
from core.risk import queue
from core.risk import reviews as deciding
from core.risk.findings import TITLES
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search

STATES = {"open": "To decide", "upheld": "Upheld", "cleared": "Cleared"}
KINDS = {"stop": "Stops", "review": "To look at"}
DECISIONS = {"clear": "cleared", "uphold": "upheld"}
_LONGEST = 1000


@blueprint.get("/reviews")
@page_login_required
def reviews() -> Response:
    """What waits for a decision, and what was decided."""
    state = choice("state", {**STATES, "all": ""}) or "open"
    kind, code = choice("kind", KINDS), choice("code", TITLES)
    with looking() as look:
        only(look, Role.OPERATOR)
        found = queue.list_reviews(
            look.db,
            look.actor,
            limit=limit(),
            cursor=cursor(),
            state=None if state == "all" else state,
            kind=kind,
            code=code,
            search=search(),
        )
        return look.show(
            "pages/reviews.html",
            reviews=found["items"],
            next_cursor=found["next_cursor"],
            waiting=found["open"],
            states=STATES,
            state=state,
            kinds=KINDS,
            kind=kind,
            titles=TITLES,
            code=code,
            search=search(),
        )


def _page(look: Look, review_id: UUID, form: Form, status: int = 200) -> Response:
    found: dict[str, Any] = queue.get_review(look.db, look.actor, review_id)
    invoice = UUID(found["invoice"]["id"])
    return look.show(
        "pages/review.html",
        status,
        review=found,
        assessment=risk.latest(look.db, [invoice], look.actor).get(invoice),
        form=form,
    )


@blueprint.get("/reviews/<uuid:review_id>")
@page_login_required
def review(review_id: UUID) -> Response:
    """One of them: reasons in words, raw figures, the other side, and the decision."""
    with looking() as look:
        only(look, Role.OPERATOR)
        return _page(look, review_id, Form({}))


@blueprint.post("/reviews/<uuid:review_id>")
@page_login_required
def decide_review(review_id: UUID) -> Response:
    """Clear or uphold it."""
    form = Form(request.form)
    decision, reason = form.raw("decision"), form.text("reason", "a reason", limit=_LONGEST)
    if decision not in DECISIONS:
        form.errors["decision"] = "Choose what you decide."
    with looking() as look:
        only(look, Role.OPERATOR)
        if form:
            chosen = cast("Literal['clear', 'uphold']", decision)
            try:
                with look.db.begin_nested():
                    deciding.decide(look.db, look.actor, review_id, chosen, reason, look.now)
            except Invalid as error:
                form.blame(error)
            except (deciding.HardStop, deciding.ReviewDecided) as error:
                form.errors["form"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
                return _page(look, review_id, form, 409)
        if not form:
            return _page(look, review_id, form, 422)
    flash(f"The review is {DECISIONS[decision]}. Your reason stays with it.", "good")
    return make_response(redirect(url_for("pages.review", review_id=review_id), 303))
