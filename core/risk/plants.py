"""Known faults, one a code, put into an invoice of `core.risk.planting`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from core.risk.facts import Bill, Check, Confirmation, Sale, Shared
from core.risk.planting import Draft, document_of
from core.risk.weights import CURRENT

Plant = Callable[[Draft, random.Random], None]
_LAKH = 1_00_000_00


def _earlier(draft: Draft, chance: random.Random) -> Sale:
    """A financed invoice of the last weeks to the same buyer, made up when there is none."""
    known = [sale for sale, _ in draft.financed if sale.buyer == draft.subject.buyer]
    if known:
        return chance.choice(known[-5:])
    made = replace(draft.subject, id=f"{draft.subject.id}/earlier", number="INV-2026-90017", content="earlier")
    return replace(made, issued=draft.subject.issued - timedelta(days=9), amount=draft.subject.amount + 7_133)


def _again(draft: Draft, earlier: Sale, **changes: object) -> None:
    """The subject's document becomes one that resembles `earlier`, which is financed."""
    if earlier.id not in {sale.id for sale, _ in draft.financed}:
        draft.financed.append((earlier, document_of(draft.seller, earlier)))
    draft.document = document_of(draft.seller, draft.subject, **changes)


def exact(draft: Draft, chance: random.Random) -> None:
    """D1: the same number again, as it was or spelled another way."""
    earlier = _earlier(draft, chance)
    spelled = chance.choice((("-", "-"), ("INV", "inv"), ("-", "/"), ("-0", "-")))
    _again(draft, earlier, number=earlier.number.replace(*spelled), issued=earlier.issued, amount=earlier.amount)


def near(draft: Draft, chance: random.Random) -> None:
    """D2: an edited copy; one in forty is disguised in two fields at once and cannot be told."""
    earlier, way = _earlier(draft, chance), chance.randrange(40)
    _, document = next(
        ((sale, paper) for sale, paper in draft.financed if sale.id == earlier.id),
        (earlier, document_of(draft.seller, earlier)),
    )
    amount = earlier.amount * (1000 + chance.choice((-7, -4, 3, 8))) // 1000
    days = timedelta(days=chance.randint(-3, 3))
    match way:
        case 0:
            _again(draft, earlier, number="X-77", amount=earlier.amount * 103 // 100, issued=earlier.issued)
        case _ if way < 11:
            _again(draft, earlier, number="X-77", amount=earlier.amount, issued=earlier.issued)
        case _ if way < 24:
            _again(draft, earlier, number=f"{earlier.number}A", amount=amount, issued=earlier.issued + days)
        case _ if way < 34:
            _again(draft, earlier, file_hashes=document.file_hashes)
        case _:
            # An order of the buyer is compared together with the amount.
            _again(draft, earlier, number="X-77", references=document.references, amount=amount)


def velocity(draft: Draft, chance: random.Random) -> None:
    """V1: a week of four to twenty invoices more than usual."""
    usual = [sale for sale in draft.others if (draft.today - sale.issued).days < 91]
    many = len(usual) // 13 + chance.randint(4, 20)
    for place in range(many):
        model = chance.choice(usual or [draft.subject])
        day = draft.today - timedelta(days=chance.randint(0, 5))
        draft.others.append(
            replace(
                model, id=f"{draft.subject.id}/burst/{place}", number=f"B-{place}", issued=day, paid=0, paid_on=None
            )
        )


def utilisation(draft: Draft, chance: random.Random) -> None:
    """V2: the limit is always drawn."""
    draft.utilisation = chance.uniform(0.945, 1.0)


def sequence(draft: Draft, chance: random.Random) -> None:
    """S1: the number is new and the date old."""
    back = timedelta(days=chance.randint(3, 25))
    draft.subject = replace(draft.subject, issued=draft.subject.issued - back, due=draft.subject.due - back)
    draft.document = document_of(draft.seller, draft.subject)


def consecutive(draft: Draft, chance: random.Random) -> None:
    """S2: a run of numbers to one buyer, as if the seller had no other."""
    series = f"{chance.choice('KLMN')}/26/"
    for place in range(chance.randint(3, 8)):
        model = replace(draft.subject, issued=draft.today - timedelta(days=4 * place + 4), paid=0, paid_on=None)
        draft.others.append(
            replace(model, id=f"{draft.subject.id}/run/{place}", number=f"{series}{500 - place}", content="")
        )
    draft.subject = replace(draft.subject, number=f"{series}501")


def round_amounts(draft: Draft, chance: random.Random) -> None:
    """A1: invented amounts to one buyer."""
    for place in range(chance.randint(3, 9)):
        amount = chance.randint(60, 180) * 1_000_00
        day = draft.today - timedelta(days=9 * place + 5)
        draft.others.append(
            replace(
                draft.subject, id=f"{draft.subject.id}/round/{place}", number=f"R{place}", issued=day, amount=amount
            )
        )
    draft.subject = replace(draft.subject, amount=chance.randint(60, 180) * 1_000_00)


def near_limit(draft: Draft, chance: random.Random) -> None:
    """A2: most amounts of the quarter stay just under what needs a second signature."""
    limit, share = chance.choice((_LAKH, 2 * _LAKH)), chance.uniform(0.15, 0.7)

    def below() -> int:
        return int(limit * chance.uniform(0.955, 0.999))

    draft.others = [
        replace(sale, amount=below()) if (draft.today - sale.issued).days < 90 and chance.random() < share else sale
        for sale in draft.others
    ]
    draft.subject = replace(draft.subject, amount=below())


def benford(draft: Draft, chance: random.Random) -> None:
    """A3: hundreds of amounts whose first digits are all alike."""
    for place in range(320):
        amount = chance.randint(1, 9) * 10_000_00 + chance.randint(0, 9_999_99)
        day = draft.today - timedelta(days=150 + place // 4)
        draft.others.append(
            replace(
                draft.subject, id=f"{draft.subject.id}/digit/{place}", number=f"F{place}", issued=day, amount=amount
            )
        )


def amount_outlier(draft: Draft, chance: random.Random) -> None:
    """A4: three to fifteen times what is usual between the two."""
    usual = [sale.amount for sale in draft.others if sale.buyer == draft.subject.buyer] or [draft.subject.amount]
    draft.subject = replace(draft.subject, amount=sorted(usual)[len(usual) // 2] * chance.randint(30, 150) // 10)


def few_buyers(draft: Draft, chance: random.Random) -> None:
    """C1: one buyer takes most of everything."""
    share = chance.uniform(0.5, 0.95)
    draft.others = [
        replace(sale, buyer=draft.subject.buyer)
        if (draft.today - sale.issued).days < 95 and chance.random() < share
        else sale
        for sale in draft.others
    ]


def new_pair(draft: Draft, chance: random.Random) -> None:
    """C2: nobody has heard of this buyer."""
    name = f"new-{chance.getrandbits(32)}"
    draft.subject = replace(draft.subject, buyer=name)
    draft.document = document_of(draft.seller, draft.subject)
    draft.buyer_days = chance.randint(0, 60)
    draft.bills = []


def shared(draft: Draft, chance: random.Random) -> None:
    """C3: two of the three are one."""
    first, second = chance.choice((("seller", "buyer"), ("seller", "investor"), ("buyer", "investor")))
    kind = chance.choice(("pan", "bank_account", "phone", "device", "address"))
    draft.shared = (Shared(kind=kind, first=f"the {first}", second=f"the {second}"),)


def circle(draft: Draft, chance: random.Random) -> None:
    """C4: the buyer sells to somebody who sells to the seller."""
    way = [draft.subject.buyer, *(f"between-{place}" for place in range(chance.randint(0, 3))), str(draft.seller)]
    draft.trades += list(pairwise(way))


def tenor(draft: Draft, chance: random.Random) -> None:
    """T1: due after more than the usual days, which are 15 to 60."""
    draft.subject = replace(
        draft.subject, due=draft.subject.issued + timedelta(days=chance.choice((60, 75, 90, 120, 180)))
    )


def stale(draft: Draft, chance: random.Random) -> None:
    """T2: brought after months, or before its own date."""
    days = chance.choice((-20, -9, -4, 65, 80, 110))
    draft.now = draft.now + timedelta(days=days)
    if days < 0:
        ahead = timedelta(days=6 - days)
        draft.now -= timedelta(days=6)
        draft.others = [replace(sale, issued=sale.issued - ahead, due=sale.due - ahead) for sale in draft.others]
        draft.bills = [replace(bill, due=bill.due - ahead) for bill in draft.bills]


def redated(draft: Draft, chance: random.Random) -> None:
    """T3: an old unpaid invoice under a new date."""
    old = draft.subject.issued - timedelta(days=chance.randint(40, 110))
    ended = chance.random() < 0.5
    draft.others.append(
        replace(
            draft.subject,
            id=f"{draft.subject.id}/old",
            number="O-1",
            issued=old,
            due=min(old + timedelta(days=30), draft.today - timedelta(days=1)),
            void=ended,
        )
    )


def late(draft: Draft, chance: random.Random) -> None:
    """B1: a buyer who pays a part of everything weeks late."""
    share = chance.uniform(0.15, 0.7)
    draft.bills = [
        replace(bill, paid_on=bill.due + timedelta(days=chance.randint(10, 60))) if chance.random() < share else bill
        for bill in draft.bills
    ] or [Bill(due=draft.today - timedelta(days=80), paid_on=draft.today - timedelta(days=20))]


def dilution(draft: Draft, chance: random.Random) -> None:
    """B2: credit notes over a part of everything."""
    draft.others = [
        replace(sale, credited=sale.amount * chance.randint(3, 25) // 100)
        if sale.buyer == draft.subject.buyer
        else sale
        for sale in draft.others
    ]


def tax_document(draft: Draft, chance: random.Random) -> None:
    """G1: one check fails."""
    name = chance.choice(("gstin_invalid", "tax_arithmetic", "irn", "qr_signature", "hsn"))
    draft.checks = (*draft.checks, Check(name=name, passed=False, detail="It does not hold."))


def haste(draft: Draft, chance: random.Random) -> None:
    """K1: one person on both sides of one desk."""
    draft.confirmation = Confirmation(seconds=chance.uniform(3, 75), same_address=True)


PLANTS: Mapping[str, Plant] = {
    "D1": exact,
    "D2": near,
    "V1": velocity,
    "V2": utilisation,
    "S1": sequence,
    "S2": consecutive,
    "A1": round_amounts,
    "A2": near_limit,
    "A3": benford,
    "A4": amount_outlier,
    "C1": few_buyers,
    "C2": new_pair,
    "C3": shared,
    "C4": circle,
    "T1": tenor,
    "T2": stale,
    "T3": redated,
    "B1": late,
    "B2": dilution,
    "G1": tax_document,
    "K1": haste,
}
assert CURRENT.benford_least <= 320  # noqa: S101 - A3 is planted with so many amounts.
