"""Flutterwave: which secret may prove what, and what the API must agree with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Authorization, Credentials, Event, Fetch, Page, Request, Response, Verified
from connectors.contract import deliver, signed
from connectors.payload import micros
from core.errors import Invalid, MalformedPayload, Permanent, SignatureRejected
from core.events import Payment, PaymentStatus, Payout, PayoutStatus, Record, Reference, Trust
from core.money import Money
from tests.connectors.asking import hold
from tests.connectors.streams import answer

connector = registry.get("flutterwave")
Json = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
REFERENCE = "49c3c6f5-aedd-4443-9eb4-92c51758f04a"


def opened(body: bytes) -> Event:
    (event,) = connector.open(deliver({}, body), Verified())
    return event


def recorded(name: str, identity: str = "") -> Json:
    held: Json = json.loads(samples.api("flutterwave", name).replace(b"{id}", identity.encode()))
    return held


def credentials(**settings: str) -> Credentials:
    return Credentials(secrets={"secret_key": "FLWSECK-1"}, settings=settings, external_id=None, asked_at=NOW)


def fetch(body: bytes, reply: Callable[[Request], object], **settings: str) -> list[Record]:
    event = opened(body)
    found = connector.read(event.name, event.item)
    assert isinstance(found, Fetch)
    return answer(found.talk(credentials(**settings)), reply)


V4 = samples.load("flutterwave", "charge.completed")
V3 = samples.load("flutterwave", "charge.completed", "v3")

# The scheme.

VECTOR = (
    b'{"webhook_id":"wbk_W5p6ktwU0jQ8RO4By860","timestamp":1735116884019,"type":"charge.completed","data":'
    b'{"id":"chg_Hq4oBRTJ4r","amount":2500,"currency":"KES","reference":"49c3c6f5-aedd-4443-9eb4-92c51758f04a",'
    b'"status":"succeeded"}}'
)

SEAL = "SHcP0MAlJwZ3IO+pyHSaq0k2Vjg7qLFVl3ticJkePE4="


def test_the_derived_vector_of_v4_is_accepted_and_signed() -> None:
    verified = connector.verify(deliver({"flutterwave-signature": SEAL}, VECTOR), ["v3:old", "test-secret-hash"])
    assert (verified.secret_index, verified.trust) == (1, Trust.SIGNED)


def test_a_secret_of_v3_proves_who_knows_it_and_is_a_hint() -> None:
    delivery = deliver({"verif-hash": "my-secret-hash"}, V3)
    verified = connector.verify(delivery, ["new-secret-hash", "v3:my-secret-hash"])
    assert (verified.secret_index, verified.trust) == (1, Trust.HINT)
    ours = signed(connector, V3, "v3:my-secret-hash")
    assert ours.header("verif-hash") == "my-secret-hash"
    assert ours.header("flutterwave-signature") is None


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        pytest.param({"verif-hash": "hash"}, "hash", id="a secret of v4 in v3's header"),
        pytest.param({"flutterwave-signature": "hash"}, "hash", id="a secret of v4 in its own header, as it stands"),
        pytest.param({"flutterwave-signature": "hash"}, "v3:hash", id="a secret of v3 in v4's header"),
        pytest.param({"verif-hash": "v3:hash"}, "v3:hash", id="the mark is no part of the secret"),
        pytest.param({"verif-hash": "hash", "flutterwave-signature": "hash"}, "hash", id="both headers"),
        pytest.param({"verif-hash": ""}, "v3:", id="an empty secret and an empty header"),
        pytest.param({"verif-hash": "v3:"}, "v3:", id="an empty secret and its mark"),
        pytest.param({}, "v3:hash", id="no header"),
    ],
)
def test_no_delivery_is_brought_down_to_the_weaker_check(headers: dict[str, str], secret: str) -> None:
    with pytest.raises(SignatureRejected):
        connector.verify(deliver(headers, V3), [secret])


def test_a_hmac_that_a_secret_of_v3_would_make_proves_nothing() -> None:
    stolen = signed(connector, V4, "hash")
    with pytest.raises(SignatureRejected):
        connector.verify(stolen, ["v3:hash"])


@pytest.mark.parametrize("secret", ["", "v3:", "x" * 600, "v3:" + "x" * 600])
def test_a_secret_that_cannot_be_used_is_told_so(secret: str) -> None:
    with pytest.raises(Invalid):
        connector.signature.check_secret(secret)


# Ids.


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("charge.completed", None, "wbk_W5p6ktwU0jQ8RO4By860"),
        ("charge.completed", "older_id_and_time", "wbk_W5p6ktwU0jQ8RO4By860"),
        ("charge.completed", "v3", "charge.completed:285959875:successful"),
        ("charge.completed", "v3_failed", "charge.completed:285959876:failed"),
        ("transfer.completed", None, "transfer.completed:33286:SUCCESSFUL"),
        ("transfer.disburse", None, "wbk_rp0bjKyAWA52ViM8xlZ0"),
    ],
)
def test_an_event_has_an_id_or_is_known_by_what_it_is_about(name: str, variant: str | None, expected: str) -> None:
    assert opened(samples.load("flutterwave", name, variant)).id == expected


def test_an_event_about_nothing_is_known_by_its_body() -> None:
    assert opened(samples.load("flutterwave", "subscription.cancelled")).id.startswith("body:")


# Charges.

PAID_V3 = Payment(
    object_id="285959875",
    version=micros(NOW),
    status=PaymentStatus.SUCCEEDED,
    money=Money(10000, "NGN"),
    occurred_at=datetime(2020, 7, 6, 19, 17, 4, tzinfo=UTC),
    references=(Reference(1, "Links-616626414629"), Reference(3, "CARD Transaction")),
    method="card",
    payer_name="Amina Bello",
    payer_email="user@example.com",
    bank_reference="Ledgerwire/FLW270177170",
    fee=Money(140, "NGN"),
)
PAID_V4 = Payment(
    object_id="chg_Hq4oBRTJ4r",
    version=micros(NOW),
    status=PaymentStatus.SUCCEEDED,
    money=Money(250000, "KES"),
    occurred_at=datetime(2024, 12, 25, 8, 54, 33, 187_374, tzinfo=UTC),
    references=(Reference(1, REFERENCE),),
    method="mobile_money",
    payer_name="Amina Bello",
    payer_email="customer@example.com",
)


def test_a_charge_of_v3_is_what_its_verification_says() -> None:
    asked: list[str] = []

    def reply(request: Request) -> Json:
        asked.append(request.url)
        return recorded("transaction_v3", "285959875")

    assert fetch(V3, reply) == [PAID_V3]
    assert asked == ["/v3/transactions/285959875/verify"]


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({}, "https://f4bexperience.flutterwave.com"),
        ({"environment": "sandbox"}, "https://developersandbox-api.flutterwave.com"),
    ],
)
def test_a_charge_of_v4_is_what_the_api_says(settings: dict[str, str], base: str) -> None:
    asked: list[str] = []

    def reply(request: Request) -> Json:
        asked.append(request.url)
        return recorded("charge_v4", "chg_Hq4oBRTJ4r")

    assert fetch(V4, reply, **settings) == [PAID_V4]
    assert asked == [f"{base}/charges/chg_Hq4oBRTJ4r"]


def test_a_failed_charge_completes_too() -> None:
    body = samples.load("flutterwave", "charge.completed", "v3_failed")
    (payment,) = fetch(body, lambda _: recorded("transaction_v3_failed"))
    assert isinstance(payment, Payment)
    assert (payment.status, payment.failure) == (PaymentStatus.FAILED, "Insufficient funds")


@pytest.mark.parametrize(
    ("body", "answer_name", "change"),
    [
        pytest.param(V3, "transaction_v3", {"id": 1}, id="v3: another charge"),
        pytest.param(V3, "transaction_v3", {"tx_ref": "another"}, id="v3: another reference"),
        pytest.param(V3, "transaction_v3", {"amount": 99.99}, id="v3: less"),
        pytest.param(V3, "transaction_v3", {"currency": "KES"}, id="v3: another currency"),
        pytest.param(V3, "transaction_v3", {"status": "succeeded"}, id="v3: the word of v4"),
        pytest.param(V4, "charge_v4", {"id": "chg_other"}, id="v4: another charge"),
        pytest.param(V4, "charge_v4", {"reference": "another"}, id="v4: another reference"),
        pytest.param(V4, "charge_v4", {"amount": 2501}, id="v4: more"),
        pytest.param(V4, "charge_v4", {"currency": "NGN"}, id="v4: another currency"),
        pytest.param(V4, "charge_v4", {"status": "successful"}, id="v4: the word of v3"),
    ],
)
def test_what_the_api_does_not_confirm_is_refused(body: bytes, answer_name: str, change: Json) -> None:
    identity = "285959875" if body is V3 else "chg_Hq4oBRTJ4r"
    said = recorded(answer_name, identity)
    said["data"] |= change
    with pytest.raises(MalformedPayload):
        fetch(body, lambda _: said)


@pytest.mark.parametrize(
    ("currency", "written", "money"),
    [("JPY", 5000, Money(5000, "JPY")), ("KWD", 12.345, Money(12345, "KWD")), ("NGN", 100.10, Money(10010, "NGN"))],
)
def test_amounts_are_taken_by_their_digits(currency: str, written: float, money: Money) -> None:
    body, said = json.loads(V3), recorded("transaction_v3", "285959875")
    for held in (body, said):
        held["data"] |= {"currency": currency, "amount": written}
    (payment,) = fetch(json.dumps(body).encode(), lambda _: said)
    assert isinstance(payment, Payment)
    assert payment.money == money


def test_a_fee_of_more_places_than_the_currency_has_is_left_out() -> None:
    said = recorded("transaction_v3", "285959875")
    said["data"]["app_fee"] = 1.0725
    assert fetch(V3, lambda _: said) == [replace(PAID_V3, fee=None)]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        (1735116873.187, datetime(2024, 12, 25, 8, 54, 33, 187_000, tzinfo=UTC)),
        (1735116873, datetime(2024, 12, 25, 8, 54, 33, tzinfo=UTC)),
        ("2024-12-25T08:54:33.187Z", datetime(2024, 12, 25, 8, 54, 33, 187_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_seconds_or_text(written: object, moment: datetime) -> None:
    said = recorded("charge_v4", "chg_Hq4oBRTJ4r")
    said["data"]["created_datetime"] = written
    assert fetch(V4, lambda _: said) == [replace(PAID_V4, occurred_at=moment)]


@pytest.mark.parametrize("written", [-1.5, 1e300, None, [], True, "yesterday"])
def test_a_time_that_is_none_is_malformed(written: object) -> None:
    said = recorded("charge_v4", "chg_Hq4oBRTJ4r")
    said["data"]["created_datetime"] = written
    with pytest.raises(MalformedPayload):
        fetch(V4, lambda _: said)


# Transfers.


@pytest.mark.parametrize(
    ("name", "said", "money"),
    [
        ("transfer.completed", recorded("transfer_v3", "33286"), Money(3002000, "NGN")),
        ("transfer.disburse", recorded("transfer_v4", "trf_yMZATJ11yVPNkZ"), Money(5000000, "NGN")),
    ],
)
def test_a_transfer_goes_to_somebody_else_and_is_confirmed(name: str, said: Json, money: Money) -> None:
    (payout,) = fetch(samples.load("flutterwave", name), lambda _: said)
    assert isinstance(payout, Payout)
    assert (payout.status, payout.money, payout.to_third_party) == (PayoutStatus.PAID, money, True)
    said["data"]["reference"] = "another"
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(samples.load("flutterwave", name), lambda _: said)


# Keys and pulls.


def authorized(secrets: dict[str, str], reply: Callable[[Request], object]) -> Authorization:
    assert connector.api is not None
    return hold(connector.api.authorize(replace(credentials(), secrets=secrets)), reply)


def test_v3_has_a_key_and_v4_trades_an_id_for_a_token() -> None:
    assert authorized({"secret_key": "FLWSECK-1"}, lambda _: {}).headers == {"Authorization": "Bearer FLWSECK-1"}
    asked: list[Request] = []

    def reply(request: Request) -> Json:
        asked.append(request)
        return recorded("token")

    found = authorized({"client_id": "c1", "client_secret": "s1", "secret_key": "unused"}, reply)
    assert found.expires_in_seconds == 600
    assert found.headers == {"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.example"}
    assert asked[0].form == {"grant_type": "client_credentials", "client_id": "c1", "client_secret": "s1"}
    with pytest.raises(Permanent, match="the connection has no secret_key"):
        authorized({}, lambda _: {})


@pytest.mark.parametrize(
    ("version", "secrets", "url", "names"),
    [
        (3, {"secret_key": "k"}, "/v3/transactions", ("transactions_v3_page_1", "transactions_v3_page_2")),
        (
            4,
            {"client_id": "c"},
            "https://f4bexperience.flutterwave.com/charges",
            ("charges_v4_page_1", "charges_v4_page_2"),
        ),
    ],
)
def test_a_pull_lists_the_charges_page_by_page(
    version: int, secrets: dict[str, str], url: str, names: tuple[str, str]
) -> None:
    assert connector.pull is not None
    given, page = replace(credentials(), secrets=secrets), Page(records=[])
    found: list[Record] = []
    for number, name in enumerate(names, start=1):
        talk = connector.pull.talk(given, page.cursor, datetime(2026, 8, 5, tzinfo=UTC))
        request = next(talk)
        assert request.url == url
        assert request.params == {"from": "2026-08-05", "to": "2026-11-03", "page": str(number)}
        with pytest.raises(StopIteration) as end:
            talk.send(Response(status=200, headers={}, body=samples.api("flutterwave", name)))
        page = end.value.value
        found += page.records
    assert found[0] == (PAID_V3 if version == 3 else PAID_V4)
    assert isinstance(found[1], Payment)
    assert found[1].status is (PaymentStatus.FAILED if version == 3 else PaymentStatus.PENDING)
    assert (page.more, page.cursor) == (False, "2026-10-31")


def test_a_pull_that_is_given_the_first_page_again_is_refused() -> None:
    assert connector.pull is not None
    talk = connector.pull.talk(credentials(), "2026-08-05 2026-11-03 2", NOW)
    next(talk)
    body = samples.api("flutterwave", "transactions_v3_page_1")
    with pytest.raises(MalformedPayload, match=r"page_info\.current_page"):
        talk.send(Response(status=200, headers={}, body=body))
