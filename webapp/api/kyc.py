"""/api/auth/kyc: one's own KYC. /api/kyc: the operators' queue, decisions and papers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from core import kyc
from core.identity import Role
from core.kyc import documents, queries
from webapp import auth, limits, uploads
from webapp.api import kyc_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("kyc", __name__, url_prefix="/api")


@blueprint.get("/auth/kyc")
@operation("kyc", {200: models.Kyc})
def mine() -> Response:
    """How far my KYC is: profile, papers, what is missing, checks in words, history."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.mine(session, person))


@blueprint.post("/auth/kyc")
@operation("kyc", {200: models.Kyc}, body=models.KycInput, problems=(409,))
def submit(body: models.KycInput) -> Response:
    """Hand in who I am. It waits for an operator, and until then no money of mine moves."""
    person = auth.actor()
    profile = kyc.clean(
        legal_name=body.legal_name,
        constitution=body.constitution,
        pan_text=body.pan,
        account_name=body.account_name,
        gstin_text=body.gstin or "",
        udyam_text=body.udyam or "",
    )

    def work(session: Session) -> tuple[dict[str, Any], int]:
        kyc.submit(session, person, profile, auth.now())
        return queries.mine(session, person), 200

    return once(person, work)


@blueprint.post("/auth/kyc/documents")
@uploads.takes_file
@limits.upload_limit
@operation("kyc", {201: models.KycDocument}, upload=("kind", "file"), problems=(409,))
def add_document() -> Response:
    """Hand in a paper: PDF, PNG or JPEG of at most 5 MB, judged by its content, in the field `file`."""
    person = documents.require_person(auth.actor())
    kind = documents.check_kind(request.form.get("kind", "")[:100])
    kept = uploads.keep_file()
    with services().database.session() as session:
        return reply(documents.add(session, person, kind, kept, auth.now()), 201)


@blueprint.get("/kyc")
@operation("kyc", {200: models.KycQueue}, query=models.KycQuery)
def index(query: models.KycQuery) -> Response:
    """Everybody's KYC; those who wait come first in, first out. For operators."""
    person = auth.require(Role.OPERATOR)
    with services().database.session() as session:
        return reply(
            queries.queue(
                session, person, limit=query.limit, cursor=query.cursor, state=query.state, search=query.search
            )
        )


@blueprint.get("/kyc/<uuid:user_id>")
@operation("kyc", {200: models.KycReview}, problems=(404,))
def show(user_id: UUID) -> Response:
    """What an operator decides on."""
    person = auth.require(Role.OPERATOR)
    with services().database.session() as session:
        return reply(queries.review(session, person, user_id))


@blueprint.post("/kyc/<uuid:user_id>/decide")
@operation("kyc", {200: models.KycReview}, body=models.DecideInput, problems=(404, 409))
def decide(user_id: UUID, body: models.DecideInput) -> Response:
    """Verify, reject or expire somebody's KYC, for a reason that they are told."""
    person = auth.require(Role.OPERATOR)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        kyc.decide(session, person, user_id, body.decision, body.reason, auth.now(), version=body.version)
        return queries.review(session, person, user_id), 200

    return once(person, work)


@blueprint.get("/kyc/documents/<uuid:kyc_document_id>")
@operation("kyc", {200: None}, problems=(404,))
def document(kyc_document_id: UUID) -> Response:
    """Download a paper: its owner and operators may."""
    person = auth.actor()
    with services().database.session() as session:
        stored = documents.file_of(session, person, kyc_document_id)
    return uploads.send_file(stored, services().cabinet.read(stored.sha256))
