"""A second judgement for what was refused: after its secret was mended, or its connector learned to read it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app

from connectors import registry
from connectors.base import Delivery
from core import audit
from core.errors import Conflict, MalformedPayload, SignatureRejected
from core.events import Trust
from core.identity import Actor
from core.inbox import queries, store
from webapp.admission import Inlet, grouped, prove, to_store
from webapp.committer import Overloaded
from webapp.directory import Endpoint
from webapp.keys import KeyUnavailable
from webapp.services import services


def verify_again(actor: Actor, refused_id: UUID, now: datetime) -> dict[str, Any]:
    """Judge a refused delivery by the secrets of today and the age it had when it arrived.

    Accepted, it goes the way of every delivery and leaves the quarantine. Raises NotFound, or Conflict with the
    reason why it is still refused or cannot be judged.
    """
    inlet: Inlet = current_app.extensions["ledgerwire.inlet"]
    with services().database.session() as session:
        refused = queries.get_quarantine(session, actor, refused_id)
    body = base64.b64decode(refused["body_base64"])
    if len(body) < refused["body_bytes"]:
        raise Conflict("too large to be kept whole: ask the provider to send it again")
    endpoint = _endpoint(inlet, refused)
    connector = registry.get(refused["connector"]).bound(None if endpoint is None else endpoint.definition)
    secrets = inlet.settings.webhook_secrets(connector.slug) if endpoint is None else endpoint.secrets
    delivery = Delivery(
        body=body,
        headers=grouped(refused["headers"]),
        received_at=refused["received_at"],
        url=inlet.settings.base_url + refused["path"],
    )
    try:
        verified = prove(inlet, connector, endpoint, delivery, secrets, None)
        if verified.trust is Trust.HINT and endpoint is None:
            raise Conflict("what is not signed is taken at a connection's own address")
        events = connector.open(delivery, verified)
        origin = {"path": refused["path"], "remote_addr": refused["remote_addr"]}
        stored = to_store(inlet, connector, endpoint, delivery, verified, events, verify_micros=0, **origin)
        fresh = inlet.committer.submit(stored)
    except SignatureRejected as error:
        raise Conflict(f"still refused: {error.reason}") from error
    except MalformedPayload as error:
        raise Conflict(f"still unreadable: {error}") from error
    except (KeyUnavailable, Overloaded) as error:
        raise Conflict("it cannot be judged just now; try again") from error
    with services().database.session() as session:
        store.release(session, refused_id)
        audit.record(session, actor, "quarantine.released", "delivery", stored.id, {"refused_id": str(refused_id)}, now)
    return {"delivery_id": str(stored.id), "new_events": fresh}


def _endpoint(inlet: Inlet, refused: dict[str, Any]) -> Endpoint | None:
    """The connection whose address it came to. Raises Conflict when that is gone."""
    if refused["connection"] is None:
        return None
    endpoint = inlet.directory.by_id(UUID(refused["connection"]["id"]), fresh=True)
    if endpoint is None:
        raise Conflict("its connection was removed")
    return endpoint
