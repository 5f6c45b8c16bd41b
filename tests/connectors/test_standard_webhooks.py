"""The generic connector: our vocabulary over the envelope of the specification."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from connectors import registry, samples
from connectors.base import Event, Fetch, Verified
from connectors.contract import deliver
from core.errors import MalformedPayload
from core.events import (
    BankTransaction,
    Dispute,
    Payment,
    PaymentStatus,
    Record,
    Reference,
    TransactionStatus,
)
from core.money import Money

connector = registry.get("standard_webhooks")
TOLD = datetime(2026, 11, 3, 20, 26, 10, 344_522, tzinfo=UTC)


def opened(body: bytes) -> Event:
    (event,) = connector.open(deliver({}, body), Verified(secret_index=0, message_id="msg_1"))
    return event


def read(body: bytes) -> Record:
    event = opened(body)
    reading = connector.read(event.name, event.item)
    assert reading is not None
    assert not isinstance(reading, Fetch)
    (record,) = reading
    return record


def changed(name: str, **data: object) -> bytes:
    said = json.loads(samples.load("standard_webhooks", name))
    said["data"] |= data
    said["data"] = {key: value for key, value in said["data"].items() if value != "gone"}
    return json.dumps(said).encode()


def test_a_payment_is_read_whole() -> None:
    assert read(samples.load("standard_webhooks", "payment.succeeded")) == Payment(
        object_id="pmt_1001",
        version=1_793_737_570_344_522,
        status=PaymentStatus.SUCCEEDED,
        money=Money(129000, "INR"),
        occurred_at=datetime(2026, 11, 3, 20, 26, 8, tzinfo=UTC),
        references=(Reference(0, "INV-2026-0042"), Reference(3, "November retainer")),
        method="upi",
        payer_name="Buyer Pvt Ltd",
        payer_email="accounts@buyer.example",
        bank_reference="0125836177",
        description="November retainer",
        fee=Money(2580, "INR"),
    )


def test_decimal_text_has_the_places_of_its_currency_and_a_count_is_the_version() -> None:
    payment = read(samples.load("standard_webhooks", "payment.succeeded", "decimal_dinar"))
    assert isinstance(payment, Payment)
    assert (payment.money, payment.version, payment.occurred_at) == (Money(129500, "KWD"), 3, TOLD)


def test_a_transaction_may_know_only_its_day() -> None:
    line = read(samples.load("standard_webhooks", "transaction.posted", "calendar_day_yen"))
    assert isinstance(line, BankTransaction)
    assert (line.money, line.booked_on, line.occurred_at) == (Money(500_000, "JPY"), date(2026, 11, 3), TOLD)


def test_a_time_with_an_offset_becomes_utc() -> None:
    line = read(samples.load("standard_webhooks", "transaction.removed"))
    assert isinstance(line, BankTransaction)
    assert line.status is TransactionStatus.REMOVED
    assert line.occurred_at == datetime(2026, 11, 2, 14, 2, 3, tzinfo=UTC)
    assert line.money == Money(-12469, "AUD")


@pytest.mark.parametrize(
    ("name", "variant", "deducted"),
    [
        ("dispute.open", None, 0),
        ("dispute.won", None, 0),
        ("dispute.lost", None, 129000),
        ("dispute.lost", "in_part", 50000),
    ],
)
def test_a_lost_dispute_takes_all_unless_it_says_otherwise(name: str, variant: str | None, deducted: int) -> None:
    dispute = read(samples.load("standard_webhooks", name, variant))
    assert isinstance(dispute, Dispute)
    assert dispute.deducted == Money(deducted, "INR")


def test_the_event_is_known_by_its_message_and_routed_by_its_account() -> None:
    event = opened(samples.load("standard_webhooks", "payment.succeeded"))
    assert (event.id, event.external_id) == ("msg_1", "acct_7")
    with pytest.raises(MalformedPayload, match="not proven"):
        connector.open(deliver({}, b'{"type": "x"}'), Verified(secret_index=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"amount_minor": -5}, r"data\.amount_minor: expected more than zero", id="negative"),
        pytest.param({"amount_minor": 12.5}, r"data\.amount_minor: expected whole number, got number", id="a fraction"),
        pytest.param({"amount_minor": 10**15 + 1}, "must be within", id="too large"),
        pytest.param(
            {"amount_minor": "gone", "amount": 12}, r"data\.amount: expected text", id="a number for decimal text"
        ),
        pytest.param({"amount_minor": "gone", "amount": "1.005"}, "more decimal places", id="too precise"),
        pytest.param({"amount_minor": "gone", "amount": "1e3"}, "not a decimal number", id="an exponent"),
        pytest.param({"amount_minor": "gone"}, r"data\.amount: is missing", id="no amount"),
        pytest.param({"currency": "gone"}, r"data\.currency: is missing", id="no currency"),
        pytest.param({"id": ""}, r"data\.id: expected text of 1 to 255", id="an empty id"),
        pytest.param({"occurred_at": "yesterday"}, r"data\.occurred_at: expected an RFC 3339", id="no time"),
    ],
)
def test_a_spoiled_payment_names_the_field(changes: dict[str, object], message: str) -> None:
    with pytest.raises(MalformedPayload, match=message):
        read(changed("payment.succeeded", **changes))
