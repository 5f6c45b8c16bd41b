"""Statements whose truth is known: customers, open invoices, and lines of many kinds, from a seed. Pure.

Narrations are those of Indian banks (NEFT, RTGS, IMPS, UPI). Each kind of line has its share of the whole (`KINDS`):
easy ones, and hard ones on which a careless engine books wrongly. What no engine could know from the line (which of
several equal invoices was meant) is in them on purpose.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from core.invoicing.references import number_key
from core.reconciliation.features import Account, Book, Booked, Contact, Line, OpenInvoice, share
from core.reconciliation.payers import identities

OWNER = UUID(int=0x0193_0000_0000_7000_8000_0000_0000_0001)
TODAY = date(2026, 11, 20)
# Kind of line → its share in a hundred. `MATCHABLE` are those whose truth is one or more open invoices.
KINDS = {
    "named": 32,
    "named oddly": 6,
    "named less TDS": 9,
    "named less a charge": 2,
    "named in part": 3,
    "named with a typo": 3,
    "split": 3,
    "merged and named": 5,
    "merged, not named": 3,
    "known payer": 9,
    "virtual account": 3,
    "UPI collect address": 1,
    "payer's name": 5,
    "payer's name, garbled": 3,
    "equal amounts": 2,
    "wrong payer": 2,
    "wrong number": 1,
    "paid twice": 1,
    "told twice": 3,
    "booked already": 2,
    "payout": 1,
    "number not in the books": 1,
    "unrelated": 3,
    "unrelated, of an open amount": 1,
}
MATCHABLE = frozenset(KINDS) - {
    "paid twice", "told twice", "booked already", "payout", "number not in the books", "unrelated",
    "unrelated, of an open amount",
}  # fmt: skip
_SYLLABLES = (
    "KA", "RA", "SHI", "MAN", "GAL", "PRA", "DEE", "NAV", "YOG", "LAX", "VEN", "TUR", "BHA", "SUN", "HIM", "JAY",
    "OM", "TRI", "VIN", "GAN",
)  # fmt: skip
_SECOND = (
    "TEXTILES", "STEEL", "FOODS", "CHEMICALS", "POLYMERS", "MOTORS", "PAPER", "CERAMICS", "DIAMONDS", "LOGISTICS",
    "PHARMA", "ELECTRICALS",
)  # fmt: skip
_FORM = ("PVT LTD", "PRIVATE LIMITED", "LLP", "AND SONS", "ENTERPRISES", "LIMITED", "TRADERS", "INDUSTRIES PVT LTD")
_BANKS = ("HDFC", "ICIC", "SBIN", "UTIB", "KKBK", "YESB", "PUNB", "BARB", "IDFB", "INDB")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a line is: its kind, and the invoices with amounts, or the line, payment or payout."""

    kind: str
    targets: frozenset[tuple[UUID, int]] = frozenset()
    subject_id: UUID | None = None


@dataclass(slots=True)
class World:
    """A seller's books as they are made up."""

    chance: random.Random
    contacts: dict[UUID, Contact] = field(default_factory=dict)
    of_contact: dict[UUID, list[OpenInvoice]] = field(default_factory=dict)
    account: dict[UUID, str] = field(default_factory=dict)
    # Virtual accounts and collect addresses that customers were given, and whose they are.
    virtual: dict[UUID, str] = field(default_factory=dict)
    collect: dict[UUID, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    invoices: list[OpenInvoice] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    truth: dict[UUID, Truth] = field(default_factory=dict)
    booked: list[Booked] = field(default_factory=list)
    remembered: dict[tuple[str, str], dict[UUID, int]] = field(default_factory=dict)
    free: list[OpenInvoice] = field(default_factory=list)
    used: set[UUID] = field(default_factory=set)
    count: int = 0

    def new_id(self) -> UUID:
        """Ids that rise with what is made, like real ones."""
        self.count += 1
        return UUID(int=(0x0193_0000_0000_7000_8000 << 48) + (self.count << 8) + 1)

    def take(self, fits: Callable[[OpenInvoice], bool] = lambda _: True) -> OpenInvoice:
        """An open invoice that no line pays yet."""
        for _ in range(200):
            one = self.chance.choice(self.free)
            if one.id not in self.used and fits(one):
                self.used.add(one.id)
                return one
        one = next(one for one in self.free if one.id not in self.used)
        self.used.add(one.id)
        return one

    def more(self, first: OpenInvoice, count: int) -> list[OpenInvoice]:
        """Other unpaid invoices of the same customer."""
        others = [one for one in self.of_contact[first.contact_id] if one.id not in self.used][: count - 1]
        self.used.update(one.id for one in others)
        return [first, *others]


def make(seed: int, lines: int, invoices: int) -> tuple[Book, dict[UUID, Truth]]:
    """A book with so many lines and open invoices, and the truth about each line. The same seed makes the same."""
    world = World(random.Random(seed))  # noqa: S311 - Reproducible on purpose.
    _people(world, max(6, invoices // 12))
    _bills(world, invoices)
    world.free = list(world.invoices)
    kinds, shares = list(KINDS), list(KINDS.values())
    while len(world.lines) < lines and len(world.used) < len(world.invoices) * 9 // 10:
        _MAKERS[world.chance.choices(kinds, shares)[0]](world)
    del world.lines[lines:]
    kept = {line.id for line in world.lines}
    return (
        Book(
            lines=world.lines,
            invoices=world.invoices,
            contacts=world.contacts,
            own_names=frozenset({"LEDGERWIRE DEMO"}),
            booked=world.booked,
            remembered=world.remembered,
            accounts=world.accounts,
        ),
        {line: truth for line, truth in world.truth.items() if line in kept},
    )


def _people(world: World, count: int) -> None:
    for _ in range(count):
        chance = world.chance
        first = "".join(chance.choices(_SYLLABLES, k=chance.choice((2, 3, 3, 4))))
        name = f"{first} {chance.choice(_SECOND)} {chance.choice(_FORM)}"
        rate = chance.choice((None, None, None, Decimal(1), Decimal(2), Decimal(10)))
        contact = Contact(id=world.new_id(), name=name.title(), names=(name,), tds_rate=rate)
        world.contacts[contact.id] = contact
        bank = f"{chance.choice(_BANKS)}0{chance.randrange(10**6):06d}"
        world.account[contact.id] = f"{bank}-{chance.randrange(10**11, 10**12)}"
        if chance.random() < 0.5:
            for identity in identities(OWNER, world.account[contact.id], name):
                world.remembered.setdefault(identity, {})[contact.id] = 1
        if chance.random() < 0.2:
            number, address = f"LW{chance.randrange(10**13, 10**14)}", f"lw.{contact.id.int % 10**9}@icici"
            world.virtual[contact.id], world.collect[contact.id] = number, address
            for key in (number, address):
                world.accounts[key] = Account(contact_id=contact.id, given=True)


def _bills(world: World, count: int) -> None:
    people = list(world.contacts)
    retainers = {one: world.chance.randrange(10, 200) * 1000_00 for one in people if world.chance.random() < 0.1}
    for number in range(1, count + 1):
        contact_id = world.chance.choice(people)
        taxable = retainers.get(contact_id) or int(10 ** world.chance.uniform(5.3, 8.2))
        if world.chance.random() < 0.2:
            taxable = -(-taxable // 1000_00) * 1000_00
        total = taxable + share(taxable, Decimal(18))
        issued = TODAY - timedelta(days=world.chance.randrange(5, 100))
        name = f"INV-2026-{number:05d}"
        invoice = OpenInvoice(
            id=world.new_id(), number=name, key=number_key(name), due=total, total=total, taxable=taxable,
            currency="INR", issue_date=issued, due_date=issued + timedelta(days=world.chance.choice((15, 30, 45))),
            contact_id=contact_id,
        )  # fmt: skip
        world.invoices.append(invoice)
        world.of_contact.setdefault(contact_id, []).append(invoice)


def _day(world: World, invoice: OpenInvoice) -> date:
    late = min(60, max(-10, int(world.chance.gauss(4, 9))))
    return max(invoice.issue_date, invoice.due_date + timedelta(days=late))


def _utr(world: World) -> str:
    return f"{world.chance.choice(_BANKS)}N5{world.chance.randrange(10**13, 10**14)}"


def _narration(world: World, payer: str, account: str | None, words: str, reference: str) -> str:
    """A line of a statement as banks spell it."""
    bank = account or f"{world.chance.choice(_BANKS)}0{world.chance.randrange(10**6):06d}"
    style = world.chance.choice(("NEFT", "RTGS", "IMPS", "UPI"))
    payer = payer.upper()[: world.chance.choice((20, 35, 50))].strip()
    match style:
        case "NEFT" | "RTGS":
            return f"{style} CR-{bank}-{payer}-LEDGERWIRE DEMO-{words}-{reference}"
        case "IMPS":
            return f"IMPS-{reference[-12:]}-{payer}-{bank}-{words}"
        case _:
            return f"UPI/{reference[-12:]}/{words}/{payer}/{bank}"


def _line(
    world: World,
    truth: Truth,
    amount: int,
    day: date,
    *,
    payer: str,
    account: str | None,
    words: str,
    reference: str | None = None,
    source: str = "bank:1",
) -> Line:
    reference = reference or _utr(world)
    narration = _narration(world, payer, account, words, reference)
    said = payer.upper()[:35].strip() if world.chance.random() < 0.5 else None
    line = Line(
        id=world.new_id(), amount=amount, currency="INR", day=day, narration=narration, counterparty=said,
        reference=reference, identities=tuple(identities(OWNER, narration, said)), source=source,
    )  # fmt: skip
    world.lines.append(line)
    world.truth[line.id] = truth
    return line


def _known_account(world: World, contact_id: UUID) -> str | None:
    return world.account[contact_id] if world.chance.random() < 0.7 else None


def _pays(world: World, kind: str, invoice: OpenInvoice, amount: int, words: str, *, account: bool = True) -> Line:
    contact = world.contacts[invoice.contact_id]
    return _line(
        world,
        Truth(kind, frozenset({(invoice.id, amount)})),
        amount,
        _day(world, invoice),
        payer=contact.name,
        account=_known_account(world, contact.id) if account else None,
        words=words,
    )


def _spelled(world: World, number: str) -> str:
    tail = number.removeprefix("INV-")
    plain = str(int(number.rsplit("-", 1)[1]))
    return world.chance.choice(
        (
            number,
            number.lower(),
            number.replace("-", "/"),
            f"PAYMENT FOR {number}",
            f"INV 2026 {plain}",
            f"BILL INV-{tail}",
        )
    )


def _named(world: World) -> None:
    one = world.take()
    _pays(world, "named", one, one.due, _spelled(world, one.number))


def _named_oddly(world: World) -> None:
    one = world.take()
    odd = world.chance.choice((one.number.replace("-", ""), one.number.removeprefix("INV-"), f"NO {one.number[4:]} DT"))
    _pays(world, "named oddly", one, one.due, odd)


def _withheld(world: World, one: OpenInvoice) -> int:
    own = world.contacts[one.contact_id].tds_rate
    rate = (
        own
        if own is not None and world.chance.random() < 0.8
        else Decimal(world.chance.choice(("0.1", "1", "2", "10")))
    )
    return share(world.chance.choice((one.taxable, one.taxable, one.due)), rate)


def _tds(world: World) -> None:
    one = world.take()
    _pays(world, "named less TDS", one, one.due - _withheld(world, one), _spelled(world, one.number))


def _fee(world: World) -> None:
    one = world.take(lambda invoice: invoice.due > 20_000_00)
    _pays(world, "named less a charge", one, one.due - world.chance.choice((5_90, 17_70, 29_50, 59_00)), one.number)


def _part(world: World) -> None:
    one = world.take()
    _pays(world, "named in part", one, one.due * world.chance.randrange(20, 80) // 100, _spelled(world, one.number))


def _typo(world: World) -> None:
    one = world.take()
    digits = list(one.number)
    place = world.chance.randrange(9, len(digits))
    if world.chance.random() < 0.5 and place > 9:
        digits[place - 1], digits[place] = digits[place], digits[place - 1]
    else:
        digits[place] = world.chance.choice(string.digits)
    _pays(world, "named with a typo", one, one.due, "".join(digits))


def _split(world: World) -> None:
    one, left = world.take(), 0
    left = one.due
    parts = world.chance.choice((2, 2, 3))
    for place in range(parts):
        amount = left if place == parts - 1 else one.due // parts // 100 * 100
        left -= amount
        _pays(world, "split", one, amount, _spelled(world, one.number))


def _merged(world: World, kind: str, words: Callable[[list[OpenInvoice]], str]) -> None:
    ones = world.more(
        world.take(lambda one: len(world.of_contact[one.contact_id]) >= 3), world.chance.choice((2, 2, 3, 4))
    )
    contact = world.contacts[ones[0].contact_id]
    _line(
        world,
        Truth(kind, frozenset((one.id, one.due) for one in ones)),
        sum(one.due for one in ones),
        max(_day(world, one) for one in ones),
        payer=contact.name,
        account=_known_account(world, contact.id),
        words=words(ones),
    )


def _merged_named(world: World) -> None:
    _merged(world, "merged and named", lambda ones: " ".join(one.number for one in ones))


def _merged_silent(world: World) -> None:
    _merged(world, "merged, not named", lambda _: "BILL PAYMENT")


def _known_payer(world: World) -> None:
    one = world.take(lambda invoice: identities(OWNER, world.account[invoice.contact_id], None)[0] in world.remembered)
    contact = world.contacts[one.contact_id]
    truth = Truth("known payer", frozenset({(one.id, one.due)}))
    _line(
        world, truth, one.due, _day(world, one), payer=contact.name, account=world.account[contact.id], words="PAYMENT"
    )


def _through(world: World, kind: str, given: dict[UUID, str], spelled: str) -> None:
    """Money that came by what was given to one customer, whoever sent it."""
    one = world.take(lambda invoice: invoice.contact_id in given)
    if one.contact_id not in given:
        return
    payer = world.chance.choice((world.contacts[one.contact_id].name, "R K HOLDINGS", "S P MEHTA")).upper()
    reference = _utr(world)
    narration = spelled.format(to=given[one.contact_id], payer=payer[:30].strip(), rrn=reference[-12:])
    line = Line(
        id=world.new_id(), amount=one.due, currency="INR", day=_day(world, one), narration=narration,
        reference=reference, identities=tuple(identities(OWNER, narration, None)), source="bank:1",
    )  # fmt: skip
    world.lines.append(line)
    world.truth[line.id] = Truth(kind, frozenset({(one.id, one.due)}))


def _virtual(world: World) -> None:
    spelled = world.chance.choice(
        ("NEFT CR-{to}-{payer}-{rrn}", "RTGS/{rrn}/{payer}/{to}/PAYMENT", "BY TRANSFER-IMPS*{rrn}*{to}*{payer}")
    )
    _through(world, "virtual account", world.virtual, spelled)


def _collect(world: World) -> None:
    spelled = world.chance.choice(("UPI/{rrn}/COLLECT/{to}/{payer}", "UPI-{payer}-{to}-{rrn}-PAYMENT"))
    _through(world, "UPI collect address", world.collect, spelled)


def _payers_name(world: World) -> None:
    one = world.take()
    _pays(world, "payer's name", one, one.due, "VENDOR PAYMENT", account=False)


def _garbled(world: World) -> None:
    one = world.take()
    letters = list(world.contacts[one.contact_id].name.upper())
    for _ in range(2):
        letters[world.chance.randrange(len(letters))] = world.chance.choice(string.ascii_uppercase)
    truth = Truth("payer's name, garbled", frozenset({(one.id, one.due)}))
    _line(world, truth, one.due, _day(world, one), payer="".join(letters), account=None, words="TRANSFER")


def _equal(world: World) -> None:
    def has_twin(one: OpenInvoice) -> bool:
        return sum(other.due == one.due for other in world.of_contact[one.contact_id]) > 1

    one = world.take(has_twin)
    _pays(world, "equal amounts", one, one.due, "MONTHLY")


def _wrong_payer(world: World) -> None:
    """Somebody else pays: a parent company, a director, another customer of ours."""
    one = world.take()
    other = world.contacts[world.chance.choice(list(world.contacts))]
    payer, account = (other.name, world.account[other.id]) if world.chance.random() < 0.5 else ("R K HOLDINGS", None)
    truth = Truth("wrong payer", frozenset({(one.id, one.due)}))
    _line(world, truth, one.due, _day(world, one), payer=payer, account=account, words=one.number)


def _wrong_number(world: World) -> None:
    """The payer means one invoice and names another one of their own, of another amount."""

    def others(invoice: OpenInvoice) -> list[OpenInvoice]:
        return [other for other in world.of_contact[invoice.contact_id] if other.due != invoice.due]

    one = world.take(lambda invoice: bool(others(invoice)))
    named = next(iter(others(one)), one)
    _pays(world, "wrong number", one, one.due, named.number)


def _twice(world: World) -> None:
    one = world.take()
    first = _pays(world, "named", one, one.due, one.number)
    payer = world.contacts[one.contact_id].name
    again = first.day + timedelta(days=world.chance.randrange(0, 5))
    # One of the two pays the invoice; either is right, and both are not.
    _line(
        world,
        Truth("paid twice", frozenset({(one.id, one.due)})),
        one.due,
        again,
        payer=payer,
        account=None,
        words=one.number,
    )


def _told_twice(world: World) -> None:
    one = world.take()
    first = _pays(world, "named", one, one.due, one.number)
    _line(
        world,
        Truth("told twice", subject_id=first.id),
        first.amount,
        first.day + timedelta(days=world.chance.choice((0, 0, 0, 1))),
        payer=world.contacts[one.contact_id].name,
        account=None,
        words=one.number,
        reference=first.reference,
        source="file:2",
    )


def _booked(world: World) -> None:
    """Somebody typed the payment in before the bank told of it: its invoice is open no more."""
    one = world.take()
    world.invoices.remove(one)
    world.free.remove(one)
    world.of_contact[one.contact_id].remove(one)
    reference = _utr(world)
    day = _day(world, one)
    typed = reference if world.chance.random() < 0.6 else None
    keys = frozenset({one.key})
    booked = Booked(
        id=world.new_id(), kind="payment", amount=one.due, currency="INR", day=day, reference=typed, keys=keys
    )
    world.booked.append(booked)
    payer = world.contacts[one.contact_id].name
    words = one.number if world.chance.random() < 0.6 else "PAYMENT"
    truth = Truth("booked already", subject_id=booked.id)
    _line(world, truth, one.due, day, payer=payer, account=None, words=words, reference=reference)


def _payout(world: World) -> None:
    amount, day, reference = world.chance.randrange(50_000_00, 900_000_00), TODAY, _utr(world)
    said = reference if world.chance.random() < 0.6 else None
    words = frozenset({"RAZORPAY"})
    booked = Booked(
        id=world.new_id(), kind="payout", amount=amount, currency="INR", day=day, reference=said, words=words
    )
    world.booked.append(booked)
    truth = Truth("payout", subject_id=booked.id)
    _line(world, truth, amount, day, payer="RAZORPAY SOFTWARE", account=None, words="SETTLEMENT", reference=reference)


def _not_in_books(world: World) -> None:
    """A customer pays what is open no more, or was never here, with the amount of something that is."""
    one = world.chance.choice(world.free)
    contact = world.contacts[one.contact_id]
    words = f"INV-2026-{world.chance.randrange(len(world.invoices) + 1000, 99999):05d}"
    account = _known_account(world, contact.id)
    truth = Truth("number not in the books")
    _line(world, truth, one.due, _day(world, one), payer=contact.name, account=account, words=words)


def _unrelated(world: World) -> None:
    words, payer = world.chance.choice(
        (("INT PD", "INTEREST"), ("LOAN DISBURSAL", "BAJAJ FINANCE"), ("CASH DEP", "SELF"), ("REFUND", "AMAZON SELLER"))
    )
    day = TODAY - timedelta(days=world.chance.randrange(60))
    amount = world.chance.randrange(100_00, 500_000_00)
    _line(world, Truth("unrelated"), amount, day, payer=payer, account=None, words=words)


def _unrelated_open(world: World) -> None:
    """Money of a stranger that happens to be what some open invoice is due."""
    one = world.chance.choice(world.free)
    truth = Truth("unrelated, of an open amount")
    _line(world, truth, one.due, one.due_date, payer="QUICK LENDING", account=None, words="DISBURSAL")


_MAKERS: dict[str, Callable[[World], None]] = {
    "named": _named,
    "named oddly": _named_oddly,
    "named less TDS": _tds,
    "named less a charge": _fee,
    "named in part": _part,
    "named with a typo": _typo,
    "split": _split,
    "merged and named": _merged_named,
    "merged, not named": _merged_silent,
    "known payer": _known_payer,
    "virtual account": _virtual,
    "UPI collect address": _collect,
    "payer's name": _payers_name,
    "payer's name, garbled": _garbled,
    "equal amounts": _equal,
    "wrong payer": _wrong_payer,
    "wrong number": _wrong_number,
    "paid twice": _twice,
    "told twice": _told_twice,
    "booked already": _booked,
    "payout": _payout,
    "number not in the books": _not_in_books,
    "unrelated": _unrelated,
    "unrelated, of an open amount": _unrelated_open,
}
