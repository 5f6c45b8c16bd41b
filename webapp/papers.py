"""Documents as answers: gathered from the books as far as the asker may see them, then set.

What a paper shows is its ETag, so a browser that has it is told so before anything is set.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Response, request
from sqlalchemy import text
from sqlalchemy.orm import Session

import core.documents
from core.documents import papers, typesetting
from core.documents.typesetting import Paper
from core.errors import Conflict
from core.identity import Actor, Role
from core.invoicing import links, profiles, queries
from core.payments import queries as payments
from webapp.services import services

PDF = "application/pdf"


@lru_cache(maxsize=1)
def _template() -> str:
    """What the template is, so that a new one makes new papers."""
    folder = Path(core.documents.__file__).parent / "templates"
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()


def file_name(words: str, number: str | None, ending: str) -> str:
    """A file's name with the number in it, which may hold slashes: invoice-INV-26-27-0001.pdf."""
    safe = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number or "draft")
    return f"{words}-{safe}.{ending}"


def _business(session: Session, actor: Actor, seller_id: str) -> dict[str, Any]:
    """The seller's business as it stands on papers. To an investor only the name is said, which the view has."""
    return {} if actor.role is Role.INVESTOR else profiles.profile(session, UUID(seller_id)).plain()


def _pay_url(session: Session, actor: Actor, view: dict[str, Any]) -> str | None:
    """The customer's page, on the papers of the two who may use it."""
    if actor.role not in {Role.SELLER, Role.BUYER} or view["number"] is None:
        return None
    version = session.scalar(text("SELECT link_version FROM invoices WHERE id = :id"), {"id": UUID(view["id"])})
    return links.of(services().settings).address(UUID(view["id"]), version or 1)


def invoice(session: Session, actor: Actor, invoice_id: UUID) -> tuple[Paper, str]:
    """An invoice and the name of its file. Raises NotFound."""
    view = queries.get_invoice(session, actor, invoice_id)
    profile = _business(session, actor, view["seller"]["id"])
    paper = papers.invoice_paper(view, profile, pay_url=_pay_url(session, actor, view))
    return paper, file_name("invoice", view["number"], "pdf")


def credit_note(session: Session, actor: Actor, note_id: UUID) -> tuple[Paper, str]:
    """A credit note and the name of its file. Raises NotFound."""
    from core.invoicing import credit_note_queries  # noqa: PLC0415 - not every request needs it.

    view = credit_note_queries.get_credit_note(session, actor, note_id)
    profile = _business(session, actor, view["seller"]["id"])
    return papers.credit_note_paper(view, profile), file_name("credit-note", view["number"], "pdf")


_PARTIES = text(
    # Whose payment it is: of the contact it is held for, else of the customer whose invoice it pays.
    "SELECT users.name AS seller_name, users.organisation, contacts.name, contacts.legal_name, contacts.address, "
    "contacts.email, contacts.gstin FROM payments JOIN users ON users.id = payments.user_id "
    "LEFT JOIN contacts ON contacts.id = coalesce(payments.contact_id, (SELECT invoices.contact_id FROM allocations "
    "JOIN invoices ON invoices.id = allocations.invoice_id WHERE allocations.payment_id = payments.id "
    "AND (:all OR invoices.buyer_id = :actor) ORDER BY allocations.id LIMIT 1)) WHERE payments.id = :id"
)


def receipt(session: Session, actor: Actor, payment_id: UUID) -> tuple[Paper, str]:
    """A receipt and the name of its file. Raises NotFound; Conflict when nothing was received."""
    payment = payments.get_payment(session, actor, payment_id)
    if payment["status"] != "succeeded" or payment["source"] == "credit_note":
        raise Conflict("no money was received by this payment")
    buyer = actor.role is Role.BUYER
    if buyer:
        # What it paid of others, or holds for them, is not this reader's business.
        paid = sum(each["amount"] for each in payment["allocations"])
        payment |= {"amount": paid, "net": paid}
    row = session.execute(_PARTIES, {"id": payment_id, "actor": actor.id, "all": not buyer}).one()
    payer = {name: getattr(row, name) for name in ("name", "legal_name", "address", "email", "gstin")}
    seller_id = session.scalar(text("SELECT user_id FROM payments WHERE id = :id"), {"id": payment_id})
    paper = papers.receipt_paper(
        payment,
        profiles.profile(session, seller_id).plain(),
        seller={"name": row.seller_name, "organisation": row.organisation},
        payer=payer if payer["name"] else None,
    )
    return paper, file_name("receipt", str(payment["id"])[-12:], "pdf")


def statement(
    session: Session, actor: Actor, contact_id: UUID, *, since: date, until: date, currency: str | None
) -> tuple[Paper, str]:
    """A statement of account and the name of its file. Raises NotFound, Invalid."""
    from core.contacts import statement as accounts  # noqa: PLC0415 - not every request needs it.

    found = accounts.statement(session, actor, contact_id, since=since, until=until, currency=currency)
    profile = profiles.profile(session, UUID(found["seller"]["id"])).plain()
    return papers.statement_paper(found, profile), file_name("statement", until.isoformat(), "pdf")


def respond(paper: Paper, name: str, *, download: bool) -> Response:
    """The paper as a PDF, or "not modified" to whoever has this one. Set after the session: it takes a moment."""
    spelled = json.dumps(paper.data, sort_keys=True).encode("ascii")
    tag = hashlib.sha256(f"{_template()}{paper.day}".encode() + spelled).hexdigest()[:32]
    if request.if_none_match.contains(tag):
        return _headed(Response(status=304), tag)
    answer = _headed(Response(typesetting.typeset([paper])[0], mimetype=PDF), tag)
    answer.headers.set("Content-Disposition", "attachment" if download else "inline", filename=name)
    return answer


def _headed(answer: Response, tag: str) -> Response:
    answer.set_etag(tag)
    # Whoever keeps it asks whether it is still so; nobody between keeps it.
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'self'"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def download(content: bytes, media_type: str, name: str) -> Response:
    """A file that a browser saves and never shows."""
    answer = Response(content, content_type=media_type)
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Cache-Control"] = "private, no-store"
    return answer
