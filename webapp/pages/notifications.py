"""What needs a person: the list behind the bell."""

from __future__ import annotations

from uuid import UUID

from flask import Response, url_for

from core import notifications as store
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.shell import cursor, limit, looking


@blueprint.get("/notifications")
@page_login_required
def notifications() -> Response:
    """My notifications, newest first."""
    with looking() as look:
        found = store.list_notifications(look.db, look.actor, limit=limit(), cursor=cursor())
        return look.show("pages/notifications.html", items=found["items"], next_cursor=found["next_cursor"])


@blueprint.post("/notifications/read")
@page_login_required
def read_notifications() -> Response:
    """I have seen all of them."""
    with looking() as look:
        store.mark_all_read(look.db, look.actor, look.now)
    return render.done(
        "All are marked as read.", url_for("pages.notifications"), events={"live:notification.cleared": {}}
    )


@blueprint.post("/notifications/<uuid:notification_id>/read")
@page_login_required
def read_notification(notification_id: UUID) -> Response:
    """I have seen it."""
    with looking() as look:
        store.mark_read(look.db, look.actor, notification_id, look.now)
    return render.done("Marked as read.", url_for("pages.notifications"), events={"live:notification.cleared": {}})
