"""What providers sent: the list, the road of one delivery, and what was refused."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, url_for

from connectors import registry
from connectors.talks import transcript
from core.errors import Conflict
from core.identity import Role
from core.inbox import queries
from webapp import amends, provenance, replaying
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.render import now
from webapp.pages.shell import choice, cursor, limit, looking, only

STATES = {
    "processed": "Processed",
    "ready": "Waiting",
    "fetch": "Fetching",
    "ignored": "Ignored",
    "paused": "Paused",
    "unrouted": "Unrouted",
    "unknown": "Unknown event",
    "dead": "Gave up",
}
# What each step of the road is, in words and a picture.
STEPS = {
    "asked": ("Asked", "We asked the provider's API for this page.", "send"),
    "received": ("Received", "It reached us.", "download"),
    "verified": ("Verified", "Its signature was checked over the raw bytes.", "shield-check"),
    "stored": ("Stored", "On disk, and the provider was told so.", "database"),
    "claimed": ("Claimed", "A worker took it.", "cpu"),
    "processed": ("Processed", "Turned into records and posted, in one transaction.", "git-merge"),
    "numbered": ("Numbered and sent", "Given its number in each room and pushed to browsers.", "broadcast"),
}
_RAW_LINE_BYTES = 16
_RAW_MOST_BYTES = 16_384


@blueprint.get("/deliveries")
@page_login_required
def deliveries() -> Response:
    """Webhooks as they came in, newest first."""
    connectors = {slug: connector.title for slug, connector in registry.all().items()}
    connector, state = choice("connector", connectors), choice("state", STATES)
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = queries.list_deliveries(
            look.db, look.actor, limit=limit(), cursor=cursor(), connector=connector, state=state
        )
        return look.show(
            "pages/deliveries.html",
            **found,
            connectors=connectors,
            connector=connector,
            states=STATES,
            state_filter=state,
        )


def _raw(body: bytes) -> str:
    lines = []
    for start in range(0, min(len(body), _RAW_MOST_BYTES), _RAW_LINE_BYTES):
        part = body[start : start + _RAW_LINE_BYTES]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{_RAW_LINE_BYTES * 3}} {letters}")
    return "\n".join(lines)


def _spans(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps with the share of the whole that each took, as bars: where it begins and how wide it is."""
    whole = sum(max(0.0, float(step["ms"] or 0)) for step in steps) or 1.0
    begun, spans = 0.0, []
    for number, step in enumerate(steps, start=1):
        took = max(0.0, float(step["ms"] or 0))
        title, text, icon = STEPS.get(step["name"], (str(step["name"]).capitalize(), "", "clock"))
        spans.append(
            {
                **step,
                "number": number,
                "title": title,
                "text": text,
                "icon": icon,
                "start": round(100 * begun / whole, 3),
                "share": round(100 * took / whole, 3),
            }
        )
        begun += took
    return spans


@blueprint.get("/deliveries/<uuid:delivery_id>")
@page_login_required
def delivery(delivery_id: UUID) -> Response:
    """The road of one delivery, from its bytes to every screen it reached."""
    with looking() as look:
        found = provenance.show(look.db, look.actor, delivery_id)
        for event in found["events"]:
            event["spans"] = _spans(event["steps"])
        body = base64.b64decode(found["delivery"]["body_base64"])
        return look.show(
            "pages/delivery.html",
            delivery=found["delivery"],
            events=found["events"],
            total_ms=found["total_ms"],
            raw=_raw(body),
            transcript=transcript(body) if found["delivery"]["sync_id"] else [],
            raw_cut=len(body) > _RAW_MOST_BYTES,
        )


@blueprint.get("/deliveries/<uuid:delivery_id>/replay")
@page_login_required
def replay_preview(delivery_id: UUID) -> Response:
    """What processing a delivery again would change, field by field, before anything is done."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        events, found = replaying.look(look.actor, delivery_id, now())
        return look.show("pages/replay.html", delivery_id=delivery_id, count=len(events), found=found)


@blueprint.post("/deliveries/<uuid:delivery_id>/replay")
@page_login_required
def replay_delivery(delivery_id: UUID) -> Response:
    """Process a delivery again."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        events, _ = replaying.look(look.actor, delivery_id, now())
        replaying.replay(look.actor, delivery_id, events, now())
    flash("Its events are processed again; what is known already stays as it is.", "good")
    return make_response(redirect(url_for("pages.delivery", delivery_id=delivery_id), 303))


@blueprint.get("/quarantine")
@page_login_required
def quarantine() -> Response:
    """Deliveries that were refused, and why."""
    with looking() as look:
        only(look, Role.OPERATOR)
        found = queries.list_quarantine(look.db, look.actor, limit=limit(), cursor=cursor())
        return look.show("pages/quarantine.html", **found)


@blueprint.post("/quarantine/<uuid:quarantine_id>/verify")
@page_login_required
def verify_again(quarantine_id: UUID) -> Response:
    """Judge a refused delivery again, after its secret was mended."""
    with looking() as look:
        only(look, Role.OPERATOR)
    try:
        found = amends.verify_again(look.actor, quarantine_id, now())
    except Conflict as error:
        flash(f"{str(error)[:1].upper()}{str(error)[1:]}.", "bad")
        return make_response(redirect(url_for("pages.quarantine"), 303))
    flash("It holds now. It was stored, and is processed like any other.", "good")
    return make_response(redirect(url_for("pages.delivery", delivery_id=found["delivery_id"]), 303))
