"""/api/contacts: the customers of a seller, their history and their statements of account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.contacts import accounts, queries, store
from core.contacts.statement import statement as make_statement
from webapp import auth
from webapp.api import contact_models as models
from webapp.api import payer_account_models
from webapp.api.edge import once, reply
from webapp.api.models import PageQuery
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("contacts", __name__, url_prefix="/api/contacts")
_YEAR = timedelta(days=365)


@blueprint.get("")
@operation("contacts", {200: models.Customers}, query=models.ContactsQuery)
def index(query: models.ContactsQuery) -> Response:
    """My contacts by name, with what each owes."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_contacts(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                search=query.search,
                archived=query.archived,
            )
        )


@blueprint.post("")
@operation("contacts", {201: models.CustomerDetails}, body=models.CustomerInput, problems=(409,))
def create(body: models.CustomerInput) -> Response:
    """Write a customer down."""
    person, new = auth.actor(), store.NewContact(**body.model_dump())

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return store.create(session, person, new, auth.now()), 201

    return once(person, work)


@blueprint.get("/<uuid:contact_id>")
@operation("contacts", {200: models.CustomerDetails}, problems=(404,))
def show(contact_id: UUID) -> Response:
    """A contact with what it owes, the credit held for it, and how it pays."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_contact(session, person, contact_id))


@blueprint.put("/<uuid:contact_id>")
@operation("contacts", {200: models.CustomerDetails}, body=models.CustomerChanges, problems=(404, 409))
def update(contact_id: UUID, body: models.CustomerChanges) -> Response:
    """Change a contact. Invoices that were issued keep what stands on them."""
    person = auth.actor()
    changes = body.model_dump(exclude_unset=True, exclude={"version"})
    with services().database.session() as session:
        return reply(store.update(session, person, contact_id, changes, auth.now(), expected_version=body.version))


@blueprint.post("/<uuid:contact_id>/archive")
@operation("contacts", {200: models.CustomerDetails}, problems=(404,))
def archive(contact_id: UUID) -> Response:
    """Put a contact away: lists leave it out. A repeat changes nothing."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(store.archive(session, person, contact_id, auth.now()))


@blueprint.post("/<uuid:contact_id>/restore")
@operation("contacts", {200: models.CustomerDetails}, problems=(404,))
def restore(contact_id: UUID) -> Response:
    """Bring a contact back that was put away. A repeat changes nothing."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(store.archive(session, person, contact_id, auth.now(), away=False))


@blueprint.get("/<uuid:contact_id>/accounts")
@operation("contacts", {200: payer_account_models.PayerAccounts}, problems=(404,))
def accounts_of(contact_id: UUID) -> Response:
    """The accounts and addresses that stand for a contact: given to it to pay to, or its own to pay from."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": accounts.of_contact(session, person, contact_id)})


@blueprint.post("/<uuid:contact_id>/accounts")
@operation(
    "contacts",
    {201: payer_account_models.PayerAccount},
    body=payer_account_models.PayerAccountInput,
    problems=(404, 409),
)
def add_account(contact_id: UUID, body: payer_account_models.PayerAccountInput) -> Response:
    """Write an account of a contact down: money that comes by it is this contact's. Two contacts cannot share one."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = accounts.add(session, person, contact_id, auth.now(), kind=body.kind, value=body.value, ifsc=body.ifsc)
        return made, 201

    return once(person, work)


@blueprint.delete("/<uuid:contact_id>/accounts/<uuid:account_id>")
@operation("contacts", {200: payer_account_models.RemovedAccount}, problems=(404,))
def remove_account(contact_id: UUID, account_id: UUID) -> Response:
    """Take an account away. What came by it stays as it is."""
    person = auth.actor()
    with services().database.session() as session:
        accounts.remove(session, person, contact_id, account_id, auth.now())
    return reply({"removed": True})


@blueprint.get("/<uuid:contact_id>/history")
@operation("contacts", {200: models.CustomerHistory}, query=PageQuery, problems=(404,))
def history(contact_id: UUID, query: PageQuery) -> Response:
    """Invoices, payments, credit notes and mails of a contact, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.history(session, person, contact_id, limit=query.limit, cursor=query.cursor))


@blueprint.get("/<uuid:contact_id>/statement")
@operation("contacts", {200: models.AccountStatement}, query=models.AccountStatementQuery, problems=(404,))
def statement(contact_id: UUID, query: models.AccountStatementQuery) -> Response:
    """A statement of account: what was owed at first, what moved it, and what is owed at last."""
    person, until = auth.actor(), query.until or auth.now().date()
    since = query.since or until - _YEAR
    with services().database.session() as session:
        return reply(make_statement(session, person, contact_id, since=since, until=until, currency=query.currency))
