"""Every connector, every sample: simulated, verified, opened, and fetched where it only points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Delivery, Event, Fetch
from core.errors import Permanent, SignatureRejected, Transient
from core.events import BankTransaction, Dispute, MirroredInvoice, Payment, PaymentStatus, Payout, Record, Refund
from core.money import Money
from webapp.keys import KeyStore
from workers.simulators import script
from workers.simulators.accounts import DemoAccount, demo_account
from workers.simulators.api import Provider
from workers.simulators.basiq import Bank
from workers.simulators.sending import Built, Changes, NotSigned, build
from workers.simulators.server import Server
from workers.transport import Transport

NOW = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)
URL = "https://ledgerwire.example/api/hooks/simulated"
NUMBER = "INV-2026-0099"
EVERY = [(slug, event, variant) for slug in registry.all() for event, variant in samples.names(slug)]
# What has no events of its own, such as a connection that its user describes, has no simulator.
SLUGS = [slug for slug in registry.all() if samples.names(slug)]
IDS = [f"{slug}-{event}{f'__{variant}' if variant else ''}" for slug, event, variant in EVERY]
Priced = Payment | Refund | Dispute | Payout | BankTransaction | MirroredInvoice

# What a sample cannot be asked to say: its money, or the invoice it pays. And why.
NOT_ASKED: dict[tuple[str, str], str] = {}
# What ends in words to a person or waits, by design.
GIVEN_UP: dict[tuple[str, str, str | None], str] = {
    ("apideck", "accounting.payment.deleted", None): "take it back by hand",
    ("mpesa", "result.reversal", None): "has no way to confirm that",
    ("mpesa", "c2b.confirmation", "large_number"): "does not list this receipt",
    ("quickbooks", "payment.deleted", None): "take it back by hand",
    ("quickbooks", "payment.voided", None): "take it back by hand",
    ("quickbooks", "salesreceipt.deleted", None): "take it back by hand",
    ("quickbooks", "salesreceipt.voided", None): "take it back by hand",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A receiver, and every provider at one address."""

    transport: Transport
    server: Server
    keys: KeyStore


@pytest.fixture(scope="module")
def transport() -> Iterator[Transport]:
    transport = Transport(allow_local=True, sleep=lambda _: None, now=lambda: NOW)
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    providers = [Provider(slug, account=account(slug).external_id) for slug in registry.all() if slug != "basiq"]
    with Server(*providers) as running:
        running.providers["basiq"] = Bank()
        yield running


@pytest.fixture(scope="module")
def keys(transport: Transport, server: Server) -> KeyStore:
    bases = {slug: server.address(slug) for slug in registry.all()}
    return KeyStore(lambda: transport, api_bases=bases)


@pytest.fixture(scope="module")
def world(transport: Transport, server: Server, keys: KeyStore) -> World:
    return World(transport=transport, server=server, keys=keys)


@lru_cache(maxsize=64)
def account(slug: str) -> DemoAccount:
    return demo_account(registry.get(slug))


@lru_cache(maxsize=64)
def secret(slug: str) -> str:
    return registry.get(slug).signature.new_secret()


def simulated(
    slug: str,
    event: str,
    variant: str | None = None,
    *,
    message_id: str = "msg_1",
    changes: Changes | None = None,
    at: datetime = NOW,
    tamper: bool = False,
) -> Built:
    return build(
        registry.get(slug),
        event,
        secret=secret(slug),
        at=at,
        message_id=message_id,
        changes=changes or Changes(external_id=account(slug).external_id),
        variant=variant,
        tamper=tamper,
        url=URL,
    )


def received(built: Built) -> Delivery:
    headers = {name.lower(): (value,) for name, value in built.headers.items()}
    return Delivery(body=built.body, headers=headers, received_at=NOW, url=URL)


def opened(slug: str, built: Built, keys: KeyStore) -> list[Event]:
    """Verify as the web process does, keys asked of the simulator included."""
    connector, delivery = registry.get(slug), received(built)
    kept = [connector.signature.receiving(secret(slug))]
    delivery = replace(delivery, documents=keys.documents(connector, delivery, kept))
    return connector.open(delivery, connector.verify(delivery, kept))


def records_of(slug: str, built: Built, world: World) -> list[Record]:
    connector, mine = registry.get(slug), account(slug)
    cast("Provider", world.server.providers[slug]).tell(built)
    told: list[Record] = []
    for event in opened(slug, built, world.keys):
        reading = connector.read(event.name, event.item)
        if isinstance(reading, Fetch):
            credentials = Credentials(
                secrets={**mine.secrets, "webhook_secret": connector.signature.receiving(secret(slug))},
                settings={**mine.settings, "api_base": world.server.address(slug)},
                external_id=mine.external_id,
            )
            told += world.transport.run(connector, credentials, reading.talk)
        elif reading is not None:
            told += reading
    return told


@pytest.mark.parametrize(("slug", "event", "variant"), EVERY, ids=IDS)
def test_every_sample_can_be_simulated(slug: str, event: str, variant: str | None, world: World) -> None:
    mine = account(slug)
    if (words := GIVEN_UP.get((slug, event, variant))) is not None:
        with pytest.raises((Permanent, Transient), match=words):
            records_of(slug, simulated(slug, event, variant), world)
        return
    plain = records_of(slug, simulated(slug, event, variant, message_id="msg_plain"), world)
    # Some provider, or event, deals in one currency and does not say which.
    currency = "EUR" if script.load(slug).of(event)["currency"] else currency_of(plain)
    changes = Changes(invoice_number=NUMBER, money=Money(12_345, currency), external_id=mine.external_id)
    told = records_of(slug, simulated(slug, event, variant, message_id="msg_told", changes=changes), world)

    assert {type(one) for one in told} == {type(one) for one in plain}
    unasked = NOT_ASKED.get((slug, event), "")
    if "money" not in unasked and any(isinstance(one, Priced) and amount_of(one).minor for one in plain):
        amounts = {amount_of(one) for one in told if isinstance(one, Priced)}
        allowed = {Money(sign * 12_345, each) for sign in (1, -1) for each in (currency, currency_of(plain))}
        assert amounts & allowed, amounts
    payments = [one for one in told if isinstance(one, Payment) and one.status is not PaymentStatus.FAILED]
    # A refund may bring its payment along, which named its invoice when it was made.
    if "invoice" not in unasked and payments and not any(isinstance(one, Refund | Dispute) for one in told):
        assert any(NUMBER in reference.text for one in payments for reference in one.references), payments


def currency_of(records: list[Record]) -> str:
    return next((amount_of(one).currency for one in records if isinstance(one, Priced)), "EUR")


def amount_of(one: Priced) -> Money:
    return one.total if isinstance(one, MirroredInvoice) else one.money


@pytest.mark.parametrize("slug", SLUGS)
def test_every_declared_event_has_a_sample_to_simulate(slug: str) -> None:
    assert {event for event, _ in samples.names(slug)} >= set(registry.get(slug).events)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_same_message_is_the_same_delivery_and_another_is_another_event(slug: str, world: World) -> None:
    event = next(iter(registry.get(slug).events))
    one, same = (simulated(slug, event, message_id="msg_1") for _ in range(2))
    # A second later: a webhook that names nothing is known by its time.
    other = simulated(slug, event, message_id="msg_2", at=NOW + timedelta(seconds=1))
    assert one.body == same.body
    for built in (one, other):
        cast("Provider", world.server.providers[slug]).tell(built)
    ids = [[found.id for found in opened(slug, built, world.keys)] for built in (one, same, other)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


@pytest.mark.parametrize("slug", SLUGS)
def test_two_messages_are_about_two_payments(slug: str, world: World) -> None:
    for event in registry.get(slug).events:
        if (slug, event, None) in GIVEN_UP:
            continue
        ids: list[set[str]] = []
        for name in ("msg_1", "msg_2"):
            told = records_of(slug, simulated(slug, event, message_id=name), world)
            ids.append({one.object_id for one in told if isinstance(one, Payment)})
        assert not ids[0] & ids[1], event


@pytest.mark.parametrize("slug", SLUGS)
def test_a_tampered_delivery_is_refused(slug: str, world: World) -> None:
    event = next(iter(registry.get(slug).events))
    try:
        built = simulated(slug, event, tamper=True)
    except NotSigned:
        # Then nothing is believed of a delivery, tampered or not.
        assert not registry.get(slug).keeps_secret
        return
    cast("Provider", world.server.providers[slug]).tell(built)
    with pytest.raises(SignatureRejected):
        opened(slug, built, world.keys)
