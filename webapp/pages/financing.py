"""Financing an invoice, as its seller and its buyer see it: submit, confirm or refuse, offer, withdraw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.errors import Conflict, Forbidden, Invalid
from core.identity import Role
from core.invoicing import queries
from core.marketplace import listing, mine, states, submitting
from core.marketplace.listing import Offer
from core.marketplace.papers import Papers
from core.marketplace.pricing import Terms
from core.marketplace.rules import INDIA, today
from core.marketplace.submitting import REASON_CODES, Confirmer
from webapp.api.market import evidence
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.format import spoken
from webapp.pages.forms import Form
from webapp.pages.shell import Look, cursor, limit, looking, only
from webapp.services import services

GROUPS = {
    "waiting": "Waiting for the buyer",
    "confirmed": "Ready to list",
    "listed": "On the marketplace",
    "funded": "Financed",
    "to_confirm": "To confirm",
    "to_pay": "To pay",
    "closed": "Closed",
}
REASONS = {
    "goods_not_received": "We have not received what it is for",
    "quality": "Something is wrong with the quality",
    "quantity": "The quantity is wrong",
    "price": "The price is not what was agreed",
    "already_paid": "It is paid already",
    "not_our_invoice": "It is not addressed to us",
    "other": "Another reason",
}
_LABELS = {
    "buyer_email": "Buyer's e-mail",
    "ask_amount": "What you ask for",
    "discount_rate": "Discount rate",
    "haircut": "Kept in reserve",
    "min_slice": "Smallest slice",
    "closes_at": "Closes",
    "confirmed_amount": "Amount you owe",
    "reason": "Reason",
    "credit_notes": "Credit notes",
    "retention": "Retention",
    "tax_withheld": "Tax withheld",
    "supplier_gstin": "Your GSTIN",
    "buyer_gstin": "Buyer's GSTIN",
    "document_number": "Number on the tax invoice",
    "irn": "IRN",
    "references": "E-way bills and purchase orders",
}
_FIELDS = {"due_date": "form", "currency": "form", "fee_plan": "form", "credit_notes": "credit_notes"}
_DEFAULT_RATE = "12"


def _back(invoice_id: UUID) -> Response:
    return make_response(redirect(url_for("pages.invoice", invoice_id=invoice_id), 303))


def _refused(error: Conflict | Forbidden, invoice_id: UUID) -> Response:
    """Say why not, on the invoice's page: that is where its state can be seen."""
    words = str(error)
    flash(f"{words[:1].upper()}{words[1:]}.", "bad")
    return _back(invoice_id)


@blueprint.get("/financing")
@page_login_required
def financing() -> Response:
    """What a seller has in financing, or what a buyer has to confirm and to pay."""
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        groups = mine.GROUPS[look.actor.role]
        group = request.args.get("group", "")
        if group not in groups:
            group = next(iter(groups))
        found = mine.list_mine(look.db, look.actor, group, limit=limit(), cursor=cursor())
        return look.show(
            "pages/financing.html", **found, group=group, groups={name: GROUPS[name] for name in groups}, words=GROUPS
        )


def _submit_page(look: Look, form: Form, invoice: dict[str, Any], status: int = 200) -> Response:
    return look.show("pages/finance_submit.html", status, form=form, invoice=invoice, labels=_LABELS)


@blueprint.get("/invoices/<uuid:invoice_id>/finance")
@page_login_required
def finance_invoice(invoice_id: UUID) -> Response:
    """The form by which a seller has an invoice confirmed."""
    with looking() as look:
        only(look, Role.SELLER)
        return _submit_page(look, Form({}), queries.get_invoice(look.db, look.actor, invoice_id))


def _papers(form: Form, currency: str) -> Papers:
    deductions = {
        name: (form.amount(name, label, currency) or 0) if form.raw(name) else 0
        for name, label in (
            ("credit_notes", "credit notes"),
            ("retention", "a retention"),
            ("tax_withheld", "tax withheld"),
        )
    }
    references = tuple(part.strip() for part in form.raw("references").split(",") if part.strip())
    return Papers(
        supplier_gstin=form.raw("supplier_gstin").upper() or None,
        buyer_gstin=form.raw("buyer_gstin").upper() or None,
        document_number=form.raw("document_number") or None,
        irn=form.raw("irn").lower() or None,
        references=references[:20],
        credit_notes=deductions["credit_notes"],
        retention=deductions["retention"],
        tax_withheld=deductions["tax_withheld"],
    )


@blueprint.post("/invoices/<uuid:invoice_id>/finance")
@page_login_required
def submit_invoice(invoice_id: UUID) -> Response:
    """Ask the buyer to confirm."""
    form = Form(request.form)
    try:
        with looking() as look:
            only(look, Role.SELLER)
            invoice = queries.get_invoice(look.db, look.actor, invoice_id)
            email, papers = form.email("buyer_email"), _papers(form, invoice["currency"])
            if not form:
                return _submit_page(look, form, invoice, 422)
            try:
                with look.db.begin_nested():
                    submitting.submit(
                        look.db,
                        look.actor,
                        invoice_id,
                        buyer_email=email,
                        papers=papers,
                        rules=services().rules,
                        link_to=partial(services().notary.link_to, services().settings.base_url),
                        now=look.now,
                        evidence=evidence(),
                    )
            except Invalid as error:
                form.blame(error, _FIELDS)
                return _submit_page(look, form, invoice, 422)
    except Conflict as error:
        return _refused(error, invoice_id)
    flash("The buyer is asked to confirm. You will see the answer here.", "good")
    return _back(invoice_id)


@dataclass(frozen=True, slots=True)
class _Preview:
    """What an offer comes to, or why it cannot be."""

    terms: Terms | None = None
    problem: str | None = None


def _percent(form: Form, name: str, label: str) -> Decimal | None:
    value = form.number(name, label, low=Decimal(0), high=Decimal(100), places=4)
    return None if value is None else value / 100


def _offer(form: Form, currency: str) -> Offer | None:
    """The typed offer; None when something is missing or wrong (said in the form)."""
    by_rate = form.raw("price_by") != "amount"
    rate = _percent(form, "discount_rate", "a rate") if by_rate else None
    ask = None if by_rate else form.amount("ask_amount", "what you ask for", currency)
    haircut = _percent(form, "haircut", "a percentage") if form.raw("haircut") else Decimal(0)
    least = form.amount("min_slice", "an amount", currency) if form.raw("min_slice") else None
    closes = None
    if form.raw("closes_at"):
        try:
            closes = datetime.fromisoformat(form.raw("closes_at")).replace(tzinfo=INDIA).astimezone(UTC)
        except (ValueError, OverflowError):
            form.errors["closes_at"] = "Choose a day and a time."
    if not form or haircut is None:
        return None
    return Offer(
        mode="auction" if form.raw("mode") == "auction" else "fixed",
        discount_rate=rate,
        ask_amount=ask,
        haircut=haircut,
        min_slice=least or None,
        closes_at=closes,
        pricing="pay_as_bid" if form.raw("pricing") == "pay_as_bid" else "uniform",
        fee_plan="none" if form.raw("fee_plan") == "none" else "standard",
        recourse=form.raw("recourse") if form.raw("recourse") in ("none", "full") else "reserve",  # type: ignore[arg-type]
    )


def _price(financing: states.Financing, asked: Offer | None, now: datetime) -> _Preview:
    if asked is None:
        return _Preview(problem="Fill in the price to see what it comes to.")
    try:
        return _Preview(terms=listing.price(financing, asked, services().rules, now))
    except (Invalid, Conflict) as error:
        words = error.message if isinstance(error, Invalid) else str(error)
        return _Preview(problem=spoken(words, financing.currency))


def _confirmed(look: Look, invoice_id: UUID) -> tuple[dict[str, Any], states.Financing]:
    """The invoice and its financing, which must wait to be listed. Raises Conflict."""
    invoice = queries.get_invoice(look.db, look.actor, invoice_id)
    found = states.find(look.db, invoice_id)
    if found is None or found.state is not states.State.CONFIRMED:
        raise Conflict("only a confirmed invoice can be listed")
    return invoice, found


def _offer_page(look: Look, form: Form, invoice_id: UUID, status: int = 200) -> Response:
    invoice, found = _confirmed(look, invoice_id)
    typed = form if form.values else Form({"discount_rate": _DEFAULT_RATE, "price_by": "rate"})
    preview = _price(found, _offer(Form(typed.values), found.currency), look.now)
    return look.show(
        "pages/finance_offer.html",
        status,
        form=Form(typed.values, form.errors),
        invoice=invoice,
        financing=found,
        preview=preview,
        labels=_LABELS,
        earliest=(look.now + timedelta(minutes=5)).astimezone(INDIA).strftime("%Y-%m-%dT%H:%M"),
        latest=f"{found.due_date - timedelta(days=1)}T23:59",
        settles=services().rules.calendar.value_date(today(look.now), services().rules.settlement),
    )


@blueprint.get("/invoices/<uuid:invoice_id>/offer")
@page_login_required
def offer_terms(invoice_id: UUID) -> Response:
    """The terms on which a confirmed invoice is offered, and what they come to while they are typed."""
    try:
        with looking() as look:
            only(look, Role.SELLER)
            return _offer_page(look, Form(request.args), invoice_id)
    except Conflict as error:
        return _refused(error, invoice_id)


@blueprint.post("/invoices/<uuid:invoice_id>/offer")
@page_login_required
def offer_invoice(invoice_id: UUID) -> Response:
    """List the invoice."""
    form = Form(request.form)
    try:
        with looking() as look:
            only(look, Role.SELLER)
            _, found = _confirmed(look, invoice_id)
            asked = _offer(form, found.currency)
            if asked is None:
                return _offer_page(look, form, invoice_id, 422)
            try:
                with look.db.begin_nested():
                    listing.offer(look.db, look.actor, invoice_id, asked, rules=services().rules, now=look.now)
            except Invalid as error:
                form.blame(error, _FIELDS)
                return _offer_page(look, form, invoice_id, 422)
    except Conflict as error:
        return _refused(error, invoice_id)
    flash("The invoice is on the marketplace. Investors see it at once.", "good")
    return _back(invoice_id)


@blueprint.post("/invoices/<uuid:invoice_id>/confirm")
@page_login_required
def confirm_invoice(invoice_id: UUID) -> Response:
    """Accept the debt, as its buyer."""
    form = Form(request.form)
    try:
        with looking() as look:
            only(look, Role.BUYER)
            invoice = queries.get_invoice(look.db, look.actor, invoice_id)
            amount = form.amount("confirmed_amount", "the amount you owe", invoice["currency"])
            if form.raw("irrevocable") != "yes":
                form.errors["irrevocable"] = "Tick that you know it cannot be taken back."
            if form and amount is not None:
                try:
                    with look.db.begin_nested():
                        submitting.confirm(
                            look.db,
                            Confirmer(email=look.actor.email, actor=look.actor, evidence=evidence()),
                            invoice_id,
                            amount=amount,
                            rules=services().rules,
                            keeper=services().notary,
                            now=look.now,
                        )
                except Invalid as error:
                    form.blame(error, _FIELDS)
            if not form:
                flash(" ".join(form.errors.values()), "bad")
                return _back(invoice_id)
    except Conflict as error:
        return _refused(error, invoice_id)
    flash("You confirmed this invoice.", "good")
    return _back(invoice_id)


@blueprint.post("/invoices/<uuid:invoice_id>/reject")
@page_login_required
def reject_invoice(invoice_id: UUID) -> Response:
    """Say no, as its buyer."""
    form = Form(request.form)
    code = form.raw("reason_code") if form.raw("reason_code") in REASON_CODES else "other"
    try:
        with looking() as look:
            only(look, Role.BUYER)
            reason = form.text("reason", "the reason", limit=500)
            if not form:
                flash("Say why you do not confirm it.", "bad")
                return _back(invoice_id)
            submitting.reject(
                look.db,
                Confirmer(email=look.actor.email, actor=look.actor),
                invoice_id,
                reason=reason,
                code=code,
                dispute=form.raw("dispute") == "yes",
                now=look.now,
            )
    except Conflict as error:
        return _refused(error, invoice_id)
    flash("The seller hears that you do not confirm it, and why.", "good")
    return _back(invoice_id)


@blueprint.post("/invoices/<uuid:invoice_id>/withdraw")
@page_login_required
def withdraw_invoice(invoice_id: UUID) -> Response:
    """Take the invoice off the marketplace."""
    try:
        with looking() as look:
            only(look, Role.SELLER)
            listing.withdraw(look.db, look.actor, invoice_id, now=look.now)
    except Conflict as error:
        return _refused(error, invoice_id)
    flash("The invoice is not offered any more.", "good")
    return _back(invoice_id)
