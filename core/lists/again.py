"""What a job on many invoices was refused is tried again: tomorrow, when the day has mails again, or after a mend."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, Forbidden
from core.identity import Actor
from core.lists import bulk


def retry(session: Session, actor: Actor, job_id: UUID, now: datetime) -> dict[str, Any]:
    """Another job of what a finished one was refused or did not come to; return it.

    A job is tried again once, so that two clicks do not mail anybody twice: what is left then is the new job's.
    Raises NotFound, Forbidden to an operator, Conflict where nothing is left to try, TooManyJobs.
    """
    bulk.show(session, actor, job_id)
    job = session.execute(text(f"SELECT {bulk.COLUMNS} FROM bulk_jobs WHERE id = :id FOR UPDATE"), {"id": job_id}).one()
    if job.user_id != actor.id:
        raise Forbidden("only its owner tries a job again")
    if not bulk.left(job):
        raise Conflict("nothing is left of this job to try again")
    rows = session.execute(
        text(
            "SELECT invoice_id, label, given FROM bulk_items WHERE job_id = :id AND state IN ('failed', 'skipped') "
            "ORDER BY position"
        ),
        {"id": job_id},
    )
    spelled = [{**row._asdict(), "given": None if row.given is None else json.dumps(row.given)} for row in rows]
    made = bulk.make(session, actor, job.action, spelled, {**job.options}, now)
    session.execute(
        text(
            "UPDATE bulk_jobs SET options = options || jsonb_build_object('retried', CAST(:made AS text)) "
            "WHERE id = :id"
        ),
        {"id": job_id, "made": made["id"]},
    )
    return made
