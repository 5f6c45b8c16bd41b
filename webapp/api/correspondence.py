"""Sending invoices and reminders, their words, and what came back: /api/invoices/<id>/send|remind|mails and others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core import mail
from core.correspondence import answers, bounces, letters, reminders, sending, store, templates
from core.correspondence.bounces import Report
from core.correspondence.store import Rule
from core.correspondence.templates import DEFAULTS, KINDS, Kind, Template
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role
from core.invoicing import links, queries
from core.live import announce
from webapp import auth, limits
from webapp.api import correspondence_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("correspondence", __name__, url_prefix="/api")

# What of a mail the API shows.
SHOWN = (
    "id",
    "to",
    "subject",
    "state",
    "error",
    "attachments",
    "created_at",
    "sent_at",
    "bounced_at",
    "bounce_reason",
)


def customer_links() -> links.CustomerLinks:
    """The links of this installation."""
    return links.of(services().settings)


@blueprint.post("/invoices/<uuid:invoice_id>/send")
@limits.send_limit
@operation("correspondence", {201: models.WrittenMail}, body=models.SendInput, problems=(404, 409))
def send(invoice_id: UUID, body: models.SendInput) -> Response:
    """Mail an invoice as PDF, with the link to its page. A draft is issued first, and has its number from then on."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = sending.send(session, person, invoice_id, customer_links(), auth.now(), to=body.to, message=body.message)
        return made, 201

    return once(person, work)


@blueprint.post("/invoices/<uuid:invoice_id>/remind")
@limits.send_limit
@operation("correspondence", {201: models.WrittenMail}, body=models.RemindInput, problems=(404, 409))
def remind(invoice_id: UUID, body: models.RemindInput) -> Response:
    """Remind the customer of what is open, in words that fit the day. Not twice in a minute."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return sending.remind(session, person, invoice_id, customer_links(), auth.now(), message=body.message), 201

    return once(person, work)


@blueprint.get("/invoices/<uuid:invoice_id>/mails")
@operation("correspondence", {200: models.InvoiceMails}, problems=(404,))
def mails(invoice_id: UUID) -> Response:
    """What was mailed about an invoice, what became of it, and what the customer answered."""
    person = auth.require(Role.SELLER, Role.OPERATOR)
    with services().database.session() as session:
        queries.get_invoice(session, person, invoice_id)
        return reply(found_of(session, person, invoice_id))


def found_of(session: Session, person: Actor, invoice_id: UUID) -> dict[str, Any]:
    """The correspondence about an invoice that the person may see."""
    written = mail.about(session, person, invoice_id)
    return {
        "items": [{name: each[name] for name in SHOWN} for each in written],
        "reminders": reminders.sent(session, invoice_id),
        "answer": answers.shape(answers.newest(session, invoice_id)),
    }


@blueprint.get("/invoices/<uuid:invoice_id>/mails/preview")
@operation("correspondence", {200: models.Preview}, query=models.PreviewQuery, problems=(404,))
def preview(invoice_id: UUID, query: models.PreviewQuery) -> Response:
    """A mail about this invoice as it would be sent now."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(sending.preview(session, person, invoice_id, query.kind, customer_links(), auth.now()))


@blueprint.get("/invoices/<uuid:invoice_id>/link")
@operation("correspondence", {200: models.CustomerLink}, problems=(404,))
def link(invoice_id: UUID) -> Response:
    """The address of the page on which the customer sees and pays it, to be sent by other ways than mail."""
    person = auth.actor()
    with services().database.session() as session:
        queries.get_invoice(session, person, invoice_id)
        found = letters.facts(session, invoice_id)
    if found.seller_id != person.id:
        raise Forbidden("only the seller gives out the link to an invoice")
    return reply({"url": customer_links().address(invoice_id, found.link_version)})


@blueprint.delete("/invoices/<uuid:invoice_id>/link")
@operation("correspondence", {200: models.CustomerLink}, problems=(404,))
def revoke_link(invoice_id: UUID) -> Response:
    """Make every link to this invoice that was given out invalid; answers with the new one."""
    person = auth.actor()
    with services().database.session() as session:
        version = links.revoke(session, person, invoice_id, auth.now())
    return reply({"url": customer_links().address(invoice_id, version)})


def shown(kind: Kind, template: Template) -> dict[str, Any]:
    """The words of a kind as the API and the page show them."""
    return {
        "kind": kind,
        "subject": template.subject,
        "body": template.body,
        "own": template != DEFAULTS[kind],
        "variables": templates.variables(kind),
    }


@blueprint.get("/mail-templates")
@operation("correspondence", {200: models.Templates})
def list_templates() -> Response:
    """The words of my mails, by kind."""
    person = auth.require(Role.SELLER)
    with services().database.session() as session:
        words = store.words(session, person.id)
    return reply({"items": [shown(kind, words[kind]) for kind in KINDS]})


@blueprint.put("/mail-templates/<kind>")
@operation("correspondence", {200: models.Template}, body=models.TemplateInput)
def save_template(kind: str, body: models.TemplateInput) -> Response:
    """Change the words of a kind. A place that stands for nothing is refused."""
    person = auth.require(Role.SELLER)
    known = templates.as_kind(kind)
    with services().database.session() as session:
        kept = store.save_words(session, person, known, Template(subject=body.subject, body=body.body), auth.now())
    return reply(shown(known, kept))


@blueprint.delete("/mail-templates/<kind>")
@operation("correspondence", {200: models.Template})
def reset_template(kind: str) -> Response:
    """Go back to the usual words of a kind."""
    person = auth.require(Role.SELLER)
    known = templates.as_kind(kind)
    with services().database.session() as session:
        kept = store.reset_words(session, person, known, auth.now())
    return reply(shown(known, kept))


@blueprint.post("/mail-templates/<kind>/preview")
@operation("correspondence", {200: models.Preview}, body=models.TemplateInput)
def preview_template(kind: str, body: models.TemplateInput) -> Response:
    """These words filled in with my newest invoice, without keeping them."""
    person = auth.require(Role.SELLER)
    known = templates.as_kind(kind)
    checked = templates.check(known, Template(subject=body.subject, body=body.body))
    with services().database.session() as session:
        return reply(sending.preview_words(session, person, known, checked, customer_links(), auth.now()))


@blueprint.get("/mail-settings")
@operation("correspondence", {200: models.MailSettings})
def show_settings() -> Response:
    """When my customers are reminded, and whether they get receipts."""
    person = auth.require(Role.SELLER)
    with services().database.session() as session:
        return reply(_settings(store.settings(session, person.id)))


@blueprint.put("/mail-settings")
@operation("correspondence", {200: models.MailSettings}, body=models.MailSettingsInput)
def save_settings(body: models.MailSettingsInput) -> Response:
    """Replace them. Without rules nobody is reminded by the calendar."""
    person = auth.require(Role.SELLER)
    rules = [Rule(days=rule.days, enabled=rule.enabled) for rule in body.rules]
    with services().database.session() as session:
        kept = store.save_settings(
            session, person, reminders=body.reminders, receipts=body.receipts, rules=rules, now=auth.now()
        )
    return reply(_settings(kept))


def _settings(found: store.MailSettings) -> dict[str, Any]:
    rules = [{"days": rule.days, "enabled": rule.enabled} for rule in found.rules]
    return {"reminders": found.reminders, "receipts": found.receipts, "rules": rules}


@blueprint.post("/mails/bounces")
@operation("correspondence", {200: models.Bounced}, body=models.BounceInput)
def bounce(body: models.BounceInput) -> Response:
    """Mails that came back, told by the mail server with a service token. Telling it again marks nothing."""
    auth.require(Role.OPERATOR)
    if (body.message is None) == (body.mail_id is None):
        raise Invalid("message", "send either the notification or the mail_id")
    if body.mail_id is not None:
        reports = [Report(mail_id=body.mail_id, reason=body.reason)]
    else:
        reports = bounces.read_report((body.message or "").encode("utf-8", "replace"))
    with services().database.session() as session:
        marked, told = bounces.taken_in(session, reports, auth.now())
        announce(session, told)
    return reply({"marked": marked})
