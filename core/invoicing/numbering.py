"""Numbers of documents: series of a seller, counted without gaps for each of them and each year.

Calendar years are written INV-2026-00001, India's financial years (April to March) INV/26-27/0001. Numbers are at
most 16 letters, digits, hyphens and slashes, whatever the regime (Rule 46, marketplace rules 2.10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.bulk import array
from core.errors import Conflict, Forbidden, Invalid
from core.identity import Actor, Role
from core.invoicing.references import number_key
from core.taxids.irn import MAX_NUMBER, fits_rule_46

Kind = Literal["invoice", "credit_note"]
YearKind = Literal["calendar", "financial"]

# The series of somebody who never made one.
FIRST: Final[dict[str, str]] = {"invoice": "INV", "credit_note": "CN"}
_PREFIX = re.compile(r"[A-Z0-9]{1,5}")
MAX_SERIES: Final = 50
_APRIL = 4
# How far is looked at once for a number that is not taken.
_STEP = 100
# Documents by kind, and the column that holds what makes a number the same as another.
_TAKEN: Final = {
    "invoice": "SELECT number FROM invoices WHERE seller_id = :seller AND number_key = ANY(CAST(:keys AS text[]))",
    "credit_note": (
        "SELECT number FROM credit_notes WHERE seller_id = :seller AND number = ANY(CAST(:spelled AS text[]))"
    ),
}
_LOCK_CLASS = 0x4E55


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A run of numbers of one seller."""

    prefix: str
    kind: Kind = "invoice"
    year_kind: YearKind = "calendar"
    is_default: bool = False

    def year(self, day: date) -> int:
        """The year a day counts in; a financial one by the year it begins in."""
        return day.year - (self.year_kind == "financial" and day.month < _APRIL)

    def spell(self, year: int, sequence: int) -> str:
        """The number as it stands on the document."""
        if self.year_kind == "financial":
            return f"{self.prefix}/{year % 100:02d}-{(year + 1) % 100:02d}/{sequence:04d}"
        return f"{self.prefix}-{year}-{sequence:05d}"

    def plain(self) -> dict[str, Any]:
        """The same as JSON, with what its first number of 2026 looks like."""
        return {
            "prefix": self.prefix,
            "kind": self.kind,
            "year_kind": self.year_kind,
            "is_default": self.is_default,
            "example": self.spell(2026, 1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that was given out; `sequence` None: it came with the document, and no counter counts it."""

    text: str
    key: str
    series: str
    year: int
    sequence: int | None


def lock(session: Session, seller_id: UUID) -> None:
    """Let nobody else number documents of this seller until the transaction ends. Taken again it does nothing."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(:class, hashtext(:seller))"),
        {"class": _LOCK_CLASS, "seller": str(seller_id)},
    )


def list_series(session: Session, seller_id: UUID, kind: Kind | None = None) -> list[Series]:
    """A seller's series, by kind and prefix. The first one of each kind is there before anybody made it."""
    rows = session.execute(
        text("SELECT prefix, kind, year_kind, is_default FROM invoice_series WHERE seller_id = :seller"),
        {"seller": seller_id},
    )
    found = {row.prefix: Series(**row._asdict()) for row in rows}
    for each, prefix in FIRST.items():
        if prefix not in found:
            taken = any(one.is_default and one.kind == each for one in found.values())
            found[prefix] = Series(prefix=prefix, kind=each, is_default=not taken)  # type: ignore[arg-type]
    shown = (one for one in found.values() if kind is None or one.kind == kind)
    return sorted(shown, key=lambda one: (one.kind, one.prefix))


def find(session: Session, seller_id: UUID, prefix: str | None, kind: Kind = "invoice") -> Series:
    """A series by its prefix; without one the seller's default. Raises Invalid."""
    known = list_series(session, seller_id, kind)
    wanted = [one for one in known if one.prefix == prefix or (prefix is None and one.is_default)]
    if not wanted:
        raise Invalid("series", f"you have no series {prefix} for this" if prefix else "you have no default series")
    return wanted[0]


def create_series(
    session: Session,
    actor: Actor,
    *,
    prefix: str,
    year_kind: YearKind,
    kind: Kind = "invoice",
    default: bool = False,
    now: datetime,
) -> Series:
    """Begin a series. Raises Forbidden, Invalid, and Conflict when the prefix is taken, by whatever kind."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers number documents")
    prefix = prefix.strip().upper()
    if not _PREFIX.fullmatch(prefix):
        raise Invalid("prefix", "must have 1 to 5 letters and digits")
    if year_kind not in {"calendar", "financial"}:
        raise Invalid("year_kind", "must be calendar or financial")
    if kind not in FIRST:
        raise Invalid("kind", "must be invoice or credit_note")
    lock(session, actor.id)
    known = list_series(session, actor.id)
    if any(one.prefix == prefix for one in known):
        raise Conflict(f"you have a series {prefix} already")
    if len(known) >= MAX_SERIES:
        raise Conflict(f"you have {MAX_SERIES} series, which is the most")
    _insert(session, actor.id, Series(prefix=prefix, kind=kind, year_kind=year_kind), now)
    data = {"prefix": prefix, "kind": kind, "year_kind": year_kind}
    audit.record(session, actor, "series.created", "business", actor.id, data, now)
    if default:
        return set_default(session, actor, prefix, now)
    return Series(prefix=prefix, kind=kind, year_kind=year_kind)


def set_default(session: Session, actor: Actor, prefix: str, now: datetime) -> Series:
    """Number new documents of its kind by this series from now on. A repeat changes nothing. Raises Invalid."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers number documents")
    lock(session, actor.id)
    wanted = next((one for one in list_series(session, actor.id) if one.prefix == prefix), None)
    if wanted is None:
        raise Invalid("prefix", f"you have no series {prefix}")
    _insert(session, actor.id, wanted, now)
    # The old one first: there is one default of a kind at any time.
    for condition, value in (
        ("prefix <> :prefix AND is_default", False),
        ("prefix = :prefix AND NOT is_default", True),
    ):
        session.execute(
            text(
                f"UPDATE invoice_series SET is_default = :value WHERE seller_id = :seller AND kind = :kind "
                f"AND {condition}"
            ),
            {"value": value, "seller": actor.id, "kind": wanted.kind, "prefix": prefix},
        )
    if not wanted.is_default:
        audit.record(session, actor, "series.default", "business", actor.id, {"prefix": prefix}, now)
    return Series(prefix=wanted.prefix, kind=wanted.kind, year_kind=wanted.year_kind, is_default=True)


def _insert(session: Session, seller_id: UUID, one: Series, now: datetime) -> None:
    session.execute(
        text(
            "INSERT INTO invoice_series (seller_id, kind, prefix, year_kind, created_at) "
            "VALUES (:seller, :kind, :prefix, :year_kind, :now) ON CONFLICT DO NOTHING"
        ),
        {"seller": seller_id, "kind": one.kind, "prefix": one.prefix, "year_kind": one.year_kind, "now": now},
    )


def take(session: Session, seller_id: UUID, one: Series, day: date) -> Number:
    """The next number of a series for a document of this day, past those that are taken already.

    The counter stays locked until the caller's transaction ends, and a rollback gives the number back: so none is
    missing and none is given twice. Everything slow stands before this. Raises Conflict when the year is full.
    """
    lock(session, seller_id)
    year = one.year(day)
    last = session.scalar(
        text("SELECT last FROM invoice_counters WHERE seller_id = :seller AND series = :series AND year = :year"),
        {"seller": seller_id, "series": one.prefix, "year": year},
    )
    sequence = _free(session, seller_id, one, year, (last or 0) + 1)
    session.execute(
        text(
            "INSERT INTO invoice_counters (seller_id, series, year, last) VALUES (:seller, :series, :year, :last) "
            "ON CONFLICT (seller_id, series, year) DO UPDATE SET last = excluded.last"
        ),
        {"seller": seller_id, "series": one.prefix, "year": year, "last": sequence},
    )
    spelled = one.spell(year, sequence)
    return Number(text=spelled, key=number_key(spelled), series=one.prefix, year=year, sequence=sequence)


def _free(session: Session, seller_id: UUID, one: Series, year: int, first: int) -> int:
    while True:
        offered = [(place, one.spell(year, place)) for place in range(first, first + _STEP)]
        offered = [(place, spelled) for place, spelled in offered if len(spelled) <= MAX_NUMBER]
        if not offered:
            raise Conflict(f"the series {one.prefix} has no number left in this year; begin another series")
        taken = _taken(session, seller_id, one.kind, [spelled for _, spelled in offered])
        for place, spelled in offered:
            if number_key(spelled) not in taken:
                return place
        first += _STEP


def _taken(session: Session, seller_id: UUID, kind: Kind, numbers: list[str]) -> set[str]:
    """Normal forms of those of these numbers that documents of this kind have."""
    values = {"seller": seller_id}
    wanted: dict[str, Any] = (
        {"keys": array((number_key(number) for number in numbers), "text")}
        if kind == "invoice"
        else {"spelled": array(numbers, "text")}
    )
    return {number_key(number) for number in session.scalars(text(_TAKEN[kind]), {**values, **wanted})}


def own(session: Session, seller_id: UUID, number: str, one: Series, day: date) -> Number:
    """A number that a document brings along, as those of an earlier system do. No counter counts it.

    Raises Invalid, also when another document has it: numbers that differ in punctuation alone are the same.
    """
    number = number.strip()
    if not fits_rule_46(number):
        raise Invalid("number", f"must have 1 to {MAX_NUMBER} letters, digits, hyphens and slashes")
    key = number_key(number)
    if not key:
        raise Invalid("number", "must have a letter or a digit")
    lock(session, seller_id)
    if key in _taken(session, seller_id, one.kind, [number]):
        raise Invalid("number", "is taken by another document")
    return Number(text=number, key=key, series=one.prefix, year=one.year(day), sequence=None)
