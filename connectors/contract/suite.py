"""What every case works with: the samples as signed deliveries, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from connectors import samples as house
from connectors.base import Connector, Delivery, Event, Fetch, Verified
from connectors.contract.trees import doubled, lists, paths
from connectors.payload import MAX_IDENTIFIER, Payload
from core import events
from core.errors import MalformedPayload, SignatureRejected
from core.events import Record, Trust
from core.money import Money

Case: TypeAlias = Callable[[], None]
Told: TypeAlias = Sequence[Sequence[Record]]
AT = datetime(2026, 11, 3, 20, 26, 10, 344_522, tzinfo=UTC)
MESSAGE_ID = "msg_contract_1"
URL = "https://ledgerwire.example/api/connectors/any/webhook/0199c0de"
# Headers that come along and prove nothing.
PLAIN_HEADERS = {"content-type", "user-agent", "accept", "content-length"}
MALFORMED = "malformed"


def deliver(headers: Mapping[str, str], body: bytes, *, received_at: datetime = AT, url: str = URL) -> Delivery:
    """A delivery with these headers, as the webhook endpoint would build it."""
    return Delivery(
        body=body,
        headers={name.lower(): (value,) for name, value in headers.items()},
        received_at=received_at,
        url=url,
    )


def signed(connector: Connector, body: bytes, secret: str, *, at: datetime = AT, url: str = URL) -> Delivery:
    """A delivery the provider might have sent, with the documents a receiver would be given."""
    sealed = connector.signature.sign(body, secret, at=at, message_id=MESSAGE_ID, url=url)
    return replace(deliver(sealed.headers, sealed.body, received_at=at, url=url), documents=sealed.documents)


def require(condition: object, message: str) -> None:
    """Fail with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


S = TypeVar("S", bound="Suite")


def when(applies: str) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
    """Mark a case that only some connectors can be asked to keep: those of which this method says so."""

    def mark(case: Callable[[S], None]) -> Callable[[S], None]:
        case.applies = applies  # type: ignore[attr-defined]
        return case

    return mark


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One sample, as the provider would send it. `raw` is the file, `delivery.body` what travels."""

    event: str
    variant: str | None
    json: bool
    raw: bytes
    delivery: Delivery
    verified: Verified

    @property
    def label(self) -> str:
        """Its file's name without the suffix."""
        return f"{self.event}__{self.variant}" if self.variant else self.event


class Suite:
    """The ground that the cases stand on. Every public method of a subclass is a case."""

    def __init__(
        self,
        connector: Connector,
        folder: Path,
        *,
        told: Callable[[], Told] | None = None,
        docs: Path | None = None,
    ) -> None:
        self._connector = connector
        self._folder = folder
        self._told = told
        self._docs = docs
        self._held = Payload({})
        # The same connector with a body that is decoded already: spoiling a field costs no writing and parsing.
        self._loose = replace(connector, decode=lambda _body: self._held)

    # Secrets.

    @cached_property
    def _secret(self) -> str:
        return self._connector.signature.new_secret()

    @cached_property
    def _other(self) -> str:
        return self._connector.signature.new_secret()

    @cached_property
    def _kept(self) -> str:
        """What the receiver keeps; "" where it keeps nothing."""
        return self._connector.signature.receiving(self._secret)

    @cached_property
    def _other_kept(self) -> str:
        return self._connector.signature.receiving(self._other)

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (self._kept,) if self._kept else ()

    def _signs(self) -> bool:
        return self._secret != ""

    def _keeps_a_secret(self) -> bool:
        return self._kept != ""

    def _shares_a_secret(self) -> bool:
        return self._signs() and self._kept == self._secret

    def _wants_keys(self) -> bool:
        return any(sample.delivery.documents for sample in self._kinds)

    def _rotates(self) -> bool:
        return bool(self._kept) and self._kept != self._other_kept

    # Samples.

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        found = tuple(self._signed_samples())
        require(found, f"there is no sample in {self._connector.slug}")
        return found

    def _signed_samples(self) -> Iterator[Sample]:
        for event, variant in house.names(self._connector.slug, folder=self._folder):
            raw = house.load(self._connector.slug, event, variant, folder=self._folder)
            delivery = signed(self._connector, raw, self._secret)
            try:
                verified = self._connector.verify(delivery, self._secrets)
            except SignatureRejected as error:
                raise AssertionError(f"refused what its own scheme signed: {error.reason}") from error
            looks_json = raw.lstrip()[:1] in (b"{", b"[")
            yield Sample(event=event, variant=variant, json=looks_json, raw=raw, delivery=delivery, verified=verified)

    @cached_property
    def _kinds(self) -> tuple[Sample, ...]:
        """One sample for each way in which deliveries of this connector are proven."""
        kinds: dict[object, Sample] = {}
        for sample in self._samples:
            kinds.setdefault((sample.verified.trust, frozenset(sample.delivery.headers)), sample)
        return tuple(kinds.values())

    @cached_property
    def _plain(self) -> tuple[Sample, ...]:
        """One sample for each event: the usual one where there is one."""
        found: dict[str, Sample] = {}
        for sample in sorted(self._samples, key=lambda one: one.variant or ""):
            found.setdefault(sample.event, sample)
        return tuple(found.values())

    def _shapes(self) -> Iterator[Sample]:
        """A sample for each event, and at most one variant of it that is built otherwise.

        Events of one reader whose bodies are built alike count once.
        """
        seen: set[object] = set()
        again: set[str] = set()
        usual = set(self._plain)
        for sample in sorted(self._samples, key=lambda one: one not in usual):
            reader = self._connector.events.get(sample.event, sample.event)
            shape = (id(reader), frozenset(paths(self._decoded(sample))))
            if shape not in seen and (sample in usual or sample.event not in again):
                seen.add(shape)
                again |= set() if sample in usual else {sample.event}
                yield sample

    def _proofs(self, sample: Sample) -> list[str]:
        """The headers the proof rests on; what is only sent along is none of them."""
        signature = self._connector.signature
        aside = {(getattr(signature, "id_header", None) or "").lower(), *PLAIN_HEADERS}
        aside |= {name.lower() for name in getattr(signature, "sent_along", ())}
        return [name for name in sample.delivery.headers if name not in aside]

    def _proven(self, sample: Sample) -> bool:
        return sample.verified.trust is not Trust.HINT

    def _guarded(self, sample: Sample) -> bool:
        """Whether a secret has anything to do with it."""
        return self._proven(sample) or bool(self._proofs(sample))

    def _sealed(self, sample: Sample) -> bool:
        """Whether every byte of the body is proven by headers."""
        return self._proven(sample) and bool(self._proofs(sample)) and self._proves_bytes()

    def _proves_bytes(self) -> bool:
        """Whether bytes are proven; otherwise it is what the body says, however it is written."""
        return bool(getattr(self._connector.signature, "proves_bytes", True))

    def _has_sealed(self) -> bool:
        return any(self._sealed(sample) for sample in self._kinds)

    def _has_proofs(self) -> bool:
        return any(self._proofs(sample) for sample in self._kinds)

    def _has_inner_proof(self) -> bool:
        return any(self._proven(sample) and not self._sealed(sample) for sample in self._kinds)

    # Meaning.

    def _decoded(self, sample: Sample) -> Any:
        """A copy of a sample's body as the readers see it."""
        return deepcopy(self._connector.decode(sample.delivery.body).value)

    def _events(self, sample: Sample, value: object) -> list[Event]:
        """The events of a decoded body that stands in place of the sample's."""
        self._held = Payload(value)
        return self._loose.open(sample.delivery, sample.verified)

    def _meaning(self, sample: Sample) -> list[tuple[Event, object]]:
        """What a sample says, read from its bytes."""
        opened = self._connector.open(sample.delivery, sample.verified)
        return [(event, comparable(self._connector.read(event.name, event.item))) for event in opened]

    def _batch(self, sample: Sample) -> object | None:
        """The decoded body with its first event said twice, or None where a body cannot hold two."""
        value = self._decoded(sample)
        count = len(self._events(sample, value))
        for path in lists(value):
            twice = doubled(value, path)
            try:
                if len(self._events(sample, twice)) > count:
                    return twice
            except MalformedPayload:
                continue
        return None

    # Proof.

    def _served(self, delivery: Delivery) -> Delivery:
        """The delivery with the documents that it would really be given. Raises SignatureRejected."""
        if not delivery.documents:
            return delivery
        wanted = self._connector.signature.wants(delivery, self._secrets)
        for sample in self._samples:
            honest = self._connector.signature.wants(sample.delivery, self._secrets)
            if honest and wanted and (honest.name, honest.request) == (wanted.name, wanted.request):
                return delivery
        named = {
            one.name for one in [self._connector.signature.wants(s.delivery, self._secrets) for s in self._kinds] if one
        }
        return replace(delivery, documents={k: v for k, v in delivery.documents.items() if k not in named})

    def _accepts(self, delivery: Delivery, secrets: Sequence[str] | None = None) -> Verified | None:
        """What a delivery proves; None when it is refused. Any other exception than a refusal fails."""
        try:
            return self._connector.verify(self._served(delivery), self._secrets if secrets is None else secrets)
        except SignatureRejected:
            return None
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} in place of a refusal: {error}") from error

    def _refused(self, delivery: Delivery, why: str, secrets: Sequence[str] | None = None) -> None:
        require(self._accepts(delivery, secrets) is None, f"accepted although {why}")


def comparable(reading: object) -> object:
    """A fetch holds a fresh function each time; that it is a fetch must not change."""
    return Fetch if isinstance(reading, Fetch) else reading


def check_event(event: Event) -> None:
    """What every event keeps, whatever the body says: the indexes rely on it."""
    for text in (event.id, event.name, event.external_id or "-"):
        require(0 < len(text) <= MAX_IDENTIFIER and "\0" not in text, f"{text!r:.80} cannot be stored")
        text.encode()


def check_reading(label: str, reading: object) -> None:
    """What every record keeps, whatever the body says: core relies on it."""
    if reading is None or isinstance(reading, Fetch):
        return
    require(isinstance(reading, list | tuple), f"{label}: read gave {type(reading).__name__}")
    for record in reading:  # type: ignore[attr-defined]
        require(isinstance(record, Record), f"{label}: {record!r:.80} is no record")
        for name in (one.name for one in fields(record)):
            _check_value(record, name, getattr(record, name), label)


# What must be above zero, and what must not be below it. A bank's line, a balance and a fee may have any sign.
_POSITIVE = {(kind, "money") for kind in (events.Payment, events.Refund, events.Dispute, events.Payout)}
_NOT_NEGATIVE = {(events.Dispute, "deducted"), (events.MirroredInvoice, "total"), (events.MirroredInvoice, "due")}


def _check_value(record: object, name: str, value: object, label: str) -> None:
    where = f"{label}: {type(record).__name__}.{name} = {value!r:.80}"
    if isinstance(record, events.PayoutItem) and name == "subject_id" and value is None:
        require(record.kind in ("fee", "adjustment"), where)
    elif name.endswith("_id"):
        require(isinstance(value, str) and 0 < len(value) <= MAX_IDENTIFIER, where)
    elif name == "version":
        require(type(value) is int and -(2**63) <= value < 2**63, where)
    elif name == "references":
        require(isinstance(value, tuple) and all(isinstance(one, events.Reference) for one in value), where)
        require(all(0 < len(one.text) <= MAX_IDENTIFIER for one in value), where)  # type: ignore[attr-defined]
    elif isinstance(value, datetime):
        require(value.tzinfo is not None, f"{where} is a local time, not a moment")
    elif isinstance(value, Money):
        require((type(record), name) not in _POSITIVE or value.minor > 0, where)
        require((type(record), name) not in _NOT_NEGATIVE or value.minor >= 0, where)
    elif isinstance(value, str):
        require("\0" not in value, where)
        value.encode()
    require(name != "money" or isinstance(value, Money), where)


def written(value: object) -> bytes:
    """A value as a body of JSON."""
    return json.dumps(value).encode()
