"""A year of honest trade, from a seed: what duplicates are to be told from (core.marketplace.duplicate_cases)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from core.marketplace.fingerprints import Document
from core.taxids import Party, gstin

YEAR = date(2026, 4, 1)
_STATES = ("27", "29", "07", "33", "24")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STYLES = ("INV-{n:04d}", "{n}", "SI/{fy}/{n:03d}", "{fy}/KA/{n}", "A{n:05d}", "INV{n}")


@dataclass(frozen=True, slots=True)
class Honest:
    """An invoice as it should be, and by which habit of its customer it came."""

    document: Document
    habit: str


def _pan(dice: random.Random) -> str:
    letters = "".join(dice.choices(_LETTERS, k=3))
    return f"{letters}{dice.choice('CFP')}{dice.choice(_LETTERS)}{dice.randrange(1, 10_000):04d}{dice.choice(_LETTERS)}"


def registered(dice: random.Random, pan: str) -> str:
    """A GSTIN of a PAN, in some state."""
    first = f"{dice.choice(_STATES)}{pan}1Z"
    return first + gstin.check_character(first)


def identity(dice: random.Random) -> UUID:
    """An id that the seed decides."""
    return UUID(int=dice.getrandbits(128))


def _amount(dice: random.Random) -> int:
    """Log-normal around a lakh, in paise; some customers think in round sums."""
    paise = int(dice.lognormvariate(16.1, 1.0))
    return max(1_000_00, round(paise, -6) if dice.random() < 0.15 else paise)


# How a customer buys: share of customers, and the days between two orders.
_HABITS: tuple[tuple[str, float, tuple[int, int]], ...] = (
    ("irregular", 0.70, (2, 60)),
    ("standing order", 0.15, (7, 7)),
    ("monthly retainer", 0.08, (28, 31)),
    ("blanket order", 0.05, (3, 20)),
    ("several a day", 0.02, (0, 2)),
)


def _orders(dice: random.Random) -> Iterator[tuple[date, str, int, tuple[str, ...]]]:
    """A customer's year: date, habit, amount, references."""
    habit, _, (shortest, longest) = dice.choices(_HABITS, [share for _, share, _ in _HABITS])[0]
    usual, order = _amount(dice), f"PO-{dice.randrange(10_000)}"
    day = YEAR + timedelta(days=dice.randrange(60))
    while day < YEAR + timedelta(days=365):
        same = habit in ("standing order", "monthly retainer")
        # A standing order changes now and then: a price, an extra crate.
        amount = usual if same and dice.random() < 0.8 else _amount(dice)
        references = [f"{dice.randrange(10**11, 10**12)}"] if dice.random() < 0.6 else []
        if habit == "blanket order":
            references.append(order)
            amount = usual if dice.random() < 0.2 else amount
        elif dice.random() < 0.3:
            references.append(f"PO-{dice.randrange(10**6)}")
        yield day, habit, amount, tuple(references)
        gap = dice.randint(shortest, longest)
        # A weekly day moves by a holiday.
        day += timedelta(days=gap + (dice.choice((-1, 1)) if habit == "standing order" and dice.random() < 0.1 else 0))


def supplier_year(dice: random.Random) -> list[Honest]:
    """A supplier's year with five to forty customers, numbered in the order of dates."""
    pan, style, number = _pan(dice), dice.choice(_STYLES), dice.randrange(1, 3000)
    seller_id, registration = identity(dice), registered(dice, pan)
    year: list[tuple[date, str, int, tuple[str, ...], str, str]] = []
    for _ in range(dice.randint(5, 40)):
        buyer, email = registered(dice, _pan(dice)), f"{identity(dice)}@buyer.test"
        year += [(*order, buyer, email) for order in _orders(dice)]
    found = []
    for day, habit, amount, references, buyer, email in sorted(year, key=lambda entry: entry[0]):
        number += 1 if dice.random() < 0.97 else 2
        document = Document(
            seller_id=seller_id,
            buyer_email=email,
            number=style.format(n=number, fy="26-27"),
            issued=day,
            amount=amount,
            currency="INR",
            seller=Party(gstin=registration),
            buyer=Party(gstin=buyer),
            file_hashes=(f"{dice.getrandbits(256):064x}",),
            references=references,
        )
        found.append(Honest(document, habit))
    return found
