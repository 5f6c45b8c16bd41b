"""Invoices out of a file: looked over first, made by a job, each entry of a file once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import inputs, invoices
from core.invoicing.inputs import NewInvoice
from core.invoicing.references import number_key
from core.invoicing.totals import NewItem
from core.lists import invoice_files
from core.lists.invoice_files import ColumnMapping, Group, RowError, Sheet

MAX_KEPT = 20
SHOWN_ERRORS = 100
_PREVIEW_ROWS = 5


class AlreadyConfirmed(Conflict):
    """The file is being imported, or was."""

    code = "import_confirmed"


def sellers_only(actor: Actor) -> None:
    """Raises Forbidden to everybody else."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers import invoices")


def upload(session: Session, actor: Actor, name: str, content: bytes, now: datetime) -> dict[str, Any]:
    """Keep a file until it is confirmed, and look it over by the best guess. Raises Invalid, StatementUnreadable."""
    sellers_only(actor)
    sheet = invoice_files.read(content)
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO invoice_imports (id, user_id, name, sha256, content, mapping, created_at) "
            "VALUES (:id, :user, :name, :sha256, :content, CAST(:mapping AS jsonb), :now)"
        ),
        {
            "id": identity,
            "user": actor.id,
            "name": (name.strip() or "invoices.csv")[:200],
            "sha256": hashlib.sha256(content).digest(),
            "content": content,
            "mapping": sheet.guess.model_dump_json(),
            "now": now,
        },
    )
    # What was looked at and left is forgotten.
    session.execute(
        text(
            "DELETE FROM invoice_imports WHERE user_id = :user AND job_id IS NULL AND id NOT IN "
            "(SELECT id FROM invoice_imports WHERE user_id = :user AND job_id IS NULL ORDER BY id DESC LIMIT :kept)"
        ),
        {"user": actor.id, "kept": MAX_KEPT},
    )
    return show(session, actor, identity)


def _own(session: Session, actor: Actor, import_id: UUID, *, lock: bool = False) -> Any:
    row = session.execute(
        text(
            "SELECT id, name, sha256, content, mapping, job_id, created_at FROM invoice_imports "
            f"WHERE id = :id AND user_id = :user {'FOR UPDATE' if lock else ''}"
        ),
        {"id": import_id, "user": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("import", import_id)
    return row


def show(session: Session, actor: Actor, import_id: UUID) -> dict[str, Any]:
    """The file, how it is read, and what would come of it: errors by line, and totals by currency. Raises NotFound."""
    row = _own(session, actor, import_id)
    shown: dict[str, Any] = {
        "id": str(row.id),
        "name": row.name,
        "job_id": str(row.job_id) if row.job_id else None,
        "created_at": row.created_at,
        "mapping": row.mapping,
        "fields": list(invoice_files.FIELDS),
        "required": list(invoice_files.REQUIRED),
        "header": [],
        "preview": [],
        "invoices": 0,
        "ready": 0,
        "made_before": 0,
        "totals": [],
        "errors": [],
        "error_count": 0,
    }
    if row.content is None:
        return shown
    mapping = ColumnMapping.model_validate(row.mapping)
    sheet = invoice_files.read(bytes(row.content), mapping.delimiter)
    shown |= {"header": list(sheet.header), "preview": [list(cells) for _, cells in sheet.rows[:_PREVIEW_ROWS]]}
    return shown | _tried(session, actor, sheet, mapping, bytes(row.sha256))


def _tried(session: Session, actor: Actor, sheet: Sheet, mapping: ColumnMapping, sha256: bytes) -> dict[str, Any]:
    """The dry run: nothing is written."""
    try:
        found = invoice_files.groups(sheet, mapping)
    except Invalid as error:
        refused = {"line": 0, "field": error.field, "message": error.message}
        return {"errors": [refused], "error_count": 1}
    taken = _taken(session, actor, found)
    made_before = _made(session, actor, sha256)
    errors: list[RowError] = []
    totals: dict[str, int] = {}
    ready = 0
    for group in found:
        if group.entry in made_before:
            continue
        wrong = list(group.errors) or _wrong(session, actor, group, taken, totals)
        errors += wrong
        ready += not wrong
    return {
        "invoices": len(found),
        "ready": ready,
        "made_before": len(made_before & {group.entry for group in found}),
        "totals": [{"currency": currency, "total": total} for currency, total in sorted(totals.items())],
        "errors": [invoice_files.plain(error) for error in errors[:SHOWN_ERRORS]],
        "error_count": len(errors),
    }


def _taken(session: Session, actor: Actor, found: Sequence[Group]) -> set[str]:
    """Of the numbers in the file those that an invoice of the seller has."""
    keys = [number_key(group.number) for group in found if group.number]
    rows = session.scalars(
        text("SELECT number_key FROM invoices WHERE seller_id = :seller AND number_key = ANY(:keys)"),
        {"seller": actor.id, "keys": keys},
    )
    return set(rows)


def _made(session: Session, actor: Actor, sha256: bytes) -> set[str]:
    rows = session.scalars(
        text("SELECT entry FROM imported_invoices WHERE user_id = :user AND sha256 = :sha256"),
        {"user": actor.id, "sha256": sha256},
    )
    return set(rows)


def _wrong(session: Session, actor: Actor, group: Group, taken: set[str], totals: dict[str, int]) -> list[RowError]:
    """What the books would say against an invoice; its total is added where they say nothing."""
    if group.number and number_key(group.number) in taken:
        return [RowError(line=group.line, field="number", message=f"{group.number} is the number of another invoice")]
    if group.number:
        taken.add(number_key(group.number))
    try:
        new = _new(group.given or {})
        inputs.check(new)
        total = invoices.preview(session, actor, new).total
    except Invalid as error:
        return [RowError(line=group.line, field=error.field, message=error.message)]
    except PlatformError as error:
        return [RowError(line=group.line, field="", message=str(error))]
    totals[new.currency] = totals.get(new.currency, 0) + total
    return []


def remap(session: Session, actor: Actor, import_id: UUID, mapping: ColumnMapping) -> dict[str, Any]:
    """Read the file another way, and look it over again. Raises NotFound, AlreadyConfirmed."""
    if _own(session, actor, import_id, lock=True).job_id is not None:
        raise AlreadyConfirmed("this file was confirmed; bring it again to read it another way")
    session.execute(
        text("UPDATE invoice_imports SET mapping = CAST(:mapping AS jsonb) WHERE id = :id"),
        {"id": import_id, "mapping": mapping.model_dump_json()},
    )
    return show(session, actor, import_id)


def confirm(session: Session, actor: Actor, import_id: UUID, now: datetime, *, draft: bool) -> dict[str, Any]:
    """Have the entries that nothing is wrong with made, by a job, which is returned. The others are failed rows of it.

    Again it is the same job. Raises NotFound, Invalid when the file cannot be read so.
    """
    # Here, as that module works off the rows by this one.
    from core.lists import bulk  # noqa: PLC0415

    row = _own(session, actor, import_id, lock=True)
    if row.job_id is not None:
        return bulk.show(session, actor, row.job_id)
    mapping = ColumnMapping.model_validate(row.mapping)
    found = invoice_files.groups(invoice_files.read(bytes(row.content), mapping.delimiter), mapping)
    rows = [
        {
            "invoice_id": None,
            "label": group.number or group.entry,
            "given": json.dumps(
                {
                    "entry": group.entry,
                    "number": group.number,
                    "new": group.given,
                    "errors": [
                        f"line {error.line}, {_spoken(error.field)}: {error.message}" for error in group.errors[:5]
                    ],
                }
            ),
        }
        for group in found
    ]
    options = {"sha256": bytes(row.sha256).hex(), "draft": draft}
    job = bulk.make(session, actor, "import", rows, options, now)
    session.execute(
        text("UPDATE invoice_imports SET job_id = :job, content = NULL WHERE id = :id"),
        {"job": UUID(job["id"]), "id": import_id},
    )
    return job


def _spoken(field: str) -> str:
    """A field's name as people read it."""
    return field.rpartition(".")[2].replace("_", " ")


def _new(given: Mapping[str, Any]) -> NewInvoice:
    days = {name: date.fromisoformat(given[name]) for name in ("issue_date", "due_date")}
    items = [
        NewItem(**{**item, **{name: Decimal(item[name]) for name in ("quantity", "discount_rate", "tax_rate")}})
        for item in given["items"]
    ]
    return NewInvoice(**{**given, **days, "items": items})


def make(session: Session, actor: Actor, options: Mapping[str, Any], given: Mapping[str, Any], now: datetime) -> UUID:
    """Make one entry of a file; the one that was made of it before, when there is one. Raises what making does."""
    if given["new"] is None:
        raise Invalid("file", "; ".join(given["errors"]) or "cannot be read")
    key = {"user": actor.id, "sha256": bytes.fromhex(options["sha256"]), "entry": given["entry"]}
    before = session.scalar(
        text("SELECT invoice_id FROM imported_invoices WHERE user_id = :user AND sha256 = :sha256 AND entry = :entry"),
        key,
    )
    if before is not None:
        return UUID(str(before))
    draft = bool(options["draft"])
    made = invoices.create(
        session, actor, _new(given["new"]), now, draft=draft, number=None if draft else given["number"]
    )
    session.execute(
        text(
            "INSERT INTO imported_invoices (user_id, sha256, entry, invoice_id) "
            "VALUES (:user, :sha256, :entry, :invoice)"
        ),
        {**key, "invoice": UUID(made["id"])},
    )
    return UUID(made["id"])
