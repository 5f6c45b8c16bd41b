"""Invoice numbers: INV-<year>-<sequence>, without gaps for each seller and year."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session


def next_sequence(session: Session, seller_id: UUID, year: int) -> int:
    """The next number of a seller's year.

    The counter's row stays locked until the caller's transaction ends, and a rollback gives the number back:
    so no number is missing and none is given twice.
    """
    return int(
        session.scalars(
            text(
                "INSERT INTO invoice_counters AS known (seller_id, year, last) VALUES (:seller, :year, 1) "
                "ON CONFLICT (seller_id, series, year) DO UPDATE SET last = known.last + 1 RETURNING last"
            ),
            {"seller": seller_id, "year": year},
        ).one()
    )


def spell(year: int, sequence: int) -> str:
    """The number as it stands on the invoice."""
    return f"INV-{year}-{sequence:05d}"
