"""What an operator must look at: opened by a judgement, cleared or upheld with a reason, never changed after that.

An open stop keeps an invoice from being listed and funded, and so does whatever an operator upheld. A review alone
blocks nothing: near likeness is never refused unseen (marketplace rules, section 5). An exact duplicate cannot be
cleared by anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor
from core.ids import new_id
from core.live import announce
from core.risk.findings import TITLES, Finding, Kind
from core.risk.scoring import Assessment, spell_finding

Decision = Literal["clear", "uphold"]
_STATE_AFTER = {"clear": "cleared", "uphold": "upheld"}
_REASON = range(3, 1001)


class HardStop(Conflict):
    """The same document was financed before: that cannot be cleared."""

    code = "hard_stop"


class ReviewDecided(Conflict):
    """Somebody decided it before."""

    code = "review_decided"


def open_for(
    session: Session,
    invoice_id: UUID,
    financing_id: UUID | None,
    assessment_id: UUID,
    assessment: Assessment,
    now: datetime,
) -> UUID | None:
    """Put what a judgement stops or questions before an operator; return the review, or None without anything new.

    What was decided of this financing on the same evidence is not asked again.
    """
    wanted = {finding.code: finding for finding in (*assessment.stops, *assessment.reviews)}
    if not wanted:
        return None
    # Who judges an invoice holds its lock, so two judgements do not open two reviews.
    session.execute(text("SELECT FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id})
    rows = session.execute(
        text(
            "SELECT id, state, codes, stops, hard, findings FROM reviews WHERE invoice_id = :invoice "
            "AND (state = 'open' OR financing_id IS NOT DISTINCT FROM CAST(:financing AS uuid)) ORDER BY id"
        ),
        {"invoice": invoice_id, "financing": financing_id},
    ).all()
    known = {(code, found["evidence"]) for row in rows for code, found in row.findings.items()}
    new = {code: finding for code, finding in wanted.items() if (code, finding.evidence) not in known}
    if not new:
        return None
    standing = next((row for row in rows if row.state == "open"), None)
    values = {
        "id": standing.id if standing else new_id(),
        "invoice": invoice_id,
        "financing": financing_id,
        "assessment": assessment_id,
        "now": now,
        **_merged(standing, new),
    }
    session.execute(_EXTEND if standing else _OPEN, values)
    _note(session, values["id"], "extended" if standing else "opened", list(new), None, None, now)
    _tell(session, values["id"])
    return UUID(str(values["id"]))


_OPEN = text(
    "INSERT INTO reviews (id, invoice_id, financing_id, codes, stops, hard, findings, assessment_id, opened_at) "
    "VALUES (:id, :invoice, :financing, CAST(:codes AS text[]), :stops, :hard, CAST(:findings AS jsonb), :assessment, "
    ":now)"
)
_EXTEND = text(
    "UPDATE reviews SET financing_id = :financing, codes = CAST(:codes AS text[]), stops = :stops, hard = :hard, "
    "findings = CAST(:findings AS jsonb), assessment_id = :assessment WHERE id = :id"
)


def _merged(standing: Any, new: Mapping[str, Finding]) -> dict[str, Any]:
    findings = {**(standing.findings if standing else {}), **{code: spell_finding(each) for code, each in new.items()}}
    return {
        "codes": sorted(findings),
        "stops": any(found["kind"] == Kind.STOP for found in findings.values()),
        "hard": any(found["hard"] for found in findings.values()),
        "findings": json.dumps(findings),
    }


def _note(
    session: Session,
    review: UUID,
    step: str,
    codes: Iterable[str],
    reason: str | None,
    actor: Actor | None,
    now: datetime,
) -> None:
    session.execute(
        text(
            "INSERT INTO review_history (id, review_id, step, codes, reason, actor_id, at) "
            "VALUES (:id, :review, :step, CAST(:codes AS text[]), :reason, :actor, :now)"
        ),
        {
            "id": new_id(),
            "review": review,
            "step": step,
            "codes": sorted(codes),
            "reason": reason,
            "actor": actor.id if actor else None,
            "now": now,
        },
    )


def _tell(session: Session, review_id: UUID) -> None:
    """Tell operators that a review was opened, grew or was decided."""
    row = session.execute(
        text(
            "SELECT reviews.id, reviews.invoice_id, reviews.codes, reviews.stops, reviews.state, invoices.number, "
            "(SELECT count(*) FROM review_history WHERE review_id = reviews.id) AS steps "
            "FROM reviews JOIN invoices ON invoices.id = reviews.invoice_id WHERE reviews.id = :id"
        ),
        {"id": review_id},
    ).one()
    data: dict[str, object] = {
        "review_id": str(row.id),
        "invoice_id": str(row.invoice_id),
        "number": row.number,
        "codes": list(row.codes),
        "stops": row.stops,
        "state": row.state,
    }
    is_new = row.steps == 1
    announce(
        session,
        [DomainEvent(room="operators", name="review.opened" if is_new else "review.updated", data=data)],
    )


def open_stops(session: Session, financing_id: UUID) -> list[str]:
    """Why a financing may go no further: the open stops and whatever was upheld, by their titles. Empty: it may."""
    rows = session.execute(
        text(
            "SELECT state, findings FROM reviews WHERE financing_id = :financing "
            "AND ((state = 'open' AND stops) OR state = 'upheld') ORDER BY id"
        ),
        {"financing": financing_id},
    ).all()
    codes = {
        code
        for row in rows
        for code, found in row.findings.items()
        if row.state == "upheld" or found["kind"] == Kind.STOP
    }
    return [f"{TITLES[code].lower()} ({code})" for code in sorted(codes)]


def require_operator(actor: Actor) -> None:
    """Raise Forbidden for everybody else."""
    if not actor.is_operator:
        raise Forbidden("reviews are for operators")


def decide(session: Session, actor: Actor, review_id: UUID, decision: Decision, reason: str, now: datetime) -> None:
    """Clear or uphold an open review, with a reason that stays.

    Raises Forbidden, NotFound, Invalid, ReviewDecided, and HardStop for an exact duplicate that should be cleared.
    """
    require_operator(actor)
    if actor.is_service:
        raise Forbidden("a person decides a review, not a service")
    said = reason.strip()
    if len(said) not in _REASON:
        raise Invalid("reason", f"must have {_REASON.start} to {_REASON.stop - 1} characters")
    row = session.execute(
        text("SELECT state, hard, codes, invoice_id FROM reviews WHERE id = :id FOR UPDATE"), {"id": review_id}
    ).one_or_none()
    if row is None:
        raise NotFound("review", review_id)
    if row.state != "open":
        raise ReviewDecided(f"this review was {row.state} already")
    if row.hard and decision == "clear":
        raise HardStop("the same document was brought for financing before; nobody can clear that")
    state = _STATE_AFTER[decision]
    session.execute(
        text(
            "UPDATE reviews SET state = :state, reason = :reason, reviewer_id = :actor, decided_at = :now "
            "WHERE id = :id"
        ),
        {"state": state, "reason": said, "actor": actor.id, "now": now, "id": review_id},
    )
    _note(session, review_id, state, row.codes, said, actor, now)
    audit.record(
        session,
        actor,
        f"review.{state}",
        "invoice",
        row.invoice_id,
        {"review_id": str(review_id), "codes": list(row.codes), "reason": said},
        now,
    )
    _tell(session, review_id)
