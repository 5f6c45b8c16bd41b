"""The shapes of confirmations: docs/confirmation.md."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from webapp.api.models import Output


class ConfirmationKey(Output):
    """A public key. `public_key` is its 32 bytes in base64, `pem` the same as openssl reads it."""

    id: str
    algorithm: Literal["Ed25519"]
    public_key: str
    pem: str
    since: datetime | None = None


class ConfirmationKeys(Output):
    """Every key under which confirmations were signed, newest first; `current` signs now."""

    current: str
    keys: list[ConfirmationKey]


class Confirmation(Output):
    """What a buyer accepted. `signature` (base64) is of the UTF-8 bytes of `canonical`."""

    id: UUID
    invoice_id: UUID
    financing_id: UUID
    version: int
    via: Literal["account", "link"]
    amount: int
    face: int
    deductions: int
    currency: str
    due_date: date
    accepted_at: datetime
    canonical: str
    sha256: str
    signature: str
    key: ConfirmationKey
    verified: bool
