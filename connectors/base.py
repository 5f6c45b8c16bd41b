"""The plugin API. A connector is one frozen value of data and pure functions; see README.md.

Nothing here performs I/O, reads a clock or holds state. What must be asked of a provider is described by
`Request` values; `workers.transport` carries them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from connectors.books import BookInvoice, Written
from connectors.payload import MAX_IDENTIFIER, Payload
from core.errors import CredentialsRefused, Invalid, MalformedPayload
from core.events import Record, Trust
from core.money import Money

SLUG = re.compile(r"[a-z][a-z0-9_]{1,39}")
# Digits of the body's hash that tie an unsigned id to it: to meet them one needs 2^64 tries.
_TIE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One HTTP request as received. `headers` has lower-case names; a repeated header keeps every value."""

    body: bytes
    headers: Mapping[str, tuple[str, ...]]
    received_at: datetime
    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    # The public address it was sent to, as this installation is configured; never taken from the request's Host.
    url: str = ""
    # What the scheme asked for with `wants`, by its name: fetched, cached and rationed outside the connector.
    documents: Mapping[str, bytes] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """The value of a header that may stand once. None when it is missing or stands more than once."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a good signature proves. `message_id` is the sender's id of the message, where it is signed.

    `trust` is HINT where the body itself is not proven (an unsigned notice, a static secret): nothing of it may
    move money, so that such events only ever lead to a `Fetch`. `for_us` is False where the provider signs the
    events of all its customers with one key: then an event must name an account of ours, or is a hint.
    """

    secret_index: int = 0
    message_id: str | None = None
    trust: Trust = Trust.SIGNED
    for_us: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A request that a provider might have sent. `documents` is what a receiver would be given by `wants`."""

    headers: dict[str, str]
    body: bytes
    documents: Mapping[str, bytes] = field(default_factory=dict)


class Signature(Protocol):
    """How deliveries are signed. A scheme verifies, and also signs for tests and simulation.

    The *signing* secret is what the provider holds, the *receiving* one what we keep: the same text for HMAC, a
    public key or an id where the scheme is asymmetric, and "" where nothing is kept (keys come by `wants`).
    """

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """The key or certificate needed to judge this delivery. Raises SignatureRejected for one not allowed."""

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery against any live receiving secret. Raises SignatureRejected, and nothing else."""

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider that holds this signing secret would send to `url`."""

    def new_secret(self) -> str:
        """A fresh signing secret in the provider's text form."""

    def receiving(self, secret: str) -> str:
        """The receiving secret that belongs to a signing secret."""

    def check_secret(self, secret: str) -> None:
        """Raise Invalid("webhook_secret", …) where a receiving secret cannot be used with this scheme."""


class Symmetric:
    """What is true of every scheme whose one secret both sides hold."""

    __slots__ = ()

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """Nothing."""
        del delivery, secrets
        return None

    def receiving(self, secret: str) -> str:
        """The secret itself."""
        return secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider wants to read back. Never longer than a line or two, and never holds a secret."""

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request to a provider. `url` starts with / and is then under the API base, or is absolute.

    An absolute one is carried only when it lies under the API base, or under one of the provider's documented bases,
    which is then replaced by the configured one; so a link in an answer never leads elsewhere.
    `authorized` requests get the headers that `Api.authorize` yields; `json` and `form` exclude each other.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    json: object | None = None
    form: Mapping[str, str] | None = None
    authorized: bool = True
    # What a provider that refuses (400) says why, for people; None where it does not say.
    refusal: Callable[[bytes], str | None] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back. Only 2xx reaches a connector: the transport turns the rest into Transient or Permanent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def payload(self) -> Payload:
        """The body as checked JSON. Raises MalformedPayload."""
        return Payload.from_bytes(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a connection gives a connector to describe requests with. `repr` never shows a secret.

    The transport sets `asked_at`, a moment before the first request of a talk: a connector has no clock.
    """

    secrets: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str]
    external_id: str | None
    asked_at: datetime | None = None

    def moment(self) -> datetime:
        """When the talk began: a statement fetched in it is at least this new."""
        if self.asked_at is None:
            raise ValueError("a talk needs the moment it begins")
        return self.asked_at

    def secret(self, name: str) -> str:
        """A secret the talk cannot do without. Raises CredentialsRefused, which names it."""
        if not (value := self.secrets.get(name)):
            raise CredentialsRefused(f"the connection has no {name}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """Headers that authorise requests, good for `expires_in_seconds`."""

    headers: Mapping[str, str] = field(repr=False)
    expires_in_seconds: int
    # Secrets of the connection that the provider replaced on this occasion (a rotating refresh token).
    renewed: Mapping[str, str] = field(default_factory=dict, repr=False)


# A conversation with a provider: yields requests, is sent responses, returns its result.
Talk: TypeAlias = Generator[Request, Response, list[Record]]
AuthorizationTalk: TypeAlias = Generator[Request, Response, Authorization]
PullTalk: TypeAlias = Generator[Request, Response, "Page"]
LinkTalk: TypeAlias = Generator[Request, Response, "LinkMade"]
CloseTalk: TypeAlias = Generator[Request, Response, None]
RegisterTalk: TypeAlias = Generator[Request, Response, "Registration"]
WriteTalk: TypeAlias = Generator[Request, Response, Written]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A key or certificate that a scheme needs. `request` goes to a host that the scheme itself has allowed.

    `holds` says whether a remembered document still answers the question (it has the key's id): where it does not,
    the document is fetched again, rarely. With a `certificate` come the authorities that it may be traced to.
    A `constant` document is there whatever a delivery says, so its absence is an outage and proves nothing.
    `denies` reads the body of a 400: True where it says that there is no such key, and not that we asked wrongly.
    """

    name: str
    request: Request
    holds: Callable[[bytes], bool] = field(default=lambda _document: True, repr=False)
    fresh_seconds: int = 3600
    certificate: bool = False
    constant: bool = False
    denies: Callable[[bytes], bool] = field(default=lambda _refusal: False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A provider's HTTP API: where it is and how a request is authorised."""

    base: str
    authorize: Callable[[Credentials], AuthorizationTalk]
    # Requests a second that the provider allows one account.
    rate_per_second: float = 5.0
    # Further documented bases, such as the host that gives out tokens. With a replaced base they lie under that one.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """An event was only a pointer: `talk` fetches what it points at. Returned by `read` in place of records."""

    talk: Callable[[Credentials], Talk] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of what a provider lists. `cursor` is where the next stretch begins, `more` whether there is one now.

    The cursor is stored together with the records, so a pull that is interrupted goes on where it was. At the end
    (`more` is False) a cursor is where the next pull begins; None begins that one anew, from its `since`.
    """

    records: Sequence[Record]
    cursor: str | None = None
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How to list what a provider has. `talk(credentials, cursor, since)` brings one stretch, oldest first if it can.

    `cursor` is None on the first stretch of the first pull, and `since` is how far back that one goes.
    """

    talk: Callable[[Credentials, str | None, datetime], PullTalk] = field(repr=False)
    what: str
    """What is listed, in words for the page, such as "payments and refunds"."""
    every_seconds: int = 3600
    days: int = 90
    """How far back the provider lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWanted:
    """A page on which one invoice is paid. `number` must come back with the payment, where `references` finds it.

    `key` is unique for ever, `reference` within the account. `again` says that it was asked for before and the answer
    is not known: what is there already must be found, not made twice. Sent back to `return_url` the customer finds
    the invoice, paid or not: that they come back proves nothing.
    """

    key: str
    reference: str
    number: str
    money: Money
    description: str
    customer_name: str
    customer_email: str
    return_url: str
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMade:
    """Where the customer pays, until when."""

    provider_id: str
    url: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentLinks:
    """How pages on which customers pay are made and closed. Closing one that was paid, or has ended, does nothing."""

    create: Callable[[Credentials, LinkWanted], LinkTalk] = field(repr=False)
    close: Callable[[Credentials, str], CloseTalk] = field(repr=False)
    # Names of the secrets that a connection must have for it.
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """How invoices and payments are written to a provider's books.

    The talk looks before it writes, so that one whose answer was lost is not made twice, and what somebody changed
    there meanwhile is not written over.
    """

    write: Callable[[Credentials, BookInvoice], WriteTalk] = field(repr=False)
    # Settings that a connection must have for it.
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The state in which a webhook was left at the provider. `secret` is set where the provider made a new one."""

    state: Literal["kept", "created", "repaired"]
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing a provider said, cut out of a delivery. `name` is canonical (aliases resolved)."""

    id: str
    name: str
    item: Payload
    external_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What frames an item: the delivery it came in and what its signature proved."""

    delivery: Delivery
    verified: Verified

    def tied(self, said: str) -> str:
        """An id that nobody signed, tied to the body it came with.

        Known ids are passed over: whoever sends one body again under the id of another would else silence that one.
        """
        tie = f":{hashlib.sha256(self.delivery.body).hexdigest()[:_TIE]}"
        return said if said.endswith(tie) else said + tie

    def header_id(self, name: str) -> str | None:
        """The id in a header that nobody signed, tied to the body; None where it is missing or cannot be kept."""
        given = self.delivery.header(name) or ""
        usable = 0 < len(given) < MAX_IDENTIFIER - _TIE and given.isascii() and given.isprintable()
        return self.tied(given) if usable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Something a user types when making a connection, shown as a form field."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = False


Reading: TypeAlias = Sequence[Record] | Fetch
Reader: TypeAlias = Callable[[Payload], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A provider plugin. `events` maps each event name to the pure function that reads it.

    An event name is mapped (`events`), ignored (`ignored`, with the reason) or unknown; unknown events are
    stored and raise an alarm. `event_id` must be equal on every resend of the same event.
    """

    slug: str
    title: str
    signature: Signature
    event_id: Callable[[Payload, Envelope], str]
    event_name: Callable[[Payload], str]
    events: Mapping[str, Reader]
    docs_url: str
    checked: str
    """Version or date of the provider's documentation this was checked against."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    # Bodies that are no JSON (a form, XML) are turned into a Payload first. Raises MalformedPayload, and nothing else.
    decode: Callable[[bytes], Payload] = Payload.from_bytes
    split: Callable[[Payload], Iterable[Payload]] = lambda body: (body,)
    external_id: Callable[[Payload], str | None] = lambda _item: None
    fields: tuple[Field, ...] = ()
    # What a person does at the provider to set this up, a sentence a step; {url} stands for the webhook address.
    steps: tuple[str, ...] = ()
    # What it brings into the books, in words for the gallery: payments, refunds, bank transactions, …
    brings: tuple[str, ...] = ()
    api: Api | None = None
    pull: Pull | None = None
    payment_links: PaymentLinks | None = None
    mirror: Mirror | None = None
    # Makes sure that the provider sends the mapped events to an address: `register(credentials, url)`.
    register: Callable[[Credentials, str], RegisterTalk] | None = None
    # Answers a handshake (a GET, or a POST that carries no event) from the live secrets; None: it is no handshake.
    challenge: Callable[[Delivery, Sequence[str]], Answer | None] | None = None
    # What is answered once a delivery is stored, where the provider wants to read something particular.
    accepted: Answer | None = None
    # Whether we make the webhook secret (True) or the provider does and the user pastes it (False).
    makes_secret: bool = True
    # How long a provider may send the same event again; identities are kept at least this long.
    resend_days: int = 30
    # Providers that forbid their own name in the address get /api/hooks/<opaque id>.
    opaque_address: bool = False
    # Makes the connector of one connection from its `definition` setting, where that decides how deliveries are signed
    # and read. Raises Invalid. Pure and remembered: it is called for every delivery and event.
    bind: Callable[[str], Connector] | None = None

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise ValueError(f"slug {self.slug!r} must match {SLUG.pattern}")
        if overlap := set(self.events) & set(self.ignored):
            raise ValueError(f"{self.slug}: both mapped and ignored: {sorted(overlap)}")
        known = set(self.events) | set(self.ignored)
        if dangling := set(self.aliases.values()) - known:
            raise ValueError(f"{self.slug}: aliases of unknown events: {sorted(dangling)}")

    @property
    def keeps_secret(self) -> bool:
        """Whether a connection holds a webhook secret: not where nothing is signed. Asked often, so no key is made."""
        try:
            # Only a scheme that keeps nothing has no objection to nothing.
            self.signature.check_secret("")
        except Invalid:
            return True
        return False

    def bound(self, definition: str | None) -> Connector:
        """The connector as it is for a connection with this `definition`. Raises Invalid where that is none."""
        return self if self.bind is None else self.bind(definition or "")

    def items(self, body: bytes) -> list[Payload]:
        """The parts of a body, one an event. Raises MalformedPayload when it cannot be read."""
        return list(self.split(self.decode(body)))

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected; without a live secret nothing is accepted."""
        return self.signature.verify(delivery, secrets)

    def open(self, delivery: Delivery, verified: Verified) -> list[Event]:
        """Cut a verified delivery into events. Raises MalformedPayload when the body cannot be read."""
        envelope = Envelope(delivery=delivery, verified=verified)
        found = []
        for item in self.items(delivery.body):
            event_id, name, external_id = self.event_id(item, envelope), self.event_name(item), self.external_id(item)
            # All three stand in indexes, and an over-long one would fail there.
            for label, text in (("event id", event_id), ("event name", name), ("account", external_id or "-")):
                if not 0 < len(text) <= MAX_IDENTIFIER:
                    raise MalformedPayload("", f"{label} must be 1 to {MAX_IDENTIFIER} characters")
            canonical = self.aliases.get(name, name)
            # Of a body that is not proven the id is not either: it must not use up that of the genuine event.
            event_id = envelope.tied(event_id) if verified.trust is Trust.HINT else event_id
            found.append(Event(id=event_id, name=canonical, item=item, external_id=external_id))
        return found

    def read(self, name: str, item: Payload) -> Reading | None:
        """What an event means; None when it is ignored or unknown. Raises MalformedPayload."""
        reader = self.events.get(self.aliases.get(name, name))
        return None if reader is None else reader(item)

    def ignores(self, name: str) -> str | None:
        """Why an event is ignored, or None when it is not."""
        return self.ignored.get(self.aliases.get(name, name))
