"""The page behind the link that a buyer gets by mail: an answer without an account.

Whoever holds the link reads the buyer's mail, and that is what it proves. It is bound to one financing and that
address, and ends with the time to confirm; what was answered is shown and cannot be answered again.
"""

from __future__ import annotations

from typing import Any

from flask import Response, flash, make_response, redirect, request, url_for
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import users
from core.invoicing import queries
from core.marketplace import states, submitting
from core.marketplace.links import Link, LinkExpired
from core.marketplace.states import Financing, State
from core.marketplace.submitting import REASON_CODES, Confirmer
from webapp import limits
from webapp.api.market import evidence
from webapp.auth import current_actor
from webapp.pages import blueprint, render
from webapp.pages.financing import REASONS
from webapp.pages.forms import Form
from webapp.services import services


def _asked(session: Session, link: Link) -> tuple[dict[str, Any], Financing]:
    """The invoice that a link asks about, as its seller wrote it. Raises NotFound when it was submitted anew since."""
    invoice_id = session.scalar(text("SELECT invoice_id FROM financings WHERE id = :id"), {"id": link.financing_id})
    financing = states.find(session, invoice_id) if invoice_id is not None else None
    seller = users.get(session, financing.seller_id) if financing is not None else None
    if financing is None or seller is None or financing.id != link.financing_id:
        raise NotFound("this link")
    return queries.get_invoice(session, seller, financing.invoice_id), financing


def _page(token: str, form: Form, status: int = 200) -> Response:
    moment = render.now()
    try:
        link = services().notary.open_link(token, moment)
    except LinkExpired:
        return render.show("pages/confirm.html", 410, over=True, form=form)
    with services().database.session() as session:
        invoice, financing = _asked(session, link)
    return render.show(
        "pages/confirm.html",
        status,
        over=False,
        form=form,
        invoice=invoice,
        financing=financing,
        open=financing.state in {State.PENDING, State.DISPUTED},
        reasons=REASONS,
        token=token,
    )


@blueprint.get("/confirm/<token>")
@limits.link_limit
def confirm_by_link(token: str) -> Response:
    """What the buyer is asked, without signing in."""
    return _page(token, Form({}))


def _back(token: str) -> Response:
    return make_response(redirect(url_for("pages.confirm_by_link", token=token), 303))


@blueprint.post("/confirm/<token>")
@limits.link_limit
def answer_by_link(token: str) -> Response:
    """Confirm or refuse, as whoever reads the buyer's mail."""
    form, moment = Form(request.form), render.now()
    try:
        link = services().notary.open_link(token, moment)
        with services().database.session() as session:
            invoice, financing = _asked(session, link)
            person = current_actor()
            if person is not None and person.id == financing.seller_id:
                raise Forbidden("the seller does not answer for the buyer")
            if form.raw("do") == "reject":
                reason = form.text("reason", "the reason", limit=500)
                if form:
                    code = form.raw("reason_code") if form.raw("reason_code") in REASON_CODES else "other"
                    submitting.reject(
                        session,
                        Confirmer(email=link.email),
                        financing.invoice_id,
                        reason=reason,
                        code=code,
                        dispute=form.raw("dispute") == "yes",
                        now=moment,
                    )
            else:
                amount = form.amount("confirmed_amount", "the amount you owe", invoice["currency"])
                if form.raw("irrevocable") != "yes":
                    form.errors["irrevocable"] = "Tick that you know it cannot be taken back."
                if form and amount is not None:
                    submitting.confirm(
                        session,
                        Confirmer(email=link.email, evidence=evidence()),
                        financing.invoice_id,
                        amount=amount,
                        rules=services().rules,
                        keeper=services().notary,
                        now=moment,
                    )
    except LinkExpired:
        return _page(token, form, 410)
    except Invalid as error:
        form.blame(error)
    except Conflict as error:
        words = str(error)
        flash(f"{words[:1].upper()}{words[1:]}.", "bad")
        return _back(token)
    return _back(token) if form else _page(token, form, 422)
