"""Reading reviews, as operators see them: with both sides of a likeness."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import array
from core.errors import Invalid, NotFound
from core.identity import Actor
from core.ids import parse_id
from core.risk.findings import TITLES
from core.risk.reviews import require_operator

STATES = ("open", "cleared", "upheld")
KINDS = ("stop", "review")

_COLUMNS = """
    reviews.id, reviews.codes, reviews.stops, reviews.hard, reviews.state, reviews.findings, reviews.reason,
    reviews.opened_at, reviews.decided_at, reviewers.name AS reviewer,
    invoices.id AS invoice_id, invoices.number, invoices.total, invoices.currency, invoices.issue_date,
    invoices.due_date, sellers.name AS seller_name, sellers.organisation AS seller_organisation,
    contacts.name AS buyer_name, contacts.email AS buyer_email, financings.state AS financing_state
"""
_FROM = """
    reviews JOIN invoices ON invoices.id = reviews.invoice_id JOIN users AS sellers ON sellers.id = invoices.seller_id
    JOIN contacts ON contacts.id = invoices.contact_id
    LEFT JOIN users AS reviewers ON reviewers.id = reviews.reviewer_id
    LEFT JOIN financings ON financings.id = reviews.financing_id
"""
_OTHERS = text(
    """
    SELECT invoices.id, invoices.number, invoices.total, invoices.currency, invoices.issue_date, invoices.due_date,
           invoices.status, sellers.name AS seller_name, sellers.organisation AS seller_organisation,
           contacts.name AS buyer_name, contacts.email AS buyer_email,
           (SELECT state FROM financings WHERE invoice_id = invoices.id ORDER BY id DESC LIMIT 1) AS financing_state
    FROM invoices JOIN users AS sellers ON sellers.id = invoices.seller_id
    JOIN contacts ON contacts.id = invoices.contact_id
    WHERE invoices.id = ANY(CAST(:ids AS uuid[]))
    """
)
_STEPS = text(
    "SELECT review_history.review_id, review_history.step, review_history.codes, review_history.reason, "
    "review_history.at, users.name FROM review_history LEFT JOIN users ON users.id = review_history.actor_id "
    "WHERE review_id = ANY(CAST(:ids AS uuid[])) ORDER BY review_history.id"
)


def _side(row: Any, identity: UUID) -> dict[str, Any]:
    """An invoice on one side of a review."""
    return {
        "id": str(identity),
        "number": row.number,
        "total": row.total,
        "currency": row.currency,
        "issue_date": row.issue_date,
        "due_date": row.due_date,
        "seller": row.seller_organisation or row.seller_name,
        "buyer": row.buyer_name,
        "buyer_email": row.buyer_email,
        "financing_state": row.financing_state,
    }


def _finding(found: dict[str, Any], sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "code": found["code"],
        "title": found["title"],
        "kind": found["kind"],
        "sentence": found["sentence"],
        "values": found["values"],
        "hard": found["hard"],
        "counterfactual": found["counterfactual"],
        "others": [
            {"says": other["says"], "invoice": sides.get(other["invoice_id"]), "number": other["number"]}
            for other in found["others"]
        ],
    }


def _shapes(session: Session, rows: list[Any]) -> list[dict[str, Any]]:
    """Reviews with both sides and what was done about them: two more queries, however many there are."""
    if not rows:
        return []
    named = {
        parse_id(other["invoice_id"]) for row in rows for found in row.findings.values() for other in found["others"]
    }
    others = session.execute(_OTHERS, {"ids": array([each for each in named if each], "uuid")}).all() if named else []
    sides = {str(other.id): _side(other, other.id) for other in others}
    steps = session.execute(_STEPS, {"ids": array([row.id for row in rows], "uuid")}).all()
    return [
        {
            "id": str(row.id),
            "state": row.state,
            "kind": "stop" if row.stops else "review",
            "hard": row.hard,
            "codes": list(row.codes),
            "findings": [_finding(row.findings[code], sides) for code in sorted(row.findings)],
            "invoice": _side(row, row.invoice_id),
            "reason": row.reason,
            "reviewer": row.reviewer,
            "opened_at": row.opened_at,
            "decided_at": row.decided_at,
            "history": [
                {
                    "step": step.step,
                    "codes": list(step.codes),
                    "reason": step.reason,
                    "actor": step.name,
                    "at": step.at,
                }
                for step in steps
                if step.review_id == row.id
            ],
        }
        for row in rows
    ]


def list_reviews(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    code: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Reviews, newest first, with how many are open. Raises Forbidden for everybody but operators, and Invalid."""
    require_operator(actor)
    for name, value, allowed in (("state", state, STATES), ("kind", kind, KINDS), ("code", code, tuple(TITLES))):
        if value is not None and value not in allowed:
            raise Invalid(name, f"must be one of {', '.join(allowed)}")
    values: dict[str, Any] = {"limit": paging.check_limit(limit) + 1}
    conditions = ["true"]
    if state:
        conditions.append("reviews.state = :state")
    if kind:
        conditions.append("reviews.stops = :stops")
    if code:
        conditions.append(":code = ANY(reviews.codes)")
    if search:
        conditions.append(
            "(invoices.number ILIKE :search OR contacts.name ILIKE :search OR sellers.name ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("reviews.id < :after")
    values |= {"state": state, "stops": kind == "stop", "code": code, "after": after}
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY reviews.id DESC LIMIT :limit"),
        values,
    ).all()
    told = paging.page(rows, limit, lambda row: {"id": row.id})
    return {**told, "items": _shapes(session, list(rows[:limit])), "open": waiting(session)}


def waiting(session: Session) -> int:
    """How many reviews are open."""
    return int(session.scalar(text("SELECT count(*) FROM reviews WHERE state = 'open'")) or 0)


def get_review(session: Session, actor: Actor, review_id: UUID) -> dict[str, Any]:
    """One review. Raises Forbidden and NotFound."""
    require_operator(actor)
    rows = session.execute(text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE reviews.id = :id"), {"id": review_id}).all()
    if not rows:
        raise NotFound("review", review_id)
    return _shapes(session, list(rows))[0]
