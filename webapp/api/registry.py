"""/api/registry: whether an invoice is financed here, told to operators and services and to nobody else."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.errors import Invalid
from core.identity import Role
from core.marketplace import duplicates
from core.marketplace.duplicates import Document
from core.taxids import DocumentKind, Party, gstin, pan
from webapp import auth, limits
from webapp.api import kyc_models as models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("registry", __name__, url_prefix="/api/registry")

# Stands for an account where none is meant: no token is made of it that anything stored could have.
_NOBODY = UUID(int=0)


def _party(side: str, gstin_text: str | None, pan_text: str | None) -> Party:
    if not gstin_text and not pan_text:
        raise Invalid(f"{side}_gstin", f"give the {side}'s GSTIN or its PAN")
    return Party(
        gstin=gstin.parse(gstin_text, f"{side}_gstin").text if gstin_text else None,
        pan=pan.parse(pan_text, f"{side}_pan") if pan_text else None,
    )


# A POST, because what is asked belongs in no log of addresses.
@blueprint.post("/check")
@limits.registry_limit
@operation("registry", {200: models.RegistryAnswer}, body=models.RegistryInput)
def check(body: models.RegistryInput) -> Response:
    """Whether an invoice is financed here: yes or no, and nothing else."""
    auth.require(Role.OPERATOR)
    asked = Document(
        seller_id=_NOBODY,
        buyer_email="",
        number=body.number,
        issued=body.issue_date,
        amount=0,
        currency="INR",
        kind=DocumentKind(body.document_type),
        seller=_party("supplier", body.supplier_gstin, body.supplier_pan),
        buyer=_party("buyer", body.buyer_gstin, body.buyer_pan),
    )
    with services().database.session() as session:
        return reply({"financed": duplicates.is_financed(session, asked, services().rules.fingerprint_key)})
