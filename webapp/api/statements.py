"""/api/statements: files of bank statements, looked over before they are taken in, and lines typed by hand."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.banking import queries as transactions
from core.banking import statement_accounts as book
from core.banking import statement_queries as queries
from core.banking import statement_taking as taking
from core.banking import statements
from core.banking.statement_accounts import Wanted
from core.banking.statement_taking import NewLine
from core.errors import Invalid
from core.statement_files import Mapping
from webapp import auth, bringing, limits, uploads
from webapp.api import models, statement_models
from webapp.api.edge import check_value, once, reply
from webapp.openapi import A_FILE, operation
from webapp.services import services

blueprint = Blueprint("statements", __name__, url_prefix="/api/statements")

_FORM = {
    "file": A_FILE,
    "account_id": {"type": "string", "default": ""},
    "account_name": {"type": "string", "maxLength": 100, "default": ""},
    "currency": {"type": "string", "default": ""},
    "mapping": {"type": "string", "default": "", "description": "The mapping as JSON."},
}


def _wanted(given: statement_models.AccountInput) -> Wanted:
    return Wanted(id=given.account_id, name=given.account_name, currency=given.currency)


def _form() -> tuple[statement_models.AnswerInput, str, bytes]:
    """The file of a multipart form, and the fields beside it. Raises Invalid or FileTooLarge."""
    name, content = uploads.read_file()
    fields: dict[str, Any] = {
        key: value for key in ("account_id", "account_name", "currency") if (value := request.form.get(key))
    }
    try:
        if mapping := request.form.get("mapping"):
            fields["mapping"] = Mapping.model_validate(json.loads(mapping))
        check_value({key: value for key, value in fields.items() if key != "mapping"})
        return statement_models.AnswerInput.model_validate(fields), name, content
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Invalid(".".join(map(str, first["loc"]))[:200] or "mapping", first["msg"][:300]) from error
    except (ValueError, RecursionError) as error:
        raise Invalid("mapping", "is not JSON") from error


@blueprint.get("")
@operation("statements", {200: statement_models.Statements}, query=models.PageQuery)
def index(query: models.PageQuery) -> Response:
    """Statements that were brought, and lines typed by hand, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.list_statements(session, person, limit=query.limit, cursor=query.cursor))


@blueprint.post("")
# In base64 a file is a third longer.
@uploads.takes_files(2)
@limits.upload_limit
@operation(
    "statements", {201: statement_models.Statement}, body=statement_models.StatementInput, form=_FORM,
    problems=(404, 409),
)  # fmt: skip
def bring(body: statement_models.StatementInput | None = None) -> Response:
    """Bring a statement of at most 5 MB and 20,000 lines: CSV, OFX or QFX, CAMT.053, or MT940, judged by its content.

    Nothing is taken in yet: the answer says what it is, what would be new, and what is to be said before.
    """
    person = auth.actor()
    if body is None:
        given, name, content = _form()
        import_id = bringing.bring(person, name, content, _wanted(given), given.mapping)
    else:
        content = bringing.decoded(body.content)
        import_id = bringing.bring(person, body.filename, content, _wanted(body), body.mapping)
    with services().database.session() as session:
        return reply(queries.get_statement(session, person, import_id), 201)


@blueprint.get("/accounts")
@operation("statements", {200: statement_models.Accounts})
def accounts() -> Response:
    """The asker's accounts whose statements are brought."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": [each.shape() for each in book.accounts(session, person)]})


@blueprint.post("/lines")
@operation("statements", {201: models.Transaction}, body=statement_models.LineInput, problems=(404, 409))
def enter(body: statement_models.LineInput) -> Response:
    """Enter one line by hand. What the books hold already is refused."""
    person = auth.actor()
    new = NewLine(
        account=_wanted(body),
        amount=body.amount,
        booked_on=body.booked_on,
        narration=body.narration,
        counterparty=body.counterparty,
        reference=body.reference,
    )

    def work(session: Session) -> tuple[dict[str, Any], int]:
        _, transaction_id = taking.add_line(session, person, new, auth.now(), services().rules.calendar)
        return transactions.get_transaction(session, person, transaction_id), 201

    entered = once(person, work)
    bringing.ring()
    return entered


@blueprint.get("/<uuid:statement_id>")
@operation("statements", {200: statement_models.Statement}, problems=(404,))
def show(statement_id: UUID) -> Response:
    """A statement, with what is asked about it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_statement(session, person, statement_id))


@blueprint.get("/<uuid:statement_id>/lines")
@operation("statements", {200: statement_models.Lines}, query=statement_models.LinesQuery, problems=(404,))
def lines(statement_id: UUID, query: statement_models.LinesQuery) -> Response:
    """Its lines in the order of the file."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_lines(session, person, statement_id, limit=query.limit, cursor=query.cursor, fate=query.fate)
        )


@blueprint.get("/<uuid:statement_id>/file")
@operation("statements", {200: None}, problems=(404,))
def file(statement_id: UUID) -> Response:
    """The file as it was brought."""
    person = auth.actor()
    with services().database.session() as session:
        stored = queries.get_file(session, person, statement_id)
    return uploads.send_file(stored, services().cabinet.read(stored.sha256))


@blueprint.post("/<uuid:statement_id>/answer")
@limits.upload_limit
@operation("statements", {200: statement_models.Statement}, body=statement_models.AnswerInput, problems=(404, 409))
def answer(statement_id: UUID, body: statement_models.AnswerInput) -> Response:
    """Say which account a statement is of, or what its columns mean; it is read anew."""
    person = auth.actor()
    bringing.answer(person, statement_id, _wanted(body), body.mapping)
    with services().database.session() as session:
        return reply(queries.get_statement(session, person, statement_id))


@blueprint.post("/<uuid:statement_id>/confirm")
@operation("statements", {200: statement_models.Statement}, problems=(404, 409))
def confirm(statement_id: UUID) -> Response:
    """Take a statement in. One of more than 2,000 lines is taken in by a worker; `taken` says how far it is."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        bringing.take_in(session, person, statement_id)
        return queries.get_statement(session, person, statement_id), 200

    done = once(person, work)
    bringing.ring()
    return done


@blueprint.delete("/<uuid:statement_id>")
@operation("statements", {204: None}, problems=(404, 409))
def delete(statement_id: UUID) -> Response:
    """Throw away what is not taken in, or take back what is, while none of its lines pays anything."""
    person = auth.actor()
    with services().database.session() as session:
        state = statements.lock(session, person, statement_id).state
        if state in ("asking", "ready"):
            statements.drop(session, person, statement_id, auth.now())
        else:
            taking.undo(session, person, statement_id, auth.now())
    return Response(status=204)
