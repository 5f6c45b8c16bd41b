"""Talk about an invoice: the part under the invoice, and a page of its own for the whole of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, make_response, redirect, request, url_for

from core import files, talk
from core.errors import Conflict, Forbidden, Invalid
from core.files import PAPERS, Kept
from core.ids import parse_id
from core.invoicing import queries
from core.talk import MAX_ATTACHMENTS, NewComment
from webapp import auth, limits, uploads
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.forms import Form
from webapp.pages.shell import Look, cursor, limit, looking
from webapp.services import services

# Under an invoice stand the last few; the rest is a click away.
_FEW = 5
_LABELS = {"body": "Message", "files": "Files", "mentions": "Notify"}
_FIELDS = {"file": "files", "attachments": "files"}


def part(look: Look, invoice_id: UUID) -> dict[str, Any] | None:
    """What components/talk.html shows under an invoice; None for whoever looks and has no part in it."""
    try:
        found = talk.thread(look.db, look.actor, invoice_id, limit=_FEW)
    except Forbidden:
        return None
    return {**found, **_whom(look, invoice_id), "form": Form({}), "labels": _LABELS}


def _whom(look: Look, invoice_id: UUID) -> dict[str, Any]:
    return {"parties": talk.party_list(look.db, look.actor, invoice_id), "most_files": MAX_ATTACHMENTS}


def _page(look: Look, invoice_id: UUID, form: Form, status: int = 200) -> Response:
    found = talk.thread(look.db, look.actor, invoice_id, limit=limit(), cursor=cursor())
    return look.show(
        "pages/talk.html",
        status,
        invoice=queries.get_invoice(look.db, look.actor, invoice_id),
        talk={**found, **_whom(look, invoice_id), "form": form, "labels": _LABELS},
    )


@blueprint.get("/invoices/<uuid:invoice_id>/talk")
@page_login_required
def invoice_talk(invoice_id: UUID) -> Response:
    """Everything that was said about an invoice."""
    with looking(f"invoice:{invoice_id}") as look:
        return _page(look, invoice_id, Form({}))


def _brought(form: Form) -> list[Kept]:
    """The files of the form, on disk. What is wrong with one of them stands beside the field."""
    try:
        return uploads.keep_files(auth.actor(), "files", MAX_ATTACHMENTS, PAPERS)
    except Invalid as error:
        form.blame(error, _FIELDS)
    except (files.FileTooLarge, files.FileTypeRefused, files.FileQuotaReached) as error:
        words = str(error)
        form.errors["files"] = f"{words[:1].upper()}{words[1:]}."
    return []


@blueprint.post("/invoices/<uuid:invoice_id>/talk")
@uploads.takes_files(MAX_ATTACHMENTS)
@limits.talk_limit
@page_login_required
def say(invoice_id: UUID) -> Response:
    """Say something, with the files of the form."""
    person = auth.actor()
    with services().database.session() as session:
        talk.require_party(session, person, invoice_id)
    # A line break is one character to us and to who types, and two to a form.
    form = Form({"body": request.form.get("body", "").replace("\r\n", "\n")})
    form.text("body", "a message", limit=talk.MAX_BODY)
    mentions = [found for each in request.form.getlist("mentions") if (found := parse_id(each)) is not None]
    kept = _brought(form) if form else []
    with looking(f"invoice:{invoice_id}") as look:
        if not form:
            return _page(look, invoice_id, form, 422)
        try:
            with look.db.begin_nested():
                brought = [talk.bring(look.db, person, invoice_id, each, look.now).id for each in kept]
                new = NewComment(body=form.raw("body"), mentions=mentions, attachments=brought)
                talk.say(look.db, person, invoice_id, new, look.now)
        except Invalid as error:
            form.blame(error, {**_FIELDS, error.field: error.field.partition(".")[0]})
            return _page(look, invoice_id, form, 422)
        except Conflict as error:
            form.errors["form"] = str(error)
            return _page(look, invoice_id, form, 409)
    # Back to where it was said: under the invoice, or on the page of its own.
    under = request.form.get("under") == "invoice"
    target = url_for("pages.invoice" if under else "pages.invoice_talk", invoice_id=invoice_id, _anchor="talk")
    return make_response(redirect(target, 303))


@blueprint.get("/comments/<uuid:comment_id>")
@page_login_required
def comment(comment_id: UUID) -> Response:
    """Where a comment stands: notifications lead here."""
    with looking() as look:
        invoice_id = talk.comment_place(look.db, look.actor, comment_id)
    target = url_for("pages.invoice_talk", invoice_id=invoice_id, _anchor=f"comment-{comment_id}")
    return make_response(redirect(target))
