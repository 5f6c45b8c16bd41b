"""The contract has teeth: each planted fault is caught by the case that is there for it.

One defect each, in a connector that otherwise keeps the whole contract. The same case passes without the defect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors import contract
from connectors.base import (
    Answer,
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Delivery,
    Event,
    Fetch,
    Page,
    Pull,
    PullTalk,
    Reading,
    RegisterTalk,
    Registration,
    Request,
    Signature,
    Signed,
    Talk,
    Verified,
    Wanted,
)
from connectors.payload import Payload
from connectors.signatures import BODY, TIMESTAMP, URL, Hmac, StaticSecret
from connectors.signatures.parts import one_header
from core.errors import Invalid, MalformedPayload, SignatureRejected
from core.events import BankTransaction, Payment, Record, TransactionStatus
from core.money import Money, exponent
from tests.plugins import northwind

GOOD = northwind.connector
SAMPLES = Path(northwind.__file__).parent / "samples"
TIMED = (TIMESTAMP, ".", URL, ".", BODY)
HEADER, CLOCK = "Northwind-Signature", "Northwind-Time"


def run(connector: Connector, case: str, stream: contract.Told | None = None) -> None:
    told = None if stream is None else lambda: stream
    contract.cases(connector, samples=SAMPLES, stream=told, docs=Path("no/page.md"))[f"test_{connector.slug}_{case}"]()


# Signatures.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme(Hmac):
    """The good scheme; each planted one differs in `verify` alone."""

    header: str = HEADER
    timestamp_header: str | None = CLOCK
    signed: tuple[str, ...] = TIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustsAnyBody(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        if not secrets:
            raise SignatureRejected("no secret")
        return Verified()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusesAll(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        raise SignatureRejected("no")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSecretOnly(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        return Hmac.verify(self, delivery, secrets[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparesPlainly(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        stamp = one_header(delivery, CLOCK)
        given = one_header(delivery, HEADER)
        for index, secret in enumerate(filter(None, secrets)):
            sealed = hmac.digest(
                secret.encode("utf-8", "replace"), self._message(delivery.body, stamp, delivery.url), "sha256"
            )
            if sealed.hex() == given:
                return Verified(secret_index=index)
        raise SignatureRejected("no")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChokesOnStrangeHeaders(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        for value in delivery.headers.get(HEADER.lower(), ()):
            value.encode("ascii")
        return Hmac.verify(self, delivery, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakesTheFirstOfTwoHeaders(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        headers = {name: values[:1] for name, values in delivery.headers.items()}
        return Hmac.verify(self, replace(delivery, headers=headers), secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsWhatItParsed(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        try:
            body = json.dumps(json.loads(delivery.body), indent=2).encode() + b"\n"
        except ValueError:
            body = delivery.body
        return Hmac.verify(self, replace(delivery, body=body), secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsesFirst(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        try:
            json.loads(delivery.body.decode())
        except ValueError:
            raise SignatureRejected("not JSON") from None
        return Hmac.verify(self, delivery, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageless(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        sent = one_header(delivery, CLOCK)
        if sent.isascii() and sent.isdigit() and len(sent) < 12:
            delivery = replace(delivery, received_at=datetime.fromtimestamp(int(sent), UTC))
        return Hmac.verify(self, delivery, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class BelievesTheFuture(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        sent = one_header(delivery, CLOCK)
        if sent.isascii() and sent.isdigit() and len(sent) < 12:
            moment = datetime.fromtimestamp(int(sent), UTC)
            delivery = replace(delivery, received_at=max(delivery.received_at, moment))
        return Hmac.verify(self, delivery, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakesAnyAddress(Scheme):
    """Signs the address, and believes the one that the sender names."""

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        return Hmac.verify(self, replace(delivery, url=delivery.header("X-Forwarded-Url") or delivery.url), secrets)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        sealed = Hmac.sign(self, body, secret, at=at, message_id=message_id, url=url)
        return replace(sealed, headers={**sealed.headers, "X-Forwarded-Url": url})


@dataclass(frozen=True, slots=True, kw_only=True)
class TakesAnEmptySecret(Scheme):
    """A secret that was never set is a secret that everybody knows."""

    def check_secret(self, secret: str) -> None:
        if len(secret) > 512:
            raise AssertionError

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        if secret:
            return Hmac.sign(self, body, secret, at=at, message_id=message_id, url=url)
        stamp = str(int(at.timestamp()))
        seal = hmac.digest(b"", self._message(body, stamp, url), "sha256").hex()
        return Signed(headers={HEADER: seal, CLOCK: stamp}, body=body)

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        try:
            return Hmac.verify(self, delivery, secrets)
        except SignatureRejected:
            seal = hmac.digest(b"", self._message(delivery.body, delivery.header(CLOCK) or "", delivery.url), "sha256")
            if "" in secrets and hmac.compare_digest(seal.hex().encode(), one_header(delivery, HEADER).encode()):
                return Verified(secret_index=0)
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowsItsKeys(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        found = Hmac.verify(self, delivery, secrets)
        return replace(found, message_id=secrets[found.secret_index])


@dataclass(frozen=True, slots=True, kw_only=True)
class LocksUpOnABadSecret(Scheme):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        for secret in secrets:
            if not secret.isascii() or not 0 < len(secret) < 500:
                raise SignatureRejected("a secret is unusable")
        return Hmac.verify(self, delivery, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchesKeys:
    """HMAC by a key that stands at an address: a good scheme of the kind that asks for keys."""

    hosts: tuple[str, ...] = ("keys.northwind.example",)

    def _address(self, delivery: Delivery) -> str:
        address = one_header(delivery, "Northwind-Key-Url")
        try:
            parts = urlsplit(address)
        except ValueError:
            raise SignatureRejected("the key's address cannot be read") from None
        if parts.scheme != "https" or (self.hosts and parts.hostname not in self.hosts):
            raise SignatureRejected("the key would come from elsewhere")
        return address

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        address = self._address(delivery)
        return Wanted(name=address, request=Request(method="GET", url=address, authorized=False))

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        key = delivery.documents.get(self._address(delivery), b"")
        seal = hmac.digest(key, delivery.body, "sha256").hex().encode()
        if len(key) != 64 or not hmac.compare_digest(seal, one_header(delivery, HEADER).encode()):
            raise SignatureRejected("no")
        return Verified(for_us=False)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        address = "https://keys.northwind.example/" + hashlib.sha256(secret.encode()).hexdigest()[:8]
        headers = {"Northwind-Key-Url": address, HEADER: hmac.digest(secret.encode(), body, "sha256").hex()}
        return Signed(headers=headers, body=body, documents={address: secret.encode()})

    def new_secret(self) -> str:
        return os.urandom(32).hex()

    def receiving(self, secret: str) -> str:
        return ""

    def check_secret(self, secret: str) -> None:
        """Nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BelievesAnyKey(FetchesKeys):
    """A key that is not there is an empty key."""

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        documents = delivery.documents or {self._address(delivery): b""}
        key = documents.get(self._address(delivery), b"")
        if not key or hmac.compare_digest(
            hmac.digest(key, delivery.body, "sha256").hex(), delivery.header(HEADER) or ""
        ):
            return Verified(for_us=False)
        raise SignatureRejected("no")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsEachItem(Scheme):
    """The signature stands in each item of a batch; `checked` says of how many of them it is looked at."""

    checked: int | None = None

    @staticmethod
    def _seal_of(item: dict[str, Any], secret: str) -> str:
        text = json.dumps({name: value for name, value in item.items() if name != "seal"}, sort_keys=True)
        return hmac.digest(secret.encode(), text.encode(), "sha256").hex()

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        try:
            items = json.loads(delivery.body)["events"][: self.checked]
        except (ValueError, KeyError, TypeError):
            raise SignatureRejected("no items") from None
        for index, secret in enumerate(secrets):
            if secret and all(
                isinstance(item, dict) and hmac.compare_digest(self._seal_of(item, secret), str(item.get("seal")))
                for item in items
            ):
                return Verified(secret_index=index)
        raise SignatureRejected("no")

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        whole = json.loads(body)
        for item in whole["events"]:
            item["seal"] = self._seal_of(item, secret)
        return Signed(headers={}, body=json.dumps(whole).encode())


def signed_by(signature: Signature) -> Connector:
    return replace(GOOD, signature=signature)


# Reading.


def reads(event: str, read: Callable[[Payload], Reading]) -> Connector:
    return replace(GOOD, events={**GOOD.events, event: read})


def paid(item: Payload) -> Payment:
    return northwind.payment_of(item.at("data"))


def paid_whatever(item: Payload, key: str, harmless: str) -> Payment:
    """The payment of the event with one field set right."""
    whole: Any = json.loads(item.to_bytes())
    whole["data"][key] = harmless
    return paid(Payload(whole))


def with_money(convert: Callable[[str, str], Money]) -> Connector:
    """The amount of payments, converted otherwise."""

    def read(item: Payload) -> Reading:
        data, good = item.at("data"), paid_whatever(item, "amount", "1")
        return [replace(good, money=convert(data.text("amount"), data.text("currency")))]

    return replace(reads("payment.paid", read), events={**GOOD.events, "payment.paid": read, "payment.open": read})


def floats(amount: str, currency: str) -> Money:
    exactly = Money.from_decimal(amount, currency)
    return Money(max(1, int(float(amount) * 10 ** exponent(currency))), exactly.currency)


def hundredths(amount: str, currency: str) -> Money:
    return Money(max(1, Money.from_decimal(amount, "EUR").minor), currency)


def rounds(amount: str, currency: str) -> Money:
    try:
        return Money(max(1, Money.from_decimal(f"{Decimal(amount):.2f}", currency).minor), currency)
    except (Invalid, InvalidOperation):
        raise MalformedPayload("data.amount", "is no amount") from None


def local_time(item: Payload) -> Reading:
    moment = datetime.fromisoformat(item.at("data").text("changed_at")).replace(tzinfo=UTC)
    return [replace(paid(item), occurred_at=moment)]


def naive_time(item: Payload) -> Reading:
    good = paid(item)
    return [replace(good, occurred_at=good.occurred_at.replace(tzinfo=None))]


def unchecked(item: Payload) -> Reading:
    whole: Any = item.value
    return [replace(paid(item), description=whole["data"]["invoice"])]


def of_any_length(item: Payload) -> Reading:
    given = item.at("data").text("id")
    return [replace(paid_whatever(item, "id", "pay_1"), object_id=given)]


def clocked(item: Payload) -> Reading:
    return [replace(paid(item), version=int(time.time()))]


def dated(item: Payload) -> Reading:
    now = datetime.now(UTC)
    return [replace(paid(item), version=now.year)]


def by_chance(item: Payload) -> Reading:
    return [replace(paid(item), description=str(uuid.uuid4()))]


def from_a_file(item: Payload) -> Reading:
    return [replace(paid(item), description=Path(__file__).read_text(encoding="utf-8")[:10])]


def in_a_thread(item: Payload) -> Reading:
    found: list[Record] = []
    worker = threading.Thread(target=lambda: found.append(paid(item)))
    worker.start()
    worker.join()
    return found


CALLS = count()


def counted(item: Payload) -> Reading:
    return [replace(paid(item), version=next(CALLS))]


BUSY = threading.Event()


def one_at_a_time(item: Payload) -> Reading:
    """Breaks when two threads read at once: it keeps what it is doing in a place that all share."""
    clash = BUSY.is_set()
    BUSY.set()
    time.sleep(0.002)
    BUSY.clear()
    return [] if clash else [paid(item)]


def without_a_date(item: Payload) -> Reading:
    return [replace(paid(item), version=0)]


class Renaming(Connector):
    """Takes every event for a payment."""

    def open(self, delivery: Delivery, verified: Verified) -> list[Event]:
        found = Connector.open(self, delivery, verified)
        return [replace(event, name=event.name if event.name in self.events else "payment.paid") for event in found]


class Dropping(Connector):
    """Leaves out what it does not know."""

    def open(self, delivery: Delivery, verified: Verified) -> list[Event]:
        known = {*self.events, *self.ignored}
        return [event for event in Connector.open(self, delivery, verified) if event.name in known]


def kind(of: type[Connector]) -> Connector:
    names = set(Connector.__dataclass_fields__)
    return of(**{name: getattr(GOOD, name) for name in names})


def all_or_nothing(item: Payload) -> Reading:
    """Looks at its neighbours: one bad item of a batch spoils them all."""
    whole = item._parent
    assert whole is not None
    for one in whole.items("events"):
        one.at("data").identifier("currency")
    return [paid(item)]


# Talking.


def asks(**changes: Any) -> Connector:
    api = GOOD.api
    assert api is not None
    return replace(GOOD, **changes)


def fetches(talk: Callable[[str, Credentials], Talk]) -> Connector:
    return reads("payment.changed", lambda item: Fetch(talk=partial(talk, item.at("data").identifier("id"))))


def any_object(identity: str, credentials: Credentials) -> Talk:
    answer = (yield Request(method="GET", url=f"/payments/{identity}")).payload()
    return [northwind.payment_of(answer)]


def any_refund(identity: str, credentials: Credentials) -> Talk:
    answer = (yield Request(method="GET", url=f"/payments/{identity}")).payload()
    answer.same("id", identity)
    found = yield from northwind.pages(identity)
    return [northwind.payment_of(answer), *map(northwind.refund_of, found)]


def in_circles(identity: str, credentials: Credentials) -> Talk:
    found: list[Record] = []
    cursor: str | None = "start"
    while cursor:
        page = (yield Request(method="GET", url="/refunds", params={"payment": identity, "from": cursor})).payload()
        found += [northwind.refund_of(one) for one in page.items("refunds") if one.same("payment", identity)]
        cursor = page.optional_identifier("next")
    return found


def for_ever(identity: str, credentials: Credentials) -> Talk:
    found: list[Record] = []
    seen: set[str] = set()
    cursor: str | None = "start"
    while cursor and cursor not in seen:
        seen.add(cursor)
        page = (yield Request(method="GET", url="/refunds", params={"payment": identity, "from": cursor})).payload()
        found += [northwind.refund_of(one) for one in page.items("refunds") if one.same("payment", identity)]
        cursor = page.optional_identifier("next")
    return found


def unchecked_answer(identity: str, credentials: Credentials) -> Talk:
    answer = (yield Request(method="GET", url=f"/payments/{identity}")).payload()
    whole: Any = json.loads(answer.to_bytes())
    if whole["id"] != identity:
        answer.same("id", identity)
    return [northwind.payment_of(answer)]


def nothing(identity: str, credentials: Credentials) -> Talk:
    yield Request(method="GET", url=f"/payments/{identity}")
    return []


def telling(identity: str, credentials: Credentials) -> Talk:
    params = {"key": credentials.secret("api_key")}
    answer = (yield Request(method="GET", url=f"/payments/{identity}", params=params)).payload()
    answer.same("id", identity)
    return [northwind.payment_of(answer)]


def forgetful(identity: str, credentials: Credentials) -> Talk:
    yield Request(method="GET", url=f"/payments/{identity}", params={"try": str(next(CALLS))})
    return []


def asked_elsewhere(credentials: Credentials) -> AuthorizationTalk:
    yield Request(method="POST", url="https://elsewhere.example/token", authorized=False)
    return Authorization(headers={"Authorization": "Bearer x"}, expires_in_seconds=60)


def careless_token(credentials: Credentials) -> AuthorizationTalk:
    answer = yield Request(method="POST", url="/token", form={}, authorized=False)
    token: Any = json.loads(answer.body)
    return Authorization(headers={"Authorization": token["token"]}, expires_in_seconds=60)


def pulls(talk: Callable[[Credentials, str | None, datetime], PullTalk]) -> Connector:
    return replace(GOOD, pull=Pull(talk=talk, what="payments"))


def standing_still(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    page = (yield Request(method="GET", url="/payments")).payload()
    return Page(records=[northwind.payment_of(one) for one in page.items("payments")], cursor="1", more=True)


def one_page(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    page = (yield Request(method="GET", url="/payments")).payload()
    return Page(records=[northwind.payment_of(one) for one in page.items("payments")])


PLACES: list[str] = []


def remembering(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    """Keeps its place in the process rather than in the cursor."""
    params = {"from": PLACES.pop()} if cursor and PLACES else {}
    page = (yield Request(method="GET", url="/payments", params=params)).payload()
    following = page.optional_identifier("next")
    if following:
        PLACES.append(following)
    return Page(
        records=[northwind.payment_of(one) for one in page.items("payments")],
        cursor=str(next(CALLS)),
        more=following is not None,
    )


def careless_page(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    found = yield from northwind.pull(credentials, cursor, since)
    return replace(found, records=[found.records[0]])


def careless_register(credentials: Credentials, url: str) -> RegisterTalk:
    yield Request(method="GET", url="/hooks")
    return Registration(state="kept")


def telling_secrets(delivery: Delivery, secrets: Sequence[str]) -> Answer | None:
    return Answer(body="".join(secrets).encode()) if delivery.method == "GET" else None


def echoing(delivery: Delivery, secrets: Sequence[str]) -> Answer | None:
    word = delivery.query.get("challenge")
    return Answer(body=word[:900].encode(), content_type="text/html") if word else None


def greedy(delivery: Delivery, secrets: Sequence[str]) -> Answer | None:
    return Answer(body=b"ok") if b"payment" in delivery.body else None


def unsigned_money(connector: Connector) -> Connector:
    """The same with a static secret, which proves nothing about a body."""
    return replace(connector, signature=StaticSecret(header=HEADER))


def settled(version: int, name: str) -> Record:
    """A line on a bank account."""
    return BankTransaction(
        object_id="line_1", version=version, account_id="bank_1", status=TransactionStatus.POSTED,
        money=Money(100, "EUR"), narration=name, occurred_at=contract.AT,
    )  # fmt: skip


def usual_currency(identity: str, credentials: Credentials) -> Talk:
    """Takes what is no currency for euros."""
    answer = (yield Request(method="GET", url=f"/payments/{identity}")).payload()
    whole: Any = json.loads(answer.to_bytes())
    try:
        answer.currency("currency")
    except MalformedPayload:
        whole["currency"] = "EUR"
    mended = Payload(whole)
    mended.same("id", identity)
    return [northwind.payment_of(mended)]


FAULTS: Mapping[str, tuple[Connector, str, str]] = {
    "refuses the genuine": (signed_by(RefusesAll()), "accepts_what_its_scheme_signs", "its own scheme signed"),
    "trusts any body": (
        signed_by(TrustsAnyBody()),
        "refuses_a_body_with_any_changed_byte",
        "byte 0 was changed",
    ),
    "trusts any length": (
        signed_by(TrustsAnyBody()),
        "refuses_a_longer_shorter_or_empty_body",
        "the length changed",
    ),
    "trusts any signature": (
        signed_by(TrustsAnyBody()),
        "refuses_each_proof_header_altered",
        "was changed at 0",
    ),
    "needs no signature": (
        signed_by(TrustsAnyBody()),
        "refuses_no_headers_at_all",
        "there are no headers",
    ),
    "trusts any secret": (
        signed_by(TrustsAnyBody()),
        "refuses_another_secret",
        "another secret",
    ),
    "trusts an empty secret": (
        signed_by(TakesAnEmptySecret()),
        "refuses_everything_without_a_secret",
        "an empty secret",
    ),
    "takes an empty secret for one": (
        signed_by(TakesAnEmptySecret()),
        "makes_secrets_that_differ_and_can_be_used",
        "an empty secret passes",
    ),
    "forgets the old secret": (
        signed_by(FirstSecretOnly()),
        "accepts_old_and_new_secret_while_rotating",
        "one of two live secrets",
    ),
    "locks up on a bad secret": (
        signed_by(LocksUpOnABadSecret()),
        "passes_over_an_unusable_secret_beside_a_good_one",
        "an unusable secret",
    ),
    "compares with ==": (
        signed_by(ComparesPlainly()),
        "compares_signatures_in_constant_time",
        "without hmac.compare_digest",
    ),
    "chokes on a non-ASCII header": (
        signed_by(ChokesOnStrangeHeaders()),
        "refuses_each_proof_header_missing_empty_doubled_or_garbled",
        "UnicodeEncodeError in place of a refusal",
    ),
    "takes the first of two headers": (
        signed_by(TakesTheFirstOfTwoHeaders()),
        "refuses_each_proof_header_missing_empty_doubled_or_garbled",
        "accepted although northwind-signature is",
    ),
    "verifies what it parsed": (
        signed_by(SignsWhatItParsed()),
        "refuses_a_body_written_anew",
        "serialised again",
    ),
    "parses before verifying": (
        signed_by(ParsesFirst()),
        "verifies_before_it_parses",
        "parsed before it is proven",
    ),
    "ignores age": (
        signed_by(Ageless()),
        "judges_age_at_arrival_on_both_sides",
        "it arrived -301",
    ),
    "believes the future": (
        signed_by(BelievesTheFuture()),
        "judges_age_at_arrival_on_both_sides",
        "it arrived -301",
    ),
    "takes another address": (
        signed_by(TakesAnyAddress()),
        "refuses_what_was_sent_to_another_address",
        "signed for another address",
    ),
    "shows its secret": (
        signed_by(ShowsItsKeys()),
        "keeps_secrets_out_of_repr",
        "a secret is shown",
    ),
    "lets the sender choose the key": (
        signed_by(FetchesKeys(hosts=())),
        "takes_keys_only_from_where_the_scheme_says",
        "taken from elsewhere.example",
    ),
    "takes no key for a key": (
        signed_by(BelievesAnyKey()),
        "refuses_when_the_key_is_missing_or_garbled",
        "the key is None",
    ),
    "checks only the first item of a batch": (
        signed_by(SignsEachItem(checked=1)),
        "lets_nothing_unsigned_change_what_a_body_means",
        r"events\.1\.\S+ was changed unnoticed",
    ),
    "books an unsigned hint": (
        unsigned_money(GOOD),
        "lets_an_unproven_body_lead_to_a_fetch_only",
        "nothing proves it",
    ),
    "books what may be another customer's": (
        replace(GOOD, signature=FetchesKeys(), external_id=lambda _item: None),
        "lets_an_unproven_body_lead_to_a_fetch_only",
        "nothing proves it",
    ),
    "has no sample": (
        reads("brand.new", northwind.read_payment),
        "has_a_sample_for_every_mapped_event",
        "no sample for .'brand.new'",
    ),
    "gives no reason": (
        replace(GOOD, ignored={"some.event": "why not"}),
        "gives_a_reason_for_each_ignored_event",
        "why not",
    ),
    "takes every event for a payment": (
        replace(GOOD, event_name=lambda _item: "payment.paid"),
        "names_each_sample_as_its_file_does",
        r"is \['payment.paid'\]",
    ),
    "guesses unknown events": (
        kind(Renaming),
        "leaves_an_unknown_event_unread_and_unignored",
        "is taken for payment.paid",
    ),
    "drops unknown events": (
        kind(Dropping),
        "leaves_an_unknown_event_unread_and_unignored",
        "was dropped",
    ),
    "reads nothing of an event": (
        reads("payment.open", lambda _item: []),
        "reads_every_sample",
        "means nothing",
    ),
    "makes a new event of a resend": (
        replace(GOOD, event_id=lambda _item, envelope: envelope.delivery.header(CLOCK) or "-"),
        "keeps_the_event_id_on_a_resend",
        "became",
    ),
    "takes the object for the event": (
        replace(GOOD, event_id=lambda item, _envelope: item.at("data").identifier("id")),
        "tells_different_events_apart",
        "have the same event id",
    ),
    "reads unchecked": (
        reads("payment.paid", unchecked),
        "survives_every_field_missing_or_of_another_kind",
        "KeyError while reading",
    ),
    "takes ids of any length": (
        reads("payment.paid", of_any_length),
        "survives_every_field_missing_or_of_another_kind",
        "Payment.object_id = ''",
    ),
    "looks at the clock": (
        reads("payment.paid", clocked),
        "touches_nothing_while_verifying_and_reading",
        "time.time",
    ),
    "looks at the calendar": (
        reads("payment.paid", dated),
        "touches_nothing_while_verifying_and_reading",
        "datetime.now",
    ),
    "rolls dice": (
        reads("payment.paid", by_chance),
        "touches_nothing_while_verifying_and_reading",
        "uuid4",
    ),
    "opens a file": (
        reads("payment.paid", from_a_file),
        "touches_nothing_while_verifying_and_reading",
        "open",
    ),
    "starts a thread": (
        reads("payment.paid", in_a_thread),
        "touches_nothing_while_verifying_and_reading",
        "start_new_thread",
    ),
    "remembers": (
        reads("payment.paid", counted),
        "gives_the_same_answer_twice",
        "payment.paid",
    ),
    "shares its place": (
        reads("payment.paid", one_at_a_time),
        "gives_the_same_answer_to_many_at_once",
        "comes twice at once",
    ),
    "reads a bad body": (
        replace(GOOD, decode=lambda _body: Payload({"events": []})),
        "calls_an_unreadable_body_malformed",
        "a body that is empty",
    ),
    "reads half a body": (
        replace(GOOD, decode=lambda _body: Payload({"events": []})),
        "calls_a_truncated_body_malformed",
        "opened half of",
    ),
    "makes an event of nothing": (
        replace(GOOD, split=lambda body: (body,), event_id=lambda *_: "e", event_name=lambda _: "payment.paid"),
        "never_finds_an_event_in_a_body_without_one",
        "an event was found",
    ),
    "spoils a batch by one item": (
        reads("payment.paid", all_or_nothing),
        "reads_the_others_of_a_batch_with_one_bad_item",
        "one bad item spoils 2",
    ),
    "floats money": (
        with_money(floats),
        "keeps_every_digit_of_money",
        "minor=28",
    ),
    "rounds money": (
        with_money(rounds),
        "keeps_every_digit_of_money",
        "is rounded",
    ),
    "gives a yen hundredths": (
        with_money(hundredths),
        "knows_the_decimal_places_of_a_currency",
        "minor=100000",
    ),
    "takes local time for UTC": (
        reads("payment.paid", local_time),
        "takes_no_local_time_for_another",
        "taken for another moment",
    ),
    "keeps a time without a zone": (
        reads("payment.paid", naive_time),
        "reads_every_sample",
        "a local time, not a moment",
    ),
    "changes its mind": (
        reads("payment.paid", counted),
        "ends_the_same_in_every_order_and_with_repeats",
        "ends otherwise",
    ),
    "ignores the answered object's id": (
        fetches(any_object),
        "refuses_an_answer_about_another_object",
        "payment.json id names another object",
    ),
    "takes any payment's refunds": (
        fetches(any_refund),
        "refuses_an_answer_about_another_object",
        "refunds.0.payment names another object",
    ),
    "runs in circles": (
        fetches(in_circles),
        "ends_when_a_list_leads_in_a_circle",
        "does not end",
    ),
    "never ends": (
        fetches(for_ever),
        "ends_when_a_list_does_not",
        "does not end",
    ),
    "reads an answer unchecked": (
        fetches(unchecked_answer),
        "survives_any_answer",
        "TypeError in a talk",
    ),
    "takes nonsense for euros": (
        fetches(usual_currency),
        "refuses_a_currency_that_is_none",
        "the currency 'ZZZ' is believed",
    ),
    "fetches nothing": (
        fetches(nothing),
        "leads_every_pointer_to_records",
        "leads to nothing",
    ),
    "asks differently each time": (
        fetches(forgetful),
        "describes_the_same_requests_twice",
        "other requests",
    ),
    "writes a secret into an address": (
        fetches(telling),
        "asks_with_secrets_in_headers_and_bodies_only",
        "a secret stands in the address",
    ),
    "asks elsewhere": (
        replace(GOOD, api=Api(base="https://api.northwind.example/v1", authorize=asked_elsewhere)),
        "authorises_by_the_recorded_answers",
        "leads outside",
    ),
    "reads a token unchecked": (
        replace(GOOD, api=Api(base="https://api.northwind.example/v1", authorize=careless_token)),
        "refuses_a_garbled_authorisation",
        "JSONDecodeError in a talk",
    ),
    "stands still while pulling": (
        pulls(standing_still),
        "pulls_to_the_end_with_a_cursor_that_moves",
        "does not end",
    ),
    "pulls one page": (
        pulls(one_page),
        "pulls_to_the_end_with_a_cursor_that_moves",
        "one request is all",
    ),
    "forgets its place": (
        pulls(remembering),
        "pulls_the_same_again_and_goes_on_from_its_cursor",
        "from the cursor",
    ),
    "reads a page unchecked": (
        pulls(careless_page),
        "survives_any_page",
        "IndexError",
    ),
    "registers nowhere": (
        replace(GOOD, register=careless_register),
        "registers_its_webhook_by_the_recorded_answers",
        "no route for GET /hooks",
    ),
    "tells its secret in a handshake": (
        replace(GOOD, challenge=telling_secrets),
        "gives_strangers_nothing_in_a_handshake",
        "tells the secret",
    ),
    "echoes a script": (
        replace(GOOD, challenge=echoing),
        "gives_strangers_nothing_in_a_handshake",
        "lets a browser run",
    ),
    "swallows events as handshakes": (
        replace(GOOD, challenge=greedy),
        "answers_no_event_as_a_handshake",
        "taken for a handshake",
    ),
    "says nothing to people": (
        replace(GOOD, steps=()),
        "tells_a_person_what_to_do",
        "`steps`",
    ),
    "has no page": (
        GOOD,
        "has_a_page_of_its_own",
        "there is no page",
    ),
}

# What a fault of a scheme is planted in, where it is not the usual one.
HONEST: Mapping[str, Connector] = {
    "lets the sender choose the key": signed_by(FetchesKeys()),
    "takes no key for a key": signed_by(FetchesKeys()),
    "checks only the first item of a batch": signed_by(SignsEachItem()),
    "books what may be another customer's": signed_by(FetchesKeys()),
    "books an unsigned hint": unsigned_money(
        replace(GOOD, events=dict.fromkeys(GOOD.events, GOOD.events["payment.changed"]))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    connector, case, words = FAULTS[fault]
    if connector is not GOOD:
        run(HONEST.get(fault, GOOD), case)
    with pytest.raises(AssertionError, match=words):
        run(connector, case)


def test_every_case_of_the_contract_catches_something() -> None:
    biting = {case for _, case, _ in FAULTS.values()}
    assert set(contract.case_names()) - biting == {
        # Below: it needs a stream.
        "gives_a_later_statement_the_higher_version"
    }


def test_a_connector_without_samples_is_asked_everything_and_told_why_it_fails(tmp_path: Path) -> None:
    cases = contract.cases(GOOD, samples=tmp_path)
    assert len(cases) > 50
    with pytest.raises(AssertionError, match="there is no sample"):
        cases["test_northwind_accepts_what_its_scheme_signs"]()


def test_a_later_statement_that_claims_to_be_older_is_caught() -> None:
    case = "gives_a_later_statement_the_higher_version"
    run(GOOD, case, [[settled(1, "a")], [settled(1, "b")], [settled(2, "c")]])
    with pytest.raises(AssertionError, match="step 2"):
        run(GOOD, case, [[settled(2, "a")], [settled(1, "b")]])
