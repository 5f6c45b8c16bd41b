"""/api/notifications: what a person must know, with what to do about it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from flask import Blueprint, Response

from core import notifications
from webapp import auth
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("notifications", __name__, url_prefix="/api/notifications")


class NotificationsQuery(models.PageQuery):
    """Which notifications: all, or those whose trouble lasts."""

    state: Literal["all", "open"] = "all"


class Subject(models.Output):
    """The thing that a notification speaks of."""

    kind: str
    id: UUID


class Notification(models.Output):
    """One trouble. `cleared_at` is set when it is over, `read_at` when its person has read it."""

    id: UUID
    kind: str
    subject: Subject
    title: str
    body: str
    url: str | None
    created_at: datetime
    read_at: datetime | None
    cleared_at: datetime | None


class Notifications(models.Output):
    """A page of notifications, newest first. `unread` counts those that last and were not read."""

    items: list[Notification]
    next_cursor: str | None
    unread: int


@blueprint.get("")
@operation("notifications", {200: Notifications}, query=NotificationsQuery)
def index(query: NotificationsQuery) -> Response:
    """My notifications, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            notifications.list_notifications(
                session, person, limit=query.limit, cursor=query.cursor, open_only=query.state == "open"
            )
        )


@blueprint.post("/<uuid:notification_id>/read")
@operation("notifications", {200: Notification}, problems=(404,))
def read(notification_id: UUID) -> Response:
    """Mark one as read. Doing it again changes nothing."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(notifications.mark_read(session, person, notification_id, auth.now()))
