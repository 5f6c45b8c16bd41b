"""Links by which a buyer without an account answers: signed, bound to one version of one financing, and timed."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from core.errors import NotFound, PlatformError

_VERSION = 1
_MAX_TOKEN = 1024
_MAC_BYTES = 32
_HEAD_BYTES = 1 + 16 + 4 + 8


class LinkInvalid(NotFound):
    """The link was never given out, or was altered."""

    code = "link_invalid"

    def __init__(self) -> None:
        super().__init__("this link")


class LinkExpired(PlatformError):
    """The link was good and its time is over."""

    code = "link_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a good link says: who may answer for which version of which financing, until when."""

    financing_id: UUID
    version: int
    email: str
    expires_at: datetime


def link_token(key: bytes, link: Link) -> str:
    """A link as it stands in an address."""
    expiry = int(link.expires_at.timestamp())
    payload = (
        bytes([_VERSION])
        + link.financing_id.bytes
        + link.version.to_bytes(4)
        + expiry.to_bytes(8)
        + link.email.encode("utf-8")
    )
    return _spell(payload + hmac.digest(key, payload, "sha256"))


def open_link(key: bytes, token: str, now: datetime) -> Link:
    """What a token of ours says. Raises LinkInvalid, or LinkExpired for one whose time is over.

    Whether the financing still is at that version is for the caller to compare.
    """
    try:
        raw = base64.b64decode(token[:_MAX_TOKEN] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise LinkInvalid from None
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    ours = hmac.compare_digest(hmac.digest(key, payload, "sha256"), mac)
    # Several spellings decode to the same bytes; only the one that was given out is good.
    if not ours or len(payload) <= _HEAD_BYTES or payload[0] != _VERSION or _spell(raw) != token:
        raise LinkInvalid
    link = Link(
        financing_id=UUID(bytes=payload[1:17]),
        version=int.from_bytes(payload[17:21]),
        email=payload[_HEAD_BYTES:].decode("utf-8"),
        expires_at=datetime.fromtimestamp(int.from_bytes(payload[21:_HEAD_BYTES]), UTC),
    )
    if now >= link.expires_at:
        raise LinkExpired("the time of this link is over; ask the seller to send the invoice again")
    return link


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
