"""Every connector, every sample: simulated, verified, opened, and fetched where it only points."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Delivery, Event, Fetch
from core.errors import Permanent, SignatureRejected, Transient
from core.events import BankTransaction, Dispute, MirroredInvoice, Payment, PaymentStatus, Payout, Record, Refund
from core.money import Money
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
IDS = [f"{slug}-{event}{f'__{variant}' if variant else ''}" for slug, event, variant in EVERY]
Priced = Payment | Refund | Dispute | Payout | BankTransaction | MirroredInvoice

# What a sample cannot be asked to say: its money, or the invoice it pays. And why.
NOT_ASKED: dict[tuple[str, str], str] = {}
# What ends in words to a person or waits, by design.
GIVEN_UP: dict[tuple[str, str, str | None], str] = {
    ("mpesa", "result.reversal", None): "has no way to confirm that",
    ("mpesa", "c2b.confirmation", "large_number"): "does not list this receipt",
    ("quickbooks", "payment.deleted", None): "take it back by hand",
    ("quickbooks", "payment.voided", None): "take it back by hand",
    ("quickbooks", "salesreceipt.deleted", None): "take it back by hand",
    ("quickbooks", "salesreceipt.voided", None): "take it back by hand",
}


@pytest.fixture(scope="module")
def transport() -> Iterator[Transport]:
    transport = Transport(allow_local=True, sleep=lambda _: None, now=lambda: NOW)
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    providers = [Provider(slug, account=account(slug).external_id) for slug in registry.all() if slug != "basiq"]
    with Server(*providers) as running:
        running.providers["basiq"] = Bank(base_url=running.address("basiq"))
        yield running


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
    tamper: bool = False,
) -> Built:
    return build(
        registry.get(slug),
        event,
        secret=secret(slug),
        at=NOW,
        message_id=message_id,
        changes=changes or Changes(external_id=account(slug).external_id),
        variant=variant,
        tamper=tamper,
        url=URL,
    )


def received(built: Built, documents: dict[str, bytes] | None = None) -> Delivery:
    headers = {name.lower(): (value,) for name, value in built.headers.items()}
    return Delivery(body=built.body, headers=headers, received_at=NOW, url=URL, documents=documents or {})


def opened(slug: str, built: Built, transport: Transport, server: Server) -> list[Event]:
    """Verify as the web process does, keys asked of the simulator included."""
    connector = registry.get(slug)
    kept, documents = [connector.signature.receiving(secret(slug))], {}
    wanted = connector.signature.wants(received(built), kept)
    if wanted is not None:
        found = transport.document(connector, wanted.request, api_base=server.address(slug))
        assert found is not None
        documents = {wanted.name: found}
    return connector.open(received(built, documents), connector.verify(received(built, documents), kept))


def records_of(slug: str, built: Built, transport: Transport, server: Server) -> list[Record]:
    connector, mine = registry.get(slug), account(slug)
    server.providers[slug].tell(built)
    told: list[Record] = []
    for event in opened(slug, built, transport, server):
        reading = connector.read(event.name, event.item)
        if isinstance(reading, Fetch):
            credentials = Credentials(
                secrets={**mine.secrets, "webhook_secret": connector.signature.receiving(secret(slug))},
                settings={**mine.settings, "api_base": server.address(slug)},
                external_id=mine.external_id,
            )
            told += transport.run(connector, credentials, reading.talk)
        elif reading is not None:
            told += reading
    return told


@pytest.mark.parametrize(("slug", "event", "variant"), EVERY, ids=IDS)
def test_every_sample_can_be_simulated(
    slug: str, event: str, variant: str | None, transport: Transport, server: Server
) -> None:
    mine = account(slug)
    if (words := GIVEN_UP.get((slug, event, variant))) is not None:
        with pytest.raises((Permanent, Transient), match=words):
            records_of(slug, simulated(slug, event, variant), transport, server)
        return
    plain = records_of(slug, simulated(slug, event, variant, message_id="msg_plain"), transport, server)
    # Some provider, or event, deals in one currency and does not say which.
    currency = "EUR" if script.load(slug).of(event)["currency"] else currency_of(plain)
    changes = Changes(invoice_number=NUMBER, money=Money(12_345, currency), external_id=mine.external_id)
    told = records_of(slug, simulated(slug, event, variant, message_id="msg_told", changes=changes), transport, server)

    assert {type(one) for one in told} == {type(one) for one in plain}
    unasked = NOT_ASKED.get((slug, event), "")
    if "money" not in unasked and any(isinstance(one, Priced) and amount_of(one).minor for one in plain):
        amounts = {amount_of(one) for one in told if isinstance(one, Priced)}
        allowed = {Money(sign * 12_345, each) for sign in (1, -1) for each in (currency, currency_of(plain))}
        assert amounts & allowed, amounts
    payments = [one for one in told if isinstance(one, Payment) and one.status is not PaymentStatus.FAILED]
    if "invoice" not in unasked and payments:
        assert any(NUMBER in reference.text for one in payments for reference in one.references), payments


def currency_of(records: list[Record]) -> str:
    return next((amount_of(one).currency for one in records if isinstance(one, Priced)), "EUR")


def amount_of(one: Priced) -> Money:
    return one.total if isinstance(one, MirroredInvoice) else one.money


@pytest.mark.parametrize("slug", list(registry.all()))
def test_every_declared_event_has_a_sample_to_simulate(slug: str) -> None:
    assert {event for event, _ in samples.names(slug)} >= set(registry.get(slug).events)


@pytest.mark.parametrize("slug", list(registry.all()))
def test_the_same_message_is_the_same_delivery_and_another_is_another_event(
    slug: str, transport: Transport, server: Server
) -> None:
    event = next(iter(registry.get(slug).events))
    one, same, other = (simulated(slug, event, message_id=name) for name in ("msg_1", "msg_1", "msg_2"))
    assert one.body == same.body
    for built in (one, other):
        server.providers[slug].tell(built)
    ids = [[found.id for found in opened(slug, built, transport, server)] for built in (one, same, other)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


@pytest.mark.parametrize("slug", list(registry.all()))
def test_a_tampered_delivery_is_refused(slug: str, transport: Transport, server: Server) -> None:
    event = next(iter(registry.get(slug).events))
    try:
        built = simulated(slug, event, tamper=True)
    except NotSigned:
        # Then nothing is believed of a delivery, tampered or not.
        assert not registry.get(slug).keeps_secret
        return
    server.providers[slug].tell(built)
    with pytest.raises(SignatureRejected):
        opened(slug, built, transport, server)
