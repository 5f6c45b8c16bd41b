"""Xero: signatures as published, pointers, what they lead to, and the lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Answer, Credentials, Fetch, Page, Request, Response, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
    BankAccount,
    BankTransaction,
    MirroredInvoice,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
    TransactionStatus,
)
from core.money import Money
from tests.connectors.asking import hold
from tests.connectors.streams import answer

connector = registry.get("xero")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
INVOICE = "8694c9c5-7097-4449-a708-b8c1982921a4"
Json = dict[str, Any]
KEY = "LR+QgKlbRciIPYpi65tTKLaZ3FzLLofCNEQWrRXqWXJeDFrfexzfVI9SmnVuCWDJ4jnjHB9ECtOyxZSofRxwWw=="
HANDSHAKE = b'{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "LUWDSUDGSWNZVALZXBEV"}'
CREDENTIALS = Credentials(secrets={}, settings={}, external_id=TENANT, asked_at=NOW)


def test_the_published_handshake_is_accepted_and_its_wrong_twin_refused() -> None:
    right = "BjzNbYUfrzg4g8wxm+dKHaZVrKxr2m75E296fUbD1E4="
    delivery = deliver({"x-xero-signature": right}, HANDSHAKE)
    verified = connector.verify(delivery, [KEY])
    assert connector.open(delivery, verified) == []
    assert connector.accepted == Answer(body=b"", status=200)
    # The first character became a slash: that is what the handshake tests.
    for wrong in ("/" + right[1:], right.lstrip("B"), right.rstrip("="), f" {right}", right.lower()):
        with pytest.raises(SignatureRejected):
            connector.verify(deliver({"x-xero-signature": wrong}, HANDSHAKE), [KEY])


def fetched(
    name: str,
    reply: Callable[[Request], object],
    *,
    body: bytes = b"",
    credentials: Credentials = CREDENTIALS,
) -> list[Record]:
    event = connector.open(deliver({}, body or samples.load("xero", name)), Verified())[0]
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return answer(reading.talk(credentials), reply)


def invoice(**changes: object) -> Json:
    said: Json = json.loads(samples.api("xero", "invoice"))
    said["Invoices"][0] |= {"InvoiceID": INVOICE, **changes}
    return said


UPDATED = micros(datetime.fromtimestamp(1718932539, UTC))
PAID = MirroredInvoice(
    object_id=INVOICE,
    version=UPDATED,
    status=MirroredStatus.PAID,
    number="INV-0042",
    direction="sales",
    total=Money(125050, "AUD"),
    due=Money(0, "AUD"),
    issued_on=date(2024, 6, 1),
    due_on=date(2024, 7, 1),
    contact_name="Rao Retail",
    contact_email="accounts@rao.test",
)
RECEIVED = Payment(
    object_id="b05466c8-dc54-4ff8-8f17-9d7008a2e44b",
    version=UPDATED,
    status=PaymentStatus.SUCCEEDED,
    money=Money(125050, "AUD"),
    occurred_at=datetime(2024, 6, 20, tzinfo=UTC),
    references=(Reference(0, "INV-0042"), Reference(1, "PO-7")),
    payer_name="Rao Retail",
    bank_reference="Bank transfer 991",
)


def test_a_changed_invoice_is_fetched_with_what_was_paid_towards_it() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> Json:
        asked.append(request)
        return invoice()

    assert fetched("INVOICE.UPDATE", reply) == [PAID, RECEIVED]
    assert [(one.url, one.headers["xero-tenant-id"]) for one in asked] == [(f"/Invoices/{INVOICE}", TENANT)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"Status": "DRAFT", "AmountDue": 1250.5}, ("draft", 125050), id="a draft"),
        pytest.param({"Status": "SUBMITTED", "AmountDue": 1250.5}, ("draft", 125050), id="not yet approved"),
        pytest.param({"Status": "AUTHORISED", "AmountDue": 1250.5}, ("open", 125050), id="nothing paid"),
        pytest.param({"Status": "AUTHORISED", "AmountDue": 0.01}, ("partially_paid", 1), id="a cent is left"),
        pytest.param({"Status": "VOIDED", "AmountDue": 1250.5}, ("void", 0), id="void"),
        pytest.param({"Status": "DELETED"}, ("void", 0), id="deleted"),
    ],
)
def test_a_status_says_what_is_left_to_pay(changes: Json, expected: tuple[str, int]) -> None:
    made = fetched("INVOICE.UPDATE", lambda _: invoice(**changes, Payments=[]))[0]
    assert isinstance(made, MirroredInvoice)
    assert (made.status.value, made.due.minor) == expected


@pytest.mark.parametrize(
    ("currency", "written", "minor"), [("JPY", 120000.0, 120000), ("KWD", 1.234, 1234), ("AUD", 0.1, 10)]
)
def test_amounts_are_taken_by_their_digits(currency: str, written: float, minor: int) -> None:
    said = invoice(Payments=[], CurrencyCode=currency, Total=written, AmountDue=written, Status="AUTHORISED")
    (made,) = fetched("INVOICE.UPDATE", lambda _: said)
    assert isinstance(made, MirroredInvoice)
    assert made.total == Money(minor, currency)


def test_a_bill_is_a_purchase_and_its_payments_are_nobodys_receipts() -> None:
    (made,) = fetched("INVOICE.CREATE", lambda _: invoice(Type="ACCPAY"))
    assert made == replace(PAID, direction="purchase")


def test_a_credit_note_says_what_may_still_be_used() -> None:
    said = json.loads(samples.api("xero", "credit_note"))
    said["CreditNotes"][0] |= {"CreditNoteID": "55d84274-a3da-4829-a7c0-0cab601b95cc", "RemainingCredit": 150}
    (made,) = fetched("CREDITNOTE.CREATE", lambda _: said)
    assert isinstance(made, MirroredInvoice)
    assert (made.kind, made.direction, made.number) == ("credit_note", "purchase", "CN-0007")
    assert (made.status, made.total, made.due) == (
        MirroredStatus.PARTIALLY_PAID,
        Money(20000, "AUD"),
        Money(15000, "AUD"),
    )


def test_one_request_may_speak_of_several_organisations() -> None:
    body = samples.load("xero", "INVOICE.UPDATE", "several_organisations")
    opened = connector.open(deliver({}, body), Verified())
    assert [(event.name, event.external_id) for event in opened] == [
        ("INVOICE.UPDATE", TENANT),
        ("CREDITNOTE.CREATE", "aef86862-2015-4b6b-88bc-d89032cecc50"),
        ("CONTACT.UPDATE", TENANT),
    ]
    assert len({event.id for event in opened}) == 3


def test_an_event_is_known_by_everything_that_it_says() -> None:
    said = json.loads(samples.load("xero", "INVOICE.UPDATE"))
    ids = set()
    for key in ("tenantId", "eventCategory", "resourceId", "eventType", "eventDateUtc", "resourceUrl"):
        changed = json.loads(json.dumps(said))
        changed["events"][0][key] += "x"
        changed["entropy"] = key
        ids.add(connector.open(deliver({}, json.dumps(changed).encode()), Verified())[0].id)
    # The address is not followed and decides nothing.
    assert len(ids) == 6
    assert connector.open(deliver({}, json.dumps(said).encode()), Verified())[0].id in ids


def test_the_address_in_an_event_is_not_followed() -> None:
    said = json.loads(samples.load("xero", "INVOICE.UPDATE"))
    said["events"][0] |= {"resourceUrl": "https://evil.example/steal", "resourceId": "../../connections?x=1"}
    asked: list[str] = []

    def reply(request: Request) -> Json:
        asked.append(request.url)
        return invoice()

    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        fetched("", reply, body=json.dumps(said).encode())
    assert asked == ["/Invoices/..%2F..%2Fconnections%3Fx%3D1"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"Invoices": []}, id="nothing"),
        pytest.param({"Invoices": [invoice()["Invoices"][0]] * 2}, id="two"),
        pytest.param(invoice(InvoiceID="another"), id="another invoice"),
        pytest.param(invoice(UpdatedDateUTC="2024-06-01T00:00:00"), id="another form of time"),
        pytest.param(invoice(UpdatedDateUTC="/Date(99999999999999999)/"), id="no plausible time"),
        pytest.param(invoice(CurrencyCode="XXQ"), id="no currency"),
        pytest.param(invoice(Status="PENDING"), id="an unknown status"),
        pytest.param(invoice(Type="OTHER"), id="an unknown type"),
        pytest.param(invoice(Total="NaN"), id="no amount"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(said: Json) -> None:
    with pytest.raises(MalformedPayload):
        fetched("INVOICE.UPDATE", lambda _: said)


def test_an_event_of_another_organisation_than_the_connections_asks_nothing() -> None:
    with pytest.raises(MalformedPayload, match="the connection's organisation"):
        fetched("INVOICE.UPDATE", lambda _: pytest.fail("asked"), credentials=replace(CREDENTIALS, external_id="other"))


# Lists --------------------------------------------------------------------------------------------------------


def recorded(request: Request) -> Json:
    """The answer that the routes of the simulator give."""
    for route in json.loads(samples.api("xero", "routes")):
        same = route["method"] == request.method and route["path"] == request.url
        if same and all(request.params.get(key) == value for key, value in route.get("query", {}).items()):
            found: Json = json.loads(samples.api("xero", route["answer"].removesuffix(".json")))
            return found
    raise AssertionError(request)


def stretch(cursor: str | None, reply: Callable[[Request], Json], since: datetime = NOW) -> Page:
    assert connector.pull is not None
    return hold(connector.pull.talk(CREDENTIALS, cursor, since), reply)


def test_everything_that_changed_is_listed_page_by_page_and_the_next_pull_begins_where_this_one_began() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> Json:
        asked.append(request)
        return recorded(request)

    since = datetime(2026, 10, 1, 12, tzinfo=UTC)
    records: list[Record] = []
    cursor, more = None, True
    while more:
        page = stretch(cursor, reply, since)
        records += page.records
        cursor, more = page.cursor, page.more
    assert cursor == (NOW - timedelta(minutes=5)).isoformat()
    assert [(one.url, one.params.get("page")) for one in asked] == [
        ("/Accounts", None),
        *(("/Invoices", page) for page in "123"),
        *(("/CreditNotes", page) for page in "12"),
        *(("/Payments", page) for page in "123"),
        *(("/BankTransactions", page) for page in "123"),
    ]
    assert {one.headers["If-Modified-Since"] for one in asked} == {"2026-10-01T12:00:00"}
    assert {one.params["order"] for one in asked[1:]} == {
        "InvoiceID ASC",
        "CreditNoteID ASC",
        "PaymentID ASC",
        "BankTransactionID ASC",
    }
    kinds = [type(one) for one in records]
    assert kinds.count(MirroredInvoice) == 4
    assert [one.name for one in records if isinstance(one, BankAccount)] == ["Business Account"]
    lines = [one for one in records if isinstance(one, BankTransaction)]
    assert [(one.money.minor, one.status, one.narration) for one in lines] == [
        (125050, TransactionStatus.POSTED, "INV-0042"),
        (-4990, TransactionStatus.POSTED, "Rao Retail"),
        (-1000, TransactionStatus.REMOVED, "Rao Retail"),
    ]
    # What a supplier was paid is no receipt; what was deleted was received and given back.
    yen = [one for one in records if isinstance(one, Payment) and one.money.currency == "JPY"]
    assert [one.status for one in yen] == [PaymentStatus.SUCCEEDED] * 2
    assert [one for one in records if isinstance(one, Refund)] == [
        Refund(
            object_id=f"{yen[0].object_id}:deleted",
            version=yen[1].version,
            payment_id=yen[0].object_id,
            status=RefundStatus.SUCCEEDED,
            money=Money(50000, "JPY"),
            occurred_at=datetime.fromtimestamp(1718999999, UTC),
            reason="deleted in Xero",
        )
    ]
    # The next pull asks for what changed since shortly before this one began.
    asked.clear()
    stretch(cursor, reply)
    assert asked[0].headers["If-Modified-Since"] == "2026-11-03T08:55:00"


def test_the_listed_payment_and_the_one_on_its_invoice_are_one_payment() -> None:
    listed = stretch("2026-10-01T12:00:00+00:00 2026-11-03T09:00:00+00:00 3 1", recorded).records
    assert listed == [replace(RECEIVED, version=UPDATED + 1_000_000, references=(Reference(0, "INV-0042"),))]


@pytest.mark.parametrize("status", ["DELETED", "AUTHORISED"])
def test_a_payment_without_an_amount_says_nothing(status: str) -> None:
    def reply(request: Request) -> Json:
        page = recorded(request)
        for row in page["Payments"]:
            row |= {"Status": status, "Amount": 0}
        return page

    assert stretch("2026-10-01T12:00:00+00:00 2026-11-03T09:00:00+00:00 3 1", reply).records == []


def test_a_list_that_does_not_end_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="does not end after 500 pages"):
        stretch("2026-10-01T12:00:00+00:00 2026-11-03T09:00:00+00:00 1 501", recorded)


def test_a_line_that_says_neither_in_nor_out_is_refused() -> None:
    def reply(request: Request) -> Json:
        page = recorded(request)
        page["BankTransactions"][0]["Type"] = "MOVE"
        return page

    with pytest.raises(MalformedPayload, match="RECEIVE"):
        stretch("2026-10-01T12:00:00+00:00 2026-11-03T09:00:00+00:00 4 1", reply)


# Authorisation ------------------------------------------------------------------------------------------------


def test_id_and_secret_are_traded_for_a_token() -> None:
    assert connector.api is not None
    held = Credentials(secrets={"client_secret": "s"}, settings={"client_id": "c"}, external_id=None)
    talk = connector.api.authorize(held)
    request = next(talk)
    assert (request.method, request.url, request.authorized) == (
        "POST",
        "https://identity.xero.com/connect/token",
        False,
    )
    assert request.headers == {"Authorization": "Basic Yzpz"}
    assert request.form is not None
    assert request.form["grant_type"] == "client_credentials"
    with pytest.raises(StopIteration) as end:
        talk.send(Response(status=200, headers={}, body=samples.api("xero", "token")))
    assert end.value.value.expires_in_seconds == 1800
    assert "test-access-token" not in repr(end.value.value)


def test_a_connection_without_a_secret_is_told_so() -> None:
    assert connector.api is not None
    with pytest.raises(Permanent, match="the connection has no client_secret"):
        next(connector.api.authorize(CREDENTIALS))
