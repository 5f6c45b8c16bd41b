"""Judging an invoice and keeping the judgement: rows are added, never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import array
from core.errors import Forbidden, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import queries as invoicing
from core.risk import history, reviews
from core.risk.history import Request
from core.risk.likenesses import Likeness
from core.risk.scoring import Assessment, judge, priced
from core.risk.weights import CURRENT, Weights

Cause = Literal["submission", "acceptance", "listing", "funding", "person"]

# Other people's invoices and addresses stand in these.
_OPERATORS_ONLY = frozenset({"others", "evidence"})


def assess(
    session: Session,
    invoice_id: UUID,
    now: datetime,
    *,
    at: Cause,
    hits: Sequence[Likeness] = (),
    evidence: Mapping[str, str] | None = None,
    weights: Weights = CURRENT,
) -> Assessment:
    """Judge an invoice, keep the judgement, and open a review for whatever stops it or wants to be looked at.

    `hits` are its duplicates as `core.marketplace.likeness` found them, `evidence` keyed digests of the request (ip,
    user_agent): those of the submission are compared with those of the acceptance. Raises NotFound. The caller owns
    the transaction. A repeat adds a judgement, and no second review of what was reviewed.
    """
    asked = Request(at=now, marks=evidence) if evidence and at == "acceptance" else None
    known = history.load(session, invoice_id, now, hits=hits, asked=asked, weights=weights)
    found = judge(known, weights)
    identity = new_id()
    financing_id: UUID | None = session.execute(
        text(
            "INSERT INTO risk_assessments (id, invoice_id, financing_id, version, cause, outputs, at) VALUES (:id, "
            ":invoice, (SELECT id FROM financings WHERE invoice_id = :invoice ORDER BY id DESC LIMIT 1), :version, "
            ":cause, CAST(:outputs AS jsonb), :now) RETURNING financing_id"
        ),
        {
            "id": identity,
            "invoice": invoice_id,
            "version": found.version,
            "cause": at,
            "outputs": json.dumps({**found.shape(), "evidence": dict(evidence or {})}),
            "now": now,
        },
    ).scalar_one()
    reviews.open_for(session, invoice_id, financing_id, identity, found, now)
    return found


_LATEST = text(
    "SELECT DISTINCT ON (judged.invoice_id) judged.invoice_id, judged.outputs, judged.cause, judged.at, "
    "financings.principal, financings.discount FROM risk_assessments AS judged "
    "LEFT JOIN financings ON financings.id = judged.financing_id "
    "WHERE judged.invoice_id = ANY(CAST(:ids AS uuid[])) ORDER BY judged.invoice_id, judged.id DESC"
)


def latest(session: Session, invoice_ids: Sequence[UUID], actor: Actor | None = None) -> dict[UUID, dict[str, Any]]:
    """The newest judgement of each invoice that has one, in one query, as the actor may see it (None: everything)."""
    if not invoice_ids:
        return {}
    rows = session.execute(_LATEST, {"ids": array(list(invoice_ids), "uuid")}).all()
    return {
        row.invoice_id: shown(
            {**(priced(row.outputs, row.principal, row.discount) or {}), "cause": row.cause, "at": row.at}, actor
        )
        for row in rows
    }


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value


def shown(outputs: Mapping[str, Any], actor: Actor | None) -> dict[str, Any]:
    """A judgement as somebody may read it.

    Operators read everything. The seller reads the raw figures of their own trade, investors the sentences with the
    figures in them; neither reads what a stop or a review rests on, for that speaks of other people.
    """
    if actor is None or actor.is_operator:
        return dict(outputs)
    plain: dict[str, Any] = _without(dict(outputs), _OPERATORS_ONLY)
    hidden = frozenset({"values"})
    if actor.role is not Role.SELLER:
        return dict(_without(plain, hidden))
    return {**plain, "fraud": _without(plain["fraud"], hidden)}


def risk_of(session: Session, actor: Actor, invoice_id: UUID) -> dict[str, Any]:
    """The newest judgement of an invoice, for its seller, for operators, and for investors once it is listed.

    Raises NotFound (also where nothing was judged yet), or Forbidden for its buyer.
    """
    if actor.role is Role.INVESTOR:
        seen = session.scalar(
            text("SELECT EXISTS (SELECT FROM financings WHERE invoice_id = :id AND listed_at IS NOT NULL)"),
            {"id": invoice_id},
        )
        if not seen:
            raise NotFound("invoice", invoice_id)
    else:
        # To a stranger it is not there.
        invoicing.get_invoice(session, actor, invoice_id)
        if actor.role is Role.BUYER:
            raise Forbidden("how an invoice is judged is for its seller and for investors")
    found = latest(session, [invoice_id], actor).get(invoice_id)
    if found is None:
        raise NotFound("judgement of invoice", invoice_id)
    return found
