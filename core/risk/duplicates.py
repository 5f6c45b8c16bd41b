"""How alike two documents are: levels E1, E2 and N1 to N4 of marketplace rules 2.9.

The tokens of E1, E2 and N1 are keyed digests made elsewhere, over PAN and not GSTIN, so that an invoice written again
from another state still collides. Here they are only compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from core.risk.facts import Hit, Level

_SEPARATOR = "·"
_NEAR_DAYS = 30
_NEAR_DISTANCE = 1
# Two amounts are alike within one per cent of the larger.
_NEAR_HUNDREDTHS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice as it was brought for financing. `groups` is its number in normal form (INV·2026·42)."""

    invoice_id: str
    number: str
    groups: str
    seller: str
    buyer: str
    amount: int
    issued: date
    e1: str | None = None
    e2: str | None = None
    n1: str | None = None
    files: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    state: str = ""


def _letters(first: str, second: str) -> int:
    """Levenshtein's distance between two short texts."""
    row = list(range(len(second) + 1))
    for place, letter in enumerate(first, start=1):
        above, row[0] = row[0], place
        for other in range(1, len(second) + 1):
            kept = row[other]
            row[other] = min(row[other] + 1, row[other - 1] + 1, above + (letter != second[other - 1]))
            above = kept
    return row[-1]


def distance(first: str, second: str) -> int:
    """How far apart two normal forms are, counted in letters and digits within each group.

    Groups keep their place, so that 2026·27·42 and 2026·2·742 stay apart.

    >>> distance("INV·42", "INV·42·A"), distance("INV·42", "INV·43"), distance("2026·27·42", "2026·2·742")
    (1, 1, 2)
    """
    return _groups(first.split(_SEPARATOR), second.split(_SEPARATOR))


def _groups(first: Sequence[str], second: Sequence[str]) -> int:
    row = [0]
    for group in second:
        row.append(row[-1] + len(group))
    for group in first:
        above, row[0] = row[0], row[0] + len(group)
        for other, against in enumerate(second, start=1):
            kept = row[other]
            row[other] = min(row[other] + len(group), row[other - 1] + len(against), above + _letters(group, against))
            above = kept
    return row[-1]


def _alike(first: Document, second: Document) -> bool:
    """N2: amount within 1 %, date within 30 days, number at most one letter apart, between the same two."""
    larger = max(first.amount, second.amount)
    return (
        (first.seller, first.buyer) == (second.seller, second.buyer)
        and 100 * abs(first.amount - second.amount) <= _NEAR_HUNDREDTHS * larger
        and abs((first.issued - second.issued).days) <= _NEAR_DAYS
        and distance(first.groups, second.groups) <= _NEAR_DISTANCE
    )


def levels(first: Document, second: Document) -> tuple[Level, ...]:
    """Every level on which two documents meet, the surest first."""
    met = {
        Level.E1: first.e1 is not None and first.e1 == second.e1,
        Level.E2: first.e2 is not None and first.e2 == second.e2,
        Level.N1: first.n1 is not None and first.n1 == second.n1,
        Level.N2: _alike(first, second),
        Level.N3: bool(first.files & second.files),
        Level.N4: bool(first.references & second.references),
    }
    return tuple(level for level, hit in met.items() if hit)


def hits(subject: Document, others: Iterable[Document]) -> tuple[Hit, ...]:
    """What of `others` looks like `subject`, the surest first."""
    found = [
        Hit(
            level=level,
            invoice_id=other.invoice_id,
            number=other.number,
            amount=other.amount,
            issued=other.issued,
            state=other.state,
        )
        for other in others
        if other.invoice_id != subject.invoice_id
        for level in levels(subject, other)
    ]
    return tuple(sorted(found, key=lambda hit: (hit.level, hit.invoice_id)))
