"""What is asked of QuickBooks: single objects, what they leave out, and everything that changed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from connectors import access
from connectors.base import AuthorizationTalk, Credentials, Page, PullTalk, Request, Response, Talk
from connectors.payload import Payload
from connectors.quickbooks.records import ENTITIES, FOR_GOOD, Books, Entity, linked, moment, removed
from core.errors import MalformedPayload, Permanent
from core.events import MirroredInvoiceGone

SANDBOX = "https://sandbox-quickbooks.api.intuit.com"
TOKENS = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
# What changed while a list was read is read again.
OVERLAP = timedelta(minutes=5)
MAX_ASKED = 100
MAX_LISTED = 1000
MAX_PAGES = 20


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """Trade the refresh token for a bearer token, good for an hour, and keep the refresh token that replaces it."""
    headers = access.client(credentials)
    form = {"grant_type": "refresh_token", "refresh_token": credentials.secret("refresh_token")}
    return (yield from access.trade(TOKENS, form, headers))


def ask(
    credentials: Credentials, company: str, path: str, params: Mapping[str, str]
) -> Generator[Request, Response, Payload]:
    """Ask about a company."""
    url = url_of(credentials, company, path)
    return (yield Request(method="GET", url=url, params={"minorversion": "75", **params})).payload()


def url_of(credentials: Credentials, company: str, path: str) -> str:
    """The address of something of a company, in the sandbox where the connection says so."""
    host = SANDBOX if credentials.settings.get("environment") == "sandbox" else ""
    return f"{host}/v3/company/{quote(company, safe='')}/{path}"


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
        rows = answer.optional_items("Invoice")
        found |= {row.name("Id"): row.optional_identifier("DocNumber") for row in rows}
    return found


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
                found[name] += part.optional_items(name)
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
        rows = answer.optional_items(name)
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
