"""The seller's side of correspondence: sending and reminding, previews, and the words and times of mails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, current_app, flash, make_response, redirect, request, url_for
from sqlalchemy.orm import Session

from core import mail
from core.correspondence import answers, bounces, letters, reminders, sending, store, templates
from core.correspondence.store import Rule
from core.correspondence.templates import DEFAULTS, KINDS, Kind, Template
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.invoicing import links, queries
from webapp import limits
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import spoken
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only
from webapp.services import services

TITLES: dict[str, str] = {
    "invoice": "Invoice",
    "reminder_before": "Reminder before it is due",
    "reminder_due": "Reminder on the day",
    "reminder_after": "Reminder after it was due",
    "receipt": "Receipt",
    "credit_note": "Credit note",
}
PAPERS = {"invoice_pdf": "Invoice (PDF)", "receipt_pdf": "Receipt (PDF)", "credit_note_pdf": "Credit note (PDF)"}
MAIL_STATES = {
    "queued": ("On its way", "warn"),
    "sent": ("Sent", "good"),
    "failed": ("Not sent", "bad"),
    "kept": ("Kept here", "accent"),
}
_FEW = 8


def part(look: Look, invoice: dict[str, Any]) -> dict[str, Any] | None:
    """What components/send.html shows of the correspondence about an invoice; None for all but seller and operator."""
    if look.actor.role not in (Role.SELLER, Role.OPERATOR):
        return None
    invoice_id = UUID(invoice["id"])
    found = letters.facts(look.db, invoice_id)
    return {
        "mails": mail.about(look.db, look.actor, invoice_id, limit=_FEW),
        "reminders": reminders.sent(look.db, invoice_id),
        "answer": answers.newest(look.db, invoice_id),
        "bounce": bounces.of_address(look.db, found.seller_id, found.customer_email),
        "customer_email": found.customer_email,
        "url": links.of(services().settings).address(invoice_id, found.link_version) if found.number else None,
        "states": MAIL_STATES,
        "papers": PAPERS,
    }


def _ring() -> None:
    current_app.extensions["ledgerwire.inlet"].ringer.ring("mail")


def _act(invoice_id: UUID, work: Callable[[Session, Actor], str]) -> Response:
    """Do something about an invoice, and say in words how it ended."""
    home = render.back(url_for("pages.invoice", invoice_id=invoice_id))
    try:
        with looking() as look:
            only(look, Role.SELLER)
            told = work(look.db, look.actor)
    except (Conflict, Invalid) as error:
        return render.refused(spoken(str(error), "INR"), home, 409 if isinstance(error, Conflict) else 422)
    _ring()
    return render.done(told, home)


@blueprint.post("/invoices/<uuid:invoice_id>/send")
@limits.send_limit
@page_login_required
def send_invoice(invoice_id: UUID) -> Response:
    """Mail the invoice; a draft is issued by it. `to` and `message` may be left out."""
    form = Form(request.form)

    def work(session: Session, actor: Actor) -> str:
        made = sending.send(
            session,
            actor,
            invoice_id,
            links.of(services().settings),
            render.now(),
            to=form.raw("to") or None,
            message=form.raw("message"),
        )
        return f"{made['number']} is on its way to {made['to']}."

    return _act(invoice_id, work)


@blueprint.post("/invoices/<uuid:invoice_id>/remind")
@limits.send_limit
@page_login_required
def remind_invoice(invoice_id: UUID) -> Response:
    """Remind the customer now, whatever the calendar says."""
    form = Form(request.form)

    def work(session: Session, actor: Actor) -> str:
        customers = links.of(services().settings)
        made = sending.remind(session, actor, invoice_id, customers, render.now(), message=form.raw("message"))
        return f"A reminder is on its way to {made['to']}."

    return _act(invoice_id, work)


@blueprint.post("/invoices/<uuid:invoice_id>/write")
@limits.send_limit
@page_login_required
def write_to_customer(invoice_id: UUID) -> Response:
    """Mail the customer one's own words, with the link to the invoice."""
    form = Form(request.form)

    def work(session: Session, actor: Actor) -> str:
        customers = links.of(services().settings)
        made = sending.communicate(session, actor, invoice_id, customers, render.now(), message=form.raw("message"))
        return f"Your message is on its way to {made['to']}."

    return _act(invoice_id, work)


@blueprint.post("/invoices/<uuid:invoice_id>/new-link")
@page_login_required
def renew_link(invoice_id: UUID) -> Response:
    """Make every link to the invoice that was given out invalid."""

    def work(session: Session, actor: Actor) -> str:
        links.revoke(session, actor, invoice_id, render.now())
        return "Links that were given out lead nowhere any more."

    return _act(invoice_id, work)


_DOES = {"send": "invoice", "remind": "", "write": "invoice"}


@blueprint.get("/invoices/<uuid:invoice_id>/mail")
@page_login_required
def write_mail(invoice_id: UUID) -> Response:
    """What would be mailed, and the form that does it: `do` is send, remind or write."""
    do = request.args.get("do", "send")
    do = do if do in _DOES else "send"
    with looking() as look:
        only(look, Role.SELLER)
        invoice = queries.get_invoice(look.db, look.actor, invoice_id)
        found = letters.facts(look.db, invoice_id)
        if found.seller_id != look.actor.id:
            raise Forbidden("This invoice is somebody else's to send.")
        kind: Kind = "invoice"
        if do == "remind":
            kind = templates.reminder_kind((look.now.date() - found.due_date).days)
        shown = sending.preview(look.db, look.actor, invoice_id, kind, links.of(services().settings), look.now)
        return look.show("pages/mail_write.html", invoice=invoice, do=do, preview=shown, papers=PAPERS, form=Form({}))


# Words and times of mails ---------------------------------------------------------------------------------------


def _settings_page(look: Look, form: Form, status: int = 200) -> Response:
    words = store.words(look.db, look.actor.id)
    known = store.settings(look.db, look.actor.id)
    return look.show(
        "pages/mail_settings.html",
        status,
        kinds=[
            {"kind": kind, "title": TITLES[kind], "subject": words[kind].subject, "own": words[kind] != DEFAULTS[kind]}
            for kind in KINDS
        ],
        known=known,
        days=", ".join(str(rule.days) for rule in known.rules if rule.enabled),
        form=form,
        most=store.MAX_RULES,
    )


@blueprint.get("/settings/mail")
@page_login_required
def mail_settings() -> Response:
    """When customers are reminded, whether they get receipts, and the kinds of mails."""
    with looking() as look:
        only(look, Role.SELLER)
        return _settings_page(look, Form({}))


def _days(form: Form) -> list[Rule]:
    """The days of the form: whole numbers, below zero before the due date."""
    found = []
    for piece in form.raw("days").replace(";", ",").split(","):
        text = piece.strip().replace("−", "-").removeprefix("+")  # noqa: RUF001 - a minus sign that people type.
        if not text:
            continue
        if not text.removeprefix("-").isdigit() or not text.isascii() or len(text) > 4:
            form.errors["days"] = "Write whole numbers of days, with commas between them, such as -3, 0, 7."
            return []
        found.append(Rule(days=int(text)))
    return found


@blueprint.post("/settings/mail")
@page_login_required
def save_mail_settings() -> Response:
    """Replace when customers are reminded."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        rules = _days(form)
        if form:
            try:
                store.save_settings(
                    look.db,
                    look.actor,
                    reminders=form.raw("reminders") == "yes",
                    receipts=form.raw("receipts") == "yes",
                    rules=rules,
                    now=look.now,
                )
            except Invalid as error:
                form.errors["days"] = f"{error.message[:1].upper()}{error.message[1:]}."
        if not form:
            return _settings_page(look, form, 422)
    flash("Your choice was saved.", "good")
    return make_response(redirect(url_for("pages.mail_settings"), 303))


def _words_page(look: Look, kind: Kind, form: Form, template: Template, status: int = 200) -> Response:
    shown = None
    if form:
        shown = sending.preview_words(look.db, look.actor, kind, template, links.of(services().settings), look.now)
    return look.show(
        "pages/mail_words.html",
        status,
        kind=kind,
        title=TITLES[kind],
        form=form,
        template=template,
        own=sending.template_of(look.db, look.actor, kind) != DEFAULTS[kind],
        variables=templates.variables(kind),
        preview=shown,
        papers=PAPERS,
    )


@blueprint.get("/settings/mail/<kind>")
@page_login_required
def mail_words(kind: str) -> Response:
    """The words of a kind of mail, and how they look filled in."""
    with looking() as look:
        only(look, Role.SELLER)
        known = _kind(kind)
        return _words_page(look, known, Form({}), sending.template_of(look.db, look.actor, known))


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind == name:
            return kind
    raise NotFound("kind of mail", name)


@blueprint.post("/settings/mail/<kind>")
@page_login_required
def save_mail_words(kind: str) -> Response:
    """Keep the words, show them filled in (`do=preview`), or go back to the usual ones (`do=reset`)."""
    form, do = Form(request.form), request.form.get("do", "save")
    with looking() as look:
        only(look, Role.SELLER)
        known = _kind(kind)
        if do == "reset":
            store.reset_words(look.db, look.actor, known, look.now)
        else:
            typed = Template(subject=form.raw("subject"), body=form.raw("body"))
            try:
                typed = templates.check(known, typed)
                if do == "save":
                    store.save_words(look.db, look.actor, known, typed, look.now)
            except Invalid as error:
                form.blame(error)
            if do == "preview" or not form:
                return _words_page(look, known, form, typed, 200 if form else 422)
    flash("The usual words are back." if do == "reset" else "Your words were saved.", "good")
    return make_response(redirect(url_for("pages.mail_words", kind=kind), 303))
