"""/api/connections/<id>/sync, /syncs and /completeness: pulling what a provider lists, and what that showed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Blueprint, Response, current_app
from sqlalchemy.orm import Session

from core.identity import Actor
from core.syncing import completeness, runs
from webapp import auth
from webapp.api import models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.problems import BadRequest
from webapp.services import services

blueprint = Blueprint("sync", __name__, url_prefix="/api/connections")


class KindCount(models.Output):
    """Of one kind of record: docs/completeness.md defines each figure."""

    kind: str
    listed: int
    webhook: int
    before: int
    fresh: int
    missed: int
    gap: int


class Sync(models.Output):
    """One run. `waiting` is tried again at `due_at`; `failed` is not, and `error` says why in words."""

    id: UUID
    connection_id: UUID
    reason: Literal["first", "schedule", "person"]
    state: Literal["queued", "running", "waiting", "done", "failed"]
    pages: int
    listed: int
    gap: int
    counts: list[KindCount]
    since: datetime
    error: str | None
    # Failed tries since the last page.
    tries: int
    due_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Syncs(models.Output):
    """A page of runs, newest first."""

    items: list[Sync]
    next_cursor: str | None


class KindShare(KindCount):
    """Figures of one kind, with the part that webhooks brought of what they should have."""

    webhook_share: float | None


class Lateness(models.Output):
    """How long after the provider's own time webhooks reached us, over the last `days`."""

    median_seconds: float
    p95_seconds: float
    webhooks: int
    days: int


class ProviderWebhook(models.Output):
    """How the webhook stands at the provider, where its API can tell. `state` is null before the first answer."""

    state: Literal["kept", "created", "repaired", "failed"] | None
    checked_at: datetime | None
    mended_at: datetime | None
    error: str | None
    next_check_at: datetime


class Completeness(models.Output):
    """What the last good sync found, and what comes next."""

    connection_id: UUID
    listed: int
    webhook: int
    before: int
    fresh: int
    missed: int
    gap: int
    webhook_share: float | None
    by_kind: list[KindShare]
    lateness: Lateness | None
    last_good: Sync | None
    # The newest run since, where it is still open or failed.
    latest: Sync | None
    next_due_at: datetime | None
    # Why nothing can be pulled, in words.
    obstacle: str | None
    webhook_at_provider: ProviderWebhook | None


@blueprint.post("/<uuid:connection_id>/sync")
@operation("sync", {202: Sync}, problems=(404, 409))
def start(connection_id: UUID) -> Response:
    """Pull what the provider lists. While a run is queued, running or waiting this answers with that one."""
    person, now = auth.actor(), auth.now()
    answer = once(person, lambda session: (_queue(session, person, connection_id, now), 202))
    current_app.extensions["ledgerwire.inlet"].ringer.ring("pull")
    return answer


def begin(connection_id: UUID) -> None:
    """The same from the connection's page: queue a run for the signed-in owner and have it begun at once.

    Raises NotFound, Forbidden, Conflict (there is nothing to pull, or the connection is paused) or BadRequest
    (credentials are missing).
    """
    with services().database.session() as session:
        _queue(session, auth.actor(), connection_id, auth.now())
    current_app.extensions["ledgerwire.inlet"].ringer.ring("pull")


def _queue(session: Session, person: Actor, connection_id: UUID, now: datetime) -> dict[str, Any]:
    from workers.asking import CannotPull, ask  # noqa: PLC0415 - it brings the worker's code.

    completeness.check_owner(session, person, connection_id)
    try:
        run = ask(session, services().ring, connection_id, now, asked_by=person.id)
    except CannotPull as error:
        raise BadRequest(str(error)) from error
    (row,) = runs.find(session, [run])
    return runs.shape(row)


@blueprint.get("/<uuid:connection_id>/syncs")
@operation("sync", {200: Syncs}, query=models.PageQuery, problems=(404,))
def index(connection_id: UUID, query: models.PageQuery) -> Response:
    """The runs of a connection, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(completeness.list_syncs(session, person, connection_id, limit=query.limit, cursor=query.cursor))


@blueprint.get("/<uuid:connection_id>/completeness")
@operation("sync", {200: Completeness}, problems=(404,))
def show(connection_id: UUID) -> Response:
    """Records the provider lists, records webhooks had brought, the gap that was pulled in, and lateness."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(completeness.completeness(session, person, connection_id))
