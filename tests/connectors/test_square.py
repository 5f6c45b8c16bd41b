"""Square: what each body means, how its invoices find their payments, and how it is signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from square.utils.webhooks_helper import verify_signature

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request, Response, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, SignatureRejected
from core.events import (
    BankAccount,
    ConnectionHealth,
    ConnectionState,
    Dispute,
    DisputeStatus,
    MirroredInvoice,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutItem,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
)
from core.money import Money
from tests.connectors.asking import asked
from tests.connectors.streams import answer

connector = registry.get("square")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
MERCHANT = "031FEV2Q6VMPK"
Json = dict[str, Any]
VECTORS = [
    (
        "Ibxx_5AKakO-3qeNVR61Dw",
        "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
        (
            b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
            b'"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
            b'"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
        ),
        "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=",
    ),
    (
        "signature-key",
        "https://webhook.site/webhooks",
        b'{"data":{"type":"webhooks","id":">id<"}}',
        "Cxt7+aTi4rKgcA0bC4g9EHdVtLSDWdqccmL5MvihU4U=",
    ),
]


def credentials(external_id: str | None = None) -> Credentials:
    return Credentials(secrets={"access_token": "t"}, settings={}, external_id=external_id, asked_at=NOW)


def reading(name: str, variant: str | None = None, change: Callable[[Json], None] = lambda _: None) -> object:
    said = json.loads(samples.load("square", name, variant))
    change(said["data"]["object"])
    (event,) = connector.open(deliver({}, json.dumps(said).encode()), Verified())
    return connector.read(event.name, event.item)


def read(name: str, variant: str | None = None, change: Callable[[Json], None] = lambda _: None) -> list[Record]:
    found = reading(name, variant, change)
    assert isinstance(found, list)
    return found


def recorded(name: str, **filled: str) -> Json:
    text = samples.api("square", name).decode()
    for key, value in filled.items():
        text = text.replace(f"{{{key}}}", value)
    found: Json = json.loads(text)
    return found


@pytest.mark.parametrize(("key", "url", "body", "seal"), VECTORS)
def test_the_published_vectors_hold_at_their_own_address_only(key: str, url: str, body: bytes, seal: str) -> None:
    headers = {"x-square-hmacsha256-signature": seal}
    at_home = deliver(headers, body)
    for address, good in ((url, True), (url + "/", False), (url.replace("https", "http"), False), ("", False)):
        delivery = type(at_home)(body=body, headers=at_home.headers, received_at=NOW, url=address)
        if good:
            assert connector.verify(delivery, [key]) == Verified()
        else:
            with pytest.raises(SignatureRejected):
                connector.verify(delivery, [key])


def test_what_the_sdk_verifies_is_what_we_sign() -> None:
    body, url = samples.load("square", "payment.updated"), "https://ledgerwire.example/hook"
    secret = connector.signature.new_secret()
    signed = connector.signature.sign(body, secret, at=NOW, message_id="m", url=url)
    (seal,) = signed.headers.values()
    assert verify_signature(
        request_body=body.decode(), signature_header=seal, signature_key=secret, notification_url=url
    )
    assert not verify_signature(
        request_body=body.decode(), signature_header=seal, signature_key=secret, notification_url=url + "/"
    )


def test_the_older_sha1_header_proves_nothing() -> None:
    body = samples.load("square", "payment.updated")
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({"x-square-signature": "Zm9v"}, body), ["key"])


COMPLETED = Payment(
    object_id="hYy9pRFVxpDsO1FB05SunFWUe9JZY",
    version=micros(datetime(2020, 11, 22, 21, 19, 0, 831_000, tzinfo=UTC)),
    status=PaymentStatus.SUCCEEDED,
    money=Money(10500, "USD"),
    occurred_at=datetime(2020, 11, 22, 21, 16, 51, 86_000, tzinfo=UTC),
    references=(Reference(1, "INV-1042"),),
    method="card",
    payer_name="Amelia Earhart",
    payer_email="amelia@buyer.example",
    fee=Money(33, "USD"),
)


def test_a_completed_payment_counts_with_its_tip_and_names_its_invoice() -> None:
    assert read("payment.updated") == [COMPLETED]


def test_an_approved_payment_is_no_money_yet() -> None:
    (payment,) = read("payment.created")
    assert isinstance(payment, Payment)
    assert (payment.status, payment.version < COMPLETED.version) == (PaymentStatus.PENDING, True)


def test_yen_have_no_decimals_and_nanoseconds_are_a_time() -> None:
    (payment,) = read("payment.updated", "yen")
    assert isinstance(payment, Payment)
    assert (payment.money, payment.fee) == (Money(5000, "JPY"), Money(180, "JPY"))
    assert payment.version == micros(datetime(2020, 11, 22, 21, 19, 0, 831_123, tzinfo=UTC))


def test_a_failed_payment_says_why_and_cash_names_its_invoice_in_the_note() -> None:
    (failed,), (cash,) = read("payment.updated", "failed"), read("payment.updated", "cash")
    assert isinstance(failed, Payment)
    assert isinstance(cash, Payment)
    assert (failed.status, failed.failure) == (PaymentStatus.FAILED, "insufficient_funds")
    assert (cash.method, cash.references, cash.fee) == ("cash", (Reference(2, "for INV-1042"),), None)


def test_amounts_of_two_currencies_are_malformed_and_never_added() -> None:
    def mixed(said: Json) -> None:
        fees = said["payment"]["processing_fee"]
        fees.append({"amount_money": {"amount": 1, "currency": "EUR"}})

    with pytest.raises(MalformedPayload, match="amounts of one currency"):
        read("payment.updated", change=mixed)


def test_a_refund_is_positive_and_names_its_payment() -> None:
    assert read("refund.updated") == [
        Refund(
            object_id="KkAkhdMsgzn59SM8A89WgKwekxLZY_ptNBVqHYxt5gAdfcobBe4u1AZsXhoz06KTtuq9Ls24P",
            version=micros(datetime(2020, 2, 6, 22, 14, 16, 381_000, tzinfo=UTC)),
            payment_id="KkAkhdMsgzn59SM8A89WgKwekxLZY",
            status=RefundStatus.SUCCEEDED,
            money=Money(1000, "USD"),
            occurred_at=datetime(2020, 2, 6, 21, 27, 41, 836_000, tzinfo=UTC),
            reason="goods returned",
        )
    ]
    (pending,) = read("refund.created")
    assert isinstance(pending, Refund)
    assert pending.status is RefundStatus.PENDING


def test_a_refund_of_no_payment_is_money_sent_to_somebody() -> None:
    (sent,) = read("refund.updated", "unlinked")
    assert isinstance(sent, Payout)
    assert (sent.status, sent.money, sent.to_third_party) == (PayoutStatus.PAID, Money(1000, "USD"), True)


@pytest.mark.parametrize(
    ("state", "status", "taken"),
    [
        ("INQUIRY_EVIDENCE_REQUIRED", DisputeStatus.OPEN, 0),
        ("EVIDENCE_REQUIRED", DisputeStatus.OPEN, 0),
        ("PROCESSING", DisputeStatus.UNDER_REVIEW, 0),
        ("INQUIRY_CLOSED", DisputeStatus.CLOSED, 0),
        ("WON", DisputeStatus.WON, 0),
        ("LOST", DisputeStatus.LOST, 8801),
        ("ACCEPTED", DisputeStatus.LOST, 8801),
    ],
)
def test_a_dispute_takes_money_once_it_is_lost_or_accepted(state: str, status: DisputeStatus, taken: int) -> None:
    def put(said: Json) -> None:
        said["dispute"]["state"] = state

    (dispute,) = read("dispute.created", change=put)
    assert dispute == Dispute(
        object_id="ORSEVtZAJxb37RA1EiGw",
        version=micros(datetime(2020, 2, 19, 21, 24, 53, 258_000, tzinfo=UTC)),
        payment_id="fbmsaEOpoARDKxiSGH1fqPuqoqFZY",
        status=status,
        money=Money(8801, "USD"),
        deducted=Money(taken, "USD"),
        occurred_at=datetime(2020, 2, 19, 21, 24, 53, 258_000, tzinfo=UTC),
        reason="no knowledge",
        respond_by=datetime(2020, 3, 4, tzinfo=UTC),
    )


def test_a_dispute_of_an_older_api_version_has_another_id_and_a_list_of_payments() -> None:
    (dispute,) = read("dispute.state.changed", "older")
    assert isinstance(dispute, Dispute)
    assert (dispute.object_id, dispute.payment_id) == ("ORSEVtZAJxb37RA1EiGw", "fbmsaEOpoARDKxiSGH1fqPuqoqFZY")


def test_payouts_take_both_spellings_of_the_currency() -> None:
    (paid,), (failed,) = read("payout.paid"), read("payout.failed")
    assert paid == Payout(
        object_id="po_b345d2c7-90b3-4f0b-a2aa-df1def7f8afc",
        version=micros(datetime(2024, 3, 4, 6, tzinfo=UTC)),
        status=PayoutStatus.PAID,
        money=Money(10000, "USD"),
        occurred_at=datetime(2024, 3, 1, 10, tzinfo=UTC),
        fee=Money(15, "USD"),
        bank_reference="L2100000005",
    )
    assert isinstance(failed, Payout)
    assert (failed.money, failed.status) == (Money(10000, "USD"), PayoutStatus.FAILED)


def test_money_that_square_takes_back_is_no_payout() -> None:
    assert read("payout.paid", "taken_back") == []


def test_invoices_are_mirrored_with_what_is_still_due() -> None:
    (invoice,) = read("invoice.updated")
    assert invoice == MirroredInvoice(
        object_id="inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
        version=2,
        status=MirroredStatus.PARTIALLY_PAID,
        number="inv-100",
        direction="sales",
        total=Money(10000, "USD"),
        due=Money(6000, "USD"),
        due_on=date(2030, 1, 24),
        contact_name="Earhart Aviation",
        contact_email="Amelia.Earhart@example.com",
        url="https://squareupsandbox.com/pay-invoice/inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
    )
    due = {}
    for name in ("published", "scheduled_charge_failed", "refunded", "canceled"):
        (one,) = read(f"invoice.{name}")
        assert isinstance(one, MirroredInvoice)
        due[name] = (one.status.value, one.due.minor)
    assert due == {
        "published": ("open", 10000),
        "scheduled_charge_failed": ("open", 10000),
        "refunded": ("paid", 0),
        "canceled": ("void", 0),
    }
    assert read("invoice.created", "without_amount") == []


ORDER = "CAISENgvlJ6jLWAzERDzjyHVybY"
PAID_BY = "EnZdNAlWCmfh6Mt5FMNST1o7taB"


def paid_invoice(reply: Callable[[Request], object], external_id: str | None = MERCHANT) -> list[Record]:
    found = reading("invoice.payment_made")
    assert isinstance(found, Fetch)
    return answer(found.talk(credentials(external_id)), reply)


def api(request: Request) -> Json:
    name = request.url.rsplit("/", 1)[-1]
    return recorded("order" if "/orders/" in request.url else "payment", id=name)


def test_a_paid_invoice_is_followed_to_its_payment_which_then_names_it() -> None:
    urls: list[str] = []

    def heard(request: Request) -> Json:
        urls.append(request.url)
        return api(request)

    mirrored, payment = paid_invoice(heard)
    assert urls == [f"/v2/orders/{ORDER}", f"/v2/payments/{PAID_BY}"]
    assert isinstance(mirrored, MirroredInvoice)
    assert (mirrored.status, mirrored.due) == (MirroredStatus.PAID, Money(0, "USD"))
    assert isinstance(payment, Payment)
    assert (payment.object_id, payment.money) == (PAID_BY, Money(10000, "USD"))
    assert payment.references == (Reference(0, "inv-100"),)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("order", "id"), ("payment", "id"), ("payment", "order_id")],
    ids=["another order", "another payment", "a payment of another order"],
)
def test_an_answer_about_something_else_is_refused(kind: str, key: str) -> None:
    def lying(request: Request) -> Json:
        found = api(request)
        if kind in found:
            found[kind][key] = "another"
        return found

    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        paid_invoice(lying)


def test_an_invoice_of_another_merchant_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MalformedPayload, match="expected the connection's merchant"):
        paid_invoice(lambda _: pytest.fail("asked"), external_id="somebody-else")


def test_bank_accounts_and_a_withdrawn_access() -> None:
    (account,) = read("bank_account.disabled")
    assert account == BankAccount(
        object_id="bact:OxfBTiXgByaXds6B4GB",
        version=3,
        name="Bank of Example",
        currency="USD",
        number="000",
        kind="checking",
        available=False,
    )
    (state,) = read("oauth.authorization.revoked")
    assert state == ConnectionState(
        object_id="6SSW7HV8K2ST5",
        version=micros(datetime(2021, 6, 14, 21, 27, 34, 100_000, tzinfo=UTC)),
        health=ConnectionHealth.REVOKED,
        reason="access withdrawn at Square by merchant",
    )


PAYOUT = "po_b345d2c7-90b3-4f0b-a2aa-df1def7f8afc"


def test_a_pull_goes_through_every_list_and_begins_again_with_an_overlap() -> None:
    assert connector.pull is not None
    since, cursor, seen = NOW - timedelta(days=90), None, []
    found = Page(records=())
    paths, more = [], True
    while more:
        talk = connector.pull.talk(credentials(), cursor, since)
        request = next(talk)
        assert ("begin_time" in request.params) == (request.url != "/v2/disputes")
        while True:
            paths.append((request.url, request.params.get("cursor")))
            kind = request.url.rsplit("/", 1)[-1].replace("-", "_").replace("payout_entries", "payout_entries_page_1")
            later_page = {"page-2": "payments_page_2", "entries-2": "payout_entries_page_2"}
            page = later_page.get(request.params.get("cursor", ""), "payments_page_1" if kind == "payments" else kind)
            try:
                request = talk.send(Response(status=200, headers={}, body=samples.api("square", page)))
            except StopIteration as end:
                found = end.value
                break
        seen += [type(record).__name__ for record in found.records]
        cursor, more = found.cursor, found.more
    assert paths == [
        ("/v2/payments", None),
        ("/v2/payments", "page-2"),
        ("/v2/refunds", None),
        ("/v2/disputes", None),
        ("/v2/payouts", None),
        (f"/v2/payouts/{PAYOUT}/payout-entries", None),
        (f"/v2/payouts/{PAYOUT}/payout-entries", "entries-2"),
    ]
    assert seen == ["Payment", "Payment", "Refund", "Dispute", "Payout", *["PayoutItem"] * 4]
    told = [one for one in found.records if isinstance(one, PayoutItem)]
    assert [(one.kind, (one.subject_id or "")[:6], one.money.minor, one.fee.minor) for one in told] == [
        ("payment", "HVdG62", 12000, 378),
        ("refund", "HVdG62", -2000, -50),
        ("dispute", "bVTprr", -1500, 0),
        ("adjustment", "", 1828, 0),
    ]
    assert sum(one.money.minor - one.fee.minor for one in told) == 10000
    later = next(connector.pull.talk(credentials(), cursor, since))
    assert later.params["begin_time"] == (NOW - timedelta(days=8)).isoformat()


def test_a_list_whose_cursor_stands_still_is_refused() -> None:
    assert connector.pull is not None
    talk = connector.pull.talk(credentials(), f"refunds {NOW.isoformat()} {NOW.isoformat()} here", NOW)
    with pytest.raises(MalformedPayload, match="circle"):
        asked(talk, {"refunds": [], "cursor": "here"})


def subscription(**changed: object) -> Json:
    found = recorded("subscription")["subscription"]
    return {**found, "event_types": sorted(connector.events), **changed}


URL = "https://ledgerwire.example/hook"


def test_a_subscription_of_this_address_with_every_event_is_kept() -> None:
    assert connector.register is not None
    result, requests = asked(
        connector.register(credentials(), URL),
        {**recorded("subscriptions"), "cursor": "2"},
        {"subscriptions": [subscription()]},
    )
    assert result == Registration(state="kept")
    assert [request.method for request in requests] == ["GET", "GET"]


@pytest.mark.parametrize(
    "changed",
    [{"enabled": False}, {"event_types": ["payment.created", "loyalty.account.created"]}],
    ids=["switched off", "events missing"],
)
def test_a_subscription_that_lacks_something_is_repaired_and_loses_nothing(changed: Json) -> None:
    assert connector.register is not None
    mine = subscription(**changed)
    result, requests = asked(connector.register(credentials(), URL), {"subscriptions": [mine]}, {})
    assert result == Registration(state="repaired")
    assert (requests[1].method, requests[1].url) == ("PUT", f"/v2/webhooks/subscriptions/{mine['id']}")
    sent: Any = requests[1].json
    assert sent["subscription"]["enabled"] is True
    assert set(sent["subscription"]["event_types"]) == {*connector.events, *mine["event_types"]}


def test_a_missing_subscription_is_made_and_its_key_kept() -> None:
    assert connector.register is not None
    result, requests = asked(connector.register(credentials(), URL), {}, recorded("subscription"))
    assert result == Registration(state="created", secret="1k9bIJKCeTmSQwyagtNRLg")
    made: Any = requests[1].json
    assert made["subscription"]["notification_url"] == URL
    assert "1k9b" not in repr(result)


def test_a_list_of_subscriptions_without_end_is_refused() -> None:
    assert connector.register is not None
    with pytest.raises(MalformedPayload, match="circle"):
        asked(connector.register(credentials(), URL), *([{"cursor": "same"}] * 3))


def test_the_access_token_is_sent_as_it_is() -> None:
    assert connector.api is not None
    result, requests = asked(connector.api.authorize(credentials()))
    assert (result.headers, requests) == ({"Authorization": "Bearer t"}, [])
