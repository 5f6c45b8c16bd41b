"""Writing to other books: which requests are described for what, and what is made of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors import rates, registry
from connectors.base import Credentials, Request, Response
from connectors.books import BookInvoice, BookLine, BookPayment, Known, Written
from core.errors import Permanent
from core.events import MirroredStatus
from core.money import Money

Json = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
SETTINGS = {
    "xero": {"sales_account": "200", "bank_account": "090", "credit_account": "610", "tax_types": "18=OUTPUT18"},
    "quickbooks": {"sales_item": "7", "bank_account": "35", "credit_account": "36", "tax_types": "18=5 0=2"},
}
LINES = (
    BookLine(words="Cloth", quantity=Decimal("2.5"), unit_price=1000, net=2500, tax=450, tax_rate=Decimal(18)),
    # A discount of 5 %: quantity times price is not what it comes to.
    BookLine(words="Thread", quantity=Decimal(3), unit_price=333, net=949, tax=0, tax_rate=Decimal(0)),
)
WANTED = BookInvoice(
    key="wish",
    object_id=None,
    known=None,
    fields=frozenset(),
    number="INV-1",
    currency="INR",
    issued_on=date(2026, 11, 1),
    due_on=date(2026, 12, 1),
    customer_name="O'Neil Retail",
    customer_email="rao@example.com",
    reference="PO 7",
    reverse_charge=False,
    lines=LINES,
    rounding=1,
    total=3900,
)
KNOWN = Known(total=3900, due=3900, issued_on=date(2026, 11, 1), due_on=date(2026, 12, 1), void=False)
PAYMENTS = (
    BookPayment(reference="LW-1", money=Money(1000, "INR"), paid_on=date(2026, 11, 2), cash=True),
    BookPayment(reference="LW-2", money=Money(500, "INR"), paid_on=date(2026, 11, 3), cash=False),
)


def xero(**changes: Any) -> Json:
    """An invoice as Xero has it."""
    millis = {day: int(datetime(2026, *day, tzinfo=UTC).timestamp() * 1000) for day in ((11, 1), (12, 1))}
    return {
        "Type": "ACCREC", "InvoiceID": "i1", "InvoiceNumber": "INV-1", "Status": "AUTHORISED", "CurrencyCode": "INR",
        "Total": 39.0, "AmountDue": 39.0, "Date": f"/Date({millis[11, 1]}+0000)/",
        "DueDate": f"/Date({millis[12, 1]}+0000)/", "UpdatedDateUTC": "/Date(1793000000000+0000)/",
    } | changes  # fmt: skip


def quickbooks(**changes: Any) -> Json:
    """An invoice as QuickBooks has it."""
    return {
        "Id": "145", "SyncToken": "3", "MetaData": {"LastUpdatedTime": "2026-11-02T10:00:00Z"}, "DocNumber": "INV-1",
        "CurrencyRef": {"value": "INR"}, "CustomerRef": {"value": "9", "name": "O'Neil Retail"}, "TotalAmt": 39.0,
        "Balance": 39.0, "TxnDate": "2026-11-01", "DueDate": "2026-12-01",
    } | changes  # fmt: skip


def tell(
    slug: str, wanted: BookInvoice, reply: Callable[[Request], Json], **settings: str
) -> tuple[Written, list[Request]]:
    """Hold the talk; what it returns, and the requests that write."""
    mirror = registry.get(slug).mirror
    assert mirror is not None
    given = {name: value for name, value in (SETTINGS[slug] | settings).items() if value}
    held = Credentials(secrets={}, settings=given, external_id="t1", asked_at=NOW)
    talk, wrote, answer = mirror.write(held, wanted), [], None
    try:
        request = next(talk)
        while True:
            if request.method != "GET":
                wrote.append(request)
            said = {"Preferences": {"CurrencyPrefs": {"HomeCurrency": {"value": "INR"}}}}
            answer = said if request.url.endswith("/preferences") else reply(request)
            request = talk.send(Response(status=200, headers={}, body=json.dumps(answer).encode()))
    except StopIteration as end:
        return end.value, wrote


def body(request: Request) -> Json:
    found: Any = request.json
    said: Json = next(iter(found.values()))[0] if "/v3/" not in request.url else found
    return said


# Making ---------------------------------------------------------------------------------------------------------


def test_xero_is_asked_by_number_and_then_told_all_of_the_invoice() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> Json:
        asked.append(request)
        return {"Invoices": [] if request.method == "GET" else [xero()]}

    done, (made,) = tell("xero", WANTED, reply)
    assert (done.stopped, done.record.object_id, done.record.status) == (False, "i1", MirroredStatus.OPEN)
    assert (asked[0].url, asked[0].params) == ("/Invoices", {"InvoiceNumbers": "INV-1"})
    assert (made.url, made.headers["xero-tenant-id"], len(made.headers["Idempotency-Key"])) == ("/Invoices", "t1", 64)
    assert body(made) == {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "InvoiceNumber": "INV-1",
        "Contact": {"Name": "O'Neil Retail", "EmailAddress": "rao@example.com"},
        "CurrencyCode": "INR",
        "Reference": "PO 7",
        "Date": "2026-11-01",
        "DueDate": "2026-12-01",
        "LineAmountTypes": "Exclusive",
        "LineItems": [
            {"Description": "Cloth", "Quantity": 2.5, "UnitAmount": 10.0, "AccountCode": "200", "TaxType": "OUTPUT18",
             "TaxAmount": 4.5},
            {"Description": "Thread", "Quantity": 1, "UnitAmount": 9.49, "AccountCode": "200", "TaxType": "NONE"},
            {"Description": "Rounding", "Quantity": 1, "UnitAmount": 0.01, "AccountCode": "200", "TaxType": "NONE"},
        ],
    }  # fmt: skip


def test_quickbooks_gets_its_customer_first_and_each_request_has_its_id() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> Json:
        asked.append(request)
        if request.method == "GET":
            return {"QueryResponse": {}}
        return {"Customer": {"Id": "9"}} if request.url.endswith("customer") else {"Invoice": quickbooks()}

    done, (customer, made) = tell("quickbooks", WANTED, reply)
    assert (done.record.object_id, done.record.total) == ("invoice:145", Money(3900, "INR"))
    assert asked[0].params["query"] == "select * from Invoice where DocNumber = 'INV-1'"
    assert asked[1].params["query"] == r"select * from Customer where DisplayName = 'O\'Neil Retail'"
    assert body(customer)["DisplayName"] == "O'Neil Retail"
    assert all(0 < len(one.params["requestid"]) <= 50 for one in (customer, made))
    assert customer.params["requestid"] != made.params["requestid"]
    said = body(made)
    assert (said["DocNumber"], said["CustomerRef"], said["GlobalTaxCalculation"]) == (
        "INV-1",
        {"value": "9"},
        "TaxExcluded",
    )
    assert [(line["Amount"], line["SalesItemLineDetail"]) for line in said["Line"]] == [
        (25.0, {"ItemRef": {"value": "7"}, "Qty": 2.5, "UnitPrice": 10.0, "TaxCodeRef": {"value": "5"}}),
        (9.49, {"ItemRef": {"value": "7"}, "TaxCodeRef": {"value": "2"}}),
        (0.01, {"ItemRef": {"value": "7"}, "Qty": 1.0, "UnitPrice": 0.01, "TaxCodeRef": {"value": "2"}}),
    ]


def answers(slug: str, item: Json, *also: Json) -> Callable[[Request], Json]:
    """Whatever is asked for is this invoice."""

    def reply(request: Request) -> Json:
        if slug == "xero":
            if request.url == "/Payments":
                return {"Payments": [{"PaymentID": f"p-{body(request)['Reference']}"}]}
            return {"Invoices": [item, *also]}
        if "/payment" in request.url:
            return {"Payment": {"Id": "77", "PaymentRefNum": "LW-1"}}
        return {"QueryResponse": {"Invoice": [item, *also]}} if request.url.endswith("query") else {"Invoice": item}

    return reply


ITEMS = {"xero": xero, "quickbooks": quickbooks}
IDS = {"xero": "i1", "quickbooks": "invoice:145"}
both = pytest.mark.parametrize("slug", ["xero", "quickbooks"])


@both
def test_one_that_is_there_already_is_only_told_of(slug: str) -> None:
    done, wrote = tell(slug, WANTED, answers(slug, ITEMS[slug]()))
    assert (done.stopped, done.record.object_id, wrote) == (True, IDS[slug], [])


@both
def test_another_invoice_of_the_same_number_is_refused(slug: str) -> None:
    other = xero(CurrencyCode="USD") if slug == "xero" else quickbooks(CurrencyRef={"value": "USD"})
    with pytest.raises(Permanent, match="another invoice INV-1, in USD"):
        tell(slug, WANTED, answers(slug, other))


def test_two_invoices_of_one_number_in_quickbooks_are_nobodys_guess() -> None:
    with pytest.raises(Permanent, match="2 invoices INV-1"):
        tell("quickbooks", WANTED, answers("quickbooks", quickbooks(), quickbooks(Id="146")))


@pytest.mark.parametrize("status", ["VOIDED", "DELETED"])
def test_what_is_void_in_xero_is_not_it(status: str) -> None:
    def reply(request: Request) -> Json:
        return {"Invoices": [xero(Status=status) if request.method == "GET" else xero()]}

    done, (made,) = tell("xero", WANTED, reply)
    assert (done.stopped, made.url) == (False, "/Invoices")


# Changing -------------------------------------------------------------------------------------------------------


def there(slug: str, *fields: str, **changes: Any) -> BookInvoice:
    return replace(WANTED, object_id=IDS[slug], known=KNOWN, fields=frozenset(fields), **changes)


FIELDS: dict[str, tuple[dict[str, set[str]], str]] = {
    "due_date": ({"xero": {"DueDate"}, "quickbooks": {"DueDate"}}, "2027-01-05"),
    "issue_date": ({"xero": {"Date"}, "quickbooks": {"TxnDate"}}, "2026-11-09"),
    "total": ({"xero": {"LineAmountTypes", "LineItems"}, "quickbooks": {"Line", "GlobalTaxCalculation"}}, ""),
}


@both
@pytest.mark.parametrize("name", FIELDS)
def test_only_what_is_behind_is_written(slug: str, name: str) -> None:
    names, day = FIELDS[name]
    days = {"due_date": "due_on", "issue_date": "issued_on"}
    changes = {days[name]: date.fromisoformat(day)} if day else {}
    _, (made,) = tell(slug, there(slug, name, **changes), answers(slug, ITEMS[slug]()))
    said = body(made)
    frame = {"InvoiceID"} if slug == "xero" else {"Id", "SyncToken", "sparse"}
    assert set(said) == frame | names[slug]
    if day:
        assert day in said.values()
    if slug == "quickbooks":
        assert (said["SyncToken"], said["sparse"]) == ("3", True)


@both
def test_voiding(slug: str) -> None:
    void = xero(Status="VOIDED") if slug == "xero" else quickbooks(TotalAmt=0, Balance=0)

    def reply(request: Request) -> Json:
        return answers(slug, ITEMS[slug]() if request.method == "GET" else void)(request)

    done, (made,) = tell(slug, there(slug, "void"), reply)
    assert done.record.status is MirroredStatus.VOID
    if slug == "xero":
        assert body(made) == {"InvoiceID": "i1", "Status": "VOIDED"}
    else:
        assert (body(made), made.params["operation"]) == ({"Id": "145", "SyncToken": "3"}, "void")


@both
@pytest.mark.parametrize("field", ["due_date", "void", "paid"])
def test_what_moved_there_is_left_alone(slug: str, field: str) -> None:
    moved = xero(AmountDue=30.0) if slug == "xero" else quickbooks(Balance=30.0)
    done, wrote = tell(slug, there(slug, field, payments=PAYMENTS), answers(slug, moved))
    assert (done.stopped, done.record.due, wrote) == (True, Money(3000, "INR"), [])


# Paying ---------------------------------------------------------------------------------------------------------


@both
def test_payments_go_to_the_account_of_what_they_are(slug: str) -> None:
    done, wrote = tell(slug, there(slug, "paid", payments=PAYMENTS), answers(slug, ITEMS[slug]()))
    if slug == "xero":
        assert [body(one) for one in wrote] == [
            {"Invoice": {"InvoiceID": "i1"}, "Account": {"Code": "090"}, "Date": "2026-11-02", "Amount": 10.0,
             "Reference": "LW-1"},
            {"Invoice": {"InvoiceID": "i1"}, "Account": {"Code": "610"}, "Date": "2026-11-03", "Amount": 5.0,
             "Reference": "LW-2"},
        ]  # fmt: skip
        assert done.payments == {"LW-1": "p-LW-1", "LW-2": "p-LW-2"}
    else:
        assert [(body(one)["PaymentRefNum"], body(one)["DepositToAccountRef"]["value"]) for one in wrote] == [
            ("LW-1", "35"),
            ("LW-2", "36"),
        ]
        assert body(wrote[0])["Line"] == [{"Amount": 10.0, "LinkedTxn": [{"TxnId": "145", "TxnType": "Invoice"}]}]
        assert set(done.payments) == {"LW-1", "LW-2"}


@both
def test_a_payment_that_is_there_is_not_made_again(slug: str) -> None:
    paid = {"PaymentID": "p1", "Reference": "LW-1", "Amount": 10.0, "Date": "/Date(1793000000000+0000)/"}
    item = (
        xero(Payments=[paid], AmountDue=29.0)
        if slug == "xero"
        else quickbooks(Balance=29.0, LinkedTxn=[{"TxnId": "77", "TxnType": "Payment"}])
    )
    known = replace(KNOWN, due=2900)
    wanted = replace(there(slug, "paid", payments=PAYMENTS), known=known)
    done, wrote = tell(slug, wanted, answers(slug, item))
    assert len(wrote) == 1
    assert done.payments["LW-1"] == ("p1" if slug == "xero" else "payment:77")
    # The answer was lost, and what is there is found although nothing is written.
    stopped, wrote = tell(slug, there(slug, "paid", payments=PAYMENTS), answers(slug, item))
    assert (stopped.stopped, set(stopped.payments), wrote) == (True, {"LW-1"}, [])


@both
def test_credit_without_an_account_is_refused_in_words(slug: str) -> None:
    with pytest.raises(Permanent, match="no account"):
        tell(slug, there(slug, "paid", payments=PAYMENTS[1:]), answers(slug, ITEMS[slug]()), credit_account="")


# Taxes and refusals ---------------------------------------------------------------------------------------------


@both
def test_a_rate_without_a_tax_type_is_named(slug: str) -> None:
    with pytest.raises(Permanent, match="for 18 %"):
        tell(slug, there(slug, "total"), answers(slug, ITEMS[slug]()), tax_types="")


@both
def test_under_reverse_charge_no_tax_is_charged_there(slug: str) -> None:
    _, (made,) = tell(slug, there(slug, "total", reverse_charge=True), answers(slug, ITEMS[slug]()))
    lines = body(made)["LineItems" if slug == "xero" else "Line"]
    assert not [line for line in lines if "TaxAmount" in line or line.get("TaxType") == "OUTPUT18"]
    assert '"5"' not in json.dumps(lines)


@both
def test_the_same_write_has_the_same_key_and_another_has_another(slug: str) -> None:
    def key(wanted: BookInvoice) -> str:
        _, (made,) = tell(slug, wanted, answers(slug, ITEMS[slug]()))
        return made.headers.get("Idempotency-Key") or made.params["requestid"]

    first = there(slug, "due_date")
    keys = [key(first), key(replace(first, due_on=date(2027, 1, 1))), key(replace(first, key="another"))]
    assert key(first) == keys[0]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("said", ["18", "18=", "x=1", "=A", "18=A 5"])
def test_tax_types_that_cannot_be_read_are_shown(said: str) -> None:
    with pytest.raises(Permanent, match="cannot be read at"):
        rates.types_of(said)


def test_tax_types() -> None:
    assert rates.types_of("18%=A, 5=B 0=C") == {Decimal(18): "A", Decimal(5): "B", Decimal(0): "C"}
    assert rates.types_of("") == {}


NO_REASON = (b"", b"<html>", b"[]", b"{}", b'{"Elements":1}')


@pytest.mark.parametrize(
    ("slug", "said", "words"),
    [
        ("xero", b'{"Elements":[{"ValidationErrors":[{"Message":"A"},{"Message":"B"}]}]}', "A; B"),
        ("xero", b'{"Message":"Bad"}', "Bad"),
        ("quickbooks", b'{"Fault":{"Error":[{"Message":"m","Detail":"d"}]}}', "d"),
        ("quickbooks", b'{"Fault":{"Error":[{"Message":"m"}]}}', "m"),
        *((slug, said, None) for slug in ("xero", "quickbooks") for said in NO_REASON),
    ],
)  # fmt: skip
def test_why_it_was_refused(slug: str, said: bytes, words: str | None) -> None:
    _, (made,) = tell(slug, there(slug, "due_date"), answers(slug, ITEMS[slug]()))
    assert made.refusal is not None
    assert made.refusal(said) == words
