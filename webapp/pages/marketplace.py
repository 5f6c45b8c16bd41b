"""The marketplace as investors see it: what is on offer, one offer with its price and risk, funding it, bidding."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core import ledger, wallets
from core.errors import Conflict, Forbidden, Invalid, PlatformError
from core.identity import Role
from core.marketplace import bidding, funding, queries
from core.marketplace.queries import BANDS, SORTS, Wanted
from core.marketplace.refusals import CapExceeded, MoreThanRemaining, NotOnOffer
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import money, spoken
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search
from webapp.services import services

CURRENCY = "INR"
# What an investor is told beside the form. What they may not know of at all stays not found.
_REFUSALS = (Invalid, Conflict, Forbidden, ledger.InsufficientFunds)
SORT_NAMES = {
    "newest": "Newest first",
    "yield": "Highest yield",
    "closing": "Closing soon",
    "due": "Due soon",
    "remaining": "Most left to fund",
}
MODES = {"fixed": "Fixed price", "auction": "Auction"}
BAND_NAMES = {"low": "Low risk", "elevated": "Elevated risk", "high": "High risk"}
TENORS = {"30": "Up to 30 days", "60": "Up to 60 days", "90": "Up to 90 days"}
YIELDS = {"10": "10 % and more", "12": "12 % and more", "15": "15 % and more"}
assert SORT_NAMES.keys() == SORTS.keys() and BAND_NAMES.keys() == set(BANDS)  # noqa: S101, PT018 - One list of names.


def _wanted(asked: Mapping[str, str | None]) -> Wanted:
    return Wanted(
        max_days=int(asked["tenor"]) if asked["tenor"] else None,
        min_yield=Decimal(asked["yield"]) if asked["yield"] else None,
        mode=asked["mode"],
        band=asked["band"],
        search=asked["search"],
    )


@blueprint.get("/marketplace")
@page_login_required
def marketplace() -> Response:
    """What may be financed now."""
    asked = {
        "tenor": choice("tenor", TENORS),
        "yield": choice("yield", YIELDS),
        "mode": choice("mode", MODES),
        "band": choice("band", BAND_NAMES),
        "search": search(),
    }
    sort = choice("sort", SORT_NAMES) or "newest"
    with looking() as look:
        only(look, Role.INVESTOR, Role.SELLER, Role.OPERATOR)
        found = queries.listings(look.db, look.actor, _wanted(asked), sort=sort, limit=limit(), cursor=cursor())
        return look.show(
            "pages/marketplace.html",
            **found,
            asked=asked,
            filtered=any(asked.values()),
            sort=sort,
            sorts=SORT_NAMES,
            choices={"mode": MODES, "tenor": TENORS, "yield": YIELDS, "band": BAND_NAMES},
            wallet=wallets.balance(look.db, look.actor.id) if look.actor.role is Role.INVESTOR else None,
        )


def _amount(text: str | None, currency: str) -> int | None:
    """A typed amount, or None for anything that is none: what was typed is judged when it is sent."""
    form = Form({"amount": text or ""})
    return form.amount("amount", "an amount", currency) or None


def _quote(look: Look, found: dict[str, Any], form: Form) -> dict[str, Any]:
    """The quote of what is typed, or why there is none."""
    financing, typed = found["financing"], form.raw("amount")
    if found["status"] not in ("listed", "partially_funded"):
        return {}
    try:
        amount = _amount(typed, financing["currency"]) if typed else None
        if typed and amount is None:
            return {"problem": "Enter an amount such as 25000 or 25000.50."}
        rate = _rate(Form({"rate": form.raw("rate")})) if financing["mode"] == "auction" and form.raw("rate") else None
        return {"quote": funding.quote(look.db, look.actor, UUID(found["invoice_id"]), amount, look.now, rate=rate)}
    except PlatformError as error:
        return {"problem": _said(error)}


def _rate(form: Form) -> Decimal | None:
    """A typed rate as a fraction a year; None when it is none (said in the form)."""
    value = form.number("rate", "a rate", low=Decimal(0), high=Decimal(100), places=4)
    return None if value is None else value / 100


def _said(error: PlatformError) -> str:
    """A refusal as a sentence for people: minor units are for programs."""
    locale = render.preferences()["locale"]
    if isinstance(error, ledger.InsufficientFunds):
        return f"You can spend {money(error.available, CURRENCY, locale)}."
    if isinstance(error, MoreThanRemaining):
        return f"Only {money(error.remaining, CURRENCY, locale)} is left to fund."
    if isinstance(error, NotOnOffer):
        return "It is not on offer any more: somebody was faster, or it has closed. No money was moved."
    return spoken(error.message if isinstance(error, Invalid) else str(error), CURRENCY, locale)


def _page(look: Look, invoice_id: UUID, form: Form, status: int = 200) -> Response:
    found = queries.listing(look.db, look.actor, invoice_id)
    return look.show(
        "pages/listing.html",
        status,
        listing=found,
        form=form,
        wallet=wallets.balance(look.db, look.actor.id) if look.actor.role is Role.INVESTOR else None,
        **_quote(look, found, form),
    )


@blueprint.get("/marketplace/<uuid:invoice_id>")
@page_login_required
def listing(invoice_id: UUID) -> Response:
    """One offer: price, risk and who is in it. `amount` is what the quote is for."""
    with looking(f"invoice:{invoice_id}") as look:
        only(look, Role.INVESTOR, Role.SELLER, Role.OPERATOR)
        return _page(look, invoice_id, Form(request.args))


def _there(invoice_id: UUID) -> Response:
    return make_response(redirect(url_for("pages.listing", invoice_id=invoice_id), 303))


def _blame(form: Form, error: PlatformError) -> None:
    """Put a refusal beside its field."""
    field = "override" if isinstance(error, CapExceeded) else "amount"
    if isinstance(error, Invalid) and error.field == "rate":
        field = "rate"
    form.errors[field] = _said(error)


@blueprint.post("/marketplace/<uuid:invoice_id>/fund")
@page_login_required
def fund_listing(invoice_id: UUID) -> Response:
    """Put money in."""
    form = Form(request.form)
    with looking(f"invoice:{invoice_id}") as look:
        only(look, Role.INVESTOR)
        amount = form.amount("amount", "an amount", CURRENCY)
        if form and amount is not None:
            try:
                with look.db.begin_nested():
                    made = funding.fund(
                        look.db,
                        look.actor,
                        invoice_id,
                        amount,
                        look.now,
                        override=form.raw("override") == "yes",
                        rules=services().rules,
                    )
                paid = money(amount, CURRENCY, render.preferences()["locale"])
                held = made["investment"]["status"] == "held"
                flash(
                    f"{paid} is held until the invoice is funded in full and settles."
                    if held
                    else f"You invested {paid}.",
                    "good",
                )
            except _REFUSALS as error:
                _blame(form, error)
        if not form:
            return _page(look, invoice_id, form, 422)
    return _there(invoice_id)


@blueprint.post("/marketplace/<uuid:invoice_id>/bid")
@page_login_required
def bid_listing(invoice_id: UUID) -> Response:
    """Bid in an auction."""
    form = Form(request.form)
    with looking(f"invoice:{invoice_id}") as look:
        only(look, Role.INVESTOR)
        amount = form.amount("amount", "an amount", CURRENCY)
        rate = _rate(form)
        if form and amount is not None and rate is not None:
            override = form.raw("override") == "yes"
            try:
                with look.db.begin_nested():
                    bidding.bid(look.db, look.actor, invoice_id, rate, amount, look.now, override=override)
            except _REFUSALS as error:
                _blame(form, error)
        if not form:
            return _page(look, invoice_id, form, 422)
    flash("Your bid is in. Nobody else sees it before the auction closes.", "good")
    return _there(invoice_id)


@blueprint.post("/marketplace/<uuid:invoice_id>/bids/<uuid:bid_id>/withdraw")
@page_login_required
def take_back_bid(invoice_id: UUID, bid_id: UUID) -> Response:
    """Take a bid back."""
    try:
        with looking() as look:
            only(look, Role.INVESTOR)
            bidding.withdraw_bid(look.db, look.actor, invoice_id, bid_id, look.now)
    except Conflict as error:
        flash(f"{str(error)[:1].upper()}{str(error)[1:]}.", "bad")
        return _there(invoice_id)
    flash("Your bid is withdrawn, and the money is free again.", "good")
    return _there(invoice_id)
