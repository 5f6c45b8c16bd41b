"""The engine: what every open line of a seller is, judged together (marketplace rules 4.2). Pure.

`judge` is given a book and gives a judgement for each of its lines: told twice, booked already, money for invoices
(sure, or suggested), or in suspense with the nearest answers. It reads no clock and no database; the same book is
judged the same, in whatever order its lines stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from core.reconciliation import groups, known
from core.reconciliation.assign import assign
from core.reconciliation.features import Book, Candidate
from core.reconciliation.finding import PayerFound
from core.reconciliation.fingerprints import target_key
from core.reconciliation.score import Desk, alternatives
from core.reconciliation.weights import CURRENT, Weights

Kind = Literal["invoices", "payment", "payout", "duplicate", "heir", "none"]
Tier = Literal["sure", "suggested", "suspense"]
_LINK_SCORES = {True: 1.0, False: 0.8}
_TIE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the engine says of a line. `targets` are (invoice, amount); `subject_id` is the payment, payout or line.

    A "duplicate" tells of what the line `subject_id` tells of; an "heir" as well, and is the better known of the two.
    """

    line_id: UUID
    kind: Kind
    tier: Tier
    targets: tuple[tuple[UUID, int], ...] = ()
    subject_id: UUID | None = None
    score: float = 0.0
    margin: float | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    alternatives: Sequence[Mapping[str, Any]] = ()


def judge(book: Book, weights: Weights = CURRENT) -> list[Judgement]:
    """Judge every line of a book, in the order of its lines."""
    # In an order of its own, so that the order in which lines and invoices were loaded decides nothing.
    book = replace(
        book,
        lines=sorted(book.lines, key=lambda line: line.id),
        invoices=sorted(book.invoices, key=lambda invoice: (invoice.due_date, invoice.id)),
    )
    told_twice = known.told_twice(book)
    heirs = known.heirs(book, told_twice)
    linked = known.links(book, {*told_twice, *heirs})
    court = _Court(Desk(book, weights), {*told_twice, *heirs, *linked})
    court.hear()
    found = []
    for place, line in enumerate(book.lines):
        if line.id in told_twice:
            found.append(
                Judgement(line_id=line.id, kind="duplicate", tier="sure", subject_id=told_twice[line.id], score=1.0)
            )
        elif line.id in heirs:
            found.append(Judgement(line_id=line.id, kind="heir", tier="sure", subject_id=heirs[line.id], score=1.0))
        elif line.id in linked:
            found.append(_linked(book, linked[line.id], weights))
        else:
            found.append(court.verdict(place))
    return found


def _linked(book: Book, link: known.Link, weights: Weights) -> Judgement:
    key = (link.line_id, link.booked.id)
    stops = ["undone"] if key in book.undone else [] if link.certain else ["margin"]
    return Judgement(
        line_id=link.line_id,
        kind="payout" if link.booked.kind == "payout" else "payment",
        tier="suspense" if key in book.rejected else "suggested" if stops else "sure",
        subject_id=link.booked.id,
        score=_LINK_SCORES[link.certain],
        features={"rules": weights.version, **link.features, "stops": stops},
    )


class _Court:
    """The lines that are left after rules 0 and 1, with what each may pay and what is chosen for it."""

    def __init__(self, desk: Desk, passed: set[UUID]) -> None:
        self.desk, self.passed = desk, passed
        self.singles: dict[int, list[Candidate]] = {}
        self.payers: dict[int, Sequence[PayerFound]] = {}
        self.sums: dict[int, Candidate] = {}
        self.chosen: dict[int, Candidate] = {}
        # Other answers to a line that are no single invoices.
        self.others: dict[int, list[Candidate]] = defaultdict(list)
        self._claimed: dict[int, list[Candidate]] = defaultdict(list)

    def hear(self) -> None:
        """Choose for each line what fits the whole statement best."""
        for place, line in enumerate(self.desk.book.lines):
            if line.id not in self.passed:
                self._look(place)
        self.chosen.update(self._take_sums())
        self.chosen.update(
            groups.shares(self.desk, {line: ones for line, ones in self.singles.items() if line not in self.chosen})
        )
        self._assign()
        self._fill_parts()
        self._try_sums()

    def _look(self, place: int) -> None:
        candidates, payers, named = self.desk.candidates(place)
        self.singles[place] = [one for one in candidates if not self._is(one, self.desk.book.rejected)]
        self.payers[place] = payers
        together = groups.named_sum(self.desk, place, named, payers)
        if together is not None and not self._is(together, self.desk.book.rejected):
            self.sums[place] = together

    def _is(self, one: Candidate, pairs: frozenset[tuple[UUID, UUID]]) -> bool:
        """Whether a person decided so of this line and these invoices."""
        if not pairs:
            return False
        book = self.desk.book
        return (book.lines[one.line].id, target_key([book.invoices[place].id for place in one.invoices])) in pairs

    def _take_sums(self) -> dict[int, Candidate]:
        """Lines that pay all the invoices they name come first; each invoice is one line's."""
        taken: set[int] = set()
        found = {}
        for place, one in sorted(self.sums.items(), key=lambda pair: (-pair[1].raw, pair[0])):
            if taken.isdisjoint(one.invoices):
                taken.update(one.invoices)
                found[place] = one
        return found

    def _assign(self) -> None:
        taken = {place for one in self.chosen.values() for place in one.invoices}
        edges = {
            line: {
                one.invoices[0]: one.raw
                for one in ones
                if one.raw >= self.desk.weights.considered and one.invoices[0] not in taken
            }
            for line, ones in self.singles.items()
            if line not in self.chosen
        }
        by_pair = {(one.line, one.invoices[0]): one for ones in self.singles.values() for one in ones}
        for line, invoice in assign(edges).items():
            self.chosen[line] = by_pair[line, invoice]

    def _fill_parts(self) -> None:
        """An invoice takes several parts, as long as they fit."""
        left: dict[int, int] = {}
        for one in self.chosen.values():
            for place, amount in zip(one.invoices, one.amounts, strict=True):
                left[place] = left.get(place, self.desk.book.invoices[place].due) - amount
        for line, ones in sorted(self.singles.items()):
            best = ones[0] if ones else None
            if line in self.chosen or best is None or best.features["amount"] != "part":
                continue
            place = best.invoices[0]
            remaining = left.get(place, self.desk.book.invoices[place].due)
            if best.raw >= self.desk.weights.suggested and best.amounts[0] <= remaining:
                left[place] = remaining - best.amounts[0]
                self.chosen[line] = best

    def _try_sums(self) -> None:
        """Lines that are nobody's by now: perhaps several invoices of their payer add up to them."""
        least = self.desk.weights.suggested
        taken = {place: line for line, one in self.chosen.items() if one.raw >= least for place in one.invoices}
        for line in sorted(self.singles):
            if line in self.chosen and self.chosen[line].raw >= least:
                continue
            found = groups.unnamed_sums(self.desk, line, self.payers[line], taken)
            found = [one for one in found if not self._is(one, self.desk.book.rejected)]
            if found and found[0].raw >= least:
                self.chosen[line] = found[0]
                self.others[line] = found[1:4]
                taken.update(dict.fromkeys(found[0].invoices, line))

    def verdict(self, place: int) -> Judgement:
        """The tier of what was chosen for a line, with its margin, stops and alternatives (rule 7)."""
        weights, book = self.desk.weights, self.desk.book
        line, one = book.lines[place], self.chosen.get(place)
        answers = [*self.others[place], *self.singles[place]]
        if place in self.sums:
            answers.insert(0, self.sums[place])
        if one is None or one.raw < weights.suggested:
            shown = alternatives(answers, None, book.invoices, weights.shown)
            return Judgement(line_id=line.id, kind="none", tier="suspense", alternatives=shown)
        margin = self._margin(one, answers)
        stops = self._stops(one, margin)
        return Judgement(
            line_id=line.id,
            kind="invoices",
            tier="sure" if one.raw >= weights.sure and not stops else "suggested",
            targets=tuple((book.invoices[at].id, amount) for at, amount in zip(one.invoices, one.amounts, strict=True)),
            score=one.score,
            margin=min(1.0, max(0.0, margin)),
            features={**one.features, "stops": stops},
            alternatives=alternatives(answers, one, book.invoices, weights.shown),
        )

    def _margin(self, one: Candidate, answers: Sequence[Candidate]) -> float:
        """How far the choice is ahead of the line's other answers and of other lines that claim its invoices."""
        ahead = [one.raw]
        ahead += [one.raw - other.raw for other in answers if other.invoices != one.invoices and not self._lost(other)]
        for place in one.invoices:
            for rival in self._claims(place):
                if rival.line != one.line and not self._is_elsewhere(rival) and not self._goes_with(one, rival):
                    ahead.append(one.raw - rival.raw)
        return min(ahead)

    def _claims(self, place: int) -> Sequence[Candidate]:
        if not self._claimed:
            for candidates in (*self.singles.values(), [*self.sums.values()]):
                for one in candidates:
                    for at in one.invoices:
                        self._claimed[at].append(one)
        return self._claimed.get(place, ())

    def _lost(self, other: Candidate) -> bool:
        """Whether another line fits an invoice of this answer so much better that it is no answer."""
        for place in other.invoices:
            for rival in self._claims(place):
                chosen = self.chosen.get(rival.line)
                if rival.line == other.line or chosen is None or chosen.invoices != rival.invoices:
                    continue
                if chosen.raw >= other.raw + self.desk.weights.margin:
                    return True
        return False

    def _is_elsewhere(self, rival: Candidate) -> bool:
        """Whether the line of a rival fits something else so much better that it is no rival."""
        chosen = self.chosen.get(rival.line)
        if chosen is None or chosen.invoices == rival.invoices:
            return False
        return chosen.raw >= rival.raw + self.desk.weights.margin

    def _goes_with(self, one: Candidate, rival: Candidate) -> bool:
        """Whether both pay the invoice together: in shares, or in parts that fit."""
        chosen = self.chosen.get(rival.line)
        return chosen is not None and chosen.invoices == one.invoices

    def _stops(self, one: Candidate, margin: float) -> list[str]:
        """Why a person has to look."""
        amount = one.features["amount"]
        invoices = [self.desk.book.invoices[place] for place in one.invoices]
        found = {
            "tie": margin < _TIE,
            "margin": _TIE <= margin < self.desk.weights.margin,
            "payer": one.features["payer"] == "other",
            "short": amount in ("part", "fee"),
            "over": amount == "over",
            "unnamed_sum": len(one.invoices) > 1 and one.features["reference_kind"] != "all",
            "review": any(invoice.stopped for invoice in invoices),
            "undone": self._is(one, self.desk.book.undone),
            "word": self.desk.book.lines[one.line].word
            and any(
                invoice.words is not None and amount > invoice.words
                for invoice, amount in zip(invoices, one.amounts, strict=True)
            ),
        }
        return [name for name, holds in found.items() if holds]
