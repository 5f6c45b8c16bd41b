"""Cases about what proves a delivery, and what does not."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from connectors.base import Delivery, Event, Fetch
from connectors.contract.suite import (
    AT,
    MESSAGE_ID,
    URL,
    Sample,
    Suite,
    require,
    signed,
    when,
    written,
)
from connectors.contract.trees import changed, leaves
from connectors.contract.watch import watched
from connectors.payload import Payload
from core.errors import Invalid, MalformedPayload, PlatformError, SignatureRejected
from core.events import Trust

GARBLED = (
    "", " ", ",", ".", "v1,", "=", "é", "\udcff", "\0", "x" * 100_000, "🦊", "v1,abcde", "-1", "1e9",
    "..", "e30.e30.e30", "{}", "2026-13-45T99:99:99Z", "https://", "https://[", "|", "a=b,a=b",
)  # fmt: skip
ELSEWHERE = "https://elsewhere.example/api/hooks/another"
# What a signed body holds beside its meaning: these fields say what an event does to the books.
_MEANT = ("object_id", "account_id", "payment_id", "status", "money", "deducted", "total", "due", "health")


class Proof(Suite):
    """What proves a delivery, and what does not."""

    def accepts_what_its_scheme_signs(self) -> None:
        """Every sample, signed by the scheme itself, is accepted under the receiving secret."""
        for sample in self._samples:
            require(sample.verified.secret_index == 0, sample.label)

    @when("_has_sealed")
    def refuses_a_body_with_any_changed_byte(self) -> None:
        """A bit turned anywhere spoils the proof."""
        for sample in filter(self._sealed, self._kinds):
            length = len(sample.delivery.body)
            for position in {0, length // 3, length // 2, length - 1}:
                body = bytearray(sample.delivery.body)
                body[position] ^= 1
                self._refused(replace(sample.delivery, body=bytes(body)), f"byte {position} was changed")

    @when("_has_sealed")
    def refuses_a_longer_shorter_or_empty_body(self) -> None:
        """Nothing may be added or taken away."""
        for sample in filter(self._sealed, self._kinds):
            body = sample.delivery.body
            for other in (body + b" ", body[:-1], body[: len(body) // 2], b""):
                self._refused(replace(sample.delivery, body=other), "the length changed")

    @when("_has_sealed")
    def refuses_a_body_written_anew(self) -> None:
        """The same JSON in other bytes is another body."""
        for sample in filter(self._sealed, self._kinds):
            if not sample.json:
                continue
            whole = json.loads(sample.delivery.body)
            for again in (json.dumps(whole, separators=(",", ":"), sort_keys=True), json.dumps(whole, indent=3)):
                if again.encode() != sample.delivery.body:
                    self._refused(replace(sample.delivery, body=again.encode()), "the body was serialised again")

    @when("_has_inner_proof")
    def lets_nothing_unsigned_change_what_a_body_means(self) -> None:
        """Where the proof lies in the body: whatever is changed is refused, or changes nothing that matters.

        In batches too: each item's own signature counts, not only that of the first.
        """
        for sample in self._samples:
            if not self._proven(sample) or self._sealed(sample):
                continue
            bodies = [sample.delivery]
            if sample.json and (batch := self._batch(sample)) is not None:
                bodies.append(signed(self._connector, written(batch), self._secret))
            for delivery in bodies:
                meant = self._meant(delivery)
                refusals = 0
                for body, where in _altered(delivery.body, json_body=sample.json):
                    other = replace(delivery, body=body)
                    if self._accepts(other) is None:
                        refusals += 1
                    else:
                        require(self._meant(other) in (meant, None), f"{sample.label}: {where} was changed unnoticed")
                require(refusals, f"{sample.label}: nothing in the body is proven")

    @when("_has_proofs")
    def refuses_each_proof_header_altered(self) -> None:
        """One character of any header that the proof rests on."""
        for sample in self._kinds:
            for name in self._proofs(sample):
                (value,) = sample.delivery.headers[name]
                for position in {0, len(value) // 2, len(value) - 1}:
                    other = "0" if value[position] != "0" else "1"
                    altered = value[:position] + other + value[position + 1 :]
                    headers = {**sample.delivery.headers, name: (altered,)}
                    # The last digit of base64 may hold bits that mean nothing; the text must match all the same.
                    self._refused(replace(sample.delivery, headers=headers), f"{name} was changed at {position}")

    @when("_has_proofs")
    def refuses_each_proof_header_missing_empty_doubled_or_garbled(self) -> None:
        """Whatever stands in a header, the answer is a refusal and never another exception."""
        for sample in self._kinds:
            for name in self._proofs(sample):
                (value,) = sample.delivery.headers[name]
                without = {key: values for key, values in sample.delivery.headers.items() if key != name}
                self._refused(replace(sample.delivery, headers=without), f"{name} is missing")
                twice = ((), (value, ""), ("", value), *self._ambiguous(sample, name))
                for values in (*twice, *((text,) for text in GARBLED)):
                    headers = {**without, name: values}
                    self._refused(replace(sample.delivery, headers=headers), f"{name} is {values!r:.60}")

    @when("_has_proofs")
    def refuses_no_headers_at_all(self) -> None:
        """A bare body proves nothing."""
        for sample in self._kinds:
            if self._proofs(sample):
                self._refused(replace(sample.delivery, headers={}), "there are no headers")

    @when("_signs")
    def refuses_another_secret(self) -> None:
        """What somebody else signed, with whatever the receiver keeps and is given."""
        for sample in filter(self._guarded, self._kinds):
            stranger = signed(self._connector, sample.raw, self._other)
            stranger = replace(stranger, documents=sample.delivery.documents)
            self._refused(stranger, "it was signed with another secret")
            if self._rotates():
                self._refused(sample.delivery, "another secret is kept", (self._other_kept,))

    @when("_keeps_a_secret")
    def refuses_everything_without_a_secret(self) -> None:
        """No live secret, or an empty one, never opens the door: nor to who signs with an empty one."""
        for sample in filter(self._guarded, self._kinds):
            for secrets in ((), ("",), ("", "")):
                self._refused(sample.delivery, f"the secrets are {secrets!r}", secrets)
            try:
                empty = signed(self._connector, sample.raw, "")
            except (PlatformError, ValueError, TypeError):
                continue
            for secrets in ((), ("",), (self._kept,)):
                self._refused(empty, f"it was signed with an empty secret, under {len(secrets)} secrets", secrets)

    @when("_rotates")
    def accepts_old_and_new_secret_while_rotating(self) -> None:
        """Either of two live secrets proves a delivery, and says which of them did."""
        for sample in filter(self._guarded, self._kinds):
            for index, secrets in enumerate(([self._kept, self._other_kept], [self._other_kept, self._kept])):
                verified = self._accepts(sample.delivery, secrets)
                require(verified, "refused although one of two live secrets proves it")
                require(verified and verified.secret_index == index, "not the secret that proved it is named")

    @when("_keeps_a_secret")
    def passes_over_an_unusable_secret_beside_a_good_one(self) -> None:
        """One secret that was stored badly does not lock the door."""
        for sample in filter(self._guarded, self._kinds):
            for bad in ("", "\udcff", "x" * 10_000):
                verified = self._accepts(sample.delivery, [bad, self._kept])
                require(verified and verified.secret_index == 1, "an unusable secret was not passed over")

    @when("_keeps_a_secret")
    def makes_secrets_that_differ_and_can_be_used(self) -> None:
        """New secrets are fresh, and check_secret knows a usable one from an empty one."""
        require(self._secret != self._other, "two new secrets are equal")
        self._connector.signature.check_secret(self._kept)
        try:
            self._connector.signature.check_secret("")
        except Invalid:
            return
        raise AssertionError("an empty secret passes the check")

    @when("_has_proofs")
    def judges_age_at_arrival_on_both_sides(self) -> None:
        """Too old and from the future is refused, where a time is signed; within the tolerance it is taken."""
        for sample in self._kinds:
            if not self._proofs(sample) or (tolerance := self._tolerance(sample)) is None:
                continue
            sent = AT.replace(microsecond=0)
            delivery = signed(self._connector, sample.raw, self._secret, at=sent)
            for seconds in (-tolerance, -tolerance + 1, 0, tolerance - 1, tolerance):
                moved = replace(delivery, received_at=sent + timedelta(seconds=seconds))
                require(self._accepts(moved), f"refused {seconds} s after it was signed")
            year = 86_400 * 365
            for seconds in (-tolerance - 1, tolerance + 1, tolerance + year, -tolerance - year):
                moved = replace(delivery, received_at=sent + timedelta(seconds=seconds))
                self._refused(moved, f"it arrived {seconds} s after it was signed")

    @when("_signs_address")
    def refuses_what_was_sent_to_another_address(self) -> None:
        """Where the address is signed, a delivery made for one is worth nothing at another."""
        for sample in filter(self._guarded, self._kinds):
            self._refused(replace(sample.delivery, url=ELSEWHERE), "it was signed for another address")
            self._refused(replace(sample.delivery, url=""), "this installation does not know its address")
            moved = signed(self._connector, sample.raw, self._secret, url=ELSEWHERE)
            self._refused(replace(moved, url=URL), "it was signed for another address")

    @when("_shares_a_secret")
    def compares_signatures_in_constant_time(self) -> None:
        """A comparison that ends at the first wrong character tells a stranger how far he has come."""
        for sample in filter(self._guarded, self._kinds):
            with watched() as watch:
                self._connector.verify(sample.delivery, self._secrets)
            require(watch.compared, f"{sample.label}: compared without hmac.compare_digest")

    @when("_has_sealed")
    def verifies_before_it_parses(self) -> None:
        """Not a byte of the body is interpreted before it is proven."""
        for sample in filter(self._sealed, self._kinds):
            body = sample.delivery.body + b" "
            with watched(body) as watch:
                self._refused(replace(sample.delivery, body=body), "a byte was added")
            require(not watch.parsed, f"{sample.label}: the body is parsed before it is proven")

    @when("_wants_keys")
    def takes_keys_only_from_where_the_scheme_says(self) -> None:
        """No address that the sender writes leads to a host that the scheme does not allow."""
        for sample in self._kinds:
            honest = self._connector.signature.wants(sample.delivery, self._secrets)
            require(honest is not None and honest.name in sample.delivery.documents, f"{sample.label} wants no key")
            host = urlsplit(honest.request.url).hostname if honest else None
            for delivery in _redirected(sample.delivery):
                try:
                    wanted = self._connector.signature.wants(delivery, self._secrets)
                except SignatureRejected:
                    continue
                asked = urlsplit(wanted.request.url).hostname if wanted else host
                require(asked == host, f"{sample.label}: a key would be taken from {asked}")

    @when("_wants_keys")
    def refuses_when_the_key_is_missing_or_garbled(self) -> None:
        """No document, or one that is no key, proves nothing and breaks nothing."""
        for sample in self._kinds:
            honest = sample.delivery.documents
            for garbage in (None, b"", b"null", b"{}", b"[]", b"\xff", b"x" * 100_000, b'{"keys": [{}]}'):
                documents = {} if garbage is None else dict.fromkeys(honest, garbage)
                self._refused(replace(sample.delivery, documents=documents), f"the key is {garbage!r:.20}")

    def keeps_secrets_out_of_repr(self) -> None:
        """Neither the connector nor a result shows a secret."""
        for sample in self._kinds:
            shown = f"{self._connector!r} {self._connector.signature!r} {sample.verified!r}"
            require(self._secret == "" or self._secret not in shown, "a secret is shown")

    @when("_doubtful")
    def lets_an_unproven_body_lead_to_a_fetch_only(self) -> None:
        """What is only a hint, or perhaps meant for another customer, never becomes a record by itself."""
        for sample in self._samples:
            for event in self._connector.open(sample.delivery, sample.verified):
                unproven = not self._proven(sample) or (not sample.verified.for_us and event.external_id is None)
                reading = self._connector.read(event.name, event.item)
                fetched = reading is None or isinstance(reading, Fetch)
                require(not unproven or fetched, f"{sample.label} is believed although nothing proves it")

    # Helpers.

    def _doubtful(self) -> bool:
        return any(one.verified.trust is Trust.HINT or not one.verified.for_us for one in self._kinds)

    def _ambiguous(self, sample: Sample, name: str) -> tuple[tuple[str, ...], ...]:
        """The same header twice, unless the scheme takes several and any of them may hold."""
        (value,) = sample.delivery.headers[name]
        (other,) = signed(self._connector, sample.raw, self._other).headers.get(name, ("",))
        orders = ((value, other), (other, value))
        accepted = [
            self._accepts(replace(sample.delivery, headers={**sample.delivery.headers, name: values}))
            for values in orders
        ]
        return () if all(accepted) and other != value else (*orders, (value, value))

    def _steady(self, sample: Sample) -> bool:
        """Whether signing the same twice gives the same."""
        return self._sealed_at(sample, 0) == self._sealed_at(sample, 0)

    def _sealed_at(self, sample: Sample, hours: int, url: str = URL) -> object:
        at = AT + timedelta(hours=hours)
        sealed = self._connector.signature.sign(sample.raw, self._secret, at=at, message_id=MESSAGE_ID, url=url)
        return sealed.headers, sealed.body

    def _tolerance(self, sample: Sample) -> float | None:
        """How far a signed time may be off; None where none is signed."""
        declared = getattr(self._connector.signature, "tolerance_seconds", None)
        if declared is None and self._steady(sample) and self._sealed_at(sample, 0) != self._sealed_at(sample, 1):
            declared = 300.0
        signed_time = declared is not None and (
            not self._steady(sample) or self._sealed_at(sample, 0) != self._sealed_at(sample, 1)
        )
        return float(declared) if signed_time and declared is not None and math.isfinite(declared) else None

    def _signs_address(self) -> bool:
        if getattr(self._connector.signature, "signs_url", False):
            return True
        sample = self._kinds[0]
        return self._steady(sample) and self._sealed_at(sample, 0) != self._sealed_at(sample, 0, ELSEWHERE)

    def _meant(self, delivery: Delivery) -> object:
        """What a delivery does to the books, without what is only told along; None when it cannot be read."""
        try:
            verified = self._connector.verify(delivery, self._secrets)
            opened = self._connector.open(delivery, verified)
            return [self._meant_by(event) for event in opened]
        except MalformedPayload:
            return None

    def _meant_by(self, event: Event) -> object:
        reading = self._connector.read(event.name, event.item)
        if reading is None or isinstance(reading, Fetch):
            return event.name, type(reading).__name__
        return [(type(one).__name__, *(getattr(one, name, None) for name in _MEANT)) for one in reading]


def _altered(body: bytes, *, json_body: bool) -> Iterator[tuple[bytes, str]]:
    """The body with one thing changed: every value of JSON, or a byte here and there."""
    if json_body:
        whole = json.loads(body)
        for path, value in list(leaves(whole)):
            for other in _other_values(value):
                with changed(whole, path, other):
                    yield written(whole), ".".join(map(str, path))
        return
    step = max(1, len(body) // 96)
    for position in range(0, len(body), step):
        other = b"1" if body[position : position + 1] != b"1" else b"2"
        yield body[:position] + other + body[position + 1 :], f"byte {position}"


def _other_values(value: object) -> tuple[object, ...]:
    if isinstance(value, bool) or value is None:
        return (not value,)
    if isinstance(value, int | float):
        return (value + 1,)
    text = str(value)
    return (text + "1", {"true": "false", "false": "true"}.get(text, "2" + text[1:]))


def _redirected(delivery: Delivery) -> Iterator[Delivery]:
    """The delivery with each address in its headers pointing elsewhere, in those inside a token too."""
    for name, values in delivery.headers.items():
        for text in filter(None, map(_pointing_elsewhere, values)):
            yield replace(delivery, headers={**delivery.headers, name: (text,)})


def _pointing_elsewhere(text: str) -> str | None:
    if text.startswith("https://"):
        return text.replace(urlsplit(text).netloc, "elsewhere.example", 1)
    first, dot, rest = text.partition(".")
    try:
        header: Any = Payload.from_bytes(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))).value
    except (MalformedPayload, ValueError):
        return None
    if not dot or not isinstance(header, dict):
        return None
    moved = {**header, "jku": "https://elsewhere.example/jwks", "x5u": "https://elsewhere.example/x5u"}
    return base64.urlsafe_b64encode(json.dumps(moved).encode()).rstrip(b"=").decode() + dot + rest
