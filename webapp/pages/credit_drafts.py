"""Credit notes that are not issued: one of them is changed, issued, or thrown away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, url_for

from core.edits import StaleEdit
from core.errors import Conflict, Invalid
from core.identity import Role
from core.invoicing import credit_drafts, queries
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.contacts import version_read
from webapp.pages.credit_notes import as_typed, blame_note, filled, form_page
from webapp.pages.format import spoken
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import typed
from webapp.pages.shell import Look, looking, only
from webapp.services import services


def _read(look: Look, draft_id: UUID) -> tuple[dict[str, Any], dict[str, Any]]:
    draft = credit_drafts.get(look.db, look.actor, draft_id)
    return draft, queries.get_invoice(look.db, look.actor, UUID(draft["invoice"]["id"]))


@blueprint.get("/credit-notes/drafts/<uuid:draft_id>")
@page_login_required
def credit_draft(draft_id: UUID) -> Response:
    """The form, as it was left."""
    with looking() as look:
        only(look, Role.SELLER)
        draft, invoice = _read(look, draft_id)
        given = {name: draft[name] or "" for name in ("reason", "issue_date", "notes", "series")}
        form = Form({**given, "amount": "whole" if draft["items"] is None else "part"})
        lines = as_typed(invoice, draft["items"])
        return form_page(look, invoice, form, lines, draft=draft, version=draft["version"])


@blueprint.post("/credit-notes/drafts/<uuid:draft_id>")
@page_login_required
def change_credit_draft(draft_id: UUID) -> Response:
    """Keep what was typed, and issue it where that was asked; or, without JavaScript, add or take away a line."""
    form, lines, again = typed()
    version = version_read()
    with looking() as look:
        only(look, Role.SELLER)
        draft, invoice = _read(look, draft_id)
        shown: dict[str, Any] = {"draft": draft, "version": version}
        if again:
            return form_page(look, invoice, form, lines, **shown)
        new = filled(form, lines, invoice)
        if new is None:
            return form_page(look, invoice, form, lines, 422, **shown)
        try:
            with look.db.begin_nested():
                credit_drafts.update(look.db, look.actor, draft_id, new, look.now, expected_version=version)
                made = None
                if form.raw("keep") != "draft":
                    calendar = services().rules.calendar
                    made = credit_drafts.issue(look.db, look.actor, draft_id, look.now, calendar=calendar)
        except StaleEdit as error:
            return form_page(look, invoice, form, lines, 409, draft=draft, version=error.version, stale=error)
        except Invalid as error:
            blame_note(form, error, invoice["currency"])
            return form_page(look, invoice, form, lines, 422, **shown)
        except Conflict as error:
            form.errors["form"] = spoken(str(error), invoice["currency"])
            return form_page(look, invoice, form, lines, 409, **shown)
    if made is not None:
        flash(f"{made['number']} was issued.", "good")
        return make_response(redirect(url_for("pages.credit_note", note_id=made["id"]), 303))
    flash("The draft is kept.", "good")
    return make_response(redirect(url_for("pages.credit_draft", draft_id=draft_id), 303))


@blueprint.post("/credit-notes/drafts/<uuid:draft_id>/delete")
@page_login_required
def delete_credit_draft(draft_id: UUID) -> Response:
    """Throw it away."""
    with looking() as look:
        only(look, Role.SELLER)
        credit_drafts.delete(look.db, look.actor, draft_id)
    flash("The draft is gone.", "good")
    return make_response(redirect(url_for("pages.credit_notes"), 303))
