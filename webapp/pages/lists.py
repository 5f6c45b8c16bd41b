"""The list of invoices: tabs, filters, searching, kept views, and work on many at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, current_app, make_response, redirect, request, url_for

from core.contacts import queries as contacts
from core.correspondence import allowance
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.invoicing import queries
from core.invoicing.filters import SORTS, Filters
from core.invoicing.stages import STAGES
from core.lists import again, bulk, views
from core.lists.export import MOST
from core.money import MAX_MINOR, Money, exponent
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import day, money, spoken
from webapp.pages.shell import Look, cursor, limit, looking, only

STATUSES = {
    "unpaid": "Unpaid",
    "overdue": "Overdue",
    "partial": "Part paid",
    "paid": "Paid",
    "draft": "Drafts",
    "void": "Cancelled",
}
ORDERS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "due": "Due first",
    "-due": "Due last",
    "-amount": "Largest first",
    "amount": "Smallest first",
    "customer": "By customer",
    "number": "By number",
}
_STAGES = {"open": "Open, not sent", "sent": "Sent", "viewed": "Seen by the customer"}
_ACTIONS = {"send": "Send", "remind": "Remind", "issue": "Issue", "void": "Cancel", "delete_drafts": "Delete drafts"}
# More are not counted before it is asked whether they are meant.
_COUNTED = 10_001
_DAYS = {
    "issued_from": "Issued from",
    "issued_to": "Issued until",
    "due_from": "Due from",
    "due_to": "Due until",
}
_AMOUNTS = {"amount_min": "At least", "amount_max": "At most"}
# What of an address is a filter; everything else (a cursor, a fragment) is not kept.
_NAMES = ("status", "stage", "contact_id", "currency", *_DAYS, *_AMOUNTS, "search", "sort")


def _day(spelled: str) -> date | None:
    with suppress(ValueError):
        found = date.fromisoformat(spelled)
        return found if 2000 <= found.year < 2200 else None
    return None


def _amount(spelled: str, currency: str) -> int | None:
    """Minor units of an amount as it is typed; None for what is none."""
    with suppress(Invalid):
        found = Money.from_decimal(spelled.replace(",", "").strip(), currency).minor
        return found if 0 <= found <= MAX_MINOR else None
    return None


def _given(source: Mapping[str, str]) -> dict[str, str]:
    """The filters in an address or a form that are something, as they are spelled there."""
    return {name: value for name in _NAMES if (value := source.get(name, "").replace("\x00", "").strip()[:100])}


def _asked(look: Look, given: dict[str, str]) -> Filters:
    """The same for the core; what makes no sense is as if it were not there, and leaves `given`."""
    status = given["status"] if given.get("status") in STATUSES else None
    stage = given.get("stage")
    currency = given.get("currency")
    with suppress(Invalid):
        currency = currency if currency and exponent(currency) >= 0 else None
    found: dict[str, Any] = {
        "stage": stage if stage in STAGES else None,
        "currency": currency if currency and len(currency) == 3 and currency.isupper() else None,
        "contact_id": parse_id(given.get("contact_id", "")),
        "search": given.get("search"),
        "sort": given["sort"] if given.get("sort") in SORTS else "newest",
        **{name: _day(given.get(name, "")) for name in _DAYS},
    }
    found |= {name: _amount(given.get(name, ""), found["currency"] or "INR") for name in _AMOUNTS}
    if look.actor.is_operator and found["contact_id"] is None and found["sort"] != "oldest":
        # Of everybody's invoices only their age has an index.
        found["sort"] = "newest"
    for name in [name for name in given if name != "status" and not found.get(name)]:
        del given[name]
    if status is None:
        given.pop("status", None)
    # The tabs ask what is paid of an invoice, whoever financed it.
    paid = status in queries.PAYMENT_STATUSES
    return Filters(status=None if paid else status, payment_status=status if paid else None, **found)


def _chips(asked: Filters, given: Mapping[str, str], customers: Mapping[str, str]) -> list[dict[str, str]]:
    """What is filtered by beside tab and words, each with the address without it."""
    said: dict[str, str] = {}
    if asked.contact_id:
        said["contact_id"] = customers.get(str(asked.contact_id), "One customer")
    if asked.currency:
        said["currency"] = asked.currency
    if asked.stage:
        said["stage"] = _STAGES.get(asked.stage, asked.stage.capitalize())
    for name, label in _DAYS.items():
        if (when := getattr(asked, name)) is not None:
            said[name] = f"{label} {day(when)}"
    for name, label in _AMOUNTS.items():
        if (minor := getattr(asked, name)) is not None:
            # Without a currency it is an amount of each.
            said[name] = f"{label} {money(minor, asked.currency) if asked.currency else given[name]}"
    return [{"label": label, "url": _address({**given, name: ""})} for name, label in said.items()]


def _address(given: Mapping[str, str]) -> str:
    kept = {name: value for name, value in given.items() if value}
    # Without anything the address would be that of the kept view.
    return url_for("pages.invoices") + "?" + urlencode(kept or {"all": "1"})


@blueprint.get("/invoices")
@page_login_required
def invoices() -> Response:
    """Invoices sent, or for a buyer those to pay."""
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        if not request.args and (kept := views.default(look.db, look.actor)) is not None:
            return make_response(redirect(_address(_of_view(kept["filters"])), 303))
        given = _given(request.args)
        asked = _asked(look, given)
        mine = look.actor.role is Role.SELLER
        customers = {str(each["id"]): each["name"] for each in contacts.choices(look.db, look.actor)} if mine else {}
        found = queries.list_invoices(look.db, look.actor, limit=limit(), cursor=cursor(), filters=asked)
        return look.show(
            "pages/invoices.html",
            **found,
            status=given.get("status"),
            statuses=STATUSES,
            tab=lambda value: _address({**given, "status": value}),
            search=asked.search,
            given=given,
            asked=asked,
            chips=_chips(asked, given, customers),
            customers=customers,
            stages=_STAGES,
            orders={name: label for name, label in ORDERS.items() if mine or name in {"newest", "oldest"}},
            views=_views(look),
            actions=_ACTIONS,
            export_most=MOST,
            query=_api(asked),
        )


def _views(look: Look) -> list[dict[str, Any]]:
    return [{**each, "url": _address(_of_view(each["filters"]))} for each in views.list_views(look.db, look.actor)]


def _api(asked: Filters) -> dict[str, str]:
    """Filters as the API takes them, for exports and kept views."""
    names = ("status", "payment_status", "stage", "contact_id", "currency", *_DAYS, *_AMOUNTS, "search")
    found = {name: str(value) for name in names if (value := getattr(asked, name)) not in {None, ""}}
    return found | ({"sort": asked.sort} if asked.sort != "newest" else {})


def address_of(asked: Filters) -> str:
    """Where the list with these filters is."""
    return _address(_of_view(_api(asked)))


def _of_view(filters: Mapping[str, Any]) -> dict[str, str]:
    """The address of a kept view: its filters as this page spells them."""
    found = {name: str(value) for name, value in filters.items() if name in _NAMES}
    if filters.get("payment_status") in STATUSES:
        found["status"] = str(filters["payment_status"])
    places = exponent(filters.get("currency") or "INR")
    for name in _AMOUNTS:
        if name in filters:
            minor = int(filters[name])
            found[name] = f"{minor // 10**places}.{minor % 10**places:0{places}}" if places else str(minor)
    if found.get("sort") == "newest":
        del found["sort"]
    return found


@blueprint.post("/invoices/views")
@page_login_required
def save_view() -> Response:
    """Keep the filters of the page under a name."""
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        given = _given(request.form)
        filters = _api(_asked(look, given))
        target = _address(given)
        try:
            made = views.save(
                look.db,
                look.actor,
                request.form.get("name", "").replace("\x00", ""),
                filters,
                look.now,
                is_default=bool(request.form.get("is_default")),
            )
        except (Invalid, Conflict) as error:
            words = "Give it a name of up to 60 characters." if isinstance(error, Invalid) else str(error)
            return render.refused(words, target, 422)
    return render.done(f"The view “{made['name']}” is kept.", target)


@blueprint.post("/invoices/views/<uuid:view_id>/delete")
@page_login_required
def delete_view(view_id: UUID) -> Response:
    """Take a kept view away."""
    with looking() as look:
        was = views.delete(look.db, look.actor, view_id)
    return render.done(f"The view “{was['name']}” is gone.", _address({}))


@blueprint.post("/invoices/bulk")
@page_login_required
def start_job() -> Response:
    """Have the chosen action done to the chosen invoices, or to all that the filters show, once that is confirmed."""
    there = render.back(_address({}))
    action = request.form.get("action", "")
    with looking() as look:
        only(look, Role.SELLER)
        ids = [found for spelled in request.form.getlist("invoice_id") if (found := parse_id(spelled)) is not None]
        given = _given(request.form)
        everything = request.form.get("everything") == "1"
        if not everything and not ids:
            return render.refused("Choose some invoices first.", there, 422)
        if action == "export":
            query = {"ids": ",".join(map(str, ids))} if not everything else _api(_asked(look, given))
            return make_response(redirect(url_for("views.export", format="xlsx", **query), 303))  # type: ignore[arg-type]
        filters = _asked(look, given) if everything else None
        if action in _ACTIONS and request.form.get("confirmed") != "1":
            # Mails go out, and what is void stays void: nobody does that to many by a slip.
            count = len(queries.matching(look.db, look.actor, filters, _COUNTED)) if filters else len(ids)
            return look.show("pages/job_ask.html", action=action, actions=_ACTIONS, count=count, most=_COUNTED,
                             ids=ids, everything=everything, given=given, back=there,
                             mails_left=allowance.left(look.db, look.actor.id, look.now))  # fmt: skip
        try:
            job = bulk.start(look.db, look.actor, action, look.now, ids=None if everything else ids, filters=filters)
        except NotFound:
            return render.refused("One of these invoices is not there any more.", there, 404)
        except (Invalid, Conflict) as error:
            return render.refused(_words(error), there, 422)
    current_app.extensions["ledgerwire.inlet"].ringer.ring("bulk")
    return make_response(redirect(url_for("pages.job", job_id=job["id"]), 303))


def _words(error: Invalid | Conflict) -> str:
    if isinstance(error, Invalid) and error.field in {"filters", "invoice_ids"}:
        return f"These are none, or too many at once: it {error.message}."
    return spoken(str(error), "INR")


@blueprint.get("/invoices/jobs/<uuid:job_id>")
@page_login_required
def job(job_id: UUID) -> Response:
    """How far work on many invoices is."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = bulk.show(look.db, look.actor, job_id)
        return look.show("pages/job.html", job=found, actions=_ACTIONS)


@blueprint.post("/invoices/jobs/<uuid:job_id>/cancel")
@page_login_required
def cancel_job(job_id: UUID) -> Response:
    """Stop it where it is."""
    with looking() as look:
        only(look, Role.SELLER)
        found = bulk.cancel(look.db, look.actor, job_id, look.now)
    return render.done(f"Stopped. {found['done']} of {found['total']} are done.", url_for("pages.job", job_id=job_id))


@blueprint.post("/invoices/jobs/<uuid:job_id>/retry")
@page_login_required
def retry_job(job_id: UUID) -> Response:
    """Do what was refused, or was not come to, in another job."""
    try:
        with looking() as look:
            only(look, Role.SELLER)
            made = again.retry(look.db, look.actor, job_id, look.now)
    except Conflict as error:
        return render.refused(spoken(str(error), "INR"), url_for("pages.job", job_id=job_id), 409)
    current_app.extensions["ledgerwire.inlet"].ringer.ring("bulk")
    return make_response(redirect(url_for("pages.job", job_id=made["id"]), 303))
