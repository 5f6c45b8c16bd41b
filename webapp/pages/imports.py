"""Invoices out of a CSV file: brought, looked over, confirmed."""

from __future__ import annotations

from uuid import UUID

from flask import Response, current_app, make_response, redirect, request, url_for
from pydantic import ValidationError

from core.errors import Conflict, Invalid, PlatformError
from core.files import FileTooLarge
from core.identity import Role
from core.lists import imports, invoice_files
from core.lists.invoice_files import ColumnMapping
from core.statement_files.amounts import DATE_FORMATS
from webapp import limits, uploads
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only

MEANINGS = {
    "number": "Number",
    "customer": "Customer",
    "email": "Customer's e-mail",
    "gstin": "GSTIN",
    "place_of_supply": "Place of supply (state code)",
    "issue_date": "Issue date",
    "due_date": "Due date",
    "currency": "Currency",
    "reference": "Reference",
    "description": "What it is for",
    "hsn": "HSN or SAC",
    "quantity": "Quantity",
    "unit": "Unit",
    "unit_price": "Price",
    "discount_rate": "Discount, %",
    "tax_rate": "Tax rate, %",
    "payment_terms": "Terms",
    "notes": "Notes",
}


@blueprint.get("/invoices/import")
@page_login_required
def import_invoices() -> Response:
    """Where a file is brought."""
    with looking() as look:
        only(look, Role.SELLER)
        return _page(look, Form({}))


def _page(look: Look, form: Form, status: int = 200) -> Response:
    return look.show("pages/import_new.html", status, form=form, max_rows=invoice_files.MAX_ROWS,
                     max_invoices=invoice_files.MAX_INVOICES)  # fmt: skip


@blueprint.post("/invoices/import")
@limits.upload_limit
@uploads.takes_file
@page_login_required
def bring_invoices() -> Response:
    """Take a file in, and look it over."""
    form = Form({})
    with looking() as look:
        only(look, Role.SELLER)
        try:
            name, content = uploads.read_file()
            made = imports.upload(look.db, look.actor, name, content, look.now)
        except (Invalid, FileTooLarge, PlatformError) as error:
            words = error.message if isinstance(error, Invalid) else str(error)
            form.errors["file"] = f"{words[:1].upper()}{words[1:]}."
            return _page(look, form, 422)
    return make_response(redirect(url_for("pages.import_file", import_id=made["id"]), 303))


@blueprint.get("/invoices/import/<uuid:import_id>")
@page_login_required
def import_file(import_id: UUID) -> Response:
    """What is in a file, how it is read, and what would come of it."""
    with looking() as look:
        only(look, Role.SELLER)
        found = imports.show(look.db, look.actor, import_id)
        if found["job_id"]:
            return make_response(redirect(url_for("pages.job", job_id=found["job_id"]), 303))
        return look.show("pages/import_file.html", found=found, meanings=MEANINGS, date_formats=DATE_FORMATS)


@blueprint.post("/invoices/import/<uuid:import_id>")
@page_login_required
def read_invoices(import_id: UUID) -> Response:
    """Read it another way, or have it made."""
    there = url_for("pages.import_file", import_id=import_id)
    form = request.form
    with looking() as look:
        only(look, Role.SELLER)
        try:
            if form.get("do") == "confirm":
                job = imports.confirm(look.db, look.actor, import_id, look.now, draft=bool(form.get("draft")))
                there = url_for("pages.job", job_id=job["id"])
            else:
                imports.remap(look.db, look.actor, import_id, _mapping())
        except ValidationError:
            return render.refused("This way of reading makes no sense.", there, 422)
        except (Invalid, Conflict) as error:
            words = error.message if isinstance(error, Invalid) else str(error)
            return render.refused(f"{words[:1].upper()}{words[1:]}.", there, 422)
    if form.get("do") == "confirm":
        current_app.extensions["ledgerwire.inlet"].ringer.ring("bulk")
    return make_response(redirect(there, 303))


def _mapping() -> ColumnMapping:
    """The form as a mapping; of two columns with the same meaning the first one counts."""
    columns: dict[str, int] = {}
    for place in range(invoice_files.MAX_COLUMNS):
        meaning = request.form.get(f"column-{place}", "")
        if meaning in MEANINGS and meaning not in columns:
            columns[meaning] = place
    return ColumnMapping.model_validate(
        {
            "columns": columns,
            "delimiter": request.form.get("delimiter", ","),
            "date_format": request.form.get("date_format", "%Y-%m-%d"),
            "decimal": request.form.get("decimal", "."),
            "currency": request.form.get("currency", "INR").strip().upper(),
            "payment_days": request.form.get("payment_days", "30"),
        }
    )
