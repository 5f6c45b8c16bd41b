"""Statement files: brought, asked about, read, looked over; taking them in is `core.banking.statement_taking`.

The file itself is kept in the cabinet, and each of its lines in `statement_lines`, whatever becomes of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, files
from core.banking import statement_accounts as book
from core.banking.apply import mask
from core.banking.statement_accounts import Account, Wanted
from core.banking.statement_fates import Told, bank_reference, fates, identities
from core.bulk import Rows
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.live import announce
from core.money import exponent
from core.statement_files import Line, Mapping, Reading, Table, ask, format_of, read, same_columns

# Files that were brought and not taken in; the oldest makes room.
MAX_WAITING = 20
_LINES = Rows(
    import_id="uuid",
    position="integer",
    row_number="integer",
    object_id="text",
    amount="bigint",
    currency="text",
    booked_on="date",
    valued_on="date",
    narration="text",
    counterparty="text",
    bank_reference="text",
    category="text",
    balance="bigint",
    fate="text",
    transaction_id="uuid",
)


class StatementNotReady(Conflict):
    """The import is not in the state that this needs: it is asked about, taken in already, or undone."""

    code = "statement_not_ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a file says as far as it can be said now: `reading` is None while a CSV file's columns are asked for."""

    format: str
    number_masked: str | None
    currency: str | None
    table: Table | None = None
    mapping: Mapping | None = None
    reading: Reading | None = None


def understand(
    content: bytes, *, mapping: Mapping | None = None, saved: Mapping | None = None, currency: str | None = None
) -> Understood:
    """Read a file; pure, and long for a long one. `saved` is used where its columns are those of the file.

    Raises StatementUnreadable, StatementTooLarge or Invalid.
    """
    kind = format_of(content)
    if kind != "csv":
        reading = read(content)
        return Understood(
            format=kind, number_masked=mask(reading.account_number), currency=reading.currency, reading=reading
        )
    table = ask(content)
    chosen = mapping
    if chosen is not None:
        chosen = chosen.model_copy(update={"delimiter": table.delimiter, "header": table.header})
    elif saved is not None and same_columns(saved, table):
        chosen = saved
    found = None
    if chosen is not None and currency is not None:
        exponent(currency)
        found = read(content, chosen, currency)
    return Understood(format=kind, number_masked=None, currency=currency, table=table, mapping=chosen, reading=found)


def require_seller(actor: Actor) -> None:
    """Raises Forbidden for everybody but sellers."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers bring statements")


def bring(
    session: Session,
    actor: Actor,
    kept: files.Kept,
    understood: Understood,
    wanted: Wanted,
    now: datetime,
) -> UUID:
    """Write down a file that is on disk and was understood; returns the import's id.

    It is "ready", or "asking" while its account or columns are not known. Raises Forbidden, NotFound, Invalid or
    FileQuotaReached.
    """
    require_seller(actor)
    _make_room(session, actor)
    stored = files.record(session, actor.id, kept, now)
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO statement_imports (id, user_id, file_id, name, format, state, said, created_at) "
            "VALUES (:id, :user, :file, :name, :format, 'asking', CAST(:said AS jsonb), :now)"
        ),
        {
            "id": identity,
            "user": actor.id,
            "file": stored.id,
            "name": stored.name,
            "format": understood.format,
            "said": json.dumps(_asked(understood)),
            "now": now,
        },
    )
    _settle(session, actor, identity, understood, wanted, now)
    audit.record(session, actor, "statement.brought", "statement", identity, {"format": understood.format}, now)
    return identity


def answer(
    session: Session, actor: Actor, import_id: UUID, understood: Understood, wanted: Wanted, now: datetime
) -> None:
    """Read an import that is not taken in anew, as its account and columns are known now.

    Raises NotFound, StatementNotReady, or Invalid.
    """
    row = lock(session, actor, import_id)
    if row.state not in ("asking", "ready"):
        raise StatementNotReady("this statement is taken in already")
    session.execute(text("DELETE FROM statement_lines WHERE import_id = :id"), {"id": import_id})
    _settle(session, actor, import_id, understood, wanted, now)


def lock(session: Session, actor: Actor, import_id: UUID) -> Any:
    """The import's row, locked. Raises NotFound, or Forbidden for whoever may only look."""
    row = session.execute(
        text("SELECT * FROM statement_imports WHERE id = :id AND (:all OR user_id = :user) FOR UPDATE"),
        {"id": import_id, "all": actor.is_operator, "user": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("statement", import_id)
    if row.user_id != actor.id:
        raise Forbidden("only its owner decides on a statement")
    return row


def _asked(understood: Understood) -> dict[str, Any]:
    said: dict[str, Any] = {"number_masked": understood.number_masked, "currency": understood.currency}
    if (table := understood.table) is not None:
        guess = understood.mapping or table.guess
        said["table"] = {
            "header": [cell[:60] for cell in table.header],
            "preview": [[cell[:120] for cell in cells] for cells in table.preview],
            "guess": None if guess is None else guess.model_dump(exclude={"header"}),
            "sure": table.sure,
            "date_formats": list(table.date_formats),
        }
    return said


def _settle(
    session: Session, actor: Actor, import_id: UUID, understood: Understood, wanted: Wanted, now: datetime
) -> None:
    """Find or make the account, and write the lines with their fates, where all is known; else what is asked."""
    said_currency = understood.currency if understood.table is None else None
    number = understood.number_masked
    found = book.find(session, actor, wanted, number, said_currency)
    if found is None and wanted.name:
        currency = wanted.currency or understood.currency
        if currency is None:
            raise Invalid("currency", "say in which currency the new account is")
        found = book.make(session, actor, wanted.name, currency, now)
    if found is not None:
        book.require_fit(found, number, said_currency)
    ready = found is not None and understood.reading is not None and understood.currency == found.currency
    session.execute(
        text(
            "UPDATE statement_imports SET connection_id = :account, state = :state, said = CAST(:said AS jsonb), "
            "mapping = CAST(:mapping AS jsonb), errors = '[]', lines = 0, fresh = 0, known = 0, doubled = 0 "
            "WHERE id = :id"
        ),
        {
            "account": None if found is None else found.id,
            "state": "ready" if ready else "asking",
            "said": json.dumps(_asked(understood)),
            "mapping": None if understood.mapping is None else json.dumps(understood.mapping.model_dump()),
            "id": import_id,
        },
    )
    if ready and found is not None and understood.reading is not None:
        _write(session, actor, import_id, found, understood.reading, _asked(understood))


def _write(
    session: Session, actor: Actor, import_id: UUID, account: Account, reading: Reading, said: dict[str, Any]
) -> None:
    keys = identities(reading.lines)
    told = [told_of(line, key) for line, key in zip(reading.lines, keys, strict=True)]
    known = fates(session.connection(), actor.id, account.id, account.number_masked, told)
    session.execute(
        text(_LINES.insert("statement_lines")),
        _LINES.parameters(
            _row(import_id, place, line, one, fate, identity)
            for place, (line, one, (fate, identity)) in enumerate(zip(reading.lines, told, known, strict=True), start=1)
        ),
    )
    counts = [fate for fate, _ in known]
    days = [line.booked_on for line in reading.lines]
    session.execute(
        text(
            "UPDATE statement_imports SET lines = :lines, fresh = :fresh, known = :known, doubled = :doubled, "
            "said = CAST(:said AS jsonb), errors = CAST(:errors AS jsonb) WHERE id = :id"
        ),
        {
            "lines": len(counts),
            "fresh": counts.count("new"),
            "known": counts.count("known"),
            "doubled": counts.count("duplicate"),
            "said": json.dumps(
                said
                | {
                    "opening": reading.opening,
                    "closing": reading.closing,
                    "gap": reading.gap,
                    "pending": reading.pending,
                    "wrong": reading.wrong,
                    "first_on": min(days).isoformat() if days else None,
                    "last_on": max(days).isoformat() if days else None,
                }
            ),
            "errors": json.dumps([{"row": each.row, "message": each.message[:200]} for each in reading.errors]),
            "id": import_id,
        },
    )


def told_of(line: Line, object_id: str) -> Told:
    """A line as it is compared."""
    return Told(
        object_id=object_id,
        minor=line.minor,
        currency=line.currency,
        booked_on=line.booked_on,
        valued_on=line.valued_on,
        narration=line.narration,
        reference=bank_reference(line),
    )


def _row(import_id: UUID, place: int, line: Line, told: Told, fate: str, identity: UUID | None) -> dict[str, Any]:
    return {
        "import_id": import_id,
        "position": place,
        "row_number": line.row,
        "object_id": told.object_id,
        "amount": line.minor,
        "currency": line.currency,
        "booked_on": line.booked_on,
        "valued_on": line.valued_on,
        "narration": line.narration,
        "counterparty": line.counterparty,
        "bank_reference": told.reference,
        "category": line.category,
        "balance": line.balance,
        "fate": fate,
        "transaction_id": identity,
    }


def _make_room(session: Session, actor: Actor) -> None:
    """Drop the oldest files that wait for an answer, so that only so many do."""
    waiting = session.scalars(
        text(
            "SELECT id FROM statement_imports WHERE user_id = :user AND state IN ('asking', 'ready') "
            "ORDER BY id DESC OFFSET :most FOR UPDATE"
        ),
        {"user": actor.id, "most": MAX_WAITING - 1},
    ).all()
    for import_id in waiting:
        _forget(session, import_id)


def drop(session: Session, actor: Actor, import_id: UUID, now: datetime) -> None:
    """Throw a file away that was not taken in. Raises NotFound or StatementNotReady."""
    row = lock(session, actor, import_id)
    if row.state not in ("asking", "ready"):
        raise StatementNotReady("this statement is taken in; undo it instead")
    _forget(session, import_id)
    audit.record(session, actor, "statement.dropped", "statement", import_id, {}, now)


def _forget(session: Session, import_id: UUID) -> None:
    file_id = session.scalar(text("DELETE FROM statement_imports WHERE id = :id RETURNING file_id"), {"id": import_id})
    session.execute(text("DELETE FROM files WHERE id = :id"), {"id": file_id})


def tell(session: Session, user_id: UUID, import_id: UUID, state: str, taken: int, lines: int) -> None:
    """Announce how far an import is."""
    data: dict[str, object] = {"statement_id": str(import_id), "state": state, "taken": taken, "lines": lines}
    announce(session, [DomainEvent(room=f"user:{user_id}", name="statement.updated", data=data)])


def today_or_before(day: date, now: datetime) -> date:
    """The day, unless it is to come: money that is not there yet is no line. Raises Invalid."""
    # A day ahead in the east.
    if (day - now.date()).days > 1:
        raise Invalid("booked_on", "must not be in the future")
    return day
