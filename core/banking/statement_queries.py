"""Reading statements that were brought, as far as the asker may see them."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import files, paging
from core.errors import Invalid, NotFound
from core.identity import Actor

FATES = ("new", "known", "duplicate")
_COLUMNS = """
    statement_imports.id, statement_imports.name, statement_imports.format, statement_imports.state,
    statement_imports.mapping, statement_imports.said, statement_imports.errors, statement_imports.lines,
    statement_imports.fresh, statement_imports.known, statement_imports.doubled, statement_imports.taken,
    statement_imports.created_at, statement_imports.decided_at, statement_imports.file_id,
    statement_accounts.connection_id, statement_accounts.name AS account_name,
    statement_accounts.currency, statement_accounts.number_masked
"""
_FROM = """
    statement_imports LEFT JOIN statement_accounts
        ON statement_accounts.connection_id = statement_imports.connection_id
"""
_VISIBLE = "(:all OR statement_imports.user_id = :actor)"


def _shape(row: Any) -> dict[str, Any]:
    said = row.said
    return {
        "id": str(row.id),
        "name": row.name,
        "format": row.format,
        "state": row.state,
        "account": None
        if row.connection_id is None
        else {
            "id": str(row.connection_id),
            "name": row.account_name,
            "currency": row.currency,
            "number_masked": row.number_masked,
        },
        "lines": row.lines,
        "new": row.fresh,
        "known": row.known,
        "duplicates": row.doubled,
        "taken": row.taken,
        "errors": row.errors,
        "wrong": said.get("wrong", 0),
        "pending": said.get("pending", 0),
        "currency": row.currency or said.get("currency"),
        "number_masked": said.get("number_masked"),
        "opening": said.get("opening"),
        "closing": said.get("closing"),
        "gap": said.get("gap"),
        "first_on": _day(said.get("first_on")),
        "last_on": _day(said.get("last_on")),
        "has_file": row.file_id is not None,
        "created_at": row.created_at,
        "decided_at": row.decided_at,
    }


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def list_statements(session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None) -> dict[str, Any]:
    """Statements that were brought and lines typed by hand, newest first."""
    conditions, values = [_VISIBLE], {"actor": actor.id, "all": actor.is_operator}
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("statement_imports.id < :after")
        values["after"] = after
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} "
            "ORDER BY statement_imports.id DESC LIMIT :limit"
        ),
        {**values, "limit": paging.check_limit(limit) + 1},
    ).all()
    return paging.page(rows, limit, _shape)


def _one(session: Session, actor: Actor, import_id: UUID) -> Any:
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE statement_imports.id = :id AND {_VISIBLE}"),
        {"id": import_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("statement", import_id)
    return row


def get_statement(session: Session, actor: Actor, import_id: UUID) -> dict[str, Any]:
    """A statement; while its columns are asked for also `table`: header, first rows and the guess. Raises NotFound."""
    row = _one(session, actor, import_id)
    return {**_shape(row), "mapping": row.mapping, "table": row.said.get("table")}


def get_file(session: Session, actor: Actor, import_id: UUID) -> files.StoredFile:
    """The file that was brought. Raises NotFound, also for a line that was typed."""
    row = _one(session, actor, import_id)
    if row.file_id is None:
        raise NotFound("file of statement", import_id)
    return files.describe(session, row.file_id)


def list_lines(
    session: Session,
    actor: Actor,
    import_id: UUID,
    *,
    limit: int = 25,
    cursor: str | None = None,
    fate: str | None = None,
) -> dict[str, Any]:
    """The lines of a statement in the order of the file. Raises NotFound or Invalid."""
    _one(session, actor, import_id)
    conditions, values = ["import_id = :id"], {"id": import_id, "after": paging.after_number(cursor) or 0}
    if fate:
        if fate not in FATES:
            raise Invalid("fate", f"must be one of {', '.join(FATES)}")
        conditions.append("fate = :fate")
        values["fate"] = fate
    rows = session.execute(
        text(
            f"SELECT * FROM statement_lines WHERE {' AND '.join(conditions)} AND position > :after "
            "ORDER BY position LIMIT :limit"
        ),
        {**values, "limit": paging.check_limit(limit) + 1},
    ).all()
    shown = rows[:limit]
    cursor = paging.spell_places([str(shown[-1].position)]) if len(rows) > limit else None
    return {"items": [_line(row) for row in shown], "next_cursor": cursor}


def _line(row: Any) -> dict[str, Any]:
    return {
        "position": row.position,
        "row": row.row_number,
        "amount": row.amount,
        "currency": row.currency,
        "booked_on": row.booked_on,
        "valued_on": row.valued_on,
        "narration": row.narration,
        "counterparty": row.counterparty,
        "bank_reference": row.bank_reference,
        "balance": row.balance,
        "fate": row.fate,
        "transaction_id": str(row.transaction_id) if row.transaction_id else None,
    }


def origins(session: Session, actor: Actor, transaction_id: UUID) -> list[dict[str, Any]]:
    """Which statements tell of a transaction, and at which line of the file; the first one first."""
    rows = session.execute(
        text(
            "SELECT statement_imports.id, statement_imports.name, statement_imports.format, file_id, row_number, fate, "
            "statement_imports.created_at FROM statement_lines JOIN statement_imports "
            "ON statement_imports.id = statement_lines.import_id AND statement_imports.state IN ('taking', 'done') "
            f"WHERE statement_lines.transaction_id = :id AND {_VISIBLE} ORDER BY statement_imports.id LIMIT 20"
        ),
        {"id": transaction_id, "actor": actor.id, "all": actor.is_operator},
    )
    return [
        {
            "id": str(row.id),
            "name": row.name,
            "format": row.format,
            "has_file": row.file_id is not None,
            "row": row.row_number,
            "fate": row.fate,
            "created_at": row.created_at,
        }
        for row in rows
    ]
