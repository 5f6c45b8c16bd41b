"""The mailbox: mails of an installation without a mail server, and for operators what became of the others."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Response
from markupsafe import Markup, escape

from core import mail
from core.correspondence import papers
from core.errors import NotFound
from core.invoicing import links
from webapp import limits
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.correspondence import MAIL_STATES, PAPERS
from webapp.pages.shell import Look, cursor, limit, looking
from webapp.services import services


def _allowed(look: Look) -> bool:
    """Whether words may be shown. They may hold links that act for their reader, so only in a demo.

    Raises NotFound for whoever has no mailbox here.
    """
    demo = services().settings.demo_mode
    if not demo and not look.actor.is_operator:
        raise NotFound("mailbox")
    return demo


def linked(words: str, base: str) -> Markup:
    """Plain text with the addresses of this installation, and no others, as links."""
    pieces = re.split(rf"({re.escape(base)}/[!-~]*)", words)
    # Every second piece is an address.
    return Markup("").join(
        Markup('<a href="{0}">{0}</a>').format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )


@blueprint.get("/mailbox")
@page_login_required
def mailbox() -> Response:
    """Mails to my address, newest first; for operators all of them."""
    with looking() as look:
        _allowed(look)
        found = mail.list_mails(look.db, look.actor, limit=limit(), cursor=cursor())
        sends = services().settings.smtp_url is not None
        return look.show("pages/mailbox.html", **found, states=MAIL_STATES, papers=PAPERS, sends=sends)


@blueprint.get("/mailbox/<uuid:mail_id>")
@page_login_required
def one_mail(mail_id: UUID) -> Response:
    """One mail, with its words."""
    with looking() as look:
        shown = _allowed(look)
        found = mail.mail_for(look.db, look.actor, mail_id)
        words = linked(found["text"], services().settings.base_url) if shown else None
        return look.show("pages/mail.html", mail=found, words=words, states=MAIL_STATES, papers=PAPERS)


@blueprint.get("/mailbox/<uuid:mail_id>/files/<int:place>")
@limits.paper_limit
@page_login_required
def mail_file(mail_id: UUID, place: int) -> Response:
    """A file that hangs on a mail, as it would be if it went now."""
    with looking() as look:
        if not _allowed(look):
            raise NotFound("file")
        found = mail.mail_for(look.db, look.actor, mail_id)
        if place >= len(found["attachments"]):
            raise NotFound("file")
        wanted, about = found["attachments"][place], found["about"]
        subject = UUID(about["id"]) if about else None
        setting = papers.attached(look.db, wanted["kind"], UUID(wanted["id"]), subject, links.of(services().settings))
    # After the session: no connection waits for the typesetter.
    made = setting()
    answer = Response(made.content, 200, mimetype=made.media_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{made.name}"'
    return answer
