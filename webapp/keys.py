"""The keys and certificates that signature schemes ask for: fetched from the provider, remembered, and rationed.

A delivery names its key, and anybody can send a delivery. So what is remembered is bounded, one request at a time
goes out for one key, a key that the provider does not know is not asked for again soon, and keys never heard of are
asked for at a small rate: a stranger cannot make us call out again and again. A key that cannot be had now is no
proof of forgery: the sender is asked to come back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

from connectors.base import Connector, Delivery, Request, Wanted
from connectors.signatures import TRUST_ROOTS, TRUST_ROOTS_PATH
from core.errors import Permanent, SignatureRejected, Transient
from webapp.limiter import TokenBucket

if TYPE_CHECKING:
    from workers.transport import Transport

log = structlog.get_logger(__name__)

ASKED = Counter("ledgerwire_signing_keys_total", "Keys asked of providers, by outcome.", ["connector", "outcome"])

MAX_ENTRIES = 256
# Keys never heard of that one provider is asked for: a rotation brings one, a stranger as many as he likes.
NEW_PER_SECOND = 0.2
NEW_BURST = 10
# How soon a document is fetched again although it is fresh, because it lacks the key a delivery names.
AGAIN_SECONDS = 60.0
# How long a provider's "there is no such key" holds, and how long after a failure nobody asks again.
ABSENT_SECONDS = 300.0
FAILED_SECONDS = 5.0
# A key that can not be refreshed serves this long: revoking one is rare, a provider that is down is not.
STALE_SECONDS = 86_400.0
# How long a delivery waits for a key that another one is fetching, and how many may fetch or wait: they hold threads.
WAIT_SECONDS = 3.0
SEATS = 16


class KeyUnavailable(Exception):
    """A key cannot be had now; the sender is to come back."""


@dataclass(slots=True)
class _Entry:
    """What is known of one document. `document` is None where it was never had, or where there is none."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    document: bytes | None = field(default=None, repr=False)
    fetched_at: float = float("-inf")
    absent_until: float = float("-inf")
    failed_until: float = float("-inf")


class KeyStore:
    """The keys of one process. Safe to use from several threads."""

    def __init__(
        self,
        transport: Callable[[], Transport],
        *,
        api_bases: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Made when a key is first asked for: most installations never do, and it brings megabytes of HTTP client.
        self._transport = lru_cache(maxsize=1)(transport)
        self._api_bases, self._clock = api_bases, clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str, object], TokenBucket] = OrderedDict()
        self._seats = threading.BoundedSemaphore(SEATS)
        self._authorities = b""
        self._bundles: OrderedDict[bytes, bytes] = OrderedDict()

    def documents(
        self,
        connector: Connector,
        delivery: Delivery,
        secrets: Sequence[str],
        api_base: str | None = None,
        *,
        owner: object = None,
    ) -> Mapping[str, bytes]:
        """What the connector's scheme needs to judge a delivery; `api_base` is the connection's own.

        New keys are rationed for each `owner` (the connection whose address was used): a stranger who uses up the
        ration of the address that everybody knows does not keep a new key from the others.
        Raises SignatureRejected where there is no such key, and KeyUnavailable where it cannot be had now.
        """
        wanted = connector.signature.wants(delivery, secrets)
        if wanted is None:
            return {}
        # Of another base the same name is another document: nobody's own server speaks for the provider.
        base = api_base or self._api_bases.get(connector.slug) or ""
        document = self._get(connector, base, wanted, owner)
        if document is None:
            raise SignatureRejected("the provider knows no such key")
        found = {wanted.name: document}
        if wanted.certificate:
            found[TRUST_ROOTS] = self._roots(connector, base)
        return found

    def _get(self, connector: Connector, base: str, wanted: Wanted, owner: object = None) -> bytes | None:
        entry = self._entry((connector.slug, base, wanted.name))
        known, done = self._remembered(entry, wanted)
        if done:
            return known
        if not self._seats.acquire(blocking=False):
            raise self._refuse(connector, "crowded")
        try:
            # One at a time: the others find what the first one brought.
            if not entry.lock.acquire(timeout=WAIT_SECONDS):
                raise self._refuse(connector, "slow")
            try:
                known, done = self._remembered(entry, wanted)
                return known if done else self._fetch(connector, base, wanted, entry, owner)
            finally:
                entry.lock.release()
        finally:
            self._seats.release()

    def _remembered(self, entry: _Entry, wanted: Wanted) -> tuple[bytes | None, bool]:
        """What is known, and whether that is the answer."""
        now = self._clock()
        if entry.document is None:
            return None, now < entry.absent_until
        age = now - entry.fetched_at
        soon = AGAIN_SECONDS if not wanted.holds(entry.document) else wanted.fresh_seconds
        return entry.document, age < soon

    def _fetch(self, connector: Connector, base: str, wanted: Wanted, entry: _Entry, owner: object) -> bytes | None:
        """Ask the provider. A document that was had before serves on where it has the key and the provider fails."""
        now = self._clock()
        stale = entry.document
        if stale is not None and (now - entry.fetched_at >= STALE_SECONDS or not wanted.holds(stale)):
            stale = None
        if now < entry.failed_until:
            if stale is not None:
                return stale
            raise self._refuse(connector, "failed lately")
        if entry.document is None and not self._bucket((connector.slug, base, owner)).take():
            raise self._refuse(connector, "rationed")
        try:
            document = self._transport().document(
                connector, wanted.request, api_base=base or None, denies=wanted.denies
            )
            if document is None and (wanted.constant or entry.document is not None):
                raise Transient(f"{connector.slug}: a key that must be there is not")  # noqa: TRY301
        except (Transient, Permanent) as error:
            entry.failed_until = self._clock() + FAILED_SECONDS
            log.warning("signing key not fetched", connector=connector.slug, error=str(error), stale=stale is not None)
            if stale is not None:
                ASKED.labels(connector.slug, "stale").inc()
                return stale
            raise self._refuse(connector, "failed") from error
        ASKED.labels(connector.slug, "absent" if document is None else "fetched").inc()
        log.info("signing key fetched", connector=connector.slug, absent=document is None)
        if document is None:
            entry.absent_until = self._clock() + ABSENT_SECONDS
        entry.document, entry.fetched_at = document, self._clock()
        return document

    def _roots(self, connector: Connector, base: str) -> bytes:
        """The authorities of this machine; of a simulated provider also its own, where such are allowed."""
        self._authorities = self._authorities or self._transport().authorities()
        if not self._transport().is_simulated(base):
            return self._authorities
        request = Request(method="GET", url=TRUST_ROOTS_PATH, headers={"Accept": "*/*"}, authorized=False)
        own = self._get(connector, base, Wanted(name=TRUST_ROOTS, request=request, fresh_seconds=60)) or b""
        with self._lock:
            # The same bytes each time: whoever reads them remembers them by their content.
            bundle = self._bundles.setdefault(own, own.rstrip() + b"\n" + self._authorities)
            while len(self._bundles) > 8:
                self._bundles.popitem(last=False)
            return bundle

    def _entry(self, key: tuple[str, str, str]) -> _Entry:
        with self._lock:
            found = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > MAX_ENTRIES:
                self._drop()
            return found

    def _drop(self) -> None:
        """Forget one: the oldest that never brought anything, or else the oldest."""
        empty = next((key for key, entry in self._entries.items() if entry.document is None), None)
        if empty is None:
            self._entries.popitem(last=False)
        else:
            del self._entries[empty]

    def _bucket(self, key: tuple[str, str, object]) -> TokenBucket:
        with self._lock:
            made = TokenBucket(NEW_PER_SECOND, burst=NEW_BURST, clock=self._clock)
            found = self._buckets.setdefault(key, made)
            self._buckets.move_to_end(key)
            while len(self._buckets) > MAX_ENTRIES:
                self._buckets.popitem(last=False)
            return found

    def _refuse(self, connector: Connector, outcome: str) -> KeyUnavailable:
        ASKED.labels(connector.slug, outcome).inc()
        return KeyUnavailable(outcome)
