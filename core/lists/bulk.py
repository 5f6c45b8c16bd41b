"""The same thing done to many invoices: chosen at once, worked off row by row, each exactly once.

A row's effect and its mark are one transaction, so that a worker that dies repeats nothing and forgets nothing. What
a row is refused is written on it, and the next one follows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from core.bulk import Rows
from core.correspondence import sending
from core.correspondence.allowance import DayIsFull
from core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError
from core.events import DomainEvent
from core.identity import Actor, Role, users
from core.ids import new_id
from core.invoicing import invoices, queries
from core.invoicing.filters import Filters
from core.invoicing.links import CustomerLinks
from core.lists import imports
from core.live import announce

ACTIONS: Final = ("send", "remind", "issue", "void", "delete_drafts")
# Mails go to people who did not ask for them: fewer at once.
MOST: Final = {"send": 1000, "remind": 1000, "issue": 10_000, "void": 10_000, "delete_drafts": 10_000}
MAX_UNFINISHED = 3
SHOWN_ERRORS = 100
# After how many rows the page is told.
_TELL_EVERY = 5

_ITEMS = Rows(job_id="uuid", position="integer", invoice_id="uuid", label="text", given="jsonb")
COLUMNS = "id, user_id, action, options, status, total, done, failed, created_at, started_at, finished_at"


class TooManyJobs(Conflict):
    """So many are unfinished that the next one must wait."""

    code = "too_many_jobs"


def start(
    session: Session,
    actor: Actor,
    action: str,
    now: datetime,
    *,
    ids: Sequence[UUID] | None = None,
    filters: Filters | None = None,
    message: str = "",
) -> dict[str, Any]:
    """Have something done to the invoices with these ids, or to all that `filters` shows; return the job.

    Doing it again makes another job: the edge has Idempotency-Key for that. Raises Forbidden, NotFound for an id that
    is not the seller's, Invalid, TooManyJobs.
    """
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers work on many invoices at once")
    if action not in ACTIONS:
        raise Invalid("action", f"must be one of {', '.join(ACTIONS)}")
    if len(message) > sending.MAX_MESSAGE:
        raise Invalid("message", f"must have at most {sending.MAX_MESSAGE} characters")
    most = MOST[action]
    chosen = _named(session, actor, ids, most) if ids is not None else _matching(session, actor, filters, most)
    rows = [{"invoice_id": identity, "label": label, "given": None} for identity, label in chosen]
    options = {"message": message} if message else {}
    return make(session, actor, action, rows, options, now)


def make(
    session: Session, actor: Actor, action: str, rows: Sequence[dict[str, Any]], options: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """Write a job down; `rows` are {invoice_id, label, given}. Raises TooManyJobs."""
    # Two requests at once take turns, so that they do not both find room.
    session.execute(text("SELECT FROM users WHERE id = :id FOR NO KEY UPDATE"), {"id": actor.id})
    unfinished = session.scalar(
        text("SELECT count(*) FROM bulk_jobs WHERE user_id = :user AND status IN ('waiting', 'working')"),
        {"user": actor.id},
    )
    if unfinished is not None and unfinished >= MAX_UNFINISHED:
        raise TooManyJobs(f"{MAX_UNFINISHED} jobs are unfinished; wait for one of them, or cancel it")
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO bulk_jobs (id, user_id, action, options, total, created_at) "
            "VALUES (:id, :user, :action, CAST(:options AS jsonb), :total, :now)"
        ),
        {
            "id": identity,
            "user": actor.id,
            "action": action,
            "options": json.dumps(options),
            "total": len(rows),
            "now": now,
        },
    )
    session.execute(
        text(_ITEMS.insert("bulk_items")),
        _ITEMS.parameters({"job_id": identity, "position": place, **row} for place, row in enumerate(rows)),
    )
    _tell(session, identity)
    return show(session, actor, identity)


def _named(session: Session, actor: Actor, ids: Sequence[UUID], most: int) -> list[tuple[UUID, str]]:
    wanted = list(dict.fromkeys(ids))
    if not 0 < len(wanted) <= most:
        raise Invalid("invoice_ids", f"must name 1 to {most} invoices")
    rows = session.execute(
        text("SELECT id, number FROM invoices WHERE id = ANY(:ids) AND seller_id = :seller"),
        {"ids": wanted, "seller": actor.id},
    )
    known = {row.id: row.number or "Draft" for row in rows}
    for identity in wanted:
        if identity not in known:
            raise NotFound("invoice", identity)
    return [(identity, known[identity]) for identity in wanted]


def _matching(session: Session, actor: Actor, filters: Filters | None, most: int) -> list[tuple[UUID, str]]:
    found = queries.matching(session, actor, filters or Filters(), most + 1)
    if not 0 < len(found) <= most:
        raise Invalid("filters", f"must leave 1 to {most} invoices")
    return [(identity, number or "Draft") for identity, number in found]


def left(job: Any) -> int:
    """How many rows of a job may be tried again."""
    over = job.status in {"done", "cancelled"} and "retried" not in job.options
    return int(job.total - job.done) if over else 0


def show(session: Session, actor: Actor, job_id: UUID) -> dict[str, Any]:
    """A job of the actor's (or, to an operator, anybody's), with the first rows that failed. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {COLUMNS} FROM bulk_jobs WHERE id = :id AND (user_id = :user OR :all)"),
        {"id": job_id, "user": actor.id, "all": actor.role is Role.OPERATOR},
    ).one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    errors = session.execute(
        text(
            "SELECT position, invoice_id, label, code, error FROM bulk_items WHERE job_id = :id AND state = 'failed' "
            "ORDER BY position LIMIT :limit"
        ),
        {"id": job_id, "limit": SHOWN_ERRORS},
    )
    return {
        **_shape(row),
        "retriable": left(row),
        "retried_by": row.options.get("retried"),
        "over_limit": session.scalar(
            text("SELECT count(*) FROM bulk_items WHERE job_id = :id AND code = :code"),
            {"id": job_id, "code": DayIsFull.code},
        ),
        "errors": [
            {**each._asdict(), "invoice_id": str(each.invoice_id) if each.invoice_id else None} for each in errors
        ],
    }


def recent(session: Session, actor: Actor, limit: int = 20) -> list[dict[str, Any]]:
    """The newest jobs of the actor, without their errors."""
    rows = session.execute(
        text(f"SELECT {COLUMNS} FROM bulk_jobs WHERE user_id = :user ORDER BY id DESC LIMIT :limit"),
        {"user": actor.id, "limit": limit},
    )
    return [_shape(row) for row in rows]


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "action": row.action,
        "status": row.status,
        "total": row.total,
        "done": row.done,
        "failed": row.failed,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def cancel(session: Session, actor: Actor, job_id: UUID, now: datetime) -> dict[str, Any]:
    """Stop a job where it is: what is done stays done. Of a finished one nothing changes.

    Raises NotFound, and Forbidden to an operator, who only looks on.
    """
    show(session, actor, job_id)
    row = session.execute(text("SELECT user_id, status FROM bulk_jobs WHERE id = :id FOR UPDATE"), {"id": job_id}).one()
    if row.user_id != actor.id:
        raise Forbidden("only its owner cancels a job")
    if row.status in {"waiting", "working"}:
        session.execute(
            text("UPDATE bulk_jobs SET status = 'cancelled', finished_at = :now WHERE id = :id"),
            {"id": job_id, "now": now},
        )
        session.execute(
            text("UPDATE bulk_items SET state = 'skipped' WHERE job_id = :id AND state = 'waiting'"), {"id": job_id}
        )
        _tell(session, job_id)
    return show(session, actor, job_id)


# Whoever works on a job holds it until the row's transaction ends: nobody else works on the same one meanwhile.
_NEXT = text(
    f"SELECT {COLUMNS} FROM bulk_jobs WHERE status IN ('waiting', 'working') "
    "ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_ROW = text(
    "SELECT position, invoice_id, given FROM bulk_items WHERE job_id = :id AND state = 'waiting' "
    "ORDER BY position LIMIT 1"
)


def step(session: Session, links: CustomerLinks, now: datetime) -> str | None:
    """Work off one row of the oldest job that nobody holds; return what was done, or None when nothing waits.

    To be called in a transaction of its own, which the caller commits.
    """
    job = session.execute(_NEXT).one_or_none()
    if job is None:
        return None
    row = session.execute(_ROW, {"id": job.id}).one_or_none()
    if row is not None:
        _work(session, job, row, links, now)
    counted = session.execute(
        text(
            "UPDATE bulk_jobs SET started_at = coalesce(started_at, :now), done = counts.done, failed = counts.failed, "
            "status = CASE WHEN counts.done + counts.failed = total THEN 'done' ELSE 'working' END, "
            "finished_at = CASE WHEN counts.done + counts.failed = total THEN CAST(:now AS timestamptz) END "
            "FROM (SELECT CAST(:done AS integer) AS done, CAST(:failed AS integer) AS failed) AS counts "
            "WHERE id = :id RETURNING status, bulk_jobs.done + bulk_jobs.failed AS finished"
        ),
        {"id": job.id, "now": now, **_counts(session, job, row)},
    ).one()
    if counted.status == "done" or counted.finished % _TELL_EVERY == 0:
        _tell(session, job.id)
    return str(job.action)


def _counts(session: Session, job: Any, row: Any) -> dict[str, int]:
    if row is None:
        return {"done": job.done, "failed": job.failed}
    state = session.scalar(
        text("SELECT state FROM bulk_items WHERE job_id = :id AND position = :position"),
        {"id": job.id, "position": row.position},
    )
    return {"done": job.done + (state == "done"), "failed": job.failed + (state == "failed")}


def _work(session: Session, job: Any, row: Any, links: CustomerLinks, now: datetime) -> None:
    code, error, made = None, None, row.invoice_id
    actor = users.get(session, job.user_id)
    try:
        if actor is None:
            raise Forbidden("its owner is not here any more")
        # What is refused leaves nothing behind, and the mark of it stays.
        with session.begin_nested():
            made = _do(session, actor, job, row, links, now)
    except PlatformError as refused:
        code, error = refused.code, str(refused)[:1000]
    except (IntegrityError, DataError) as refused:
        code, error = "conflict", f"the database refused it ({type(refused.orig).__name__})"
    session.execute(
        text(
            "UPDATE bulk_items SET state = :state, code = :code, error = :error, finished_at = :now, "
            "invoice_id = :invoice WHERE job_id = :id AND position = :position"
        ),
        {
            "state": "done" if error is None else "failed",
            "code": code,
            "error": error,
            "now": now,
            "invoice": made,
            "id": job.id,
            "position": row.position,
        },
    )


def _do(session: Session, actor: Actor, job: Any, row: Any, links: CustomerLinks, now: datetime) -> UUID | None:
    message = job.options.get("message", "")
    match job.action:
        case "send":
            sending.send(session, actor, row.invoice_id, links, now, message=message)
        case "remind":
            sending.remind(session, actor, row.invoice_id, links, now, message=message)
        case "issue":
            invoices.issue(session, actor, row.invoice_id, now)
        case "void":
            invoices.void(session, actor, row.invoice_id, now)
        case "delete_drafts":
            invoices.delete_draft(session, actor, row.invoice_id, now)
        case "import":
            return imports.make(session, actor, job.options, row.given, now)
        case _:
            raise Invalid("action", f"{job.action} is not known")
    return row.invoice_id if isinstance(row.invoice_id, UUID) else None


def _tell(session: Session, job_id: UUID) -> None:
    job = session.execute(text(f"SELECT {COLUMNS} FROM bulk_jobs WHERE id = :id"), {"id": job_id}).one()
    data = {"job_id": str(job.id), **{name: getattr(job, name) for name in ("status", "total", "done", "failed")}}
    announce(session, [DomainEvent(room=f"user:{job.user_id}", name="bulk.updated", data=data)])
