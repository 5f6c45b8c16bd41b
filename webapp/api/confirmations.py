"""What buyers confirmed, with its signature, and the keys to check it with."""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from core.errors import NotFound
from core.invoicing import invoices
from core.marketplace import confirmations
from core.marketplace.confirmations import Record
from webapp import auth
from webapp.api import confirmation_models as shapes
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("confirmations", __name__, url_prefix="/api")


def _key(identity: str, public_key: bytes, since: datetime | None = None) -> dict[str, Any]:
    return {
        "id": identity,
        "algorithm": confirmations.ALGORITHM,
        "public_key": base64.b64encode(public_key).decode("ascii"),
        "pem": confirmations.pem(public_key),
        "since": since,
    }


def shape(record: Record) -> dict[str, Any]:
    """A confirmation as it is shown; its signature is checked anew each time."""
    shown = asdict(record)
    public_key = shown.pop("public_key")
    return {
        **shown,
        "sha256": record.sha256.hex(),
        "signature": base64.b64encode(record.signature).decode("ascii"),
        "key": _key(shown.pop("key_id"), public_key),
        "verified": confirmations.verify(record.canonical, record.signature, public_key),
    }


@blueprint.get("/marketplace/confirmation-key")
@operation("confirmations", {200: shapes.ConfirmationKeys}, public=True)
def keys() -> Response:
    """The public keys of confirmations. Anybody may have them."""
    notary = services().notary
    with services().database.session() as session:
        known = confirmations.known_keys(session, notary)
    return reply(
        {
            "current": notary.key_id,
            "keys": [_key(each["id"], each["public_key"], each["since"]) for each in known],
        }
    )


@blueprint.get("/invoices/<uuid:invoice_id>/confirmation")
@operation("confirmations", {200: shapes.Confirmation}, problems=(404,))
def show(invoice_id: UUID) -> Response:
    """What the buyer of an invoice accepted, for its parties, and for investors once it is listed."""
    person = auth.actor()
    with services().database.session() as session:
        if not invoices.may_see(session, person, invoice_id):
            raise NotFound("invoice", invoice_id)
        return reply(shape(confirmations.of_invoice(session, invoice_id)))
