"""Bringing a statement: what the API and the pages do alike. Reading a long file is done beside the other greenlets."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from flask import current_app
from sqlalchemy.orm import Session

from core.banking import statement_accounts as book
from core.banking import statement_queries as queries
from core.banking import statement_taking as taking
from core.banking import statements
from core.banking.statement_accounts import Wanted
from core.errors import Invalid
from core.files import ANYTHING, require_room
from core.identity import Actor
from core.statement_files import MAX_BYTES, Mapping, StatementTooLarge
from webapp import auth, runtime
from webapp.services import services


def decoded(content: str) -> bytes:
    """A file out of base64. Raises Invalid or StatementTooLarge."""
    if len(content) > (MAX_BYTES + 2) // 3 * 4:
        raise StatementTooLarge
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("content", "is not base64") from error


def _understood(
    person: Actor, content: bytes, wanted: Wanted, mapping: Mapping | None
) -> tuple[statements.Understood, Wanted]:
    """The file as it is read for this account, if that is there already."""
    if mapping is not None:
        mapping.check()
    with services().database.session() as session:
        found = book.find(session, person, wanted, None, None)
    saved, currency = (None, wanted.currency) if found is None else (found.mapping, found.currency)
    understood = runtime.offload(_read, content, mapping, saved, currency)
    return understood, wanted


def _read(
    content: bytes, mapping: Mapping | None, saved: Mapping | None, currency: str | None
) -> statements.Understood:
    return statements.understand(content, mapping=mapping, saved=saved, currency=currency)


def bring(person: Actor, name: str, content: bytes, wanted: Wanted, mapping: Mapping | None) -> UUID:
    """Read a file, keep it, and write down what it says; returns the import's id.

    Raises what core does: StatementUnreadable, StatementTooLarge, Invalid, NotFound, Forbidden, FileQuotaReached.
    """
    statements.require_seller(person)
    with services().database.session() as session:
        require_room(session, person.id, len(content))
    understood, wanted = _understood(person, content, wanted, mapping)
    kept = runtime.offload(services().cabinet.keep, name, content, ANYTHING)
    with services().database.session() as session:
        return statements.bring(session, person, kept, understood, wanted, auth.now())


def answer(person: Actor, import_id: UUID, wanted: Wanted, mapping: Mapping | None) -> None:
    """Read a file that was brought again, with its account and columns as they are said now. Raises what core does."""
    with services().database.session() as session:
        statements.lock(session, person, import_id)
        stored = queries.get_file(session, person, import_id)
    content = runtime.offload(services().cabinet.read, stored.sha256)
    understood, wanted = _understood(person, content, wanted, mapping)
    with services().database.session() as session:
        statements.answer(session, person, import_id, understood, wanted, auth.now())


def take_in(session: Session, person: Actor, import_id: UUID) -> None:
    """Confirm, and take in what is short enough at once; a worker does the rest. Raises what core does."""
    now, calendar = auth.now(), services().rules.calendar
    if taking.confirm(session, person, import_id, now) <= taking.AT_ONCE:
        while taking.take(session, import_id, now, calendar):
            pass


def ring() -> None:
    """Have workers take in what is long, and compare what is new with the open invoices. After the commit."""
    ringer = current_app.extensions["ledgerwire.inlet"].ringer
    ringer.ring("pull")
    ringer.ring("reconcile")
