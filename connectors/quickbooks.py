"""QuickBooks Online (Intuit): invoices, bills and credit notes, payments, and the lines of bank and card accounts.

Checked against Intuit's webhook pages and SDKs as of the CloudEvents change (2025-11-12, mandatory from 2026-07-31);
bodies of both formats are read. An event is a pointer, whatever else it holds. Decided where the pages are silent: a
payment over several invoices pays the first that is known; a deleted one is left to a person, because QuickBooks no
longer says what it was worth; ids of deleted objects never come back.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from urllib.parse import quote

from connectors.base import (
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Fetch,
    Field,
    Page,
    Pull,
    PullTalk,
    Reader,
    Reading,
    Request,
    Response,
    Talk,
)
from connectors.payload import Payload, micros
from connectors.signatures import Hmac
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import (
    BankTransaction,
    MirroredInvoice,
    MirroredInvoiceGone,
    MirroredStatus,
    Record,
    Reference,
    TransactionStatus,
)
from core.money import Money

SANDBOX = "https://sandbox-quickbooks.api.intuit.com"
TOKENS = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
CLOUD_EVENT = re.compile(r"qbo\.(\w+)\.(\w+)\.v1")
OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")
PAST = {"create": "created", "update": "updated", "delete": "deleted", "merge": "merged", "void": "voided"}
# Newer than anything: a deleted id never comes back.
FOR_GOOD = 1 << 62
# What changed while a list was read is read again.
OVERLAP = timedelta(minutes=5)
MAX_ASKED = 100
MAX_LISTED = 1000
MAX_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a reader may need to know beside the object itself."""

    home: str
    """The company's own currency, for objects that name none."""
    numbers: Mapping[str, str | None]
    """Invoice numbers by QuickBooks' ids."""
    void: bool = False
    """Whether the event says that the object was voided."""


def _split(body: Payload) -> Iterable[Payload]:
    """The events of a CloudEvents list, or of the older format with its company in each."""
    if isinstance(body.value, list):
        return body.items()
    found = []
    for notice in body.items("eventNotifications"):
        company = notice.name("realmId")
        for entity in notice.at("dataChangeEvent").items("entities"):
            said = entity.value if isinstance(entity.value, dict) else {}
            found.append(Payload({**said, "realmId": company}, entity))
    return found


def event_name(item: Payload) -> str:
    """`invoice.updated`, in both formats. What has another form keeps its own name."""
    if item.has("realmId"):
        operation = item.identifier("operation").lower()
        return f"{item.identifier('name').lower()}.{PAST.get(operation, operation)}"
    found = CLOUD_EVENT.fullmatch(item.identifier("type"))
    return f"{found[1].replace('_', '').lower()}.{found[2].lower()}" if found else item.identifier("type")


def event_id(item: Payload) -> str:
    """CloudEvents have one; of the older format it is what the event says, as a digest."""
    if item.has("specversion"):
        said = [item.identifier("source"), item.identifier("id")]
    else:
        said = [item.name(key) for key in ("realmId", "name", "id", "operation", "lastUpdated")]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def company_of(item: Payload) -> str | None:
    """The company's realm id."""
    return item.optional_name("realmId") or item.optional_name("intuitaccountid")


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """Trade the refresh token for a bearer token, good for an hour, and keep the refresh token that replaces it."""
    pair = f"{credentials.settings.get('client_id', '')}:{credentials.secret('client_secret')}"
    used = credentials.secret("refresh_token")
    answer = yield Request(
        method="POST",
        url=TOKENS,
        headers={"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        form={"grant_type": "refresh_token", "refresh_token": used},
        authorized=False,
    )
    token = answer.payload()
    fresh = token.optional_text("refresh_token") or used
    return Authorization(
        headers={"Authorization": f"Bearer {token.text('access_token')}"},
        expires_in_seconds=token.integer("expires_in"),
        renewed={"refresh_token": fresh} if fresh != used else {},
    )


# Objects -------------------------------------------------------------------------------------------------------


def updated(item: Payload) -> int:
    """The version: whole seconds, and within one the number of the change."""
    token = item.optional_name("SyncToken") or "0"
    at = moment(item.at("MetaData"), "LastUpdatedTime")
    return micros(at) + (min(int(token), 999_999) if token.isdecimal() else 0)


def moment(item: Payload, key: str) -> datetime:
    """A time with nanoseconds, or with an offset without a colon."""
    spelled = OFFSET.sub(r"\1:\2", re.sub(r"(\.\d{6})\d+", r"\1", item.text(key)))
    return Payload({key: spelled}, item).iso(key)


def currency(item: Payload, books: Books) -> str:
    """The object's currency, or the company's own."""
    named = item.optional_at("CurrencyRef")
    return named.currency("value") if named else books.home


def owed(item: Payload, key: str, code: str) -> Money:
    """An amount that nobody owes less than nothing of."""
    money = item.number_money(key, code)
    if money.minor < 0:
        raise item.wrong(key, "zero or more")
    return money


def named(item: Payload, *keys: str) -> str | None:
    """The name that stands in the first of these references."""
    for key in keys:
        if (found := item.optional_at(key)) and (name := found.optional_text("name")):
            return name
    return None


def voided(item: Payload, books: Books) -> bool:
    """A void object has no amounts any more, and says so in its note at most."""
    return books.void or (item.optional_text("PrivateNote") or "").startswith("Voided")


def day(item: Payload) -> datetime:
    """The day of a movement, as the moment it began."""
    return datetime.combine(item.day("TxnDate"), time.min, UTC)


def mirrored(
    entity: str, direction: Literal["sales", "purchase"], kind: Literal["invoice", "credit_note"], left: str
) -> Callable[[Payload, Books], list[Record]]:
    """A reader of invoices, bills or credit notes. There is no status: what is left to pay tells it."""

    def read(item: Payload, books: Books) -> list[Record]:
        code = currency(item, books)
        total = owed(item, "TotalAmt", code)
        due = owed(item, left, code) if item.has(left) else total
        if kind == "invoice" and due.minor > total.minor:
            raise item.wrong(left, "at most the total")
        status = MirroredStatus.PAID if due.minor == 0 else MirroredStatus.PARTIALLY_PAID
        status = MirroredStatus.OPEN if due.minor and due == total else status
        email = item.optional_at("BillEmail")
        return [
            MirroredInvoice(
                object_id=f"{entity}:{item.name('Id')}",
                version=updated(item),
                status=MirroredStatus.VOID if voided(item, books) else status,
                number=item.optional_text("DocNumber"),
                direction=direction,
                kind=kind,
                total=total,
                due=Money(0, code) if voided(item, books) else due,
                issued_on=item.optional_day("TxnDate"),
                due_on=item.optional_day("DueDate"),
                contact_name=named(item, "CustomerRef", "VendorRef"),
                contact_email=email.optional_text("Address") if email else None,
            )
        ]

    return read


def linked(item: Payload) -> list[str]:
    """The ids of the invoices that a payment is applied to, in their order."""
    lines = item.items("Line") if item.has("Line") else ()
    links = [link for one in lines if one.has("LinkedTxn") for link in one.items("LinkedTxn")]
    return list(dict.fromkeys(link.name("TxnId") for link in links if link.text("TxnType") == "Invoice"))


def payment_of(item: Payload, books: Books, *, entity: str = "payment") -> list[Record]:
    """What a customer paid. Without an amount it only moves credit, or is void."""
    money = item.number_money("TotalAmt", currency(item, books))
    if money.minor == 0:
        return []
    numbers = [books.numbers.get(one) for one in linked(item)] or [item.optional_identifier("DocNumber")]
    return [
        events.Payment(
            object_id=f"{entity}:{item.name('Id')}",
            version=updated(item),
            status=events.PaymentStatus.SUCCEEDED,
            money=item.number_money("TotalAmt", money.currency, positive=True),
            occurred_at=day(item),
            references=tuple(Reference(rank, number) for rank, number in enumerate(numbers) if number),
            method=named(item, "PaymentMethodRef"),
            payer_name=named(item, "CustomerRef"),
            bank_reference=item.optional_text("PaymentRefNum"),
            description=item.optional_text("PrivateNote"),
        )
    ]


def receipt_of(item: Payload, books: Books) -> list[Record]:
    """A sale that was paid at once: its own number is the invoice's."""
    return payment_of(item, books, entity="salesreceipt")


def account_of(item: Payload, books: Books) -> list[Record]:
    """A bank or card account; the other ledger accounts hold no money."""
    if item.text("AccountType") not in ("Bank", "Credit Card"):
        return []
    code = currency(item, books)
    return [
        events.BankAccount(
            object_id=item.name("Id"),
            version=updated(item),
            name=item.text("Name"),
            currency=code,
            number=item.optional_text("AcctNum"),
            kind=item.optional_text("AccountSubType"),
            balance=item.number_money("CurrentBalance", code) if item.has("CurrentBalance") else None,
            available=item.optional_boolean("Active") is not False,
        )
    ]


def line(item: Payload, books: Books, entity: str, account: Payload, sign: int, amount: str) -> BankTransaction:
    """A movement on a bank or card account. Amounts are positive; what the object is tells the way."""
    money = item.number_money(amount, currency(item, books))
    name = named(item, "CustomerRef", "VendorRef", "EntityRef")
    return BankTransaction(
        object_id=f"{entity}:{item.name('Id')}",
        version=updated(item),
        account_id=account.name("value"),
        status=TransactionStatus.REMOVED if voided(item, books) else TransactionStatus.POSTED,
        money=Money(sign * money.minor, money.currency),
        narration=item.optional_text("PrivateNote") or name or item.optional_text("DocNumber") or entity,
        occurred_at=day(item),
        booked_on=item.day("TxnDate"),
        counterparty=name,
        bank_reference=item.optional_text("DocNumber"),
        category=entity.partition(":")[0],
    )


def deposit_of(item: Payload, books: Books) -> list[Record]:
    """Money put on an account."""
    return [line(item, books, "deposit", item.at("DepositToAccountRef"), 1, "TotalAmt")]


def purchase_of(item: Payload, books: Books) -> list[Record]:
    """Money spent, or with `Credit` given back by a seller."""
    sign = 1 if item.optional_boolean("Credit") else -1
    return [line(item, books, "purchase", item.at("AccountRef"), sign, "TotalAmt")]


def transfer_of(item: Payload, books: Books) -> list[Record]:
    """Money moved from one account to another: a line on each."""
    return [
        line(item, books, "transfer:from", item.at("FromAccountRef"), -1, "Amount"),
        line(item, books, "transfer:to", item.at("ToAccountRef"), 1, "Amount"),
    ]


def bill_payment_of(item: Payload, books: Books) -> list[Record]:
    """What a supplier was paid, by cheque or card."""
    by_check = item.optional_at("CheckPayment", "BankAccountRef")
    account = by_check or item.at("CreditCardPayment", "CCAccountRef")
    return [line(item, books, "billpayment", account, -1, "TotalAmt")]


def refund_of(item: Payload, books: Books) -> list[Record]:
    """Money given back to a customer. It names no payment, so it is a line on the account it left."""
    return [line(item, books, "refundreceipt", item.at("DepositToAccountRef"), -1, "TotalAmt")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A kind of object: its name in the API, and what one becomes."""

    name: str
    read: Callable[[Payload, Books], list[Record]]
    kind: Literal["mirrored", "payment", "line", "account"]


ENTITIES = {
    entity.name.lower(): entity
    for entity in (
        Entity(name="Account", read=account_of, kind="account"),
        Entity(name="Invoice", read=mirrored("invoice", "sales", "invoice", "Balance"), kind="mirrored"),
        Entity(
            name="CreditMemo", read=mirrored("creditmemo", "sales", "credit_note", "RemainingCredit"), kind="mirrored"
        ),
        Entity(name="Bill", read=mirrored("bill", "purchase", "invoice", "Balance"), kind="mirrored"),
        Entity(
            name="VendorCredit", read=mirrored("vendorcredit", "purchase", "credit_note", "Balance"), kind="mirrored"
        ),
        Entity(name="Payment", read=payment_of, kind="payment"),
        Entity(name="SalesReceipt", read=receipt_of, kind="payment"),
        Entity(name="Deposit", read=deposit_of, kind="line"),
        Entity(name="Purchase", read=purchase_of, kind="line"),
        Entity(name="Transfer", read=transfer_of, kind="line"),
        Entity(name="BillPayment", read=bill_payment_of, kind="line"),
        Entity(name="RefundReceipt", read=refund_of, kind="line"),
    )
}
IGNORED = {
    "budget": "a plan, which moves no money",
    "class": "a label of the company's own",
    "currency": "a setting of the company",
    "customer": "customers are read with the invoices that name them",
    "department": "a label of the company's own",
    "employee": "staff are none of these books' business",
    "estimate": "an offer, which nobody owes yet",
    "item": "goods and services are read with the invoices that name them",
    "journalcode": "a setting of the company",
    "journalentry": "an entry between ledger accounts, which moves no money",
    "paymentmethod": "a setting of the company",
    "preferences": "a setting of the company, asked for when it is needed",
    "purchaseorder": "an order, which nobody owes yet",
    "taxagency": "a setting of the company",
    "term": "a setting of the company",
    "timeactivity": "hours that were worked, which nobody owes yet",
    "vendor": "suppliers are read with the bills that name them",
}


# Asking --------------------------------------------------------------------------------------------------------


def ask(
    credentials: Credentials, company: str, path: str, params: Mapping[str, str]
) -> Generator[Request, Response, Payload]:
    """Ask about a company, in the sandbox where the connection says so."""
    base = SANDBOX if credentials.settings.get("environment") == "sandbox" else ""
    url = f"{base}/v3/company/{quote(company, safe='')}/{path}"
    return (yield Request(method="GET", url=url, params={"minorversion": "75", **params})).payload()


def home_currency(credentials: Credentials, company: str) -> Generator[Request, Response, str]:
    """The company's own currency."""
    answer = yield from ask(credentials, company, "preferences", {})
    return answer.at("Preferences", "CurrencyPrefs", "HomeCurrency").currency("value")


def one(credentials: Credentials, company: str, entity: str, identity: str) -> Generator[Request, Response, Payload]:
    """An object, which must be the one asked for."""
    path = f"{entity.lower()}/{quote(identity, safe='')}"
    found = (yield from ask(credentials, company, path, {})).at(entity)
    found.same("Id", identity)
    return found


def numbers_of(
    credentials: Credentials, company: str, payments: Iterable[Payload], invoices: Iterable[Payload] = ()
) -> Generator[Request, Response, dict[str, str | None]]:
    """The numbers of the invoices that payments are applied to; those not at hand are asked for."""
    found = {row.name("Id"): row.optional_identifier("DocNumber") for row in invoices}
    missing = sorted({identity for payment in payments for identity in linked(payment)} - set(found))
    for start in range(0, len(missing), MAX_ASKED):
        some = missing[start : start + MAX_ASKED]
        if not all(identity.isascii() and identity.isdigit() for identity in some):
            raise MalformedPayload("LinkedTxn", "names an invoice by something else than a number")
        listed = ", ".join(f"'{identity}'" for identity in some)
        query = f"select Id, DocNumber from Invoice where Id in ({listed}) maxresults {MAX_ASKED}"
        answer = (yield from ask(credentials, company, "query", {"query": query})).at("QueryResponse")
        rows = answer.items("Invoice") if answer.has("Invoice") else ()
        found |= {row.name("Id"): row.optional_identifier("DocNumber") for row in rows}
    return found


def removed(entity: str, identity: str, home: str, at: datetime) -> list[Record]:
    """A line that was deleted. What it was worth is not told any more, and does not matter."""
    parts = ("transfer:from", "transfer:to") if entity == "transfer" else (entity,)
    return [
        BankTransaction(
            object_id=f"{part}:{identity}",
            version=FOR_GOOD,
            account_id="deleted",
            status=TransactionStatus.REMOVED,
            money=Money(0, home),
            narration="deleted in QuickBooks",
            occurred_at=at,
        )
        for part in parts
    ]


def fetch(entity: Entity, company: str, identity: str, credentials: Credentials, *, void: bool) -> Talk:
    """The object that an event names."""
    check(company, credentials)
    item = yield from one(credentials, company, entity.name, identity)
    home = "" if item.optional_at("CurrencyRef") else (yield from home_currency(credentials, company))
    numbers = yield from numbers_of(credentials, company, [item] if entity.name == "Payment" else [])
    return entity.read(item, Books(home=home, numbers=numbers, void=void))


def check(company: str, credentials: Credentials) -> None:
    """Refuse an event of another company than the connection's."""
    if credentials.external_id not in (None, company):
        raise MalformedPayload("realmId", "is not the connection's company")


def fetch_removed(entity: Entity, company: str, identity: str, at: datetime, credentials: Credentials) -> Talk:
    """A line that was deleted: only the currency it is written down in must be asked for."""
    check(company, credentials)
    return removed(entity.name.lower(), identity, (yield from home_currency(credentials, company)), at)


def refuse(entity: Entity, identity: str, operation: str, credentials: Credentials) -> Talk:
    """Say to a person what no record can say. Raises Permanent."""
    del credentials
    yield from ()
    raise Permanent(
        f"{entity.name} {identity} was {operation} in QuickBooks, which no longer says what it was worth: "
        "if it was received here, take it back by hand"
    )


def _reader(entity: Entity, operation: str) -> Reader:
    def read(item: Payload) -> Reading:
        company = company_of(item)
        if company is None:
            raise item.wrong("intuitaccountid", "the company's realm id")
        legacy = item.has("realmId")
        identity = item.name("id" if legacy else "intuitentityid")
        if operation in ("deleted", "voided") and entity.kind == "payment":
            return Fetch(talk=lambda held: refuse(entity, identity, operation, held))
        if operation != "deleted":
            return Fetch(talk=lambda held: fetch(entity, company, identity, held, void=operation == "voided"))
        if entity.kind == "mirrored":
            return [MirroredInvoiceGone(object_id=f"{entity.name.lower()}:{identity}", version=FOR_GOOD)]
        at = moment(item, "lastUpdated" if legacy else "time")
        return Fetch(talk=lambda held: fetch_removed(entity, company, identity, at, held))

    return read


# Listing -------------------------------------------------------------------------------------------------------

# Two requests for the changes. Invoices come with the payments that name them.
GROUPS = (
    ("Account", "Invoice", "CreditMemo", "Payment", "SalesReceipt"),
    ("Bill", "VendorCredit", "BillPayment", "Deposit", "Purchase", "Transfer", "RefundReceipt"),
)


def changes(
    credentials: Credentials, company: str, group: tuple[str, ...], since: str
) -> Generator[Request, Response, dict[str, list[Payload]]]:
    """What changed since then, by entity. Where there is more than QuickBooks tells at once, the rest is queried."""
    answer = yield from ask(credentials, company, "cdc", {"entities": ",".join(group), "changedSince": since})
    found: dict[str, list[Payload]] = {name: [] for name in group}
    for response in answer.items("CDCResponse"):
        for part in response.items("QueryResponse"):
            for name in group:
                found[name] += part.items(name) if part.has(name) else ()
    for name in group:
        if len(found[name]) >= MAX_LISTED:
            found[name] += yield from queried(credentials, company, name, since)
    return found


def queried(
    credentials: Credentials, company: str, name: str, since: str
) -> Generator[Request, Response, list[Payload]]:
    """Every object of a kind that changed since then, page by page in the order of its ids."""
    found: list[Payload] = []
    for page in range(MAX_PAGES):
        query = (
            f"select * from {name} where MetaData.LastUpdatedTime >= '{since}' orderby Id "
            f"startposition {page * MAX_LISTED + 1} maxresults {MAX_LISTED}"
        )
        answer = (yield from ask(credentials, company, "query", {"query": query})).at("QueryResponse")
        rows = answer.items(name) if answer.has(name) else ()
        found += rows
        if len(rows) < MAX_LISTED:
            return found
    raise MalformedPayload(name, f"does not end after {MAX_PAGES} pages")


def pull_changes(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    """One group of changes. The cursor is: changed since, this pull's beginning, which group; or where to begin."""
    company = credentials.external_id
    if not company:
        raise Permanent("the connection names no company")
    parts = cursor.split(" ") if cursor else []
    begun = datetime.fromisoformat(parts[1]) if len(parts) == 3 else credentials.moment()
    earliest = begun - timedelta(days=29, hours=23)
    changed = max(datetime.fromisoformat(parts[0]) if parts else since, earliest)
    place = int(parts[2]) if len(parts) == 3 else 0
    found = yield from changes(credentials, company, GROUPS[place], f"{changed.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    rows = [(ENTITIES[name.lower()], row) for name, listed in found.items() for row in listed]
    live = [(entity, row) for entity, row in rows if row.optional_text("status") != "Deleted"]
    dead = [(entity, row) for entity, row in rows if row.optional_text("status") == "Deleted"]
    lines = any(entity.kind == "line" for entity, _ in dead)
    home = ""
    if lines or any(not row.optional_at("CurrencyRef") for _, row in live):
        home = yield from home_currency(credentials, company)
    payments, invoices = ([row for entity, row in live if entity.name == name] for name in ("Payment", "Invoice"))
    numbers = yield from numbers_of(credentials, company, payments, invoices)
    books = Books(home=home, numbers=numbers)
    records = [record for entity, row in live for record in entity.read(row, books)]
    for entity, row in dead:
        identity = row.name("Id")
        if entity.kind == "mirrored":
            records.append(MirroredInvoiceGone(object_id=f"{entity.name.lower()}:{identity}", version=FOR_GOOD))
        elif entity.kind == "line":
            at = moment(row.at("MetaData"), "LastUpdatedTime")
            records += removed(entity.name.lower(), identity, home, at)
    if place + 1 == len(GROUPS):
        return Page(records=records, cursor=(begun - OVERLAP).isoformat())
    return Page(records=records, cursor=f"{changed.isoformat()} {begun.isoformat()} {place + 1}", more=True)


def _mapped() -> dict[str, Reader]:
    found: dict[str, Reader] = {}
    for name, entity in ENTITIES.items():
        found[f"{name}.created"] = found[f"{name}.updated"] = _reader(entity, "updated")
        for operation in ("merged",) if entity.kind == "account" else ("voided", "deleted"):
            found[f"{name}.{operation}"] = _reader(entity, operation)
    return found


def _ignored() -> dict[str, str]:
    operations = (*PAST.values(), "emailed")
    found = {f"{name}.{operation}": why for name, why in IGNORED.items() for operation in operations}
    found |= {f"{name}.emailed": "that it was sent changes nothing that is owed" for name in ENTITIES}
    found |= {f"{name}.merged": "only lists of names are merged" for name in ENTITIES if name != "account"}
    ended = "an account is made inactive, which comes as an update"
    return found | {"account.deleted": ended, "account.voided": ended}


connector = Connector(
    slug="quickbooks",
    title="QuickBooks Online",
    docs_url="https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks",
    checked="2025-11-12",
    # One verifier token an app and environment, as text; both formats are signed alike.
    signature=Hmac(header="intuit-signature", encoding="base64"),
    makes_secret=False,
    split=_split,
    event_id=lambda item, _envelope: event_id(item),
    event_name=event_name,
    external_id=company_of,
    events=_mapped(),
    ignored=_ignored(),
    api=Api(
        base="https://quickbooks.api.intuit.com",
        also=("https://oauth.platform.intuit.com/oauth2", SANDBOX),
        authorize=authorize,
    ),
    pull=Pull(talk=pull_changes, what="invoices, bills, payments and account lines that changed", days=30),
    brings=("invoices elsewhere", "payments", "bank transactions", "bank accounts"),
    fields=(
        Field(name="external_id", label="Company id", help="The realm id of the company.", required=True),
        Field(name="client_id", label="Client id", help="Of the app at Intuit.", required=True),
        Field(name="client_secret", label="Client secret", secret=True, required=True),
        Field(name="refresh_token", label="Refresh token", help="Renewed by itself.", secret=True, required=True),
        Field(name="webhook_secret", label="Verifier token", help="Used as it stands.", secret=True),
        Field(name="environment", label="Environment", help="Write sandbox for a sandbox company."),
    ),
    steps=(
        "Make an app at developer.intuit.com with the accounting scope.",
        "Connect the company in the OAuth playground, and enter its realm id and the refresh token here.",
        "Enter the app's client id and client secret here, those of the same environment as the company.",
        "In the app's webhook settings enter {url} and choose the entities named in the documentation.",
        "Copy the verifier token, which is another one for development and for production, into the connection.",
    ),
)
