"""Links by which a customer sees an invoice without an account: signed, for one invoice, and revocable.

A link holds the invoice and the number of its links' generation, and nothing else: whoever has it sees what is now.
It ends when the seller raises that number (`revoke`), and a year after the invoice was due.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.orm import Session

from config.settings import Settings
from core import audit
from core.errors import Forbidden
from core.identity import Actor
from core.invoicing import queries
from core.marketplace.links import LinkExpired, LinkInvalid

_VERSION = 1
_HEAD_BYTES = 1 + 16 + 4
_MAC_BYTES = 32
_MAX_TOKEN = 200
# Books are looked at for a year after the last day to pay.
LIVES = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerLink:
    """What a good link says."""

    invoice_id: UUID
    link_version: int


def customer_link(key: bytes, invoice_id: UUID, link_version: int) -> str:
    """A link as it stands in an address: the same for the same invoice and generation."""
    payload = bytes([_VERSION]) + invoice_id.bytes + link_version.to_bytes(4)
    return _spell(payload + hmac.digest(key, payload, "sha256"))


def open_customer_link(key: bytes, token: str) -> CustomerLink:
    """What a token of ours says. Raises LinkInvalid for one that was never given out, or was altered.

    Whether its generation still holds is for the caller to compare (`check_alive`).
    """
    try:
        raw = base64.b64decode(token[:_MAX_TOKEN] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise LinkInvalid from None
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    ours = hmac.compare_digest(hmac.digest(key, payload, "sha256"), mac)
    # Several spellings decode to the same bytes; only the one that was given out is good.
    if not ours or len(payload) != _HEAD_BYTES or payload[0] != _VERSION or _spell(raw) != token:
        raise LinkInvalid
    return CustomerLink(invoice_id=UUID(bytes=payload[1:17]), link_version=int.from_bytes(payload[17:]))


def check_alive(link: CustomerLink, link_version: int, due_date: date, now: datetime) -> None:
    """Raises LinkExpired for a link that was taken back, or whose invoice was due more than a year ago."""
    if link.link_version != link_version:
        raise LinkExpired("this link was replaced by a newer one; ask who sent it for that")
    if now.date() > due_date + LIVES:
        raise LinkExpired("the time of this link is over; ask who sent the invoice for a new one")


@dataclass(frozen=True, slots=True)
class CustomerLinks:
    """Makes and opens the links of an installation."""

    _key: bytes = field(repr=False)
    base_url: str

    def token(self, invoice_id: UUID, link_version: int) -> str:
        """The signed part of a link."""
        return customer_link(self._key, invoice_id, link_version)

    def address(self, invoice_id: UUID, link_version: int) -> str:
        """The whole address of an invoice's page for its customer."""
        return f"{self.base_url}/i/{self.token(invoice_id, link_version)}"

    def open(self, token: str) -> CustomerLink:
        """What a token says. Raises LinkInvalid."""
        return open_customer_link(self._key, token)


@lru_cache(maxsize=8)
def _of(secret: str, base_url: str) -> CustomerLinks:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"ledgerwire customer link v1")
    return CustomerLinks(key.derive(secret.encode()), base_url)


def of(settings: Settings) -> CustomerLinks:
    """The links of an installation: the same secret always makes the same ones."""
    if settings.secret_key is None:
        raise ValueError("SECRET_KEY must be set; `ledgerwire up` makes it under DATA_DIR")
    return _of(settings.secret_key.get_secret_value(), settings.base_url)


def revoke(session: Session, actor: Actor, invoice_id: UUID, now: datetime) -> int:
    """Make every link to an invoice that was given out invalid; return the new generation.

    Raises NotFound, and Forbidden to all but its seller.
    """
    found: int | None = session.scalar(
        text(
            "UPDATE invoices SET link_version = link_version + 1 WHERE id = :id AND seller_id = :seller "
            "RETURNING link_version"
        ),
        {"id": invoice_id, "seller": actor.id},
    )
    if found is None:
        queries.get_invoice(session, actor, invoice_id)
        raise Forbidden("only the seller takes links to an invoice back")
    audit.record(session, actor, "invoice.link_revoked", "invoice", invoice_id, {}, now)
    return found


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
