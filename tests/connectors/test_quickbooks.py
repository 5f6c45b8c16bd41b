"""QuickBooks Online: both formats, what their pointers lead to, and the changes that are listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import quickbooks

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Request, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
    BankAccount,
    BankTransaction,
    MirroredInvoice,
    MirroredInvoiceGone,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Record,
    Reference,
    TransactionStatus,
)
from core.money import Money
from tests.connectors.asking import hold

connector = registry.get("quickbooks")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
COMPANY = "310687"
CREDENTIALS = Credentials(secrets={}, settings={}, external_id=COMPANY, asked_at=NOW)
UPDATED = micros(datetime(2025, 10, 7, 19, 59, 8, tzinfo=UTC)) + 2
Json = dict[str, Any]


def test_the_published_vector_is_accepted() -> None:
    body = (
        b'{"eventNotifications":[{"realmId":"1185883450","dataChangeEvent":{"entities":[{"name":"Customer","id":"1",'
        b'"operation":"Create","lastUpdated":"2015-10-05T14:42:19-0700"}]}}]}'
    )
    headers = {"intuit-signature": "JC2GUwciPmRBwEO7WvrRmKqu9tGOKL8FFallocTFi8Q="}
    verified = connector.verify(deliver(headers, body), ["another", "b5771f19b12ddb4bcdb9f08bdc50bc63878a"])
    assert verified.secret_index == 1
    (event,) = connector.open(deliver(headers, body), verified)
    assert (event.name, event.external_id) == ("customer.created", "1185883450")
    assert connector.ignores(event.name) == "customers are read with the invoices that name them"
    with pytest.raises(SignatureRejected):
        connector.verify(deliver(headers, body.replace(b"Create", b"Delete")), ["b5771f19b12ddb4bcdb9f08bdc50bc63878a"])


def test_the_library_for_receivers_takes_what_we_sign_and_nothing_else() -> None:
    library = quickbooks.QuickBooks(minorversion=75)
    for name, variant in (("invoice.updated", None), ("invoice.updated", "legacy"), ("invoice.updated", "batch")):
        body, secret = samples.load("quickbooks", name, variant), connector.signature.new_secret()
        headers = connector.signature.sign(body, secret, at=NOW, message_id="m").headers
        assert library.validate_webhook_signature(body.decode(), headers["intuit-signature"], secret)
        assert not library.validate_webhook_signature(body.decode(), headers["intuit-signature"], "another")


class Recorded:
    """The API as recorded; keeps what was asked. `changes` go into the object that is fetched."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[Request] = []
        self.changes = changes

    def __call__(self, request: Request) -> Json:
        self.asked.append(request)
        path = request.url.removeprefix("https://sandbox-quickbooks.api.intuit.com").split("/")[4:]
        names = {"cdc": "changes_1" if "Invoice" in request.params.get("entities", "") else "changes_2"}
        names["query"] = "numbers"
        said: Json = json.loads(samples.api("quickbooks", names.get(path[0], path[0])))
        if len(path) == 2:
            (name,) = set(said) - {"time"}
            said[name] = {**said[name], "Id": path[1], **self.changes}
        return said


def meaning(
    name: str,
    reply: Callable[[Request], object],
    variant: str | None = None,
    *,
    credentials: Credentials = CREDENTIALS,
) -> list[Record]:
    event = connector.open(deliver({}, samples.load("quickbooks", name, variant)), Verified())[0]
    reading = connector.read(event.name, event.item)
    if isinstance(reading, Fetch):
        return hold(reading.talk(credentials), reply)
    assert reading is not None
    return list(reading)


INVOICE = MirroredInvoice(
    object_id="invoice:145",
    version=UPDATED,
    status=MirroredStatus.PAID,
    number="1037",
    direction="sales",
    total=Money(36207, "USD"),
    due=Money(0, "USD"),
    issued_on=date(2025, 10, 1),
    due_on=date(2025, 10, 31),
    contact_name="Rao Retail",
    contact_email="accounts@rao.test",
)
PAYMENT = Payment(
    object_id="payment:163",
    version=UPDATED,
    status=PaymentStatus.SUCCEEDED,
    money=Money(36207, "USD"),
    occurred_at=datetime(2025, 10, 7, tzinfo=UTC),
    references=(Reference(0, "1037"),),
    method="Check",
    payer_name="Rao Retail",
    bank_reference="CHK-8812",
)


@pytest.mark.parametrize("variant", [None, "legacy"])
def test_both_formats_lead_to_the_same_invoice(variant: str | None) -> None:
    api = Recorded()
    assert meaning("invoice.updated", api, variant) == [INVOICE]
    (asked,) = api.asked
    assert (asked.url, asked.params) == (f"/v3/company/{COMPANY}/invoice/145", {"minorversion": "75"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"Balance": 362.07}, ("open", 36207), id="nothing paid"),
        pytest.param({"Balance": 0.01}, ("partially_paid", 1), id="a cent is left"),
        pytest.param({"TotalAmt": 0, "Balance": 0}, ("paid", 0), id="nothing was owed"),
        pytest.param({"TotalAmt": 0, "Balance": 0, "PrivateNote": "Voided - twice sent"}, ("void", 0), id="void"),
    ],
)
def test_what_is_left_tells_the_status(changes: Json, expected: tuple[str, int]) -> None:
    (made,) = meaning("invoice.updated", Recorded(**changes))
    assert isinstance(made, MirroredInvoice)
    assert (made.status.value, made.due.minor) == expected


def test_a_voided_invoice_is_void_whatever_its_note_says() -> None:
    (made,) = meaning("invoice.voided", Recorded(TotalAmt=0, Balance=0))
    assert made == replace(INVOICE, status=MirroredStatus.VOID, total=Money(0, "USD"))


def test_a_deleted_invoice_is_gone_without_asking() -> None:
    gone = meaning("invoice.deleted", lambda _: pytest.fail("asked"))
    assert gone == [MirroredInvoiceGone(object_id="invoice:145", version=1 << 62)]


def test_a_payment_names_the_invoices_that_it_is_applied_to() -> None:
    api = Recorded()
    assert meaning("payment.created", api) == [PAYMENT]
    assert [one.url.rsplit("/", 1)[-1] for one in api.asked] == ["163", "query"]
    assert api.asked[1].params["query"] == "select Id, DocNumber from Invoice where Id in ('145') maxresults 100"
    lines = [{"LinkedTxn": [{"TxnId": one, "TxnType": kind}]} for one, kind in (("146", "Invoice"), ("9", "Expense"))]
    (made,) = meaning(
        "payment.created", Recorded(Line=[*lines, {"LinkedTxn": [{"TxnId": "145", "TxnType": "Invoice"}]}])
    )
    assert isinstance(made, Payment)
    assert made.references == (Reference(0, "1038"), Reference(1, "1037"))


def test_a_payment_that_only_moves_credit_is_no_money() -> None:
    assert meaning("payment.updated", Recorded(TotalAmt=0)) == []


def test_the_text_of_a_link_never_enters_a_query() -> None:
    line = {"LinkedTxn": [{"TxnId": "1') or Id in ('2", "TxnType": "Invoice"}]}
    api = Recorded(Line=[line])
    with pytest.raises(MalformedPayload, match="LinkedTxn"):
        meaning("payment.created", api)
    assert len(api.asked) == 1


@pytest.mark.parametrize("name", ["payment.deleted", "payment.voided", "salesreceipt.deleted", "salesreceipt.voided"])
def test_money_that_was_taken_back_without_an_amount_is_left_to_a_person(name: str) -> None:
    with pytest.raises(Permanent, match="take it back by hand"):
        meaning(name, lambda _: pytest.fail("asked"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deposit.created", [("deposit:148", "35", 21875, "Till, Monday")]),
        ("purchase.created", [("purchase:146", "41", -1808, "Chin's Gas and Oil")]),
        (
            "transfer.created",
            [("transfer:from:184", "35", -50000, "transfer:from"), ("transfer:to:184", "36", 50000, "transfer:to")],
        ),
        ("billpayment.created", [("billpayment:118", "35", -11409, "Tania's Nursery")]),
        ("refundreceipt.created", [("refundreceipt:66", "35", -8750, "Rao Retail")]),
    ],
)
def test_what_moved_is_a_line_on_its_account(name: str, expected: list[tuple[str, str, int, str]]) -> None:
    lines = meaning(name, Recorded())
    assert [(one.object_id, one.account_id, one.money.minor, one.narration) for one in lines] == expected  # type: ignore[union-attr]
    for one in lines:
        assert isinstance(one, BankTransaction)
        assert (one.status, one.booked_on) == (TransactionStatus.POSTED, date(2025, 10, 6))


def test_a_purchase_given_back_comes_in() -> None:
    (line,) = meaning("purchase.updated", Recorded(Credit=True))
    assert isinstance(line, BankTransaction)
    assert line.money == Money(1808, "USD")


def test_a_deleted_line_is_removed_in_the_companys_currency() -> None:
    (line,) = meaning("deposit.deleted", Recorded(), "legacy")
    assert line == BankTransaction(
        object_id="deposit:148",
        version=1 << 62,
        account_id="deleted",
        status=TransactionStatus.REMOVED,
        money=Money(0, "USD"),
        narration="deleted in QuickBooks",
        occurred_at=datetime(2015, 10, 5, 21, 42, 19, tzinfo=UTC),
    )
    both = meaning("transfer.deleted", Recorded())
    assert [one.object_id for one in both if isinstance(one, BankTransaction)] == [
        "transfer:from:184",
        "transfer:to:184",
    ]


@pytest.mark.parametrize(
    ("name", "direction", "kind", "status", "due"),
    [
        ("bill.created", "purchase", "invoice", "open", 10355),
        ("creditmemo.updated", "sales", "credit_note", "partially_paid", 4000),
        ("vendorcredit.created", "purchase", "credit_note", "open", 2500),
    ],
)
def test_bills_and_credit_notes_are_invoices_elsewhere(
    name: str, direction: str, kind: str, status: str, due: int
) -> None:
    (made,) = meaning(name, Recorded())
    assert isinstance(made, MirroredInvoice)
    assert (made.direction, made.kind, made.status.value, made.due) == (direction, kind, status, Money(due, "USD"))


def test_only_accounts_that_hold_money_are_bank_accounts() -> None:
    (account,) = meaning("account.merged", Recorded())
    assert account == BankAccount(
        object_id="35",
        version=UPDATED,
        name="Checking",
        currency="USD",
        number="000123456789",
        kind="Checking",
        balance=Money(120100, "USD"),
    )
    assert meaning("account.created", Recorded(AccountType="Income")) == []


def test_an_object_without_a_currency_has_the_companys_own() -> None:
    api = Recorded(CurrencyRef=None)
    (made,) = meaning("salesreceipt.created", api)
    assert isinstance(made, Payment)
    assert (made.money, made.references) == (Money(7875, "USD"), (Reference(0, "1003"),))
    assert [one.url.rsplit("/", 1)[-1] for one in api.asked] == ["47", "preferences"]


def test_amounts_are_taken_by_their_digits_in_their_currency() -> None:
    (made,) = meaning("invoice.updated", Recorded(TotalAmt=120000, Balance=70000, CurrencyRef={"value": "JPY"}))
    assert isinstance(made, MirroredInvoice)
    assert (made.total, made.due) == (Money(120000, "JPY"), Money(70000, "JPY"))


def test_of_two_changes_in_one_second_the_later_token_is_newer() -> None:
    first, second = (meaning("invoice.updated", Recorded(SyncToken=token))[0] for token in ("2", "3"))
    assert isinstance(first, MirroredInvoice)
    assert isinstance(second, MirroredInvoice)
    assert first.version < second.version


def test_one_request_may_speak_of_several_companies_in_either_format() -> None:
    for name, variant, expected in (
        (
            "invoice.updated",
            "batch",
            [("class.created", COMPANY), ("invoice.updated", COMPANY), ("payment.created", "1185883450")],
        ),
        (
            "account.created",
            "legacy_several_companies",
            [("account.created", COMPANY), ("vendor.merged", COMPANY), ("payment.created", "1185883450")],
        ),
    ):
        opened = connector.open(deliver({}, samples.load("quickbooks", name, variant)), Verified())
        assert [(event.name, event.external_id) for event in opened] == expected
        assert len({event.id for event in opened}) == 3


@pytest.mark.parametrize("name", ["qbo.invoice.updated.v2", "qbo.loan.created.v1", "qbo.invoice.shredded.v1", "other"])
def test_what_is_not_known_is_neither_read_nor_ignored(name: str) -> None:
    body = samples.load("quickbooks", "invoice.updated").replace(b"qbo.invoice.updated.v1", name.encode())
    (event,) = connector.open(deliver({}, body), Verified())
    assert connector.read(event.name, event.item) is None
    assert connector.ignores(event.name) is None


def test_the_object_must_be_the_one_and_the_company_the_connections() -> None:
    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        meaning("invoice.updated", Recorded(Id="146"))
    for name in ("invoice.updated", "deposit.deleted"):
        with pytest.raises(MalformedPayload, match="is not the connection's company"):
            meaning(name, lambda _: pytest.fail("asked"), credentials=replace(CREDENTIALS, external_id="other"))


def test_a_sandbox_company_is_asked_for_in_the_sandbox() -> None:
    api = Recorded()
    held = replace(CREDENTIALS, settings={"environment": "sandbox"})
    assert meaning("invoice.updated", api, credentials=held) == [INVOICE]
    assert api.asked[0].url == f"https://sandbox-quickbooks.api.intuit.com/v3/company/{COMPANY}/invoice/145"


# Listing ------------------------------------------------------------------------------------------------------


def stretch(cursor: str | None, reply: Callable[[Request], object], since: datetime) -> Page:
    assert connector.pull is not None
    return hold(connector.pull.talk(CREDENTIALS, cursor, since), reply)


def test_changes_are_listed_in_two_parts_and_the_next_pull_begins_where_this_one_began() -> None:
    api, since = Recorded(), NOW - timedelta(days=3)
    first = stretch(None, api, since)
    assert first.more
    second = stretch(first.cursor, api, since)
    assert (second.more, second.cursor) == (False, (NOW - timedelta(minutes=5)).isoformat())
    # The invoice that the payment names came along: nothing else was asked; the deleted deposit needs a currency.
    assert [one.url.rsplit("/", 1)[-1] for one in api.asked] == ["cdc", "cdc", "preferences"]
    assert {one.params.get("changedSince") for one in api.asked[:2]} == {"2026-10-31T09:00:00Z"}
    assert [getattr(one, "object_id", "") for one in first.records] == [
        "35",
        "36",
        "invoice:145",
        "invoice:146",
        "creditmemo:73",
        "payment:163",
        "invoice:147",
    ]
    assert first.records[2] == INVOICE
    assert first.records[5] == PAYMENT
    assert first.records[6] == MirroredInvoiceGone(object_id="invoice:147", version=1 << 62)
    gone = second.records[-1]
    assert isinstance(gone, BankTransaction)
    assert (gone.object_id, gone.status) == ("deposit:149", TransactionStatus.REMOVED)
    api.asked.clear()
    stretch(second.cursor, api, since)
    assert api.asked[0].params["changedSince"] == "2026-11-03T08:55:00Z"


def test_quickbooks_lists_thirty_days_at_most() -> None:
    api = Recorded()
    stretch(None, api, NOW - timedelta(days=300))
    assert api.asked[0].params["changedSince"] == "2026-10-04T10:00:00Z"


def test_what_does_not_fit_into_one_answer_is_queried_to_its_end() -> None:
    model = json.loads(samples.api("quickbooks", "creditmemo"))["CreditMemo"]
    many = [{**model, "Id": str(number)} for number in range(1000)]
    queries: list[str] = []

    def reply(request: Request) -> Json:
        if request.url.endswith("/cdc"):
            return {"CDCResponse": [{"QueryResponse": [{"CreditMemo": many}]}]}
        queries.append(request.params["query"])
        return {"QueryResponse": {"CreditMemo": many if len(queries) == 1 else [{**model, "Id": "5000"}]}}

    page = stretch(None, reply, NOW - timedelta(days=1))
    assert len({one.object_id for one in page.records if isinstance(one, MirroredInvoice)}) == 1001
    assert [query.partition("orderby Id ")[2] for query in queries] == [
        "startposition 1 maxresults 1000",
        "startposition 1001 maxresults 1000",
    ]

    def endless(request: Request) -> Json:
        if request.url.endswith("/cdc"):
            return reply(request)
        return {"QueryResponse": {"CreditMemo": many}}

    with pytest.raises(MalformedPayload, match="does not end after 20 pages"):
        stretch(None, endless, NOW - timedelta(days=1))


# Authorisation ------------------------------------------------------------------------------------------------


def test_the_refresh_token_is_traded_and_the_new_one_is_kept() -> None:
    assert connector.api is not None
    held = Credentials(
        secrets={"client_secret": "s", "refresh_token": "test-refresh_token"},
        settings={"client_id": "c"},
        external_id=None,
    )
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return json.loads(samples.api("quickbooks", "token"))

    made = hold(connector.api.authorize(held), reply)
    assert (asked[0].url, asked[0].form) == (
        "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        {"grant_type": "refresh_token", "refresh_token": "test-refresh_token"},
    )
    assert made.renewed == {"refresh_token": "test-refresh_token-2"}
    assert "test-" not in repr(made)
    again = replace(held, secrets={**held.secrets, "refresh_token": "test-refresh_token-2"})
    assert hold(connector.api.authorize(again), reply).renewed == {}
