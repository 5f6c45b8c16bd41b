"""The page behind the link in an invoice's mail: seen, downloaded, answered and paid without an account.

Whoever has the link sees the invoice, and nothing of its financing, of other invoices or of other people. What a
browser brings back from a gateway proves nothing: the page turns to paid when the gateway's webhook says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from flask import Response, current_app, flash, make_response, redirect, request, url_for
from sqlalchemy.orm import Session

from connectors import registry
from core.correspondence import answers, letters
from core.correspondence.letters import Facts
from core.errors import Conflict, Invalid, NotFound
from core.identity import Actor, users
from core.ids import parse_id
from core.invoicing import credit_note_queries, invoices, links, payment_links, profiles, queries
from core.invoicing.links import CustomerLink
from core.marketplace.links import LinkExpired
from core.marketplace.states import State
from webapp import limits
from webapp.auth import current_actor
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.services import services

# A page that is left open asks for twelve minutes, then no more.
ASKS = 300
ASK_MS = 2500
_WAITS = 90
_MOST_NOTES = 50
# What of an invoice is its customer's: nothing else of it reaches the page.
_SHOWN = (
    "number", "payment_status", "currency", "issue_date", "due_date", "items", "subtotal", "discount", "tax", "cgst",
    "sgst", "igst", "rounding", "total", "amount_paid", "amount_due", "notes", "payment_terms", "reference",
    "tax_regime", "reverse_charge", "place_of_supply", "overdue",
)  # fmt: skip
_TO_CONFIRM = frozenset({State.PENDING.value, State.DISPUTED.value})
_View = TypeVar("_View", bound=Any)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An invoice behind a good link, and who looks."""

    token: str
    facts: Facts
    seller: Actor
    # The seller, or an operator: their look is no customer's.
    is_preview: bool

    @property
    def home(self) -> str:
        """The page's own address."""
        return url_for("pages.customer_invoice", token=self.token)


def opened_by(session: Session, token: str) -> Opened:
    """Raises LinkInvalid, NotFound or LinkExpired."""
    link: CustomerLink = links.of(services().settings).open(token)
    found = letters.facts(session, link.invoice_id)
    links.check_alive(link, found.link_version, found.due_date, render.now())
    seller = users.get(session, found.seller_id)
    # A draft is said to nobody yet.
    if found.status == "draft" or seller is None:
        raise NotFound("this link")
    person = current_actor()
    mine = person is not None and (person.id == found.seller_id or person.is_operator)
    return Opened(token=token, facts=found, seller=seller, is_preview=mine)


def _private(answer: Response) -> Response:
    """The address is the key: it goes to no search engine, and to no site that is opened from here."""
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def behind_a_link(view: _View) -> _View:
    """Say in words when a link is over, whatever was asked of it."""

    @wraps(view)
    def guarded(*arguments: Any, **named: Any) -> Response:
        try:
            return _private(make_response(view(*arguments, **named)))
        except LinkExpired as error:
            return _private(render.show("pages/customer_over.html", 410, why=str(error)))

    return cast("_View", guarded)


def _able() -> Mapping[str, tuple[str, ...]]:
    """The connectors that make payment pages, and the secrets that a connection needs for it."""
    return {slug: each.payment_links.needs for slug, each in registry.all().items() if each.payment_links is not None}


def _invoice(session: Session, opened: Opened) -> dict[str, Any]:
    """What the customer may see of the invoice, and whether its seller asked them to confirm it for financing."""
    found = queries.get_invoice(session, opened.seller, opened.facts.invoice_id)
    shown = {name: found.get(name) for name in _SHOWN}
    shown["paid"] = [
        {"id": each["id"], "amount": each["allocated"], "method": each["method"], "at": each["occurred_at"]}
        for each in found["payments"]
        if each["allocated"] > 0 and each["source"] != "credit_note"
    ]
    shown["credited"] = sum(
        each["allocated"] for each in found["payments"] if each["allocated"] > 0 and each["source"] == "credit_note"
    )
    notes = credit_note_queries.list_credit_notes(
        session, opened.seller, invoice_id=opened.facts.invoice_id, status="issued", limit=_MOST_NOTES
    )
    shown["credit_notes"] = [
        {name: each[name] for name in ("id", "number", "issue_date", "reason", "total")} for each in notes["items"]
    ]
    shown["to_confirm"] = bool(found["financing"]) and found["financing"]["state"] in _TO_CONFIRM
    return shown


def _fingerprint(facts: Facts) -> str:
    return f"{facts.status}.{facts.amount_due}.{facts.total}.{facts.due_date}"


def _watch(opened: Opened, asked: int) -> dict[str, Any] | None:
    """How the page goes on asking; None when nothing is to come, or it asked long enough."""
    if opened.facts.status not in ("open", "partial") or asked >= ASKS:
        return None
    seen = _fingerprint(opened.facts)
    return {"url": url_for("pages.customer_watch", token=opened.token, seen=seen, n=asked + 1), "ms": ASK_MS}


def _page(session: Session, opened: Opened, form: Form, status: int = 200) -> Response:
    facts = opened.facts
    payable = facts.status in ("open", "partial")
    gateways = payment_links.gateways(session, facts.seller_id, _able()) if payable else []
    answer = answers.newest(session, facts.invoice_id)
    profile = profiles.profile(session, facts.seller_id)
    return render.show(
        "pages/customer.html",
        status,
        token=opened.token,
        preview=opened.is_preview,
        seller_name=facts.seller,
        customer=facts.customer,
        invoice=_invoice(session, opened),
        profile=profile,
        gateways=[{"id": str(each.connection_id), "title": registry.get(each.connector).title} for each in gateways],
        payable=payable,
        answer=answer,
        came_back="back" in request.args,
        watch=_watch(opened, 0),
        form=form,
    )


@blueprint.get("/i/<token>")
@limits.customer_limit
@behind_a_link
def customer_invoice(token: str) -> Response:
    """The invoice as its customer sees it."""
    with services().database.session() as session:
        return _page(session, opened_by(session, token), Form({}))


@blueprint.get("/i/<token>/watch")
@limits.customer_limit
@behind_a_link
def customer_watch(token: str) -> Response:
    """What the page asks every few seconds: whether something changed. It sees that a person looks, and notes it.

    Only a browser that shows the page asks this. Whoever just reads the address out of a mail, as scanners do, does
    not, and neither marks the invoice as seen.
    """
    asked = request.args.get("n", "0")
    count = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else ASKS
    with services().database.session() as session:
        opened = opened_by(session, token)
        if opened.facts.viewed_at is None and not opened.is_preview and render.is_fragment():
            invoices.mark_viewed(session, opened.facts.invoice_id, render.now())
        answer = render.show("pages/customer_watch.html", watch=_watch(opened, count))
        if request.args.get("seen") != _fingerprint(opened.facts):
            answer.headers["HX-Trigger"] = json.dumps({"invoice-changed": {}})
    return answer


def _back(opened: Opened) -> Response:
    return make_response(redirect(opened.home, 303))


@blueprint.post("/i/<token>/answer")
@limits.link_limit
@behind_a_link
def customer_answer(token: str) -> Response:
    """The customer agrees, or says what is wrong."""
    form = Form(request.form)
    with services().database.session() as session:
        opened = opened_by(session, token)
        said = form.raw("answer")
        if opened.is_preview:
            flash("Only your customer answers here.", "bad")
            return _back(opened)
        facts = letters.facts(session, opened.facts.invoice_id, lock=True)
        try:
            if said == "disputed":
                form.text("reason", "what is wrong", limit=answers.MAX_REASON)
            if form:
                answers.answer(session, facts, said, form.raw("reason"), render.now())
        except Invalid as error:
            form.blame(error)
        except Conflict as error:
            form.errors["form"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
        if not form:
            return _page(session, opened, form, 422)
    told = "Thank you: your agreement was noted." if said == "agreed" else f"{opened.facts.seller} was told."
    flash(told, "good")
    return _back(opened)


@blueprint.post("/i/<token>/pay")
@limits.pay_limit
@behind_a_link
def customer_pay(token: str) -> Response:
    """Have a payment page made at the gateway that was chosen, and wait for it."""
    with services().database.session() as session:
        opened = opened_by(session, token)
        chosen = parse_id(request.form.get("gateway", ""))
        known = payment_links.gateways(session, opened.facts.seller_id, _able())
        if chosen is None or chosen not in {each.connection_id for each in known}:
            flash("That way to pay is not offered any more. Choose another one.", "bad")
            return _back(opened)
        try:
            link_id = payment_links.want(session, opened.facts.invoice_id, chosen, render.now())
        except Conflict as error:
            flash(f"{str(error)[:1].upper()}{str(error)[1:]}.", "bad")
            return _back(opened)
    current_app.extensions["ledgerwire.inlet"].ringer.ring("links")
    return make_response(redirect(url_for("pages.customer_paying", token=token, link_id=link_id), 303))


@blueprint.get("/i/<token>/pay/<uuid:link_id>")
@limits.customer_limit
@behind_a_link
def customer_paying(token: str, link_id: UUID) -> Response:
    """Wait for the gateway's page, and go there when it is made."""
    asked = request.args.get("n", "0")
    count = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else _WAITS
    with services().database.session() as session:
        opened = opened_by(session, token)
        found = payment_links.standing(session, opened.facts.invoice_id, link_id)
    waits = found.state == "wanted" and count < _WAITS
    if found.state == "open" and render.is_fragment():
        answer = make_response("", 200)
        answer.headers["HX-Redirect"] = found.url or opened.home
        return answer
    title = registry.get(found.connector).title if found.connector in registry.all() else found.connector
    again = url_for("pages.customer_paying", token=token, link_id=link_id, n=count + 1, fragment="f_wait")
    return render.show(
        "pages/customer_paying.html",
        token=token,
        link=found,
        gateway=title,
        waits=waits,
        again=again if waits or found.state == "open" else None,
        seller_name=opened.facts.seller,
        number=opened.facts.number,
    )
