"""A made-up trade whose truth is known: sellers, buyers and their invoices over fourteen months, from one seed.

It is what honest trade is like as far as the features can tell: standing orders that say the same every month, round
amounts now and then, a date set back by a day or two, buyers who are sometimes late. `core.risk.plants` puts one known
fault into a copy of it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from core.marketplace import fingerprints
from core.marketplace.fingerprints import Document
from core.marketplace.likeness import Sighting, compare
from core.risk import summary
from core.risk.facts import Bill, Check, Confirmation, History, Hit, Level, Sale, Shared
from core.risk.weights import CURRENT
from core.taxids import Party

_BEGINS = date(2025, 9, 1)
_DAYS = 430
# Nothing is judged before there is a history to judge it by.
_WARM_DAYS = 200
_SELLERS = 24
_SECRET = b"measuring"
_FINANCED_DAYS = 120
_TENORS = (15, 30, 30, 45, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A buyer as one seller knows them. `standing` is the amount of a monthly order, if there is one."""

    name: str
    usual: int
    tenor: int
    standing: int | None


@dataclass(slots=True, kw_only=True)
class Draft:
    """One invoice with everything around it at the moment it is brought; faults are put into it."""

    now: datetime
    seller: UUID
    subject: Sale
    others: list[Sale]
    document: Document
    financed: list[tuple[Sale, Document]]
    bills: list[Bill]
    confirmation: Confirmation
    seller_days: int = 400
    buyer_days: int = 400
    utilisation: float = 0.6
    small_seller: bool = False
    shared: tuple[Shared, ...] = ()
    trades: list[tuple[str, str]] = field(default_factory=list)
    checks: tuple[Check, ...] = (Check(name="gstin", passed=True), Check(name="tax_arithmetic", passed=True))

    @property
    def today(self) -> date:
        """The day of the judgement."""
        return self.now.date()


def _digest(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def document_of(seller: UUID, sale: Sale, **changes: object) -> Document:
    """The paper of an invoice, each with a file and an order number of its own. PANs are made of the names."""
    given: dict[str, object] = {
        "seller_id": seller,
        "buyer_email": f"{sale.buyer}@buyers.test",
        "number": sale.number,
        "issued": sale.issued,
        "amount": sale.amount,
        "currency": "INR",
        "seller": Party(pan=pan_of(str(seller))),
        "buyer": Party(pan=pan_of(sale.buyer)),
        "file_hashes": (_digest("file", seller, sale.id),),
        "references": (f"PO-{int(_digest('po', seller, sale.id)[:8], 16)}",),
    }
    return Document(**{**given, **changes})  # type: ignore[arg-type]


def pan_of(name: str) -> str:
    """A PAN of a company that stands for a name."""
    letters = "".join(chr(65 + int(digit, 16)) for digit in _digest("pan", name)[:5])
    return f"{letters[:3]}C{letters[3]}{int(_digest(name)[:6], 16) % 10_000:04d}{letters[4]}"


def sighting(document: Document) -> Sighting:
    """A document as likeness is measured on it."""
    return Sighting(
        prints=fingerprints.of(document, _SECRET),
        amount=document.amount,
        currency=document.currency,
        issued=document.issued,
    )


class World:
    """All sellers and their invoices. The same seed makes the same world."""

    def __init__(self, seed: int) -> None:
        """Make fourteen months of trade."""
        self.random = random.Random(seed)  # noqa: S311 - Reproducible on purpose.
        self.sales: dict[UUID, list[Sale]] = {}
        self.owed: dict[str, list[Sale]] = {}
        self._sightings: dict[str, Sighting] = {}
        buyers = [f"buyer-{place}" for place in range(3 * _SELLERS)]
        for _ in range(_SELLERS):
            seller = UUID(int=self.random.getrandbits(128))
            self.sales[seller] = self._trade(seller, self.random.sample(buyers, self.random.randint(6, 9)))
        for sales in self.sales.values():
            for sale in sales:
                self.owed.setdefault(sale.buyer, []).append(sale)

    def _customers(self, names: list[str]) -> list[Customer]:
        made = []
        for name in names:
            usual = int(self.random.uniform(80_000_00, 2_40_000_00))
            standing = self.random.random() < 0.15
            made.append(
                Customer(
                    name=name,
                    usual=usual,
                    tenor=self.random.choice(_TENORS),
                    standing=usual // 100_00 * 100_00 if standing else None,
                )
            )
        return made

    def _trade(self, seller: UUID, names: list[str]) -> list[Sale]:
        customers, a_week = self._customers(names), self.random.uniform(3.0, 7.0)
        planned: list[tuple[date, Customer, bool]] = []
        for back in range(_DAYS):
            day = _BEGINS + timedelta(days=back)
            if self.random.random() < a_week / 7:
                planned.append((day, self.random.choice(customers), False))
            # Two on one day happen, as days without any do.
            if self.random.random() < a_week / 70:
                planned.append((day, self.random.choice(customers), False))
            planned.extend((day, one, True) for one in customers if one.standing and back % 30 == len(one.name) % 7)
        return [self._sale(seller, place, *plan) for place, plan in enumerate(planned, start=1)]

    def _sale(self, seller: UUID, place: int, day: date, customer: Customer, standing: bool) -> Sale:  # noqa: FBT001
        amount = self._amount(customer, standing)
        issued = day - timedelta(days=self.random.randint(1, 2)) if self.random.random() < 0.05 else day
        due = issued + timedelta(days=customer.tenor)
        late = self.random.randint(1, 6) if self.random.random() < 0.08 else 0
        identity = f"{seller}/{place}"
        return Sale(
            id=identity,
            number=f"INV-2026-{place:05d}",
            buyer=customer.name,
            issued=issued,
            due=due,
            amount=amount,
            paid=amount,
            paid_on=due + timedelta(days=late),
            credited=amount // 50 if self.random.random() < 0.04 else 0,
            content=f"standing/{customer.name}" if standing else identity,
        )

    def _amount(self, customer: Customer, standing: bool) -> int:  # noqa: FBT001
        if standing and customer.standing:
            return customer.standing
        amount = int(customer.usual * self.random.lognormvariate(0, 0.35))
        return max(amount // 1_000_00, 1) * 1_000_00 if self.random.random() < 0.05 else amount

    def drafts(self, count: int) -> Iterator[Draft]:
        """Invoices as they are brought, a few days after their date, each with what was known on that day."""
        first = _BEGINS + timedelta(days=_WARM_DAYS)
        eligible = [
            (seller, place)
            for seller, sales in self.sales.items()
            for place, sale in enumerate(sales)
            if sale.issued >= first
        ]
        for _ in range(count):
            seller, place = self.random.choice(eligible)
            yield self._draft(seller, place)

    def _draft(self, seller: UUID, place: int) -> Draft:
        sales = self.sales[seller]
        subject = replace(sales[place], paid=0, paid_on=None)
        brought = subject.issued + timedelta(days=self.random.randint(0, 5))
        now = datetime.combine(brought, time(12), UTC)
        known = [_as_of(sale, brought) for sale in sales[:place] if sale.issued <= brought]
        since = brought - timedelta(days=_FINANCED_DAYS)
        # Three of five invoices are financed; the choice depends on the invoice alone.
        financed = [sale for sale in known if sale.issued > since and int(_digest(sale.id)[:4], 16) % 5 < 3]
        bills = [
            Bill(due=sale.due, paid_on=sale.paid_on if sale.paid_on and sale.paid_on <= brought else None)
            for sale in self.owed[subject.buyer]
            if sale.due < brought and sale.id != subject.id
        ]
        minutes = self.random.lognormvariate(5.0, 1.5)
        return Draft(
            now=now,
            seller=seller,
            subject=subject,
            others=known,
            document=document_of(seller, subject),
            financed=[(sale, document_of(seller, sale)) for sale in financed],
            bills=bills,
            # Some share an office's line, few are quick, and hardly anybody both.
            confirmation=Confirmation(seconds=60 * minutes, same_address=self.random.random() < 0.03),
            utilisation=min(0.94, self.random.betavariate(4, 3)),
        )

    def seen(self, sale: Sale, document: Document) -> Sighting:
        """The sighting of a financed invoice; made once, as the database keeps it."""
        key = f"{sale.id}/{document.number}/{document.amount}"
        if key not in self._sightings:
            self._sightings[key] = sighting(document)
        return self._sightings[key]


def _as_of(sale: Sale, day: date) -> Sale:
    return sale if sale.paid_on is not None and sale.paid_on <= day else replace(sale, paid=0, paid_on=None)


def _hits(draft: Draft, world: World) -> tuple[Hit, ...]:
    mine = sighting(draft.document)
    return tuple(
        Hit(
            level=Level(hit.level),
            sentence=hit.sentence,
            invoice_id=sale.id,
            number=sale.number,
            amount=sale.amount,
            issued=sale.issued,
        )
        for sale, document in draft.financed
        for hit in compare(mine, world.seen(sale, document))
    )


def history_of(draft: Draft, world: World) -> History:
    """What the judgement is given, by the same summary as out of the database."""
    subject = draft.subject
    base = History(
        now=draft.now,
        currency="INR",
        invoice_id=subject.id,
        number=subject.number,
        seller=str(draft.seller),
        buyer=subject.buyer,
        issued=subject.issued,
        due=subject.due,
        amount=subject.amount,
        hits=_hits(draft, world),
        shared=draft.shared,
        trades=(*draft.trades, (str(draft.seller), subject.buyer)),
        checks=draft.checks,
        confirmation=draft.confirmation,
        seller_days=draft.seller_days,
        buyer_days=draft.buyer_days,
        small_seller=draft.small_seller,
        bills=tuple(draft.bills),
        known=dict.fromkeys(CURRENT.quality, True),
    )
    books = summary.Ledger(subject=subject, others=tuple(draft.others), today=draft.today)
    return replace(summary.fill(base, books), utilisation=draft.utilisation)
