"""Invoices elsewhere: which of ours they are, where the two differ, and what a seller decides about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for
from sqlalchemy import text

from core.connections import store
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.invoicing import queries as invoices
from core.mirroring import deeds, queries, sides, taking
from webapp import auth, connecting
from webapp.api.mirrored_invoices import deed_of, ring
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only

STATUSES = {
    "draft": "Draft",
    "open": "Open",
    "partially_paid": "Part paid",
    "paid": "Paid",
    "void": "Voided or deleted",
}
LINKS = {"unlinked": "Not linked", "linked": "Linked", "differs": "Differ", "conflict": "Conflicts"}
KINDS = {"create": "making it there", "update": "changing it there", "void": "voiding it there", "payment": "payments"}
_MOST_CANDIDATES = 20


def part(look: Look, invoice_id: UUID) -> dict[str, Any] | None:
    """What the panel of an invoice's page shows of other books; None where there is nothing to show."""
    if look.actor.role not in (Role.SELLER, Role.OPERATOR):
        return None
    found = queries.of_invoice(look.db, look.actor, invoice_id)
    if not found:
        return None
    for one in found:
        if one["mirrored"] is not None:
            _dated(one["mirrored"])
    return {"invoice_id": str(invoice_id), "books": found, **_words()}


def _dated(mirrored: dict[str, Any]) -> None:
    """Days of differences as days, which the template spells."""
    for one in mirrored["differences"]:
        if one["field"] in ("issue_date", "due_date"):
            for side in ("ours", "theirs"):
                one[side] = date.fromisoformat(one[side])


def _words() -> dict[str, Any]:
    """What the templates call things."""
    return {"labels": sides.LABELS, "kinds": KINDS, "writers": connecting.writers()}


@blueprint.get("/mirrored-invoices")
@page_login_required
def mirrored_invoices() -> Response:
    """The list, of one connection where the address names one."""
    status, link = choice("status", STATUSES), choice("link", LINKS)
    connection_id = parse_id(request.args.get("connection_id", ""))
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        source = store.get_connection(look.db, look.actor, connection_id) if connection_id else None
        found = queries.list_mirrored(
            look.db, look.actor, limit=limit(), cursor=cursor(), connection_id=connection_id, status=status, link=link
        )
        return look.show(
            "pages/mirrored_invoices.html",
            **found,
            status=status,
            statuses=STATUSES,
            narrowed=link,
            links=LINKS,
            connection=source,
        )


@blueprint.get("/mirrored-invoices/<uuid:mirrored_invoice_id>")
@page_login_required
def mirrored_invoice(mirrored_invoice_id: UUID) -> Response:
    """One of them beside ours."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        return _page(look, mirrored_invoice_id)


def _page(look: Look, mirrored_invoice_id: UUID, form: Form | None = None, status: int = 200) -> Response:
    found = queries.get_mirrored(look.db, look.actor, mirrored_invoice_id)
    _dated(found)
    ours, books = None, None
    if found["link"] is not None:
        ours = invoices.get_invoice(look.db, look.actor, UUID(found["link"]["invoice_id"]))
        of_all = queries.of_invoice(look.db, look.actor, UUID(found["link"]["invoice_id"]))
        books = next((one for one in of_all if one["connection"]["id"] == found["connection"]["id"]), None)
    return look.show(
        "pages/mirrored_invoice.html",
        status,
        mirrored=found,
        ours=ours,
        books=books,
        candidates=_candidates(look, found) if ours is None else [],
        form=Form({}) if form is None else form,
        **_words(),
    )


def _candidates(look: Look, found: dict[str, Any]) -> list[Any]:
    """Invoices of ours in the same currency that this one could be: same total first, then the newest."""
    rows = look.db.execute(
        text(
            "SELECT invoices.number, invoices.total, contacts.name FROM invoices "
            "JOIN contacts ON contacts.id = invoices.contact_id WHERE invoices.seller_id = :actor "
            "AND invoices.currency = :currency AND invoices.number IS NOT NULL AND NOT EXISTS (SELECT FROM "
            "mirror_links WHERE mirror_links.invoice_id = invoices.id AND connection_id = :connection) "
            "ORDER BY invoices.total = :total DESC, invoices.id DESC LIMIT :most"
        ),
        {
            "actor": look.actor.id,
            "currency": found["currency"],
            "connection": found["connection"]["id"],
            "total": found["total"],
            "most": _MOST_CANDIDATES,
        },
    )
    return [row._asdict() for row in rows]


def _do(target: str, message: str, work: Callable[[Look], object]) -> Response:
    """Do what was clicked, and say so, or say in words why not."""
    try:
        with looking() as look:
            work(look)
    except (Conflict, Invalid, NotFound) as error:
        words = error.message if isinstance(error, Invalid) else str(error)
        return render.refused(f"{words[:1].upper()}{words[1:]}.", target, 409)
    ring()
    return render.done(message, target, events={"live:mirror.compared": {}})


def _back(mirrored_invoice_id: UUID) -> str:
    return render.back(url_for("pages.mirrored_invoice", mirrored_invoice_id=mirrored_invoice_id))


@blueprint.post("/mirrored-invoices/<uuid:mirrored_invoice_id>/link")
@page_login_required
def link_mirrored(mirrored_invoice_id: UUID) -> Response:
    """Say which of ours it is, by its number."""
    form = Form(request.form)
    number = form.text("number", "the number of an invoice", limit=100)
    with looking() as look:
        only(look, Role.SELLER)
        invoice_id = look.db.scalar(
            text("SELECT id FROM invoices WHERE seller_id = :actor AND number = :number"),
            {"actor": look.actor.id, "number": number},
        )
        if form and invoice_id is None:
            form.errors["number"] = "You have no invoice with this number."
        if form:
            try:
                with look.db.begin_nested():
                    deeds.link(look.db, deed_of(look.actor, look.now), mirrored_invoice_id, invoice_id)
            except Conflict as error:
                form.errors["number"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
        if not form:
            return _page(look, mirrored_invoice_id, form, 422)
    ring()
    flash(f"It is linked to {number}.", "good")
    target = url_for("pages.mirrored_invoice", mirrored_invoice_id=mirrored_invoice_id)
    return make_response(redirect(target, 303))


@blueprint.post("/mirrored-invoices/<uuid:mirrored_invoice_id>/unlink")
@page_login_required
def unlink_mirrored(mirrored_invoice_id: UUID) -> Response:
    """Say that it is another one."""
    return _do(
        _back(mirrored_invoice_id),
        "They are apart.",
        lambda look: deeds.unlink(look.db, deed_of(look.actor, look.now), mirrored_invoice_id),
    )


@blueprint.post("/mirrored-invoices/<uuid:mirrored_invoice_id>/take-over")
@page_login_required
def take_over_mirrored(mirrored_invoice_id: UUID) -> Response:
    """Make an invoice here out of it."""
    return _do(
        _back(mirrored_invoice_id),
        "It is an invoice of yours now.",
        lambda look: taking.take_over(look.db, deed_of(look.actor, look.now), mirrored_invoice_id),
    )


@blueprint.post("/mirrored-invoices/take-over")
@page_login_required
def take_over_all_mirrored() -> Response:
    """Make invoices here out of all that are open there and linked to nothing."""
    connection_id = parse_id(request.form.get("connection_id", ""))
    target = url_for("pages.mirrored_invoices", connection_id=connection_id, link="unlinked")
    with looking() as look:
        done = taking.take_over_all(look.db, deed_of(look.actor, look.now), connection_id)
    taken, refused = len(done["taken"]), done["refused"]
    if not taken and not refused:
        return render.done("There is nothing to take over.", target)
    words = f"{taken} invoice{'' if taken == 1 else 's'} taken over."
    if not refused:
        return render.done(words, target, events={"live:mirror.compared": {}})
    first = refused[0]
    words += f" {len(refused)} not: {first['number'] or 'one without a number'}, because {first['reason']}."
    return render.refused(words, target, 409)


@blueprint.post("/mirrored-invoices/<uuid:mirrored_invoice_id>/resolve")
@page_login_required
def resolve_mirrored(mirrored_invoice_id: UUID) -> Response:
    """Decide which side of a field holds."""
    field, keep = request.form.get("field", ""), request.form.get("keep", "")
    message = "It will be written there." if keep == "ours" else "It was done here."
    return _do(
        _back(mirrored_invoice_id),
        message,
        lambda look: deeds.resolve(
            look.db,
            deed_of(look.actor, look.now),
            mirrored_invoice_id,
            field,
            "ours" if keep == "ours" else "theirs",
        ),
    )


@blueprint.post("/invoices/<uuid:invoice_id>/mirrors/<uuid:connection_id>")
@page_login_required
def write_mirrored(invoice_id: UUID, connection_id: UUID) -> Response:
    """Write an invoice to other books, for the first time or once more."""
    return _do(
        render.back(url_for("pages.invoice", invoice_id=invoice_id)),
        "It will be written there.",
        lambda look: deeds.write_now(look.db, deed_of(look.actor, look.now), invoice_id, connection_id),
    )


@blueprint.post("/connections/<uuid:connection_id>/write-back")
@page_login_required
def write_back(connection_id: UUID) -> Response:
    """Switch writing to other books on or off."""
    on = request.form.get("on") == "yes"
    message = "What you issue from now on is written there." if on else "Nothing is written there any more."
    target = url_for("pages.connection", connection_id=connection_id)
    return _do(
        target,
        message,
        lambda look: connecting.change(look.db, auth.actor(), connection_id, write_back=on, now=look.now),
    )
