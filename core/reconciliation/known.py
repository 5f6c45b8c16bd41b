"""What is known already: lines that two sources tell of (rule 0), and money that is booked already (rule 1). Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.invoicing.references import candidate_keys
from core.reconciliation.features import Book, Booked, Line
from core.reconciliation.finding import compact
from core.reconciliation.fingerprints import reference_key

# Two sources may date the same money by a few days apart: a weekend between value and booking.
MOST_DAYS_APART = 3
# A payment that somebody typed, or that a gateway reports, is on the statement within so many days when both say the
# same reference; and within so many when only the amount is the same.
_DAYS_BY_REFERENCE, _DAYS_BY_AMOUNT = 10, 3
_LEAST_NARRATION = 12
_WORDS = re.compile(r"[A-Z]{4,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """That a line is money that is booked already. `certain`: nobody has to be asked."""

    line_id: UUID
    booked: Booked
    certain: bool
    features: dict[str, Any]


def told_twice(book: Book) -> dict[UUID, UUID]:
    """Which lines tell of money that another line tells of already: line → the other one.

    The same strong reference (UTR, RRN), amount and currency within a few days; or, of another source that is not known
    to be another account, the same words, amount and day. Of what one source tells twice each stays: the second of one
    source is the second of the other. What a bank tells stays before what was uploaded, then what was decided on, then
    what came first. Of lines that were decided on only uploaded ones give way: see `heirs`.
    """
    decided = {line.id for line in book.known}
    lines = sorted([*book.known, *book.lines], key=lambda line: (line.word, line.id not in decided, line.id))
    found: dict[UUID, UUID] = {}
    by_reference: dict[tuple[str, int, str], list[Line]] = defaultdict(list)
    by_words: dict[tuple[str, int, str, Any], list[Line]] = defaultdict(list)
    for line in lines:
        if (key := line.reference_key) is not None:
            by_reference[key, line.amount, line.currency].append(line)
        elif len(words := compact(line.narration)) >= _LEAST_NARRATION:
            by_words[words, line.amount, line.currency, line.day].append(line)
    for same in by_reference.values():
        for place, line in enumerate(same):
            first = next((one for one in same[:place] if _same_days(one, line) and one.id not in found), None)
            if first is not None and _gives_way(line, first, decided):
                found[line.id] = first.id
    for same in by_words.values():
        if len(same) > 1:
            found.update(_of_other_sources(same, decided))
    return found


def heirs(book: Book, twice: Mapping[UUID, UUID]) -> dict[UUID, UUID]:
    """Which open lines of a bank take the place of an uploaded one that was decided on: line → the uploaded one."""
    decided = {line.id for line in book.known}
    return {first: line for line, first in sorted(twice.items(), reverse=True) if line in decided}


def _gives_way(line: Line, first: Line, decided: Collection[UUID]) -> bool:
    return line.id not in decided or (line.word and not first.word and first.id not in decided)


def _same_days(one: Line, other: Line) -> bool:
    apart = abs((one.day - other.day).days)
    return apart <= (0 if one.source == other.source else MOST_DAYS_APART)


def _of_other_sources(lines: Sequence[Line], decided: Collection[UUID]) -> dict[UUID, UUID]:
    """Lines of the same words, amount and day: those of the later sources are those of the first, one by one."""
    by_source: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_source[line.source].append(line)
    first, *others = by_source.values()
    found = {}
    for told in others:
        for one, line in zip(first, told, strict=False):
            other_account = one.number_masked and line.number_masked and one.number_masked != line.number_masked
            if not other_account and _gives_way(line, one, decided):
                found[line.id] = one.id
    return found


def links(book: Book, passed: set[UUID]) -> dict[UUID, Link]:
    """Which open lines (but those `passed`) are money that is booked already: line → link.

    By reference when it is one of a kind; by amount and day when line and booking have no other to go with, certain
    only when the text names what was paid, or the gateway.
    """
    by_amount: dict[tuple[int, str], list[Booked]] = defaultdict(list)
    for one in book.booked:
        by_amount[one.amount, one.currency].append(one)
    found: dict[UUID, Link] = {}
    taken: set[UUID] = set()
    lines = [line for line in book.lines if line.id not in passed and (line.amount, line.currency) in by_amount]
    for line in lines:
        same = [one for one in by_amount[line.amount, line.currency] if _said_the_same(line, one)]
        if len(same) == 1 and same[0].id not in taken:
            taken.add(same[0].id)
            subject = "payout_reference" if same[0].kind == "payout" else "booked_reference"
            found[line.id] = Link(line_id=line.id, booked=same[0], certain=True, features={"subject": subject})
    claims: dict[UUID, list[tuple[Line, Booked]]] = defaultdict(list)
    for line in lines:
        if line.id in found:
            continue
        near = [
            one
            for one in by_amount[line.amount, line.currency]
            if one.id not in taken and abs((line.day - one.day).days) <= _DAYS_BY_AMOUNT and not _contradicts(line, one)
        ]
        told = [one for one in near if _is_told_by(line, one)]
        for one in told if len(told) == 1 else near:
            claims[one.id].append((line, one))
            claims[line.id].append((line, one))
    for line in lines:
        mine = claims.get(line.id, [])
        if len(mine) == 1 and len(claims[mine[0][1].id]) == 1:
            one = mine[0][1]
            subject = "payout_day" if one.kind == "payout" else "booked_day"
            found[line.id] = Link(
                line_id=line.id, booked=one, certain=_is_told_by(line, one), features={"subject": subject}
            )
    return found


def _said_the_same(line: Line, one: Booked) -> bool:
    mine, other = line.reference_key, reference_key(one.reference)
    if other is None or abs((line.day - one.day).days) > _DAYS_BY_REFERENCE:
        return False
    # A bank that has no field for the reference has it in its text.
    return mine == other or (mine is None and other in compact(line.narration))


def _contradicts(line: Line, one: Booked) -> bool:
    """Whether both say a reference, and not the same."""
    mine, other = line.reference_key, reference_key(one.reference)
    return mine is not None and other is not None and mine != other


def _is_told_by(line: Line, one: Booked) -> bool:
    """Whether the text of a line speaks for a booking: it names what was paid, or the gateway."""
    if one.keys and not one.keys.isdisjoint(candidate_keys(f"{line.narration} {line.reference or ''}")):
        return True
    return bool(one.words) and not one.words.isdisjoint(_WORDS.findall(line.narration.upper()))
