"""The webhook's way in: verify the raw bytes, store, answer. 2xx means that the delivery is on disk.

200 accepted or already known · 400 body unreadable · 401 signature refused · 404 no such connector or
connection · 405 a GET where the provider has no handshake · 413 too large · 429 and 503 with Retry-After.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError

from connectors import registry
from connectors.base import Answer, Connector, Delivery, Event, Verified
from core.errors import MalformedPayload, NotFound, SignatureRejected
from core.events import Trust
from core.ids import new_id, parse_id
from core.inbox import store
from core.inbox.store import NewDelivery, NewEvent
from webapp.committer import Committer, Overloaded
from webapp.directory import Directory, Endpoint
from webapp.keys import KeyStore, KeyUnavailable
from webapp.limiter import TokenBucket
from webapp.ringer import Ringer
from workers.transport import Transport

log = structlog.get_logger(__name__)

blueprint = Blueprint("webhooks", __name__)

RECEIVED = Counter("ledgerwire_webhooks_total", "Webhooks by connector and answer.", ["connector", "answer"])

RETRY_SECONDS = 5
# Refused deliveries kept a second and process: more tell an operator nothing new.
_QUARANTINE_PER_SECOND = 5.0
# Unsigned notices that one connection takes: each costs a request to the provider, and anybody may send them.
_HINTS_PER_SECOND = 5.0
_HINTS_BURST = 100
_MAX_HINT_BUCKETS = 10_000
# Headers that carry credentials of ours or of intermediaries, never of the provider's signature.
_NOT_KEPT = frozenset({"cookie", "authorization", "proxy-authorization"})


class Inlet:
    """What the webhook views of one process share."""

    def __init__(self, app: Flask) -> None:
        parts = app.extensions["ledgerwire"]
        self.settings = parts.settings
        self.database = parts.database
        self.directory = Directory(parts.database, parts.ring)
        self.ringer = Ringer(parts.settings)
        self.committer = Committer(
            parts.database, queue_limit=parts.settings.webhook_queue_limit, on_commit=self.ringer.ring
        )
        self.bucket = TokenBucket(parts.settings.webhook_rate_per_second)
        self.quarantine_bucket = TokenBucket(_QUARANTINE_PER_SECOND, burst=50)
        self.second_looks = TokenBucket(20)
        allow_local, bases = parts.settings.local_providers_allowed, parts.settings.provider_api_bases
        self.keys = KeyStore(
            Transport(allow_local=allow_local, api_bases=bases), api_bases=bases, allow_local=allow_local
        )
        self._hints: OrderedDict[UUID, TokenBucket] = OrderedDict()

    def takes_hint(self, connection_id: UUID) -> bool:
        """Whether one more unsigned notice of a connection may cause a request to its provider."""
        bucket = self._hints.setdefault(connection_id, TokenBucket(_HINTS_PER_SECOND, burst=_HINTS_BURST))
        self._hints.move_to_end(connection_id)
        while len(self._hints) > _MAX_HINT_BUCKETS:
            self._hints.popitem(last=False)
        return bucket.take()


@blueprint.record_once
def _install(state: object) -> None:
    app: Flask = state.app  # type: ignore[attr-defined]  # Flask's BlueprintSetupState.
    inlet = Inlet(app)
    app.extensions["ledgerwire.inlet"] = inlet
    app.extensions["ledgerwire"].committer = inlet.committer


def _inlet() -> Inlet:
    inlet: Inlet = current_app.extensions["ledgerwire.inlet"]
    return inlet


def _answer(status: HTTPStatus, connector: str, body: dict[str, object]) -> Response:
    RECEIVED.labels(connector, status.value).inc()
    headers = {"Cache-Control": "no-store"}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(RETRY_SECONDS)
    problem = status >= HTTPStatus.BAD_REQUEST
    if problem:
        body = {"type": f"/problems/{body['code']}", "title": status.phrase, "status": status.value, **body}
    return Response(
        json.dumps(body),
        status=status.value,
        headers=headers,
        content_type="application/problem+json" if problem else "application/json",
    )


def _exact(answer: Answer, connector: str) -> Response:
    """An answer in the provider's own words."""
    RECEIVED.labels(connector, answer.status).inc()
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(answer.body, status=answer.status, headers=headers, content_type=answer.content_type)


@blueprint.route("/api/connectors/<slug>/webhook", methods=["GET", "POST"])
def platform_webhook(slug: str) -> Response:
    """A webhook under the platform-wide secret: each event names its connection."""
    try:
        connector = registry.get(slug)
    except NotFound:
        return _unknown()
    secrets = _inlet().settings.webhook_secrets(slug)
    return _receive(connector, secrets, None)


@blueprint.route("/api/connectors/<slug>/webhook/<connection>", methods=["GET", "POST"])
def connection_webhook(slug: str, connection: str) -> Response:
    """A webhook under a connection's own secret."""
    identity = parse_id(connection)
    if identity is None:
        return _unknown()
    endpoint = _inlet().directory.by_id(identity)
    if endpoint is None or endpoint.connector != slug:
        return _unknown()
    return _receive_for(endpoint, lambda: _inlet().directory.by_id(identity, fresh=True))


@blueprint.route("/api/hooks/<hook_id>", methods=["GET", "POST"])
def opaque_webhook(hook_id: str) -> Response:
    """The same under an address that names no provider."""
    endpoint = _inlet().directory.by_hook(hook_id[:100])
    if endpoint is None:
        return _unknown()
    return _receive_for(endpoint, lambda: _inlet().directory.by_hook(hook_id, fresh=True))


def _unknown() -> Response:
    return _answer(
        HTTPStatus.NOT_FOUND, "-", {"code": "not_found", "detail": "There is no such connector or connection here."}
    )


def _receive_for(endpoint: Endpoint, reload: Callable[[], Endpoint | None]) -> Response:
    """Receive under a connection's secrets; a refusal is judged again with what the database says now."""
    connector = registry.get(endpoint.connector)

    def newer_secrets() -> tuple[str, ...]:
        fresh = reload()
        return () if fresh is None else fresh.secrets

    return _receive(connector, endpoint.secrets, endpoint, newer_secrets)


def _receive(
    connector: Connector,
    secrets: tuple[str, ...],
    endpoint: Endpoint | None,
    newer_secrets: Callable[[], tuple[str, ...]] | None = None,
) -> Response:
    inlet = _inlet()
    if not inlet.bucket.take():
        return _answer(
            HTTPStatus.TOO_MANY_REQUESTS,
            connector.slug,
            {"code": "too_many_requests", "detail": "Too many webhooks at once; send again later."},
        )
    received_at = datetime.now(UTC)
    request.max_content_length = inlet.settings.webhook_max_bytes
    body = request.get_data(cache=False)
    delivery = Delivery(
        body=body,
        headers=_headers(),
        received_at=received_at,
        method=request.method,
        query=_query(request.environ.get("QUERY_STRING", "")),
        url=inlet.settings.base_url + request.path,
    )
    if (handshake := _handshake(connector, delivery, secrets)) is not None:
        return handshake
    started = time.perf_counter_ns()
    verified = _judge(connector, endpoint, delivery, secrets, newer_secrets)
    if isinstance(verified, Response):
        return verified
    verify_micros = (time.perf_counter_ns() - started) // 1000
    if verified.trust is Trust.HINT:
        if endpoint is None:
            return _answer(
                HTTPStatus.UNAUTHORIZED,
                connector.slug,
                {"code": "signature_rejected", "detail": "What is not signed is taken at a connection's own address."},
            )
        if not inlet.takes_hint(endpoint.connection_id):
            return _answer(
                HTTPStatus.TOO_MANY_REQUESTS,
                connector.slug,
                {"code": "too_many_requests", "detail": "Too many unsigned notices at once; send again later."},
            )
    try:
        events = connector.open(delivery, verified)
    except MalformedPayload as error:
        _keep_refused(connector, endpoint, delivery, f"unreadable: {error}")
        return _answer(
            HTTPStatus.BAD_REQUEST, connector.slug, {"code": "malformed_payload", "detail": str(error)[:300]}
        )
    stored = NewDelivery(
        id=new_id(),
        connector=connector.slug,
        connection_id=None if endpoint is None else endpoint.connection_id,
        received_at=received_at,
        path=request.path,
        remote_addr=request.remote_addr or "",
        headers_json=json.dumps(_kept_headers(delivery)),
        body=body,
        secret_index=verified.secret_index,
        message_id=verified.message_id,
        verify_micros=verify_micros,
        events=[_event(connector, endpoint, event, place, verified) for place, event in enumerate(events)],
    )
    try:
        fresh = inlet.committer.submit(stored)
    except Overloaded as error:
        log.warning("delivery not accepted", connector=connector.slug, reason=str(error))
        return _answer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            connector.slug,
            {"code": "unavailable", "detail": "The delivery could not be stored; send it again."},
        )
    if connector.accepted is not None:
        return _exact(connector.accepted, connector.slug)
    return _answer(
        HTTPStatus.OK,
        connector.slug,
        {"status": "accepted" if fresh else "already_known", "delivery_id": str(stored.id), "new_events": fresh},
    )


def _handshake(connector: Connector, delivery: Delivery, secrets: tuple[str, ...]) -> Response | None:
    """The answer to a handshake, to a GET that is none, or None where a delivery is to be received."""
    answer = None if connector.challenge is None else connector.challenge(delivery, secrets)
    if answer is not None:
        return _exact(answer, connector.slug)
    if delivery.method == "POST":
        return None
    refusal = _answer(
        HTTPStatus.METHOD_NOT_ALLOWED,
        connector.slug,
        {"code": "method_not_allowed", "detail": "Webhooks are posted to this address."},
    )
    refusal.headers["Allow"] = "POST"
    return refusal


def _judge(
    connector: Connector,
    endpoint: Endpoint | None,
    delivery: Delivery,
    secrets: tuple[str, ...],
    newer_secrets: Callable[[], tuple[str, ...]] | None,
) -> Verified | Response:
    """What the signature proves, or the answer to a sender whose signature proves nothing or cannot be judged now."""
    try:
        return _verify(connector, endpoint, delivery, secrets, newer_secrets)
    except KeyUnavailable as error:
        log.warning("delivery not judged", connector=connector.slug, reason=f"no signing key: {error}")
        return _answer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            connector.slug,
            {"code": "unavailable", "detail": "The key of this signature cannot be fetched now; send it again."},
        )
    except SignatureRejected as error:
        _keep_refused(connector, endpoint, delivery, error.reason)
        return _answer(
            HTTPStatus.UNAUTHORIZED,
            connector.slug,
            {"code": "signature_rejected", "detail": "The signature does not prove this body."},
        )


def _verify(
    connector: Connector,
    endpoint: Endpoint | None,
    delivery: Delivery,
    secrets: tuple[str, ...],
    newer_secrets: Callable[[], tuple[str, ...]] | None,
) -> Verified:
    def prove(secrets: tuple[str, ...]) -> Verified:
        api_base = None if endpoint is None else endpoint.api_base
        documents = _inlet().keys.documents(connector, delivery, secrets, api_base)
        return connector.verify(replace(delivery, documents=documents) if documents else delivery, secrets)

    try:
        return prove(secrets)
    except SignatureRejected:
        # Guessing is cheap for the sender and a query for us, so the second look is rationed as well.
        if newer_secrets is None or not _inlet().second_looks.take():
            raise
        return prove(newer_secrets())


def _event(connector: Connector, endpoint: Endpoint | None, event: Event, place: int, verified: Verified) -> NewEvent:
    return NewEvent(
        id=new_id(),
        provider_event_id=event.id,
        name=event.name,
        item_index=place,
        connection_id=_connection_of(connector, endpoint, event.external_id, verified),
        external_id=event.external_id,
        # Signed with the key that serves all of the provider's customers, and naming nobody: perhaps not for us.
        trust=(Trust.HINT if not verified.for_us and event.external_id is None else verified.trust).value,
        known_name=event.name in connector.events or event.name in connector.ignored,
        # An event that takes another way to its connection is set aside when it is claimed.
        paused=endpoint is not None and endpoint.paused,
    )


def _connection_of(
    connector: Connector, endpoint: Endpoint | None, external_id: str | None, verified: Verified
) -> UUID | None:
    """Whose event it is. An event of another account than the connection's may only go to the same user.

    Where one key signs the events of all the provider's customers, the account must be known to be ours.
    """
    ours = {external_id, None} if verified.for_us else {external_id}
    if endpoint is not None and (external_id is None or endpoint.external_id in ours):
        return endpoint.connection_id
    if external_id is None:
        return None
    found = _inlet().directory.by_external(connector.slug, external_id)
    if found is None or (endpoint is not None and found[1] != endpoint.user_id):
        return None
    return found[0]


def _query(text: str) -> dict[str, str]:
    """The query of the address; one that no handshake would have is taken for none."""
    try:
        return dict(parse_qsl(text, errors="replace", max_num_fields=20))
    except ValueError:
        return {}


def _headers() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for spelled, value in request.headers:
        name = spelled.lower()
        found[name] = (*found.get(name, ()), value)
    return found


def _kept_headers(delivery: Delivery) -> list[tuple[str, str]]:
    return [
        (name, value.replace("\x00", ""))
        for name, values in delivery.headers.items()
        if name not in _NOT_KEPT
        for value in values
    ]


def _keep_refused(connector: Connector, endpoint: Endpoint | None, delivery: Delivery, reason: str) -> None:
    inlet = _inlet()
    log.info("delivery refused", connector=connector.slug, reason=reason)
    if not inlet.quarantine_bucket.take():
        return
    try:
        with inlet.database.session() as session:
            store.quarantine(
                session,
                identity=new_id(),
                connector=connector.slug,
                connection_id=None if endpoint is None else endpoint.connection_id,
                received_at=delivery.received_at,
                path=request.path,
                remote_addr=request.remote_addr or "",
                headers=_kept_headers(delivery),
                body=delivery.body,
                reason=reason,
                max_rows=inlet.settings.quarantine_max_rows,
                max_body=inlet.settings.quarantine_max_body,
            )
    except SQLAlchemyError as error:
        # The sender's answer does not depend on whether we could keep a copy.
        log.warning("refused delivery not kept", error=type(error).__name__)
