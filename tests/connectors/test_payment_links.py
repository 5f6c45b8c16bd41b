"""What gateways are asked for when a customer wants to pay, and when what they were asked for is not open any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import razorpay, stripe
from connectors.base import Credentials, LinkMade, LinkWanted, PaymentLinks
from core.errors import MalformedPayload
from core.money import Money
from tests.connectors.asking import asked

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
CREDENTIALS = Credentials(
    secrets={"key_id": "k", "key_secret": "s", "api_key": "sk"}, settings={}, external_id="acct_1", asked_at=NOW
)


def wanted(**changes: Any) -> LinkWanted:
    given: dict[str, Any] = {
        "key": "0192a4b0-0000-7000-8000-000000000001",
        "reference": "INV-2026-00007",
        "number": "INV-2026-00007",
        "money": Money(29_54, "INR"),
        "description": "Invoice INV-2026-00007 of Asha Traders",
        "customer_name": "Bina Buyer",
        "customer_email": "bina@shop.test",
        "return_url": "https://books.test/i/abc?back=1",
    }
    return LinkWanted(**(given | changes))


def of(connector: Any) -> PaymentLinks:
    found = connector.connector.payment_links
    assert isinstance(found, PaymentLinks)
    return found


PLINK = {"id": "plink_1", "short_url": "https://rzp.io/i/x", "expire_by": 1_793_782_800, "status": "created"}
SESSION = {"id": "cs_1", "url": "https://checkout.stripe.com/c/pay/cs_1", "expires_at": 1_793_782_800, "status": "open"}


def test_razorpay_is_asked_for_a_link_whose_notes_name_the_invoice() -> None:
    made, requests = asked(of(razorpay).create(CREDENTIALS, wanted()), PLINK)
    assert made == LinkMade(
        provider_id="plink_1", url="https://rzp.io/i/x", expires_at=datetime.fromtimestamp(1_793_782_800, UTC)
    )
    (request,) = requests
    assert (request.method, request.url) == ("POST", "/v1/payment_links")
    body: Any = request.json
    assert (body["amount"], body["currency"], body["accept_partial"]) == (2954, "INR", False)
    assert (body["notes"], body["reference_id"]) == ({"invoice_number": "INV-2026-00007"}, "INV-2026-00007")
    # The seller's own mail told the customer; Razorpay tells them nothing more.
    assert (body["notify"], body["reminder_enable"]) == ({"sms": False, "email": False}, False)
    assert (body["callback_url"], body["callback_method"]) == ("https://books.test/i/abc?back=1", "get")
    assert body["expire_by"] == int(NOW.timestamp()) + 86_400


def test_a_link_without_an_end_is_read() -> None:
    made, _ = asked(of(razorpay).create(CREDENTIALS, wanted()), {**PLINK, "expire_by": 0})
    assert made.expires_at is None


@pytest.mark.parametrize(
    ("listed", "methods"),
    [
        pytest.param([{**PLINK, "reference_id": "INV-2026-00007"}], ["GET"], id="it was made"),
        pytest.param([], ["GET", "POST"], id="it was not"),
        pytest.param(
            [{**PLINK, "reference_id": "INV-2026-00007", "status": "cancelled"}], ["GET", "POST"], id="closed"
        ),
        pytest.param([{**PLINK, "reference_id": "INV-2026-00007/2"}], ["GET", "POST"], id="another one"),
    ],
)
def test_asked_again_razorpay_says_first_whether_it_is_there(listed: list[Any], methods: list[str]) -> None:
    talk = of(razorpay).create(CREDENTIALS, wanted(again=True))
    made, requests = asked(talk, {"payment_links": listed}, PLINK)
    assert [request.method for request in requests] == methods
    assert made.provider_id == "plink_1"


def test_a_reference_is_no_longer_than_razorpay_takes() -> None:
    _, requests = asked(of(razorpay).create(CREDENTIALS, wanted(reference="N" * 60 + "/2")), PLINK)
    body: Any = requests[0].json
    assert (len(body["reference_id"]), body["reference_id"][-2:]) == (40, "/2")


def test_stripe_is_asked_for_a_session_under_a_key_that_makes_a_repeat_harmless() -> None:
    made, requests = asked(of(stripe).create(CREDENTIALS, wanted()), SESSION)
    assert (made.provider_id, made.url) == ("cs_1", "https://checkout.stripe.com/c/pay/cs_1")
    (request,) = requests
    assert (request.method, request.url) == ("POST", "/v1/checkout/sessions")
    assert request.headers == {"Stripe-Account": "acct_1", "Idempotency-Key": "0192a4b0-0000-7000-8000-000000000001"}
    form = request.form or {}
    assert form["line_items[0][price_data][unit_amount]"] == "2954"
    assert form["line_items[0][price_data][currency]"] == "inr"
    assert form["metadata[invoice_number]"] == form["payment_intent_data[metadata][invoice_number]"] == "INV-2026-00007"
    assert form["client_reference_id"] == "INV-2026-00007"
    assert form["success_url"] == form["cancel_url"] == "https://books.test/i/abc?back=1"


@pytest.mark.parametrize(
    ("money", "unit_amount"),
    [
        pytest.param(Money(500, "JPY"), "500", id="no places"),
        pytest.param(Money(1_234, "KWD"), "1234", id="three places"),
        pytest.param(Money(700, "UGX"), "70000", id="none here, two at Stripe"),
        pytest.param(Money(700, "ISK"), "70000", id="krona"),
    ],
)
def test_amounts_are_in_stripes_own_unit(money: Money, unit_amount: str) -> None:
    _, requests = asked(of(stripe).create(CREDENTIALS, wanted(money=money)), SESSION)
    assert (requests[0].form or {})["line_items[0][price_data][unit_amount]"] == unit_amount


@pytest.mark.parametrize(
    ("connector", "now_open", "path", "closing"),
    [
        (razorpay, {"id": "x/1", "status": "created"}, "/v1/payment_links/x%2F1", "/cancel"),
        (stripe, {"id": "x/1", "status": "open"}, "/v1/checkout/sessions/x%2F1", "/expire"),
    ],
)
def test_what_can_still_be_paid_is_closed_and_nothing_else(
    connector: Any, now_open: dict[str, str], path: str, closing: str
) -> None:
    close: Callable[..., Any] = of(connector).close
    _, requests = asked(close(CREDENTIALS, "x/1"), now_open, {})
    assert [(request.method, request.url) for request in requests] == [("GET", path), ("POST", path + closing)]
    _, requests = asked(close(CREDENTIALS, "x/1"), {**now_open, "status": "paid"})
    assert [request.method for request in requests] == ["GET"]


@pytest.mark.parametrize(
    ("connector", "answer"), [(razorpay, {"id": "plink_1"}), (stripe, {"id": "cs_1", "url": None})]
)
def test_an_answer_that_leads_nowhere_is_refused(connector: Any, answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedPayload):
        asked(of(connector).create(CREDENTIALS, wanted()), answer)
