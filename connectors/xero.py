"""Xero: invoices, bills and credit notes by webhook; payments and bank transactions by listing.

Checked against Xero's OpenAPI files 16.1.0 (2026-07-13) and its release notes up to 19.1.0. A webhook is a pointer
without an id and may speak of several organisations. Decided where the pages are silent: an event is known by what it
says (organisation, category, object, kind, time); several signing keys may be live at once; a payment that was deleted
counts as received and given back, because what the books once said stays true of that day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from urllib.parse import quote

from connectors import access, base, lists, naming
from connectors.payload import Payload, micros
from connectors.shapes import owed
from connectors.signatures import Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload
from core.events import BankTransaction, MirroredInvoice, MirroredStatus, Record, TransactionStatus
from core.money import Money

Rows: TypeAlias = Generator[base.Request, base.Response, tuple[Payload, ...]]

SCOPES = "accounting.transactions.read accounting.settings.read accounting.contacts.read"
# What changed while a list was read is read again.
OVERLAP = timedelta(minutes=5)
MAX_PAGES = 500
DATE = re.compile(r"/Date\((\d{1,15})(?:[+-]\d{4})?\)/")
STATUS = words(MirroredStatus, DRAFT="DRAFT SUBMITTED", OPEN="AUTHORISED", PAID="PAID", VOID="VOIDED DELETED")
DIRECTION: dict[str, Literal["sales", "purchase"]] = {
    "ACCREC": "sales",
    "ACCPAY": "purchase",
    "ACCRECCREDIT": "sales",
    "ACCPAYCREDIT": "purchase",
}
LINE = words(TransactionStatus, POSTED="AUTHORISED", REMOVED="DELETED VOIDED")


def moment(item: Payload, key: str) -> datetime:
    """A time such as /Date(1550793549320+0000)/: milliseconds of UTC, whatever offset stands behind them."""
    found = DATE.fullmatch(item.text(key))
    if found is None:
        raise item.wrong(key, "a time such as /Date(1550793549320+0000)/")
    return Payload({key: int(found[1])}, item).epoch_millis(key)


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the id and secret of a custom connection for a bearer token, good for half an hour."""
    form = {"grant_type": "client_credentials", "scope": credentials.settings.get("scopes") or SCOPES}
    return (yield from access.trade("https://identity.xero.com/connect/token", form, access.client(credentials)))


def _status(item: Payload, total: Money, due: Money) -> MirroredStatus:
    status = item.choice("Status", STATUS)
    return MirroredStatus.PARTIALLY_PAID if status is MirroredStatus.OPEN and due.minor < total.minor else status


def _mirrored(
    item: Payload, identity: str, number: str, left: str, kind: Literal["invoice", "credit_note"]
) -> MirroredInvoice:
    currency = item.currency("CurrencyCode")
    total = owed(item, "Total", currency)
    # A draft may not say yet what is left of it.
    due = owed(item, left, currency) if item.has(left) else total
    if kind == "invoice" and due.minor > total.minor:
        raise item.wrong(left, "at most the total")
    status = _status(item, total, due)
    return MirroredInvoice(
        object_id=item.identifier(identity),
        version=micros(moment(item, "UpdatedDateUTC")),
        status=status,
        number=item.optional_text(number),
        direction=item.choice("Type", DIRECTION),
        kind=kind,
        total=total,
        due=Money(0, currency) if status is MirroredStatus.VOID else due,
        issued_on=moment(item, "Date").date() if item.has("Date") else None,
        due_on=moment(item, "DueDate").date() if item.has("DueDate") else None,
        contact_name=item.text_at("Contact", "Name"),
        contact_email=item.text_at("Contact", "EmailAddress"),
    )


def payment_of(item: Payload, invoice: Payload, version: int) -> list[Record]:
    """What a customer paid towards an invoice, in the invoice's currency, and that it was taken back."""
    deleted = item.optional_text("Status") == "DELETED"
    money = item.number_money("Amount", invoice.currency("CurrencyCode"))
    if money.minor == 0:
        return []
    named = (invoice.optional_identifier("InvoiceNumber"), invoice.optional_identifier("Reference"))
    paid = events.Payment(
        object_id=item.identifier("PaymentID"),
        version=version,
        status=events.PaymentStatus.SUCCEEDED,
        money=item.number_money("Amount", money.currency, positive=True),
        occurred_at=moment(item, "Date"),
        references=naming.references(enumerate(named)),
        payer_name=invoice.text_at("Contact", "Name"),
        bank_reference=item.optional_text("Reference"),
    )
    if not deleted:
        return [paid]
    back = events.Refund(
        object_id=f"{paid.object_id}:deleted",
        version=version,
        payment_id=paid.object_id,
        status=events.RefundStatus.SUCCEEDED,
        money=money,
        occurred_at=moment(item, "UpdatedDateUTC"),
        reason="deleted in Xero",
    )
    return [paid, back]


def invoice_of(item: Payload) -> list[Record]:
    """An invoice or bill, and of an invoice what was paid towards it."""
    made = _mirrored(item, "InvoiceID", "InvoiceNumber", "AmountDue", "invoice")
    paid = item.optional_items("Payments") if made.direction == "sales" else ()
    return [made, *(record for one in paid for record in payment_of(one, item, made.version))]


def credit_note_of(item: Payload) -> list[Record]:
    """A credit note; what is due of it is what may still be used."""
    return [_mirrored(item, "CreditNoteID", "CreditNoteNumber", "RemainingCredit", "credit_note")]


def listed_payment_of(item: Payload) -> list[Record]:
    """A payment in the list of all: only those of customers towards invoices are money for the seller."""
    if item.text("PaymentType") != "ACCRECPAYMENT":
        return []
    return payment_of(item, item.at("Invoice"), micros(moment(item, "UpdatedDateUTC")))


def account_of(item: Payload) -> list[Record]:
    """A bank account."""
    account = events.BankAccount(
        object_id=item.identifier("AccountID"),
        version=micros(moment(item, "UpdatedDateUTC")),
        name=item.text("Name"),
        currency=item.currency("CurrencyCode"),
        number=item.optional_text("BankAccountNumber"),
        kind=item.optional_text("BankAccountType"),
        available=item.text("Status") == "ACTIVE",
    )
    return [account]


def transaction_of(item: Payload) -> list[Record]:
    """A line on a bank account. Amounts are positive; the type tells the way."""
    kind, at = item.text("Type"), moment(item, "Date")
    if not kind.startswith(("RECEIVE", "SPEND")):
        raise item.wrong("Type", "RECEIVE… or SPEND…")
    money = item.number_money("Total", item.currency("CurrencyCode"))
    name = item.text_at("Contact", "Name")
    line = BankTransaction(
        object_id=item.identifier("BankTransactionID"),
        version=micros(moment(item, "UpdatedDateUTC")),
        account_id=item.at("BankAccount").identifier("AccountID"),
        status=item.choice("Status", LINE),
        money=money if kind.startswith("RECEIVE") else Money(-money.minor, money.currency),
        narration=item.optional_text("Reference") or name or kind,
        occurred_at=at,
        booked_on=at.date(),
        counterparty=name,
        bank_reference=item.optional_text("Reference"),
        category=kind.lower(),
    )
    return [line]


# What is listed, in this order: the name of the list, its immutable key to sort by, and what a row becomes.
LISTS: Sequence[tuple[str, str, Callable[[Payload], list[Record]]]] = (
    ("Accounts", "", account_of),
    ("Invoices", "InvoiceID", invoice_of),
    ("CreditNotes", "CreditNoteID", credit_note_of),
    ("Payments", "PaymentID", listed_payment_of),
    ("BankTransactions", "BankTransactionID", transaction_of),
)


def _rows(name: str, url: str, tenant: str | None, since: datetime | None, params: dict[str, str]) -> Rows:
    headers = {"xero-tenant-id": tenant} if tenant else {}
    if since is not None:
        headers["If-Modified-Since"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return (yield from lists.get(url, params, headers)).items(name)


def fetch(
    item: Payload, name: str, key: str, read: Callable[[Payload], list[Record]], held: base.Credentials
) -> base.Talk:
    """The object that an event names. The address is made here: the one in the event is not followed."""
    tenant, identity = item.identifier("tenantId"), item.identifier("resourceId")
    if held.external_id not in (None, tenant):
        raise item.wrong("tenantId", "the connection's organisation")
    rows = yield from _rows(name, f"/{name}/{quote(identity, safe='')}", tenant, None, {})
    if len(rows) != 1:
        raise MalformedPayload(name, "holds another number of objects than the one asked for")
    rows[0].same(key, identity)
    return read(rows[0])


def pull_all(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One page of one list. The cursor is: changed since, this pull's beginning, which list, which page."""
    parts = cursor.split(" ") if cursor else []
    begun = datetime.fromisoformat(parts[1]) if len(parts) == 4 else credentials.moment()
    changed = datetime.fromisoformat(parts[0]) if parts else since
    place, page = (int(parts[2]), int(parts[3])) if len(parts) == 4 else (0, 1)
    name, key, read = LISTS[place]
    # Sorted by what never changes: a row that is changed meanwhile does not push another over the edge of a page.
    params = {"order": f"{key} ASC", "page": str(page), "pageSize": "100"} if key else {"where": 'Type=="BANK"'}
    rows = yield from _rows(name, f"/{name}", credentials.external_id, changed, params)
    if page > MAX_PAGES:
        raise MalformedPayload(name, f"does not end after {MAX_PAGES} pages")
    records = [record for row in rows for record in read(row)]
    place, page = (place, page + 1) if rows and key else (place + 1, 1)
    if place == len(LISTS):
        return base.Page(records=records, cursor=(begun - OVERLAP).isoformat())
    return base.Page(records=records, cursor=f"{changed.isoformat()} {begun.isoformat()} {place} {page}", more=True)


def _pointer(name: str, key: str, read: Callable[[Payload], list[Record]]) -> base.Reader:
    def reader(item: Payload) -> base.Fetch:
        item.identifier("resourceId"), item.identifier("tenantId")
        return base.Fetch(talk=lambda credentials: fetch(item, name, key, read, credentials))

    return reader


def event_id(item: Payload) -> str:
    """Xero gives none: what an event says of itself, as a digest."""
    names = ("tenantId", "eventCategory", "resourceId", "eventType", "eventDateUtc")
    return naming.digest(*(item.text(name) for name in names))


connector = base.Connector(
    slug="xero",
    title="Xero",
    docs_url="https://developer.xero.com/documentation/guides/webhooks/overview/",
    checked="2026-07-13",
    # The key looks like base64 and is used as it stands.
    signature=Hmac(header="x-xero-signature", encoding="base64"),
    makes_secret=False,
    split=lambda body: body.items("events"),
    event_id=lambda item, _envelope: event_id(item),
    event_name=lambda item: f"{item.identifier('eventCategory')}.{item.identifier('eventType')}",
    external_id=lambda item: item.optional_identifier("tenantId"),
    # Also the whole of the handshake: nothing but the status tells Xero whether the signature was judged rightly.
    accepted=base.Answer(),
    events={
        **each("CREATE UPDATE", _pointer("Invoices", "InvoiceID", invoice_of), "INVOICE."),
        **each("CREATE UPDATE", _pointer("CreditNotes", "CreditNoteID", credit_note_of), "CREDITNOTE."),
    },
    ignored={
        **each("CREATE UPDATE", "contacts are read with the invoices that name them", "CONTACT."),
        **each("CREATE UPDATE", "money paid in advance is a bank transaction, and is listed as one", "PREPAYMENT."),
        **each("CREATE UPDATE", "a subscription to the app itself, which is nobody's bookkeeping", "SUBSCRIPTION."),
    },
    api=base.Api(
        base="https://api.xero.com/api.xro/2.0",
        also=("https://identity.xero.com/connect",),
        authorize=authorize,
        rate_per_second=1,
    ),
    pull=base.Pull(talk=pull_all, what="invoices, credit notes, payments and bank transactions", days=365),
    brings=("invoices elsewhere", "payments", "bank transactions", "bank accounts"),
    fields=(
        access.setting("external_id", "Organisation id", "The tenant id of the organisation.", required=True),
        access.setting("client_id", "Client id", "Of the custom connection.", required=True),
        access.secret("client_secret", "Client secret", required=True),
        access.secret("webhook_secret", "Webhook signing key", "Used as it stands."),
        access.setting("scopes", "Scopes", "Where the app was granted others than the usual ones."),
    ),
    steps=(
        "Make a custom connection in the Xero developer portal, reading transactions, settings and contacts.",
        "Have the organisation authorise it.",
        "Enter the organisation's tenant id and the app's client id and client secret here.",
        "Switch webhooks on for invoices and credit notes, with {url} as the delivery address.",
        "Paste the webhook signing key here before Xero checks the address.",
        "Start the intent to receive at Xero, and wait until the status says OK.",
    ),
)
