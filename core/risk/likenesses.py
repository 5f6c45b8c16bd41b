"""What the marketplace found alike, with what is known of the other side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import array
from core.risk.facts import Hit, Level


class Likeness(Protocol):
    """A hit of `core.marketplace.likeness`; `other` is the financing it is like."""

    @property
    def level(self) -> str:
        """E1 to N4."""

    @property
    def sentence(self) -> str:
        """Why, in words."""

    @property
    def other(self) -> UUID | None:
        """The financing."""


_OTHERS = text(
    """
    SELECT financings.id, financings.state, invoices.id AS invoice_id, invoices.number, financings.face,
           financings.issue_date
    FROM financings JOIN invoices ON invoices.id = financings.invoice_id
    WHERE financings.id = ANY(CAST(:ids AS uuid[]))
    """
)


def hits_of(session: Session, likenesses: Sequence[Likeness]) -> tuple[Hit, ...]:
    """Hits with what is known of the other side; what it was is gone when its financing is."""
    ids = [hit.other for hit in likenesses if hit.other is not None]
    if not ids:
        return ()
    others = {row.id: row for row in session.execute(_OTHERS, {"ids": array(ids, "uuid")})}
    return tuple(
        Hit(
            level=Level(hit.level),
            sentence=hit.sentence,
            invoice_id=str(others[hit.other].invoice_id),
            number=others[hit.other].number,
            amount=others[hit.other].face,
            issued=others[hit.other].issue_date,
            state=others[hit.other].state,
        )
        for hit in likenesses
        if hit.other in others
    )
