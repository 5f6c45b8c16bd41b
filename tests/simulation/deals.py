"""People, invoices and deals as the auditor keeps them. Nothing of `core` is used here; amounts are minor units."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime

from tests.core.marketplace.auditor import Promise
from tests.simulation.dues import REPURCHASE, Price, Row, Till

WELCOME = 10_00_000_00
ENDED = {"rejected", "expired", "withdrawn"}
ON_OFFER = {"listed", "partially_funded"}
SETTLED = {"funded", "part_paid", "overdue", "defaulted", "repaid"}
UNCONFIRMED = {"pending_buyer_confirmation", "disputed"}


@dataclass(slots=True, kw_only=True)
class Purse:
    """`net` is the wallet less what its owner owes the platform; `owes` is read, as it depends on what was spent."""

    net: int
    held: int = 0
    owes: int = 0

    @property
    def free(self) -> int:
        return self.net + self.owes - self.held


@dataclass(slots=True, kw_only=True)
class Deal:
    """One life of an invoice on the marketplace."""

    number: int
    invoice: Invoice
    confirm_by: datetime
    prints: frozenset[tuple[object, ...]]
    state: str = "pending_buyer_confirmation"
    confirmed: int | None = None
    mode: str = ""
    pricing: str = ""
    price: Price | None = None
    rate: int = 0
    least: int = 0
    closes_at: datetime | None = None
    recourse: str = ""
    settle_on: date | None = None
    slices: list[Promise] = field(default_factory=list)
    bids: list[Promise] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    repurchased_at: datetime | None = None
    snoozed: datetime | None = None

    @property
    def live(self) -> list[Promise]:
        return [one for one in self.slices if one.status != "voided"]

    @property
    def principal(self) -> int:
        return self.price.principal if self.price else 0

    @property
    def outlay(self) -> int:
        return self.price.principal - self.price.discount if self.price else 0

    @property
    def left(self) -> int:
        return self.outlay - sum(one.outlay for one in self.live)

    @property
    def sums(self) -> tuple[int, int, int, int, int]:
        """Collected from the buyer, and repaid of principal, of interest, the seller's, the surplus."""
        return (
            sum(row.amount for row in self.rows if row.name != REPURCHASE),
            sum(row.principal for row in self.rows),
            sum(row.interest for row in self.rows),
            sum(row.seller for row in self.rows),
            sum(row.surplus for row in self.rows),
        )

    def repaid(self, place: int) -> tuple[int, int]:
        """(principal, interest) of the slice at this place among those that stand."""
        mine = [share for row in self.rows for share in row.shares if share[0] == place]
        return sum(share[2] for share in mine), sum(share[1] for share in mine)


@dataclass(slots=True, kw_only=True)
class Invoice:
    """What a seller billed."""

    seller: int
    buyer: int
    connection: int
    face: int
    issued: date
    due: date
    number: str
    currency: str = "INR"
    till: Till = field(default_factory=Till)
    deals: list[Deal] = field(default_factory=list)

    @property
    def deal(self) -> Deal | None:
        return self.deals[-1] if self.deals else None

    @property
    def paid(self) -> int:
        return min(self.face, sum(one.amount for one in self.till.receipts(self.currency)))


def fingerprints(seller: int, buyer: int, issued: date, number: str) -> frozenset[tuple[object, ...]]:
    """E1 and E2: the number as printed with its seller, its plain form with both parties, each in its year."""
    year = issued.year - (issued.month < 4)
    plain = tuple(group.lstrip("0") or "0" for group in re.findall(r"[A-Z]+|[0-9]+", number.upper()))
    return frozenset({("E1", seller, year, number.upper()), ("E2", seller, buyer, year, plain)})
