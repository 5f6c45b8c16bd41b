"""What a judgement rests on: everything that is known of an invoice and its parties at one moment.

Amounts are whole minor units of one currency. A History is made by `core.risk.history.load` from the database and by
`core.risk.planting` from a generator, through the same `core.risk.summary`, so that what is measured is what runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Level(StrEnum):
    """How alike two documents are (marketplace rules 2.9). E levels stop, N levels ask for a review."""

    E1 = "E1"
    E2 = "E2"
    N1 = "N1"
    N2 = "N2"
    N3 = "N3"
    N4 = "N4"

    @property
    def exact(self) -> bool:
        """Whether it is the same document beyond doubt."""
        return self in {Level.E1, Level.E2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A likeness that `core.marketplace.likeness` found, and what is known of the invoice on the other side."""

    level: Level
    sentence: str
    invoice_id: str
    number: str
    amount: int
    issued: date
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """An invoice of the seller. `paid_on` is set when it is paid in full; `content` is a digest of what it says."""

    id: str
    number: str
    buyer: str
    issued: date
    due: date
    amount: int
    paid: int = 0
    paid_on: date | None = None
    credited: int = 0
    void: bool = False
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """An invoice that the buyer owed anybody: when it was due and when it was paid, if it was."""

    due: date
    paid_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Something that belongs to two parties who should be strangers.

    `kind` is pan, bank_account, phone, device or address.
    """

    kind: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of the document's integrity. `passed` is None where what it needs is not known."""

    name: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redated:
    """An earlier invoice with the same content, that was taken back or is overdue."""

    invoice_id: str
    number: str
    issued: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How soon after the upload the buyer accepted, and whether from the seller's own address on the internet."""

    seconds: float
    same_address: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What is paid for the risk: principal and discount in minor units."""

    principal: int
    discount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """The seller's weeks: so many invoices, and so much money, this week and in each of the weeks before."""

    count: int
    value: int
    counts: tuple[int, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """So many of a whole."""

    hits: int
    whole: int

    @property
    def share(self) -> float:
        """As a fraction; 0 of nothing."""
        return self.hits / self.whole if self.whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything the features look at. What is not known has its empty default, and gives no points."""

    now: datetime
    currency: str
    invoice_id: str
    number: str
    seller: str
    buyer: str
    issued: date
    due: date
    amount: int
    price: Price | None = None

    # D1, D2, T3: other documents.
    hits: tuple[Hit, ...] = ()
    redated: tuple[Redated, ...] = ()
    # C3, C4: (from, to) of invoices among parties.
    shared: tuple[Shared, ...] = ()
    trades: tuple[tuple[str, str], ...] = ()
    checks: tuple[Check, ...] = ()
    confirmation: Confirmation | None = None

    # V1, V2.
    velocity: Velocity | None = None
    utilisation: float | None = None
    # S1: (number in its series, day) of recent invoices, this one included. S2: numbers to this buyer.
    series: tuple[tuple[int, date], ...] = ()
    pair_numbers: tuple[int, ...] = ()
    # A1: of the pair's recent invoices, and of the seller's others. A2: in the band, and just below it.
    round_recent: Part = Part(hits=0, whole=0)
    round_base: Part = Part(hits=0, whole=0)
    near_limit: Part = Part(hits=0, whole=0)
    below_limit: Part = Part(hits=0, whole=0)
    # A3: counts of the first digits 1 to 9. A4: amounts of the pair before this one.
    first_digits: tuple[int, ...] = (0,) * 9
    pair_amounts: tuple[int, ...] = ()
    # C1: recent sales by buyer. C2, T1.
    sales_by_buyer: tuple[int, ...] = ()
    pair_repaid: int = 0
    seller_days: int | None = None
    buyer_days: int | None = None
    tenors: tuple[int, ...] = ()
    small_seller: bool = False
    # B1, B2.
    bills: tuple[Bill, ...] = ()
    diluted: int = 0
    sold: int = 0

    # Data quality: whether a fact is there.
    known: dict[str, bool] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """The day of the judgement, in UTC."""
        return self.now.date()

    @property
    def tenor(self) -> int:
        """Days from issue to due."""
        return (self.due - self.issued).days

    @property
    def dilution(self) -> Decimal:
        """Credit notes and short pay over sales."""
        return Decimal(self.diluted) / self.sold if self.sold else Decimal(0)
