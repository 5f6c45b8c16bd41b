"""Xero: invoices, bills and credit notes by webhook; payments and bank transactions by listing.

Checked against Xero's OpenAPI files 16.1.0 (2026-07-13) and its release notes up to 19.1.0. A webhook is a pointer
without an id and may speak of several organisations. Decided where the pages are silent: an event is known by what it
says (organisation, category, object, kind, time); several signing keys may be live at once; a payment that was deleted
counts as received and given back, because what the books once said stays true of that day.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from urllib.parse import quote

from connectors import access, base, lists, naming
from connectors.payload import Payload
from connectors.signatures import Hmac
from connectors.tables import each
from connectors.xero.records import account_of, credit_note_of, invoice_of, listed_payment_of, transaction_of
from connectors.xero.writing import write
from core.errors import MalformedPayload
from core.events import Record

Rows: TypeAlias = Generator[base.Request, base.Response, tuple[Payload, ...]]

SCOPES = "accounting.transactions.read accounting.settings.read accounting.contacts.read"
WRITING_SCOPES = "accounting.transactions accounting.settings.read accounting.contacts"
# What changed while a list was read is read again.
OVERLAP = timedelta(minutes=5)
MAX_PAGES = 500


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the id and secret of a custom connection for a bearer token, good for half an hour.

    It may write where the connection says to which account.
    """
    usual = WRITING_SCOPES if credentials.settings.get("sales_account") else SCOPES
    form = {"grant_type": "client_credentials", "scope": credentials.settings.get("scopes") or usual}
    return (yield from access.trade("https://identity.xero.com/connect/token", form, access.client(credentials)))


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
    mirror=base.Mirror(write=write, needs=("sales_account", "bank_account")),
    brings=("invoices elsewhere", "payments", "bank transactions", "bank accounts"),
    fields=(
        access.setting("external_id", "Organisation id", "The tenant id of the organisation.", required=True),
        access.setting("client_id", "Client id", "Of the custom connection.", required=True),
        access.secret("client_secret", "Client secret", required=True),
        access.secret("webhook_secret", "Webhook signing key", "Used as it stands."),
        access.setting("scopes", "Scopes", "Where the app was granted others than the usual ones."),
        access.setting("sales_account", "Sales account", "To write there: code of the account that sales go to."),
        access.setting("bank_account", "Bank account", "To write there: code of the account that payments go to."),
        access.setting("credit_account", "Credit account", "Code of the account for credit and tax kept back."),
        access.setting("tax_types", "Tax types", "Rates in per cent and Xero's types, such as 18=OUTPUT18 0=NONE."),
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
