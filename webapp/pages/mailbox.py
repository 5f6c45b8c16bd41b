"""The mailbox: mails of an installation without a mail server, and for operators what became of the others."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Response
from markupsafe import Markup, escape

from core import mail
from core.errors import NotFound
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import Look, cursor, limit, looking
from webapp.services import services

_STATES = {
    "queued": ("On its way", "warn"),
    "sent": ("Sent", "good"),
    "failed": ("Not sent", "bad"),
    "kept": ("Kept here", "accent"),
}


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
        return look.show("pages/mailbox.html", **found, states=_STATES, sends=sends)


@blueprint.get("/mailbox/<uuid:mail_id>")
@page_login_required
def one_mail(mail_id: UUID) -> Response:
    """One mail, with its words."""
    with looking() as look:
        shown = _allowed(look)
        found = mail.mail_for(look.db, look.actor, mail_id)
        words = linked(found["text"], services().settings.base_url) if shown else None
        return look.show("pages/mail.html", mail=found, words=words, states=_STATES)
