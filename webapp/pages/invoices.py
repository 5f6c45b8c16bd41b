"""Invoices: the list, one of them, and making a new one."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.errors import Invalid, NotFound
from core.identity import Role
from core.invoicing import invoices as making
from core.invoicing import queries
from core.marketplace import queries as market
from core.money import exponent
from webapp.auth import page_login_required
from webapp.pages import blueprint, talk
from webapp.pages.financing import REASONS as REJECT_REASONS
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search

STATUSES = {
    "unpaid": "Unpaid",
    "overdue": "Overdue",
    "partial": "Part paid",
    "paid": "Paid",
    "draft": "Drafts",
    "void": "Cancelled",
}
CURRENCIES = {
    "INR": "INR: Indian rupee",
    "USD": "USD: US dollar",
    "EUR": "EUR: Euro",
    "GBP": "GBP: Pound sterling",
    "AUD": "AUD: Australian dollar",
    "SGD": "SGD: Singapore dollar",
    "AED": "AED: UAE dirham",
    "JPY": "JPY: Japanese yen",
    "KES": "KES: Kenyan shilling",
    "KWD": "KWD: Kuwaiti dinar",
}
MOST_LINES = 50
_DUE_DAYS = 30
_BLANK = {"quantity": "1", "tax_rate": ""}
# Core's names of fields, and this form's.
_FIELDS = {"contact.name": "contact_name", "contact.email": "contact_email", "items": "form"}
_LABELS = {
    "contact_name": "Customer",
    "contact_email": "Customer's e-mail",
    "currency": "Currency",
    "issue_date": "Issue date",
    "due_date": "Due date",
}


@blueprint.get("/invoices")
@page_login_required
def invoices() -> Response:
    """Invoices sent, or for a buyer those to pay."""
    status = choice("status", STATUSES)
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        # The tabs ask what is paid of an invoice, whoever financed it.
        paid = status in queries.PAYMENT_STATUSES
        found = queries.list_invoices(
            look.db,
            look.actor,
            limit=limit(),
            cursor=cursor(),
            status=None if paid else status,
            payment_status=status if paid else None,
            search=search(),
        )
        return look.show("pages/invoices.html", **found, status=status, statuses=STATUSES, search=search())


@blueprint.get("/invoices/<uuid:invoice_id>")
@page_login_required
def invoice(invoice_id: UUID) -> Response:
    """One invoice: lines, what was paid, and everything that happened to it."""
    with looking(f"invoice:{invoice_id}") as look:
        try:
            found = queries.get_invoice(look.db, look.actor, invoice_id)
        except NotFound:
            if look.actor.role is not Role.INVESTOR:
                raise
            # An offer that came to nothing: whoever bid or had a slice may read what became of it, and no more.
            market.listing(look.db, look.actor, invoice_id)
            return make_response(redirect(url_for("pages.listing", invoice_id=invoice_id), 303))
        return look.show(
            "pages/invoice.html",
            invoice=found,
            reject_reasons=REJECT_REASONS,
            talk=talk.part(look, invoice_id),
        )


def _lines(form: Form) -> list[dict[str, str]]:
    """The typed lines in order; gaps in the numbering are closed."""
    found = sorted({int(match[1]) for name in form.values if (match := re.fullmatch(r"items-(\d{1,4})-\w+", name))})
    names = ("description", "quantity", "unit_price", "tax_rate")
    return [{name: form.raw(f"items-{place}-{name}") for name in names} for place in found[: MOST_LINES + 1]]


def _page(look: Look, form: Form, lines: list[dict[str, str]], status: int = 200) -> Response:
    return look.show(
        "pages/invoice_new.html",
        status,
        form=form,
        lines=lines,
        labels=_LABELS,
        currencies=CURRENCIES,
        exponents={code: exponent(code) for code in CURRENCIES},
        most_lines=MOST_LINES,
        issue=look.now.date().isoformat(),
        due=(look.now.date() + timedelta(days=_DUE_DAYS)).isoformat(),
    )


@blueprint.get("/invoices/new")
@page_login_required
def new_invoice() -> Response:
    """The form for a new invoice."""
    with looking() as look:
        only(look, Role.SELLER)
        return _page(look, Form({}), [dict(_BLANK)])


def _items(form: Form, lines: list[dict[str, str]], currency: str) -> list[making.NewItem]:
    items = []
    for place in range(len(lines)):
        prefix = f"items-{place}-"
        description = form.text(prefix + "description", "what it is for", limit=500)
        quantity = form.number(prefix + "quantity", "a quantity", low=Decimal(0), high=Decimal(10**9), places=6)
        price = form.amount(prefix + "unit_price", "a price", currency)
        rate: Decimal | None = Decimal(0)
        if form.raw(prefix + "tax_rate"):
            rate = form.number(prefix + "tax_rate", "a rate", low=Decimal(0), high=Decimal(100), places=4)
        if quantity is not None and quantity <= 0:
            form.errors[prefix + "quantity"] = "Must be more than 0."
        elif quantity is not None and price is not None and rate is not None:
            items.append(making.NewItem(description=description, quantity=quantity, unit_price=price, tax_rate=rate))
    return items


def _read(form: Form, lines: list[dict[str, str]]) -> making.NewInvoice | None:
    currency = form.raw("currency")
    if currency not in CURRENCIES:
        form.errors["currency"] = "Choose a currency."
        currency = "INR"
    name, email = form.text("contact_name", "the customer's name"), form.email("contact_email")
    issue, due = form.day("issue_date", "an issue date"), form.day("due_date", "a due date")
    if issue and due and due < issue:
        form.errors["due_date"] = "Must not be before the issue date."
    terms = form.text("payment_terms", "terms", limit=5000, required=False)
    notes = form.text("notes", "notes", limit=5000, required=False)
    items = _items(form, lines, currency)
    if not form or issue is None or due is None:
        return None
    return making.NewInvoice(
        contact_name=name,
        contact_email=email,
        currency=currency,
        issue_date=issue,
        due_date=due,
        items=items,
        notes=notes,
        payment_terms=terms,
    )


@blueprint.post("/invoices/new")
@page_login_required
def create_invoice() -> Response:
    """Make the invoice; or, without JavaScript, add or take away a line."""
    typed = Form(request.form)
    lines = _lines(typed) or [dict(_BLANK)]
    do = request.form.get("do", "")
    if do == "add":
        lines.append({**_BLANK, "tax_rate": lines[-1]["tax_rate"]})
    if (match := re.fullmatch(r"remove-(\d{1,4})", do)) and len(lines) > 1 and int(match[1]) < len(lines):
        lines.pop(int(match[1]))
    # The lines are numbered anew, so that messages find their fields.
    values = {name: value for name, value in request.form.items() if not name.startswith("items-")}
    for place, each in enumerate(lines):
        values.update({f"items-{place}-{name}": value for name, value in each.items()})
    form = Form(values)
    with looking() as look:
        only(look, Role.SELLER)
        if do or len(lines) > MOST_LINES:
            return _page(look, form, lines[:MOST_LINES])
        new = _read(form, lines)
        if new is None:
            return _page(look, form, lines, 422)
        try:
            made = making.create(look.db, look.actor, new, look.now)
        except Invalid as error:
            form.blame(error, {**_FIELDS, error.field: _FIELDS.get(error.field, re.sub(r"\.", "-", error.field))})
            return _page(look, form, lines, 422)
    flash(f"{made['number']} was made and is open for payment.", "good")
    return make_response(redirect(url_for("pages.invoice", invoice_id=made["id"]), 303))
