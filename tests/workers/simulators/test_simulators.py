"""The simulators are believed by the real connectors, over the real transport."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Verified
from connectors.contract import deliver
from core.errors import Permanent, SignatureRejected
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionState,
    Payment,
    PaymentStatus,
    PendingSnapshot,
    Record,
    Reference,
    Refund,
    TransactionStatus,
)
from core.money import Money
from workers.simulators.basiq import DEMO_API_KEY, DEMO_USER, SimulatedTransaction, Simulator
from workers.simulators.sending import Changes, build_delivery
from workers.transport import Transport

NOW = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(allow_local=True, sleep=lambda _: None)
    yield transport
    transport.close()


def follow(transport: Transport, basiq: Simulator, name: str, *, api_key: str = DEMO_API_KEY) -> list[Record]:
    connector = registry.get("basiq")
    secret = connector.signature.new_secret()
    headers, body = build_delivery(connector, name, secret=secret, at=NOW, message_id="msg_1")
    delivery = deliver(headers, body, received_at=NOW)
    (event,) = connector.open(delivery, connector.verify(delivery, [secret]))
    basiq.announce(body)
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    credentials = Credentials(
        secrets={"api_key": api_key}, settings={"api_base": basiq.base_url}, external_id=event.external_id
    )
    return transport.run(connector, credentials, reading.talk)


def test_a_pointer_leads_to_the_transactions_that_were_asked_for(transport: Transport) -> None:
    shown = [
        SimulatedTransaction(narration="TRANSFER INV-2026-0042", amount="1180.00", at=NOW, id="tx-1"),
        SimulatedTransaction(narration="COFFEE", amount="-4.50", status="pending", currency=None),
        SimulatedTransaction(narration="RENT", amount="-900.00", at=NOW),
    ]
    with Simulator(transactions=shown) as basiq:
        records = follow(transport, basiq, "transactions.updated")
        asked = [line for line, _ in basiq.requests]
    transactions = [one for one in records if isinstance(one, BankTransaction)]
    assert [(one.narration, one.money, one.status) for one in transactions] == [
        ("TRANSFER INV-2026-0042", Money(118000, "AUD"), TransactionStatus.POSTED),
        ("COFFEE", Money(-450, "AUD"), TransactionStatus.PENDING),
        ("RENT", Money(-90000, "AUD"), TransactionStatus.POSTED),
    ]
    assert (transactions[0].object_id, transactions[0].occurred_at) == ("tx-1", NOW)
    assert len([one for one in records if isinstance(one, BankAccount)]) == 2
    assert len([one for one in records if isinstance(one, PendingSnapshot)]) == 2
    # Token, accounts, and two pages.
    assert asked == ["POST", "GET", "GET", "GET"]


def test_without_transactions_it_serves_the_recorded_ones(transport: Transport) -> None:
    with Simulator() as basiq:
        records = follow(transport, basiq, "transactions.updated")
    assert len([one for one in records if isinstance(one, BankTransaction)]) == 3


def test_pending_transactions_are_gone_after_the_next_refresh() -> None:
    basiq = Simulator(transactions=[SimulatedTransaction(narration="A", amount="-1.00", status="pending")])
    basiq.show([SimulatedTransaction(narration="B", amount="-2.00")])
    assert [one["description"] for one in basiq.transactions] == ["B"]
    basiq.start()
    basiq.stop()


@pytest.mark.parametrize("name", sorted(registry.get("basiq").events))
def test_every_pointer_can_be_followed(transport: Transport, name: str) -> None:
    with Simulator() as basiq:
        records = follow(transport, basiq, name)
    if name.startswith(("connection.", "consent.", "user.")):
        assert isinstance(records[0], ConnectionState)


def test_trouble_can_be_asked_for_and_is_overcome(transport: Transport) -> None:
    with Simulator() as basiq:
        basiq.fail_next(500)
        basiq.fail_next(429, retry_after="1")
        assert follow(transport, basiq, "transactions.updated")
        basiq.revoke_tokens()
        assert follow(transport, basiq, "transactions.updated")
        assert [target for _, target in basiq.requests].count("/token") == 4


def test_a_wrong_key_is_refused(transport: Transport) -> None:
    with Simulator() as basiq, pytest.raises(Permanent, match="POST /token answered 401"):
        follow(transport, basiq, "transactions.updated", api_key="d3Jvbmc=")


def sent(slug: str, event: str, *, message_id: str = "msg_1", changes: Changes | None = None) -> list[Record]:
    """What a simulated delivery comes to mean."""
    connector = registry.get(slug)
    secret = connector.signature.new_secret()
    headers, body = build_delivery(connector, event, secret=secret, at=NOW, message_id=message_id, changes=changes)
    delivery = deliver(headers, body, received_at=NOW)
    (opened,) = connector.open(delivery, connector.verify(delivery, [secret]))
    reading = connector.read(opened.name, opened.item)
    assert reading is not None
    return [] if isinstance(reading, Fetch) else list(reading)


@pytest.mark.parametrize("slug", ["razorpay", "standard_webhooks"])
def test_a_payment_says_what_it_was_told_to_say(slug: str) -> None:
    event = {"razorpay": "payment.captured", "standard_webhooks": "payment.succeeded"}[slug]
    changes = Changes(invoice_number="INV-2026-0099", money=Money(250_000, "INR"))
    (payment,) = sent(slug, event, changes=changes)
    assert isinstance(payment, Payment)
    assert (payment.money, payment.status) == (Money(250_000, "INR"), PaymentStatus.SUCCEEDED)
    assert payment.references[0] == Reference(0, "INV-2026-0099")
    assert payment.occurred_at == NOW


@pytest.mark.parametrize("slug", ["razorpay", "standard_webhooks"])
def test_each_message_is_a_new_payment_and_the_same_message_the_same(slug: str) -> None:
    event = {"razorpay": "payment.captured", "standard_webhooks": "payment.succeeded"}[slug]
    assert sent(slug, event) == sent(slug, event)
    first, other = sent(slug, event)[0], sent(slug, event, message_id="msg_2")[0]
    assert first.object_id != other.object_id


@pytest.mark.parametrize("slug", ["razorpay", "standard_webhooks"])
def test_a_refund_can_belong_to_an_earlier_payment(slug: str) -> None:
    event = {"razorpay": "refund.processed", "standard_webhooks": "refund.succeeded"}[slug]
    (refund,) = sent(slug, event, changes=Changes(payment_id="earlier", money=Money(500, "INR")))
    assert isinstance(refund, Refund)
    assert (refund.payment_id, refund.money) == ("earlier", Money(500, "INR"))


def test_a_tampered_delivery_is_refused_and_still_json() -> None:
    connector = registry.get("razorpay")
    headers, body = build_delivery(
        connector, "payment.captured", secret="s3cret", at=NOW, message_id="msg_1", tamper=True
    )
    with pytest.raises(SignatureRejected):
        connector.verify(deliver(headers, body, received_at=NOW), ["s3cret"])
    assert json.loads(body)["event"] == "payment.captured"


def test_a_pointer_names_the_connections_user() -> None:
    connector = registry.get("basiq")
    changes = Changes(external_id="user-9")
    headers, body = build_delivery(
        connector,
        "transactions.updated",
        secret=connector.signature.new_secret(),
        at=NOW,
        message_id="m",
        changes=changes,
    )
    (event,) = connector.open(deliver(headers, body), Verified(secret_index=0, message_id="m"))
    assert event.external_id == "user-9"
    assert DEMO_USER not in body.decode()


def test_an_event_without_a_sample_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        build_delivery(registry.get("razorpay"), "no.such", secret="s", at=NOW, message_id="m")
    assert samples.names("razorpay")
