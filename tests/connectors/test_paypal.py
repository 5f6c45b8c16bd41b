"""PayPal: webhooks that are only believed after asking."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Verified
from connectors.contract import deliver
from connectors.contract.recorded import Routes
from connectors.payload import micros
from connectors.samples import HERE
from core.errors import MalformedPayload
from core.events import (
    ConnectionHealth,
    ConnectionState,
    Dispute,
    DisputeStatus,
    MirroredInvoice,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
)
from core.money import Money
from tests.connectors import asking

connector = registry.get("paypal")
NOW = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
MERCHANT = "M4RCH4NT7QX2Y"
URL = "https://ledgerwire.example/hook"
Json = dict[str, Any]


class Recorded(asking.Recorded):
    routes = Routes(HERE / "paypal" / "api", connector.api)


def known(external_id: str | None = MERCHANT, webhook_id: str = "0EH40505U7160970P") -> Credentials:
    return Credentials(
        secrets={"webhook_secret": webhook_id, "client_secret": "s"},
        settings={"client_id": "c"},
        external_id=external_id,
        asked_at=NOW,
    )


def fetch(name: str, variant: str | None = None, api: Recorded | None = None, **more: Any) -> list[Record]:
    said = {**json.loads(samples.load("paypal", name, variant)), **more}
    (event,) = connector.open(deliver({}, json.dumps(said).encode()), Verified(message_id="t"))
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return (api or Recorded()).hold(reading.talk(known()))


CAPTURED_AT = datetime(2026, 11, 3, 9, 4, 29, tzinfo=UTC)


def test_a_capture_is_asked_for_and_names_its_invoice() -> None:
    api = Recorded()
    assert fetch("PAYMENT.CAPTURE.COMPLETED", api=api) == [
        Payment(
            object_id="7NW873794T343360M",
            version=micros(CAPTURED_AT),
            status=PaymentStatus.SUCCEEDED,
            money=Money(118000, "USD"),
            occurred_at=CAPTURED_AT,
            references=(Reference(0, "INV-2026-0042"), Reference(1, "order-77")),
            method="paypal",
            fee=Money(3552, "USD"),
        )
    ]
    assert api.urls == ["GET /v2/payments/captures/7NW873794T343360M"]


def test_nothing_that_the_body_claims_counts() -> None:
    """A body forged to fit a genuine checksum changes only what is asked for."""
    said = json.loads(samples.load("paypal", "PAYMENT.CAPTURE.COMPLETED"))
    said["resource"] |= {"amount": {"value": "999999.00", "currency_code": "USD"}, "invoice_id": "INV-9999"}
    (payment,) = fetch("PAYMENT.CAPTURE.COMPLETED", resource=said["resource"])
    assert isinstance(payment, Payment)
    assert (payment.money, payment.references[0].text) == (Money(118000, "USD"), "INV-2026-0042")
    for name in connector.events:
        (event,) = connector.open(deliver({}, samples.load("paypal", name)), Verified(message_id="t"))
        assert isinstance(connector.read(event.name, event.item), Fetch), name


def test_yen_have_no_decimals() -> None:
    (payment,) = fetch("PAYMENT.CAPTURE.COMPLETED", "yen")
    assert isinstance(payment, Payment)
    assert (payment.money, payment.fee) == (Money(118000, "JPY"), Money(4288, "JPY"))


def test_a_declined_capture_says_why() -> None:
    def decline(said: Json) -> None:
        said |= {"status": "DECLINED", "status_details": {"reason": "BUYER_COMPLAINT"}}

    (payment,) = fetch("PAYMENT.CAPTURE.DENIED", api=Recorded(decline))
    assert isinstance(payment, Payment)
    assert (payment.status, payment.failure) == (PaymentStatus.FAILED, "BUYER_COMPLAINT")


def test_a_refund_finds_its_capture_by_the_link_up() -> None:
    at = datetime(2026, 11, 5, 10, tzinfo=UTC)
    assert fetch("PAYMENT.CAPTURE.REFUNDED") == [
        Refund(
            object_id="1JU08902781691411",
            version=micros(at),
            payment_id="7NW873794T343360M",
            status=RefundStatus.SUCCEEDED,
            money=Money(18000, "USD"),
            occurred_at=at,
            reason="Two pieces returned",
        )
    ]
    for links in ([], [{"rel": "up", "href": "https://evil.example/"}], [{"rel": "up", "href": "/captures/../x"}]):

        def change(said: Json, links: object = links) -> None:
            said["links"] = links

        with pytest.raises(MalformedPayload, match="one link up"):
            fetch("PAYMENT.CAPTURE.REFUNDED", api=Recorded(change))


def test_a_sale_of_the_older_api_is_a_payment_too() -> None:
    (payment,) = fetch("PAYMENT.SALE.COMPLETED")
    assert isinstance(payment, Payment)
    assert (payment.status, payment.money, payment.fee) == (
        PaymentStatus.SUCCEEDED, Money(2000, "USD"), Money(88, "USD"),
    )  # fmt: skip
    (refund,) = fetch("PAYMENT.SALE.REFUNDED")
    assert isinstance(refund, Refund)
    assert (refund.payment_id, refund.money) == ("4EU7004268015634R", Money(500, "USD"))
    payment, reversal = fetch("PAYMENT.SALE.REVERSED", "whole_sale")
    assert isinstance(payment, Payment)
    assert isinstance(reversal, Refund)
    assert payment.status is PaymentStatus.SUCCEEDED
    assert (reversal.object_id, reversal.payment_id) == ("4EU7004268015635S:reversal", "4EU7004268015635S")
    assert (reversal.money, reversal.status) == (Money(2000, "USD"), RefundStatus.SUCCEEDED)


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        ("WAITING_FOR_SELLER_RESPONSE", None, DisputeStatus.OPEN),
        ("UNDER_REVIEW", None, DisputeStatus.UNDER_REVIEW),
        ("RESOLVED", "RESOLVED_BUYER_FAVOUR", DisputeStatus.LOST),
        ("RESOLVED", "RESOLVED_SELLER_FAVOUR", DisputeStatus.WON),
        ("RESOLVED", "RESOLVED_WITH_PAYOUT", DisputeStatus.WON),
        ("RESOLVED", "CANCELED_BY_BUYER", DisputeStatus.CLOSED),
        ("RESOLVED", None, DisputeStatus.CLOSED),
    ],
)
def test_a_dispute_ends_as_its_outcome_says_and_takes_nothing_twice(
    status: str, outcome: str | None, expected: DisputeStatus
) -> None:
    def change(said: Json) -> None:
        said |= {"status": status, "dispute_outcome": {"outcome_code": outcome} if outcome else None}

    (dispute,) = fetch("CUSTOMER.DISPUTE.UPDATED", api=Recorded(change))
    assert isinstance(dispute, Dispute)
    assert (dispute.status, dispute.payment_id) == (expected, "7NW873794T343360M")
    assert (dispute.money, dispute.deducted) == (Money(118000, "USD"), Money(0, "USD"))
    assert dispute.respond_by == datetime(2026, 11, 19, 7, 21, 34, tzinfo=UTC)


def test_an_invoice_that_is_paid_in_part_is_not_paid_whatever_the_event_is_called() -> None:
    for variant in (None, "nested_in_part"):
        api = Recorded()
        assert fetch("INVOICING.INVOICE.PAID", variant, api) == [
            MirroredInvoice(
                object_id="INV2-Z56S-5LLA-Q52L-CPZ5",
                version=micros(datetime(2026, 11, 3, 9, 5, tzinfo=UTC)),
                status=MirroredStatus.PARTIALLY_PAID,
                number="INV-2026-0042",
                direction="sales",
                total=Money(118000, "USD"),
                due=Money(18000, "USD"),
                issued_on=date(2026, 11, 1),
                due_on=date(2026, 12, 1),
                contact_name="Bina Buyer",
                contact_email="buyer@example.com",
                url="https://www.paypal.com/invoice/p/#Z56S5LLAQ52LCPZ5",
            )
        ]
        assert api.urls == ["GET /v2/invoicing/invoices/INV2-Z56S-5LLA-Q52L-CPZ5"]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("SUCCESS", PayoutStatus.PAID), ("ONHOLD", PayoutStatus.PENDING), ("UNCLAIMED", PayoutStatus.PENDING),
        ("RETURNED", PayoutStatus.REVERSED), ("BLOCKED", PayoutStatus.FAILED),
    ],
)  # fmt: skip
def test_a_payout_goes_to_somebody_else(word: str, status: PayoutStatus) -> None:
    api = Recorded(lambda said: said.update(transaction_status=word))
    (payout,) = fetch("PAYMENT.PAYOUTS-ITEM.SUCCEEDED", api=api)
    assert isinstance(payout, Payout)
    assert (payout.status, payout.money, payout.to_third_party) == (status, Money(987, "USD"), True)
    assert (payout.fee, payout.bank_reference) == (Money(35, "USD"), "0C413693MN970190K")


def test_access_that_was_withdrawn_is_asked_for_as_the_event_itself() -> None:
    (state,) = fetch("MERCHANT.PARTNER-CONSENT.REVOKED")
    assert state == ConnectionState(
        object_id=MERCHANT,
        version=micros(datetime(2026, 11, 20, 8, tzinfo=UTC)),
        health=ConnectionHealth.REVOKED,
        reason="access withdrawn at PayPal",
    )
    with pytest.raises(MalformedPayload, match="event_type"):
        fetch("MERCHANT.PARTNER-CONSENT.REVOKED", event_type="MERCHANT.ONBOARDING.COMPLETED")


@pytest.mark.parametrize(
    "name",
    ["PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "CUSTOMER.DISPUTE.UPDATED", "INVOICING.INVOICE.PAID"],
)
def test_another_object_than_the_one_asked_for_is_refused(name: str) -> None:
    def change(said: Json) -> None:
        said["dispute_id" if "dispute_id" in said else "id"] = "ANOTHER"

    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(name, api=Recorded(change))


def test_money_of_another_merchant_is_refused() -> None:
    with pytest.raises(MalformedPayload, match=r"payee\.merchant_id"):
        fetch("PAYMENT.CAPTURE.COMPLETED", api=Recorded(lambda said: said["payee"].update(merchant_id="OTHER")))


def test_a_pull_follows_the_list_below_our_own_base_and_goes_on_where_it_ended() -> None:
    assert connector.pull is not None
    api = Recorded()
    first = api.hold(connector.pull.talk(known(), None, datetime(2026, 1, 1, tzinfo=UTC)))
    assert isinstance(first, Page)
    assert dict(api.asked[0].params) == {
        "page_size": "100",
        # PayPal keeps thirty days.
        "start_time": "2026-10-04T20:31:10Z",
        "end_time": "2026-11-03T20:26:10Z",
    }
    assert [type(one) for one in first.records] == [Payment, Refund, Payment]
    assert first.more
    second = api.hold(connector.pull.talk(known(), first.cursor, NOW))
    assert isinstance(second, Page)
    assert api.urls[1].startswith("GET /v1/notifications/webhooks-events?page_size=100")
    # An invoice in an event may have an older form, so it is asked for.
    assert api.urls[2:] == ["GET /v2/invoicing/invoices/INV2-Z56S-5LLA-Q52L-CPZ5"]
    assert [type(one) for one in second.records] == [Dispute, MirroredInvoice, Payout]
    assert (second.cursor, second.more) == ("2026-11-03T20:26:10Z", False)
    api.hold(connector.pull.talk(known(), second.cursor, NOW))
    assert api.asked[-1].params["start_time"] == "2026-11-03T20:26:10Z"


def test_a_webhook_is_made_kept_or_repaired() -> None:
    assert connector.register is not None
    api = Recorded()
    assert api.hold(connector.register(known(), URL)) == Registration(state="created", secret="0EH40505U7160970P")
    assert api.urls == ["GET /v1/notifications/webhooks", "POST /v1/notifications/webhooks"]
    made = api.asked[1].json
    assert isinstance(made, dict)
    assert [one["name"] for one in made["event_types"]] == sorted(connector.events)

    def listed(*names: str) -> Callable[[Json], object]:
        one = {"id": "WEBHOOK1", "url": URL, "event_types": [{"name": name} for name in names]}
        return lambda said: said.update(webhooks=[one]) if "webhooks" in said else None

    kept = Recorded(listed("*")).hold(connector.register(known(webhook_id="WEBHOOK1"), URL))
    assert kept == Registration(state="kept")
    renamed = Recorded(listed(*connector.events)).hold(connector.register(known(), URL))
    assert renamed == Registration(state="repaired", secret="WEBHOOK1")
    api = Recorded(listed("BILLING.PLAN.CREATED"))
    assert api.hold(connector.register(known(webhook_id="WEBHOOK1"), URL)) == Registration(state="repaired")
    assert api.urls[1] == "PATCH /v1/notifications/webhooks/WEBHOOK1"
    changes = api.asked[1].json
    assert isinstance(changes, list)
    assert {"name": "BILLING.PLAN.CREATED"} in changes[0]["value"]
    assert len(changes[0]["value"]) == len(connector.events) + 1
