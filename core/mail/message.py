"""A mail as it goes over the wire: the same bytes whenever it is made from the same row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import UUID

from core.errors import Permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A file that hangs on a mail."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


class Undeliverable(Permanent):
    """The mail cannot be put into the form that mail servers take."""

    code = "mail_undeliverable"


def message_id(mail_id: UUID, mail_from: str) -> str:
    """Identity of a mail in the world: by it a repeat is recognised."""
    return f"<{mail_id}@{_ascii_host(parseaddr(mail_from)[1].rpartition('@')[2])}>"


def compose(
    *,
    mail_id: UUID,
    mail_from: str,
    to_address: str,
    subject: str,
    text: str,
    html: str | None,
    created_at: datetime,
    sender_name: str | None = None,
    reply_to: str | None = None,
    papers: Sequence[Paper] = (),
) -> EmailMessage:
    """Plain text, with the HTML as its alternative where there is one, and files. Raises Undeliverable.

    The address it comes from stays the installation's, which alone may send for its domain; the name is the person's
    in whose name it goes out, and answers go to them.
    """
    message = EmailMessage(policy=SMTP)
    name, sender = parseaddr(mail_from)
    try:
        message["From"] = Address(
            display_name=f"{sender_name} via {name}" if sender_name else name, addr_spec=_ascii(sender)
        )
        if reply_to is not None:
            message["Reply-To"] = Address(display_name=sender_name or "", addr_spec=_ascii(reply_to))
        message["To"] = Address(addr_spec=_ascii(to_address))
        message["Subject"] = subject
    except (ValueError, IndexError, MessageError) as error:
        # What the standard library says to some addresses, such as "@" and "(a)@b.example".
        raise Undeliverable(f"{to_address} is not an address that mail can be sent to") from error
    message["Date"] = format_datetime(created_at.astimezone(UTC))
    message["Message-ID"] = message_id(mail_id, mail_from)
    # Out-of-office replies to a machine help nobody (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
        # Not a random one, as it would be otherwise: a repeat is the same bytes.
        message.set_boundary(f"part-{mail_id.hex}")
    for paper in papers:
        main, _, sub = paper.media_type.partition("/")
        message.add_attachment(paper.content, maintype=main, subtype=sub, filename=paper.name)
    if papers:
        message.set_boundary(f"whole-{mail_id.hex}")
    return message


def _ascii_host(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _ascii(address: str) -> str:
    """The address with its host in the form that the name system knows."""
    local, _, host = address.rpartition("@")
    return f"{local}@{_ascii_host(host)}"
