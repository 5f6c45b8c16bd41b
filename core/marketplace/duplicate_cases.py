"""How well duplicates are told from honest invoices: labelled cases from a seed, and the share of each kind found.

Honest invoices are a year of trade between suppliers and their customers, habits included: standing orders of one
amount, blanket orders delivered in parts, several deliveries a day, customers who always buy for a round sum. Then
copies are planted, as people make them: written in another way, from another state's registration, with a character
more or mistyped, re-dated, rounded, by another account. A case is found when at least one level names it.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID

from core.marketplace import fingerprints
from core.marketplace.fingerprints import Document
from core.marketplace.honest_trade import YEAR, identity, registered, supplier_year
from core.marketplace.likeness import DAYS, Hit, Sighting, compare
from core.marketplace.series import SERIES_DAYS, Series
from core.taxids import Party

_KEY = fingerprints.key("labelled cases of duplicates")
# A supplier has this share of its invoices financed.
_FINANCED = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run found. `found` and `planted` by kind of copy, `by_level` how often each level spoke of a copy.

    `alarms` are honest invoices that would be reviewed, `stops` honest ones that would be refused; `habits` says of
    which habit each alarm is.
    """

    clean: int
    alarms: int
    stops: int
    planted: dict[str, int]
    found: dict[str, int]
    by_level: dict[str, int]
    habits: dict[str, int]

    @property
    def alarms_per_thousand(self) -> float:
        """Honest invoices of a thousand that would be reviewed."""
        return 1000 * self.alarms / self.clean

    def share(self, kinds: Iterable[str]) -> float:
        """The share of copies of some kinds that were found, 0 to 1."""
        named = list(kinds)
        return sum(self.found[kind] for kind in named) / sum(self.planted[kind] for kind in named)


def _retyped(number: str, dice: random.Random) -> str:
    """One digit of a number mistyped, two swapped, or one more."""
    places = [place for place, character in enumerate(number) if character.isdigit()]
    place = dice.choice(places)
    match dice.randrange(3):
        case 0:
            other = dice.choice([digit for digit in "123456789" if digit != number[place]])
            return number[:place] + other + number[place + 1 :]
        case 1:
            return number[:place] + dice.choice("123456789") + number[place:]
        case _:
            pairs = [one for one in places if one + 1 in places and number[one] != number[one + 1]]
            if not pairs:
                return number + "A"
            one = dice.choice(pairs)
            return number[:one] + number[one + 1] + number[one] + number[one + 2 :]


def _scanned(number: str) -> str:
    """A number as a scanner misreads it."""
    return number.replace("0", "O", 1) if "0" in number else number.replace("1", "I", 1)


def _dressed(document: Document, dice: random.Random) -> str:
    """The same number written in another way."""
    spoken = document.number.replace("-", "/").replace("INV", "inv-") if "-" in document.number else document.number
    return dice.choice((spoken, spoken.lower(), f" {document.number} ", document.number.replace("/", " ")))


def _redated(document: Document, dice: random.Random) -> date:
    """Mostly made younger, as a copy is that should still be financed."""
    days = dice.randint(1, DAYS)
    return document.issued + timedelta(days=days if dice.random() < 0.8 else -days)


def _trimmed(document: Document, dice: random.Random) -> int:
    """The amount again, or a little off."""
    return document.amount if dice.random() < 0.5 else document.amount * dice.randint(9_905, 10_095) // 10_000


def _fresh(document: Document, dice: random.Random, **changes: object) -> Document:
    """A copy that was printed again: another file, and no references unless told."""
    return replace(document, **{"file_hashes": (f"{dice.getrandbits(256):064x}",), "references": (), **changes})  # type: ignore[arg-type]  # Names of fields and their values.


_Maker = Callable[[Document, random.Random], Document]
EXACT: dict[str, _Maker] = {
    "sent again": _fresh,
    "number written otherwise": lambda document, dice: _fresh(document, dice, number=_dressed(document, dice)),
    "another state's registration": lambda document, dice: _fresh(
        document,
        dice,
        seller=Party(gstin=registered(dice, (document.seller.gstin or "")[2:12])),
        seller_id=identity(dice),
    ),
    "other amount and date": lambda document, dice: _fresh(
        document,
        dice,
        amount=document.amount * 2,
        issued=max(YEAR, min(_redated(document, dice), YEAR + timedelta(days=364))),
    ),
}
NEAR: dict[str, _Maker] = {
    "a mark added": lambda document, dice: _fresh(
        document,
        dice,
        number=document.number + dice.choice(("A", "-1", "/R", "-COPY")),
        amount=_trimmed(document, dice),
        issued=_redated(document, dice),
    ),
    "a digit mistyped": lambda document, dice: _fresh(
        document,
        dice,
        number=_retyped(document.number, dice),
        amount=_trimmed(document, dice),
        issued=_redated(document, dice),
    ),
    "misread by a scanner": lambda document, dice: _fresh(
        document, dice, number=_scanned(document.number), issued=document.issued + timedelta(days=dice.randint(0, 3))
    ),
    "another number, same amount and date": lambda document, dice: _fresh(
        document, dice, number=f"X-{dice.randrange(10**6)}"
    ),
    "the same file": lambda document, dice: replace(
        document, number=f"X-{dice.randrange(10**6)}", issued=_redated(document, dice), references=()
    ),
    "the same e-way bill": lambda document, dice: _fresh(
        document,
        dice,
        number=f"X-{dice.randrange(10**6)}",
        issued=_redated(document, dice),
        references=document.references,
    ),
    "the same order": lambda document, dice: _fresh(
        document,
        dice,
        number=f"X-{dice.randrange(10**6)}",
        issued=document.issued + timedelta(days=dice.randint(31, 90)),
        references=document.references,
    ),
}


# What no comparison of two papers can tell from a further delivery: the same goods again, under the next number.
BEYOND: dict[str, _Maker] = {
    "invoiced again in its turn": lambda document, dice: _fresh(
        document,
        dice,
        number=_following(document.number),
        issued=document.issued + timedelta(days=dice.randint(1, 10)),
        references=tuple(each for each in document.references if each.startswith("PO-")),
    ),
}


def _following(number: str) -> str:
    """The next number of a series."""
    digits = list(re.finditer(r"[0-9]+", number))[-1]
    return f"{number[: digits.start()]}{int(digits[0]) + 1:0{len(digits[0])}d}{number[digits.end() :]}"


def _fits(kind: str, document: Document) -> bool:
    """Whether a copy of that kind can be made of a document at all."""
    if kind == "the same e-way bill":
        return any(len(each) == 12 and each.isdigit() for each in document.references)
    if kind == "the same order":
        return any(each.startswith("PO-") for each in document.references)
    if kind == "misread by a scanner":
        return "0" in document.number or "1" in document.number
    return True


class _Registry:
    """What was seen, found by the same keys that the database has indexes for."""

    def __init__(self) -> None:
        self._by_key: dict[object, list[Sighting]] = defaultdict(list)
        self._numbers: dict[UUID, list[tuple[str, date]]] = defaultdict(list)

    def add(self, seller_id: UUID, sighting: Sighting) -> None:
        """Remember one."""
        self._numbers[seller_id].append((sighting.prints.number_groups, sighting.issued))
        for found in self._keys(sighting):
            self._by_key[found].append(sighting)

    @staticmethod
    def _keys(sighting: Sighting) -> list[object]:
        prints = sighting.prints
        return [*prints.tokens, *prints.file_hashes, *prints.references]

    def hits(self, seller_id: UUID, sighting: Sighting) -> list[Hit]:
        """Every likeness to what was seen before. A series is known up to that day."""
        near: dict[int, Sighting] = {}
        for found in self._keys(sighting):
            for other in self._by_key.get(found, ()):
                near[id(other)] = other
        since = sighting.issued - timedelta(days=SERIES_DAYS)
        series = Series([point for point in self._numbers[seller_id] if since <= point[1] <= sighting.issued])
        return [hit for other in near.values() for hit in compare(sighting, other, series)]


def _seen(document: Document) -> Sighting:
    prints = fingerprints.of(document, _KEY)
    return Sighting(prints=prints, amount=document.amount, currency=document.currency, issued=document.issued)


def measure(*, seed: int = 1, suppliers: int = 20, copies: int = 200) -> Measured:
    """Run the cases of a seed: a year of honest trade, then `copies` of each kind of the invoices in it.

    A supplier has only a part of its invoices financed; of the others nothing is known here.
    """
    dice = random.Random(seed)  # noqa: S311 - cases, not secrets; the same seed must give the same ones.
    registry, clean, alarms, stops = _Registry(), 0, 0, 0
    habits: dict[str, int] = defaultdict(int)
    honest: list[Document] = []
    for _ in range(suppliers):
        for each in supplier_year(dice):
            if dice.random() > _FINANCED:
                continue
            sighting = _seen(each.document)
            kinds = {hit.kind for hit in registry.hits(each.document.seller_id, sighting)}
            stops += "stop" in kinds
            if kinds == {"review"}:
                alarms += 1
                habits[each.habit] += 1
            registry.add(each.document.seller_id, sighting)
            honest.append(each.document)
            clean += 1
    planted: dict[str, int] = defaultdict(int)
    found: dict[str, int] = defaultdict(int)
    by_level: dict[str, int] = defaultdict(int)
    for kind, make in (EXACT | NEAR | BEYOND).items():
        able = [document for document in honest if _fits(kind, document)]
        for document in dice.choices(able, k=copies):
            hits = registry.hits(document.seller_id, _seen(make(document, dice)))
            counted = [hit for hit in hits if kind not in EXACT or hit.kind == "stop"]
            planted[kind] += 1
            found[kind] += bool(counted)
            for level in {hit.level for hit in counted}:
                by_level[level] += 1
    return Measured(
        clean=clean,
        alarms=alarms,
        stops=stops,
        planted=dict(planted),
        found=dict(found),
        by_level=dict(sorted(by_level.items())),
        habits=dict(habits),
    )
