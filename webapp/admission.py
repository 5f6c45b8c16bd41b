"""What happens to a delivery between its bytes and its place on disk, whoever hands it in.

The webhook views hand in what a provider just sent, the quarantine what was refused before: both are judged by the
same rules, by the moment at which the delivery arrived.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from connectors.base import Connector, Delivery, Event, Verified
from core.errors import SignatureRejected
from core.events import Trust
from core.ids import new_id
from core.inbox import store
from core.inbox.store import NewDelivery, NewEvent
from webapp.committer import Committer
from webapp.directory import Directory, Endpoint
from webapp.keys import KeyStore
from webapp.limiter import TokenBucket
from webapp.ringer import Ringer

if TYPE_CHECKING:
    from workers.transport import Transport

log = structlog.get_logger(__name__)

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
        self.keys = KeyStore(self._transport, api_bases=parts.settings.provider_api_bases)
        self._hints: OrderedDict[UUID, TokenBucket] = OrderedDict()

    def _transport(self) -> Transport:
        from workers.transport import Transport  # noqa: PLC0415 - it brings the HTTP client.

        chosen = self.settings
        return Transport(allow_local=chosen.local_providers_allowed, api_bases=chosen.provider_api_bases)

    def takes_hint(self, connection_id: UUID) -> bool:
        """Whether one more unsigned notice of a connection may cause a request to its provider."""
        bucket = self._hints.setdefault(connection_id, TokenBucket(_HINTS_PER_SECOND, burst=_HINTS_BURST))
        self._hints.move_to_end(connection_id)
        while len(self._hints) > _MAX_HINT_BUCKETS:
            self._hints.popitem(last=False)
        return bucket.take()


def prove(
    inlet: Inlet,
    connector: Connector,
    endpoint: Endpoint | None,
    delivery: Delivery,
    secrets: tuple[str, ...],
    newer_secrets: Callable[[], tuple[str, ...]] | None,
) -> Verified:
    """Verify under the live secrets, and once more under `newer_secrets` where those prove nothing.

    Raises SignatureRejected, or KeyUnavailable where the provider's key cannot be had now.
    """

    def holds(secrets: tuple[str, ...]) -> Verified:
        base, owner = (None, None) if endpoint is None else (endpoint.api_base, endpoint.connection_id)
        documents = inlet.keys.documents(connector, delivery, secrets, base, owner=owner)
        return connector.verify(replace(delivery, documents=documents) if documents else delivery, secrets)

    try:
        return holds(secrets)
    except SignatureRejected:
        # Guessing is cheap for the sender and a query for us, so the second look is rationed as well.
        if newer_secrets is None or not inlet.second_looks.take():
            raise
        return holds(newer_secrets())


def to_store(
    inlet: Inlet,
    connector: Connector,
    endpoint: Endpoint | None,
    delivery: Delivery,
    verified: Verified,
    events: Sequence[Event],
    *,
    path: str,
    remote_addr: str,
    verify_micros: int,
) -> NewDelivery:
    """A verified delivery with its events, each with the connection it belongs to."""
    return NewDelivery(
        id=new_id(),
        connector=connector.slug,
        connection_id=None if endpoint is None else endpoint.connection_id,
        received_at=delivery.received_at,
        path=path,
        remote_addr=remote_addr,
        headers_json=json.dumps(kept_headers(delivery)),
        body=delivery.body,
        secret_index=verified.secret_index,
        message_id=verified.message_id,
        verify_micros=verify_micros,
        events=[_event(inlet, connector, endpoint, event, place, verified) for place, event in enumerate(events)],
    )


def _event(
    inlet: Inlet, connector: Connector, endpoint: Endpoint | None, event: Event, place: int, verified: Verified
) -> NewEvent:
    return NewEvent(
        id=new_id(),
        provider_event_id=event.id,
        name=event.name,
        item_index=place,
        connection_id=_connection_of(inlet, connector, endpoint, event.external_id, verified),
        external_id=event.external_id,
        # Signed with the key that serves all of the provider's customers, and naming nobody: perhaps not for us.
        trust=(Trust.HINT if not verified.for_us and event.external_id is None else verified.trust).value,
        known_name=event.name in connector.events or event.name in connector.ignored,
        # An event that takes another way to its connection is set aside when it is claimed.
        paused=endpoint is not None and endpoint.paused,
    )


def _connection_of(
    inlet: Inlet, connector: Connector, endpoint: Endpoint | None, external_id: str | None, verified: Verified
) -> UUID | None:
    """Whose event it is. An event of another account than the connection's may only go to the same user.

    Where one key signs the events of all the provider's customers, the account must be known to be ours.
    """
    ours = {external_id, None} if verified.for_us else {external_id}
    if endpoint is not None and (external_id is None or endpoint.external_id in ours):
        return endpoint.connection_id
    if external_id is None:
        return None
    found = inlet.directory.by_external(connector.slug, external_id)
    if found is None or (endpoint is not None and found[1] != endpoint.user_id):
        return None
    return found[0]


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Headers as a delivery holds them: names in small letters, every value of a name that stands more than once."""
    found: dict[str, tuple[str, ...]] = {}
    for spelled, value in pairs:
        name = spelled.lower()
        found[name] = (*found.get(name, ()), value)
    return found


def kept_headers(delivery: Delivery) -> list[tuple[str, str]]:
    """The headers that are stored: all but credentials of ours and of intermediaries."""
    return [
        (name, value.replace("\x00", ""))
        for name, values in delivery.headers.items()
        if name not in _NOT_KEPT
        for value in values
    ]


def keep_refused(
    inlet: Inlet,
    connector: Connector,
    endpoint: Endpoint | None,
    delivery: Delivery,
    reason: str,
    *,
    path: str,
    remote_addr: str,
) -> None:
    """Keep a refused delivery for an operator, where there is room for it."""
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
                path=path,
                remote_addr=remote_addr,
                headers=kept_headers(delivery),
                body=delivery.body,
                reason=reason,
                max_rows=inlet.settings.quarantine_max_rows,
                max_body=inlet.settings.quarantine_max_body,
            )
    except SQLAlchemyError as error:
        # The sender's answer does not depend on whether we could keep a copy.
        log.warning("refused delivery not kept", error=type(error).__name__)
