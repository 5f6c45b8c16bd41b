"""From lists of invoices to the figures that the features look at: one way, for the database and for the generator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

from core.risk.facts import History, Part, Redated, Sale, Velocity
from core.risk.patterns import limit_above
from core.risk.statistics import first_digit
from core.risk.weights import CURRENT, Weights

_WEEK = 7
_TAIL = re.compile(r"(\d{1,12})\D*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The seller's invoices sorted the way the features ask for them; this one is `subject` and not in `others`."""

    subject: Sale
    others: tuple[Sale, ...]
    today: date

    def since(self, days: int) -> list[Sale]:
        """Standing invoices issued within so many days, this one included."""
        first = self.today - timedelta(days=days)
        return [sale for sale in (*self.others, self.subject) if sale.issued > first and not sale.void]

    @property
    def pair(self) -> list[Sale]:
        """Earlier standing invoices to the same buyer."""
        return [sale for sale in self.others if sale.buyer == self.subject.buyer and not sale.void]


def number_in_series(number: str) -> tuple[str, int] | None:
    """The series an invoice number belongs to, and its place there: INV-2026-0042 is (INV-2026-, 42)."""
    found = _TAIL.search(number)
    return (number[: found.start()].upper(), int(found[1])) if found else None


def velocity(books: Ledger, weights: Weights = CURRENT) -> Velocity | None:
    """This week, and each of the 13 before it; None while the seller has not been at it for so long."""
    weeks = weights.velocity_weeks
    counts, values = [0] * (weeks + 1), [0] * (weeks + 1)
    oldest = 0
    for sale in (*books.others, books.subject):
        if sale.void:
            continue
        back = max(0, (books.today - sale.issued).days) // _WEEK
        oldest = max(oldest, back)
        if back <= weeks:
            counts[back] += 1
            values[back] += sale.amount
    if oldest < weeks:
        return None
    return Velocity(count=counts[0], value=values[0], counts=tuple(counts[1:]), values=tuple(values[1:]))


def _series(sales: Iterable[Sale], subject: Sale) -> tuple[tuple[int, date], ...]:
    mine = number_in_series(subject.number)
    if mine is None:
        return ()
    placed = ((number_in_series(sale.number), sale.issued) for sale in sales)
    return tuple(sorted((place[1], day) for place, day in placed if place is not None and place[0] == mine[0]))


def around(series: Sequence[tuple[int, date]], number: int | None, days: int) -> tuple[tuple[int, date], ...]:
    """The part of a series that this invoice is to answer for: it does not inherit the disorder of others.

    Where its own neighbours are in order, only gaps are left to be seen, so the dates are put in order.
    """
    if number is None:
        return ()
    places = [place for place, (each, _) in enumerate(series) if each == number]
    near = {each for place in places for each in series[max(0, place - 1) : place + 2]}
    if any((before - after).days >= days for (_, before), (_, after) in _neighbours(sorted(near))):
        return tuple(series)
    return tuple(zip((each for each, _ in series), sorted(day for _, day in series), strict=True))


def _neighbours(series: Sequence[tuple[int, date]]) -> list[tuple[tuple[int, date], tuple[int, date]]]:
    return list(pairwise(series))


def _round(sales: Sequence[Sale], weights: Weights) -> Part:
    return Part(hits=sum(1 for sale in sales if sale.amount % weights.round_unit == 0), whole=len(sales))


def _below(sales: Sequence[Sale], weights: Weights) -> Part:
    stretch = sum(
        1
        for sale in sales
        if any(0.80 * limit <= sale.amount < weights.near_limit_share * limit for limit in weights.approval_limits)
    )
    return Part(hits=stretch, whole=len(sales))


def _near(sales: Sequence[Sale], weights: Weights) -> Part:
    return Part(hits=sum(1 for sale in sales if limit_above(sale.amount, weights)), whole=len(sales))


def _digits(sales: Sequence[Sale]) -> tuple[int, ...]:
    counts = [0] * 9
    for sale in sales:
        counts[first_digit(sale.amount) - 1] += 1
    return tuple(counts)


def _by_buyer(sales: Sequence[Sale]) -> tuple[int, ...]:
    sums: dict[str, int] = {}
    for sale in sales:
        sums[sale.buyer] = sums.get(sale.buyer, 0) + sale.amount
    return tuple(sorted(sums.values(), reverse=True))


def diluted(sales: Sequence[Sale], today: date, weights: Weights = CURRENT) -> tuple[int, int]:
    """Credit notes and short pay, over sales whose time to be paid has come; minor units.

    Short pay is what is left of an invoice of which a part was paid and the rest is long overdue.
    """
    lost = sold = 0
    for sale in sales:
        if (today - sale.issued).days > weights.dilution_days or sale.void:
            continue
        late = (today - sale.due).days > weights.short_pay_days
        if sale.paid_on is None and not late:
            continue
        sold += sale.amount
        short = sale.amount - sale.paid - sale.credited if 0 < sale.paid < sale.amount and late else 0
        lost += min(sale.amount, sale.credited + max(0, short))
    return lost, sold


def redated(books: Ledger, weights: Weights = CURRENT) -> tuple[Redated, ...]:
    """Earlier invoices with the same content that were taken back, or are long overdue.

    What is paid, not yet due or a little late is a service that comes every month and says the same each time.
    """
    overdue = books.today - timedelta(days=weights.redate_overdue_days)
    subject = books.subject
    return tuple(
        Redated(invoice_id=sale.id, number=sale.number, issued=sale.issued)
        for sale in books.others
        if subject.content
        and sale.content == subject.content
        and sale.issued < subject.issued
        and (sale.void or (sale.paid_on is None and sale.due < overdue))
    )


def fill(history: History, books: Ledger, weights: Weights = CURRENT, *, credited: int = 0) -> History:
    """A History with every figure that follows from the seller's invoices.

    `credited` are credit notes to this buyer that stand outside of them, in minor units.
    """
    subject, recent, pair = books.subject, books.since(weights.sequence_days), books.pair
    mine = number_in_series(subject.number)
    to_buyer = [sale for sale in recent if sale.buyer == subject.buyer]
    standing = [sale for sale in books.others if not sale.void]
    lost, sold = diluted(pair, books.today, weights)
    usual = pair if len(pair) >= weights.tenor_least else standing
    return replace(
        history,
        redated=redated(books, weights),
        velocity=velocity(books, weights),
        series=around(_series(recent, subject), mine[1] if mine else None, weights.reversal_days),
        pair_numbers=tuple(number for number, _ in _series(to_buyer, subject)),
        round_recent=_round(to_buyer, weights),
        round_base=_round([sale for sale in standing if sale.buyer != subject.buyer], weights),
        near_limit=_near(recent, weights),
        below_limit=_below(recent, weights),
        first_digits=_digits([*standing, subject]),
        pair_amounts=tuple(sale.amount for sale in pair),
        sales_by_buyer=_by_buyer(books.since(weights.concentration_days)),
        pair_repaid=sum(1 for sale in pair if sale.paid_on is not None),
        tenors=tuple((sale.due - sale.issued).days for sale in usual),
        diluted=lost + min(credited, sold),
        sold=sold,
    )
