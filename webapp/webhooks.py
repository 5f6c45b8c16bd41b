"""The webhook's way in: verify the raw bytes, store, answer. 2xx means that the delivery is on disk.

200 accepted or already known · 400 body unreadable · 401 signature refused · 404 no such connector or
connection · 405 a GET where the provider has no handshake · 413 too large · 429 and 503 with Retry-After.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import Counter

from connectors import registry
from connectors.base import Answer, Connector, Delivery, Verified
from core.errors import Invalid, MalformedPayload, NotFound, SignatureRejected
from core.events import Trust
from core.ids import parse_id
from webapp.admission import Inlet, grouped, keep_refused, prove, to_store
from webapp.committer import Overloaded
from webapp.directory import Endpoint
from webapp.keys import KeyUnavailable

log = structlog.get_logger(__name__)

blueprint = Blueprint("webhooks", __name__)

RECEIVED = Counter("ledgerwire_webhooks_total", "Webhooks by connector and answer.", ["connector", "answer"])

RETRY_SECONDS = 5


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
    if connector.bind is not None:
        # How it is signed is known to a connection only.
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
    try:
        connector = registry.get(endpoint.connector).bound(endpoint.definition)
    except Invalid as error:
        # It was checked when it was typed: this version takes what it was no longer. The sender asks again later.
        log.warning("definition of a connection refused", connection=str(endpoint.connection_id), reason=str(error))
        return _answer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            endpoint.connector,
            {"code": "unavailable", "detail": "The connection's definition cannot be used; send it again."},
        )

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
        headers=grouped(request.headers),
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
        keep_refused(_inlet(), connector, endpoint, delivery, f"unreadable: {error}", **_origin())
        return _answer(
            HTTPStatus.BAD_REQUEST, connector.slug, {"code": "malformed_payload", "detail": str(error)[:300]}
        )
    stored = to_store(inlet, connector, endpoint, delivery, verified, events, verify_micros=verify_micros, **_origin())
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
        return prove(_inlet(), connector, endpoint, delivery, secrets, newer_secrets)
    except KeyUnavailable as error:
        log.warning("delivery not judged", connector=connector.slug, reason=f"no signing key: {error}")
        return _answer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            connector.slug,
            {"code": "unavailable", "detail": "The key of this signature cannot be fetched now; send it again."},
        )
    except SignatureRejected as error:
        keep_refused(_inlet(), connector, endpoint, delivery, error.reason, **_origin())
        return _answer(
            HTTPStatus.UNAUTHORIZED,
            connector.slug,
            {"code": "signature_rejected", "detail": "The signature does not prove this body."},
        )


def _query(text: str) -> dict[str, str]:
    """The query of the address; one that no handshake would have is taken for none."""
    try:
        return dict(parse_qsl(text, errors="replace", max_num_fields=20))
    except ValueError:
        return {}


def _origin() -> dict[str, str]:
    """Where the request came in, and from whom."""
    return {"path": request.path, "remote_addr": request.remote_addr or ""}
