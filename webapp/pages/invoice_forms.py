"""The form by which an invoice is made and changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.contacts import queries as contacts
from core.edits import StaleEdit
from core.errors import Conflict, Invalid
from core.identity import Role
from core.ids import parse_id
from core.invoicing import invoices as making
from core.invoicing import numbering, profiles, queries
from core.invoicing.inputs import InvoiceChanges, NewInvoice
from core.invoicing.totals import NewItem
from core.money import exponent
from core.taxids.gstin import STATES
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import decimal, spoken
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only

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
STATE_CHOICES = {code: f"{code} {name}" for code, name in STATES.items()}
# Those that the tax portal knows best; anything else may be typed.
UNITS = ("NOS", "PCS", "KGS", "GMS", "LTR", "MTR", "BOX", "BAG", "SET", "HRS", "DAY", "MON")
MOST_LINES = 50
_KNOWN_CONTACTS = 200
_BLANK = {"quantity": "1", "tax_rate": ""}
_ITEM_FIELDS = ("description", "hsn", "quantity", "unit", "unit_price", "discount_rate", "tax_rate")
# Core's names of fields, and this form's.
_FIELDS = {
    "contact.name": "contact_name",
    "contact.email": "contact_email",
    "contact.gstin": "contact_gstin",
    "gstin": "contact_gstin",
    "contact.address": "contact_address",
    "contact.legal_name": "contact_legal_name",
    "items": "form",
}
_LABELS = {
    "contact_name": "Customer",
    "contact_email": "Customer's e-mail",
    "contact_gstin": "Customer's GSTIN",
    "contact_address": "Customer's address",
    "contact_legal_name": "Customer's legal name",
    "currency": "Currency",
    "issue_date": "Issue date",
    "due_date": "Due date",
    "place_of_supply": "Place of supply",
    "reference": "Their order number",
    "series": "Number series",
}
_DETAILS = ("contact_legal_name", "contact_gstin", "contact_address", "delivery_address")


def _lines(form: Form) -> list[dict[str, str]]:
    """The typed lines in order; gaps in the numbering are closed."""
    found = sorted({int(match[1]) for name in form.values if (match := re.fullmatch(r"items-(\d{1,4})-\w+", name))})
    return [{name: form.raw(f"items-{place}-{name}") for name in _ITEM_FIELDS} for place in found[: MOST_LINES + 1]]


def _known(look: Look) -> list[dict[str, Any]]:
    """The customers that the form can fill in by itself."""
    found = contacts.choices(look.db, look.actor, limit=_KNOWN_CONTACTS)
    return [{name: value for name, value in contact.items() if name != "id"} for contact in found]


def _page(
    look: Look,
    form: Form,
    lines: list[dict[str, str]],
    status: int = 200,
    *,
    invoice: dict[str, Any] | None = None,
    version: int | None = None,
    stale: dict[str, Any] | None = None,
) -> Response:
    profile = profiles.profile(look.db, look.actor.id)
    series = numbering.list_series(look.db, look.actor.id, "invoice")
    today = look.now.date()
    return look.show(
        "pages/invoice_form.html",
        status,
        form=form,
        lines=lines,
        labels=_LABELS,
        invoice=invoice,
        version=version if version is not None or invoice is None else invoice["version"],
        stale=stale,
        profile=profile,
        contacts=_known(look),
        series={one.prefix: one.prefix for one in series},
        default_series=next((one.prefix for one in series if one.is_default), ""),
        states=STATE_CHOICES,
        units=UNITS,
        open_details=any(form.values.get(name) or name in form.errors for name in _DETAILS),
        currencies=CURRENCIES,
        exponents={code: exponent(code) for code in CURRENCIES},
        most_lines=MOST_LINES,
        issue=today.isoformat(),
        due=(today + timedelta(days=profile.payment_days)).isoformat(),
    )


def read_items(form: Form, lines: list[dict[str, str]], currency: str) -> list[NewItem]:
    """The lines as core takes them; what is wrong with one stands beside it."""
    items = []
    for place in range(len(lines)):
        prefix = f"items-{place}-"
        description = form.text(prefix + "description", "what it is for", limit=500)
        quantity = form.number(prefix + "quantity", "a quantity", low=Decimal(0), high=Decimal(10**9), places=6)
        price = form.amount(prefix + "unit_price", "a price", currency)
        rates = {name: _rate(form, prefix + name) for name in ("discount_rate", "tax_rate")}
        if quantity is not None and quantity <= 0:
            form.errors[prefix + "quantity"] = "Must be more than 0."
        elif quantity is not None and price is not None:
            items.append(
                NewItem(
                    description=description,
                    quantity=quantity,
                    unit_price=price,
                    unit=form.raw(prefix + "unit"),
                    hsn=form.raw(prefix + "hsn"),
                    **rates,
                )
            )
    return items


def _rate(form: Form, name: str) -> Decimal:
    if not form.raw(name):
        return Decimal(0)
    return form.number(name, "a rate", low=Decimal(0), high=Decimal(100), places=4) or Decimal(0)


def _read(form: Form, lines: list[dict[str, str]], *, gst: bool) -> dict[str, Any] | None:
    """What was typed, by the names of NewInvoice and InvoiceChanges; None when something of it cannot be read."""
    currency = form.raw("currency")
    if currency not in CURRENCIES:
        form.errors["currency"] = "Choose a currency."
        currency = "INR"
    name, email = form.text("contact_name", "the customer's name"), form.email("contact_email")
    issue, due = form.day("issue_date", "an issue date"), form.day("due_date", "a due date")
    if issue and due and due < issue:
        form.errors["due_date"] = "Must not be before the issue date."
    values: dict[str, Any] = {
        "contact_name": name,
        "contact_email": email,
        "currency": currency,
        "issue_date": issue,
        "due_date": due,
        "items": read_items(form, lines, currency),
        "notes": form.text("notes", "notes", limit=5000, required=False),
        "payment_terms": form.text("payment_terms", "terms", limit=5000, required=False),
        "reference": form.text("reference", "a reference", limit=100, required=False),
        "delivery_address": form.text("delivery_address", "an address", limit=1000, required=False),
        "contact_legal_name": form.text("contact_legal_name", "a name", required=False),
        "contact_address": form.text("contact_address", "an address", limit=1000, required=False),
        "series": form.raw("series") or None,
    }
    if gst:
        values |= {
            "contact_gstin": form.raw("contact_gstin").upper(),
            "place_of_supply": form.raw("place_of_supply") or None,
            "reverse_charge": bool(form.raw("reverse_charge")),
        }
    return values if form else None


def typed() -> tuple[Form, list[dict[str, str]], bool]:
    """The form as it was sent, its lines, and whether only a line was added or taken away (without JavaScript)."""
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
    return Form(values), lines[:MOST_LINES], bool(do) or len(lines) > MOST_LINES


def blame(form: Form, error: Invalid, currency: str) -> None:
    """Put what core refused beside its field; what has none here is said above."""
    name = _FIELDS.get(error.field, error.field.replace(".", "-"))
    known = name in _LABELS or name in form.values or name == "form"
    if known:
        form.blame(error, {error.field: name}, currency)
    else:
        form.errors.setdefault("form", spoken(f"{error.field.replace('_', ' ')} {error.message}", currency))


@blueprint.get("/invoices/new")
@page_login_required
def new_invoice() -> Response:
    """The form for a new invoice; with `contact`, an identity, for that customer."""
    with looking() as look:
        only(look, Role.SELLER)
        return _page(look, Form(_for_customer(look)), [dict(_BLANK)])


def _for_customer(look: Look) -> dict[str, str]:
    """What the form knows of the customer whose page it was opened from, as it would be typed."""
    identity = parse_id(request.args.get("contact", ""))
    if identity is None:
        return {}
    known = contacts.get_contact(look.db, look.actor, identity)
    fields = ("name", "email", "legal_name", "gstin", "address")
    values = {f"contact_{name}": known[name] or "" for name in fields}
    if known["currency"] in CURRENCIES:
        values["currency"] = known["currency"]
    if known["state_code"] in STATE_CHOICES:
        values["place_of_supply"] = known["state_code"]
    if known["payment_days"] is not None:
        values["due_date"] = (look.now.date() + timedelta(days=known["payment_days"])).isoformat()
    return values


@blueprint.post("/invoices/new")
@page_login_required
def create_invoice() -> Response:
    """Make the invoice, or a draft of it; or, without JavaScript, add or take away a line."""
    form, lines, again = typed()
    with looking() as look:
        only(look, Role.SELLER)
        if again:
            return _page(look, form, lines)
        values = _read(form, lines, gst=profiles.profile(look.db, look.actor.id).tax_regime == "gst")
        if values is None:
            return _page(look, form, lines, 422)
        draft = request.form.get("then") == "draft"
        try:
            with look.db.begin_nested():
                made = making.create(look.db, look.actor, NewInvoice(**values), look.now, draft=draft)
        except Invalid as error:
            blame(form, error, values["currency"])
            return _page(look, form, lines, 422)
    flash("The draft was saved." if draft else f"{made['number']} was made and is open for payment.", "good")
    return make_response(redirect(url_for("pages.invoice", invoice_id=made["id"]), 303))


def filled(invoice: Mapping[str, Any]) -> tuple[Form, list[dict[str, str]]]:
    """The form as an invoice stands."""
    currency = invoice["currency"]
    lines = [
        {
            "description": item["description"],
            "hsn": item.get("hsn") or "",
            "quantity": item["quantity"],
            "unit": item.get("unit") or "",
            "unit_price": decimal(item["unit_price"], currency),
            "discount_rate": "" if item.get("discount_rate", "0") == "0" else item["discount_rate"],
            "tax_rate": "" if item["tax_rate"] == "0" else item["tax_rate"],
        }
        for item in invoice["items"]
    ]
    customer = invoice["customer"]
    values = {
        "contact_name": invoice["contact"]["name"],
        "contact_email": invoice["contact"]["email"] or "",
        "contact_legal_name": customer.get("legal_name") or "",
        "contact_gstin": customer.get("gstin") or "",
        "contact_address": customer.get("address") or "",
        "currency": currency,
        "issue_date": invoice["issue_date"].isoformat(),
        "due_date": invoice["due_date"].isoformat(),
        "reverse_charge": "yes" if invoice["reverse_charge"] else "",
        "place_of_supply": invoice["place_of_supply"] or "",
        "series": invoice["series"],
        **{name: invoice[name] for name in ("reference", "delivery_address", "payment_terms", "notes")},
    }
    return Form({name: value for name, value in values.items() if value}), lines


def _words_only(invoice: Mapping[str, Any]) -> bool:
    """Whether of this invoice only words and days may change: something of it is paid, or its financing holds it."""
    return bool(invoice["editable"] == "words")


@blueprint.get("/invoices/<uuid:invoice_id>/edit")
@page_login_required
def edit_invoice(invoice_id: UUID) -> Response:
    """The form as the invoice stands."""
    with looking(f"invoice:{invoice_id}") as look:
        only(look, Role.SELLER)
        invoice = queries.get_invoice(look.db, look.actor, invoice_id)
        if _words_only(invoice):
            form = Form(
                {
                    "due_date": invoice["due_date"].isoformat(),
                    "payment_terms": invoice["payment_terms"],
                    "notes": invoice["notes"],
                }
            )
            return look.show("pages/invoice_words.html", invoice=invoice, form=form, version=invoice["version"])
        form, lines = filled(invoice)
        return _page(look, form, lines, invoice=invoice)


@blueprint.post("/invoices/<uuid:invoice_id>/edit")
@page_login_required
def change_invoice(invoice_id: UUID) -> Response:
    """Change the invoice, unless somebody else did meanwhile: then what they changed is shown first."""
    form, lines, again = typed()
    wanted = request.form.get("version", "")
    version = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else None
    with looking(f"invoice:{invoice_id}") as look:
        only(look, Role.SELLER)
        invoice = queries.get_invoice(look.db, look.actor, invoice_id)
        words = _words_only(invoice)
        if again and not words:
            return _page(look, form, lines, invoice=invoice, version=version)
        values: dict[str, Any] | None
        if words:
            values = _read_words(form)
        else:
            gst = profiles.profile(look.db, look.actor.id).tax_regime == "gst"
            values = _read(form, lines, gst=gst)
        if values is None:
            return _changed_page(look, form, lines, 422, invoice=invoice, version=version, words=words)
        try:
            with look.db.begin_nested():
                made = making.update(
                    look.db, look.actor, invoice_id, InvoiceChanges(**values), look.now, expected_version=version
                )
                if request.form.get("then") == "issue" and made["stage"] == "draft":
                    made = making.issue(look.db, look.actor, invoice_id, look.now)
        except StaleEdit as error:
            stale = {
                "by": " and ".join(dict.fromkeys(edit.actor or "Ledgerwire" for edit in error.edits)),
                "changes": [
                    {"field": field, "before": before, "after": after}
                    for edit in error.edits
                    for field, (before, after) in edit.changes.items()
                ],
            }
            now = queries.get_invoice(look.db, look.actor, invoice_id)
            return _changed_page(
                look, form, lines, 409, invoice=now, version=error.version, words=_words_only(now), stale=stale
            )
        except Invalid as error:
            blame(form, error, invoice["currency"])
            return _changed_page(look, form, lines, 422, invoice=invoice, version=version, words=words)
        except Conflict as error:
            return render.refused(
                spoken(str(error), invoice["currency"]), url_for("pages.invoice", invoice_id=invoice_id), 409
            )
    issued = invoice["stage"] == "draft" and made["number"]
    flash(f"{made['number']} was made and is open for payment." if issued else "The changes were saved.", "good")
    return make_response(redirect(url_for("pages.invoice", invoice_id=invoice_id), 303))


def _read_words(form: Form) -> dict[str, Any] | None:
    values = {
        "due_date": form.day("due_date", "a due date") if form.raw("due_date") else None,
        "payment_terms": form.text("payment_terms", "terms", limit=5000, required=False),
        "notes": form.text("notes", "notes", limit=5000, required=False),
    }
    return values if form else None


def _changed_page(
    look: Look,
    form: Form,
    lines: list[dict[str, str]],
    status: int,
    *,
    invoice: dict[str, Any],
    version: int | None,
    words: bool,
    stale: dict[str, Any] | None = None,
) -> Response:
    if words:
        return look.show(
            "pages/invoice_words.html", status, invoice=invoice, form=form, version=version, stale=stale, labels=_LABELS
        )
    return _page(look, form, lines, status, invoice=invoice, version=version, stale=stale)
