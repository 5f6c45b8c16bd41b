"""How complete a connection is, for its page: the last good sync's counts, lateness, and what comes next."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.connections import store
from core.errors import Forbidden
from core.identity import Actor
from core.syncing import runs
from core.syncing.counting import COUNTED


def list_syncs(
    session: Session, actor: Actor, connection_id: UUID, *, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """The runs of a connection that the actor may see, newest first. Raises NotFound."""
    store.get_connection(session, actor, connection_id)
    values: dict[str, Any] = {"connection": connection_id, "limit": paging.check_limit(limit) + 1}
    more = ""
    if (after := paging.after_id(cursor)) is not None:
        more, values["after"] = "AND id < :after", after
    rows = session.execute(
        text(f"SELECT * FROM syncs WHERE connection_id = :connection {more} ORDER BY id DESC LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, runs.shape)


def check_owner(session: Session, actor: Actor, connection_id: UUID) -> dict[str, Any]:
    """The connection, where the actor owns it. Raises NotFound, or Forbidden for who may only look."""
    connection = store.get_connection(session, actor, connection_id)
    owner = session.scalar(text("SELECT user_id FROM connections WHERE id = :id"), {"id": connection_id})
    if owner != actor.id:
        raise Forbidden("only its owner pulls a connection")
    return connection


def share(webhook: int, missed: int) -> float | None:
    """Of what webhooks should have brought, the part that they did; None where there was nothing to bring."""
    return round(webhook / (webhook + missed), 4) if webhook + missed else None


def completeness(session: Session, actor: Actor, connection_id: UUID) -> dict[str, Any]:
    """What the last good sync found, beside the run that is open, the next one, and the webhook at the provider.

    The words are defined in docs/completeness.md. Raises NotFound.
    """
    store.get_connection(session, actor, connection_id)
    last = session.execute(
        text("SELECT * FROM syncs WHERE connection_id = :id AND state = 'done' ORDER BY id DESC LIMIT 1"),
        {"id": connection_id},
    ).one_or_none()
    unfinished = session.execute(
        text(
            "SELECT * FROM syncs WHERE connection_id = :id AND state <> 'done' "
            "AND id > coalesce((SELECT id FROM syncs WHERE connection_id = :id AND state = 'done' "
            "ORDER BY id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000') ORDER BY id DESC LIMIT 1"
        ),
        {"id": connection_id},
    ).one_or_none()
    planned = session.execute(
        text("SELECT due_at, obstacle FROM sync_schedules WHERE connection_id = :id"), {"id": connection_id}
    ).one_or_none()
    webhook = session.execute(
        text("SELECT state, checked_at, mended_at, error, due_at FROM registrations WHERE connection_id = :id"),
        {"id": connection_id},
    ).one_or_none()
    counts: runs.Counts = last.counts if last else {}
    totals = {name: runs.listed(counts, name) for name in COUNTED}
    return {
        "connection_id": str(connection_id),
        **totals,
        "webhook_share": share(totals["webhook"], totals["missed"]),
        "by_kind": [
            {
                "kind": kind,
                **{name: counts[kind].get(name, 0) for name in COUNTED},
                "webhook_share": share(counts[kind].get("webhook", 0), counts[kind].get("missed", 0)),
            }
            for kind in sorted(counts)
        ],
        "lateness": last.lateness if last else None,
        "last_good": runs.shape(last) if last else None,
        "latest": runs.shape(unfinished) if unfinished else None,
        "next_due_at": planned.due_at if planned and not planned.obstacle else None,
        "obstacle": planned.obstacle if planned else None,
        "webhook_at_provider": None
        if webhook is None
        else {
            "state": webhook.state,
            "checked_at": webhook.checked_at,
            "mended_at": webhook.mended_at,
            "error": webhook.error,
            "next_check_at": webhook.due_at,
        },
    }
