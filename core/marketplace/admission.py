"""Who may put money into what is on offer: asked before every slice and every bid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import kyc
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ledger import InsufficientFunds
from core.marketplace import reviewing, states
from core.marketplace.news import spell
from core.marketplace.refusals import NotOnOffer, OwnInvoice
from core.marketplace.states import Financing
from core.money import MAX_MINOR

Mode = Literal["fixed", "auction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A financing that stands open, with what its invoice says."""

    financing: Financing
    number: str

    @property
    def outlay(self) -> int:
        """What investors pay in all, at the price of the listing."""
        return priced(self.financing).outlay

    @property
    def remaining(self) -> int:
        """What of it nobody has taken, in outlay."""
        return self.outlay - self.financing.placed_outlay


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The amounts that every listed financing has, in minor units."""

    principal: int
    discount: int
    fee: int
    fee_tax: int

    @property
    def outlay(self) -> int:
        """What investors pay in all."""
        return self.principal - self.discount

    @property
    def net(self) -> int:
        """What the seller receives when it settles."""
        return self.outlay - self.fee - self.fee_tax


def priced(financing: Financing) -> Price:
    """The price of a listed financing. Raises NotOnOffer for one that was never listed."""
    if financing.principal is None or financing.discount is None:
        raise NotOnOffer(f"this invoice has no price: {financing.state.value}")
    return Price(
        principal=financing.principal,
        discount=financing.discount,
        fee=financing.fee or 0,
        fee_tax=financing.fee_tax or 0,
    )


def check_amount(amount: object) -> int:
    """The amount, when it is a whole number of minor units. Raises Invalid."""
    # bool is an int to Python and never an amount.
    if type(amount) is not int or not 0 < amount <= MAX_MINOR:
        raise Invalid("amount", f"must be 1 to {MAX_MINOR} minor units")
    return amount


def require_investor(actor: Actor) -> None:
    """Raise Forbidden for everybody else: sellers and buyers finance nothing, operators decide about it."""
    if actor.role is not Role.INVESTOR:
        raise Forbidden("only investors put money into invoices")


def _invoice(session: Session, invoice_id: UUID) -> Any:
    row = session.execute(text("SELECT number, status FROM invoices WHERE id = :id"), {"id": invoice_id}).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    return row


def _open(session: Session, financing: Financing, mode: Mode | None, now: datetime) -> Offered:
    if financing.state not in states.ON_OFFER:
        raise NotOnOffer(f"this invoice is not on offer: {financing.state.value}")
    if financing.closes_at is not None and now >= financing.closes_at:
        raise NotOnOffer("this offer has closed")
    if mode is not None and financing.mode != mode:
        how = "by auction: place a bid" if financing.mode == "auction" else "at a fixed price: fund it"
        raise NotOnOffer(f"this invoice is offered {how}")
    invoice = _invoice(session, financing.invoice_id)
    if invoice.status != "open":
        raise NotOnOffer(f"this invoice is {invoice.status}")
    return Offered(financing=financing, number=invoice.number)


def _named_in_papers(session: Session, actor: Actor, financing: Financing) -> bool:
    """Whether the document names the investor's PAN, which is in every GSTIN: a buyer need not have an account."""
    mine = kyc.numbers(session, actor.id)
    given = [financing.document.get(name) for name in ("supplier_gstin", "buyer_gstin")]
    return mine is not None and any(isinstance(one, str) and one[2:12] == mine.pan for one in given)


def check_parties(session: Session, actor: Actor, financing: Financing) -> None:
    """Raise OwnInvoice when the investor is a party of the invoice, by account, address or PAN."""
    parties = [one for one in (financing.seller_id, financing.buyer_id) if one is not None]
    if actor.id in parties or actor.email == financing.buyer_email:
        raise OwnInvoice("nobody finances an invoice of their own")
    shared = any(kyc.same_person(session, actor.id, party) for party in parties)
    if shared or _named_in_papers(session, actor, financing):
        raise OwnInvoice("whoever shares a PAN with the seller or the buyer does not finance the invoice")


@contextmanager
def paying(currency: str) -> Iterator[None]:
    """Around the posting of an investor's money: what is missing is said in amounts that people read."""
    try:
        yield
    except InsufficientFunds as error:
        has, wanted = (spell(amount, currency) for amount in (error.available, error.wanted))
        error.args = (f"you have {has} to spend, and {wanted} are needed",)
        raise


def enter(session: Session, actor: Actor, invoice_id: UUID, now: datetime, mode: Mode) -> Offered:
    """The offer, locked, when the investor may take part in it.

    Raises Forbidden, NotFound, NotOnOffer, OwnInvoice, KycRequired, FraudStop. Changes nothing.
    """
    require_investor(actor)
    financing = states.lock(session, invoice_id)
    _check_known(actor, financing)
    offered = _open(session, financing, mode, now)
    check_parties(session, actor, offered.financing)
    kyc.require_verified(session, actor.id)
    reviewing.require_clear(session, offered.financing)
    return offered


def _check_known(actor: Actor, financing: Financing) -> None:
    """To investors, what was never listed is not there at all. Raises NotFound."""
    if actor.role is Role.INVESTOR and financing.listed_at is None:
        raise NotFound("offer of invoice", financing.invoice_id)


def look(session: Session, actor: Actor, invoice_id: UUID, now: datetime) -> Offered:
    """The offer, not locked, for whoever may see it: investors, operators and the invoice's parties.

    Raises NotFound, NotOnOffer.
    """
    financing = states.find(session, invoice_id)
    seen = actor.role in {Role.INVESTOR, Role.OPERATOR}
    if financing is None or not (seen or actor.id in {financing.seller_id, financing.buyer_id}):
        raise NotFound("offer of invoice", invoice_id)
    _check_known(actor, financing)
    return _open(session, financing, None, now)
