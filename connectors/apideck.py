"""Apideck: invoices, bills, credit notes and payments of many accounting systems through one API.

Checked against Apideck's OpenAPI files 10.34.0 (2026-08-08). An accounting event is a pointer and names the consumer
and the accounting system it is about; a connection event says all there is to say. Decided where the pages are
silent: the digest may be hex or base64, over the body with sorted keys or as it came; what has no time of its own
counts as of when it was fetched; a deleted payment is left to a person, because nothing says what it was worth.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from connectors import access, base, lists, naming
from connectors.payload import Payload, micros
from connectors.signatures import CanonicalHmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import ConnectionHealth, MirroredInvoice, MirroredInvoiceGone, MirroredStatus, Record
from core.money import Money

BASE = "https://unify.apideck.com"
# What changed while a list was read is read again.
OVERLAP = timedelta(minutes=5)
MAX_PAGES = 500
MAX_LINKED = 20
HANDSHAKE = {"message": "Validating delivery URL"}
ENDED = {"void", "voided", "deleted"}
UNSENT = {"draft", "submitted"}
RECEIPTS = {"accounts_receivable", "accounts_receivable_overpayment", "accounts_receivable_prepayment"}
PAYMENT = words(events.PaymentStatus, PENDING="draft", FAILED="rejected", SUCCEEDED="authorised paid voided deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where an object comes from, and what it may not say itself."""

    service: str
    seen_at: datetime
    currency: str | None
    numbers: Mapping[str, str | None]


def headers_of_app(credentials: base.Credentials) -> dict[str, str]:
    """The API key as it is; the webhook secret is the same key."""
    app = credentials.settings.get("app_id")
    return access.token(credentials.secret("webhook_secret")) | ({"x-apideck-app-id": app} if app else {})


def event_id(item: Payload, envelope: base.Envelope) -> str:
    """The event's id, or the one that Apideck sends along against duplicates."""
    known = item.optional_identifier("event_id") or envelope.header_id("x-apideck-idempotency-key")
    if not known:
        raise item.wrong("event_id", "an id")
    return known


def consumer_of(item: Payload) -> str | None:
    """The consumer, which a connection event names inside of its entity."""
    entity = item.optional_at("entity")
    return item.optional_identifier("consumer_id") or (entity.optional_identifier("consumer_id") if entity else None)


# Objects -------------------------------------------------------------------------------------------------------


def version(item: Payload, context: Context) -> int:
    """When it was last changed, or else when it was seen."""
    return micros(item.optional_iso("updated_at") or context.seen_at)


def money(item: Payload, key: str, context: Context, *, credit: bool = False) -> Money:
    """An amount, which only a credit may write below zero."""
    code = item.currency("currency") if item.has("currency") else context.currency
    if code is None:
        raise item.wrong("currency", "a currency, or one in the connection's settings")
    found = item.number_money(key, code)
    if found.minor < 0 and not credit:
        raise item.wrong(key, "zero or more")
    return Money(abs(found.minor), code)


def mirrored(
    kind: str, direction: Literal["sales", "purchase"], *, number: str, total: str, issued: str, party: str
) -> Callable[[Payload, Context], list[Record]]:
    """A reader of invoices, bills or credit notes. What is left to pay tells more than the status."""

    def read(item: Payload, context: Context) -> list[Record]:
        status, sort = item.optional_text("status"), item.optional_text("type") or ""
        is_credit = kind == "credit_note" or "credit" in (status, sort)
        whole = money(item, total, context, credit=is_credit)
        left = next((key for key in ("balance", "remaining_credit") if item.has(key)), None)
        due = money(item, left, context, credit=is_credit) if left else whole
        due = Money(0, whole.currency) if status in ENDED or (not left and status == "paid") else due
        if due.minor > whole.minor and not is_credit:
            raise item.wrong(left or total, "at most the total")
        meaning = MirroredStatus.PARTIALLY_PAID if 0 < due.minor < whole.minor else MirroredStatus.OPEN
        meaning = MirroredStatus.PAID if due.minor == 0 else meaning
        meaning = MirroredStatus.DRAFT if status in UNSENT else MirroredStatus.VOID if status in ENDED else meaning
        return [
            MirroredInvoice(
                object_id=f"{kind}:{context.service}:{item.name('id')}",
                version=version(item, context),
                status=meaning,
                number=item.optional_text(number),
                direction="purchase" if sort.startswith("accounts_payable") else direction,
                kind="credit_note" if is_credit else "invoice",
                total=whole,
                due=due,
                issued_on=item.optional_day(issued),
                due_on=item.optional_day("due_date"),
                contact_name=item.text_at(party, "display_name"),
                contact_email=item.text_at(party, "email"),
            )
        ]

    return read


def linked(item: Payload) -> list[str]:
    """The ids of the invoices that a payment is allocated to, in their order."""
    allocations = item.optional_items("allocations")
    return [one.name("id") for one in allocations if one.optional_text("type") == "invoice" and one.has("id")]


def payment_of(item: Payload, context: Context) -> list[Record]:
    """What a customer paid, and that it was taken back. What a supplier was paid is no receipt."""
    sort = item.optional_text("type") or ("accounts_receivable" if item.optional_at("customer") else "")
    amount = money(item, "total_amount", context)
    if sort not in RECEIPTS or amount.minor == 0:
        return []
    status = item.optional_text("status") or "paid"
    numbers = [context.numbers.get(identity) for identity in linked(item)]
    named = [*numbers, item.optional_identifier("reference")]
    paid = events.Payment(
        object_id=f"payment:{context.service}:{item.name('id')}",
        version=version(item, context),
        status=item.choice("status", PAYMENT) if item.has("status") else events.PaymentStatus.SUCCEEDED,
        money=amount,
        occurred_at=item.iso("transaction_date"),
        references=naming.references(enumerate(named)),
        method=item.optional_text("payment_method"),
        payer_name=item.text_at("customer", "display_name"),
        payer_email=item.text_at("customer", "email"),
        bank_reference=item.optional_text("reference"),
    )
    if status not in ENDED:
        return [paid]
    back = events.Refund(
        object_id=f"{paid.object_id}:{status}",
        version=paid.version,
        payment_id=paid.object_id,
        status=events.RefundStatus.SUCCEEDED,
        money=amount,
        occurred_at=item.optional_iso("updated_at") or context.seen_at,
        reason=f"{status} in the books of {context.service}",
    )
    return [paid, back]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object: where it is listed, and what one becomes."""

    collection: str
    read: Callable[[Payload, Context], list[Record]]


INVOICES = mirrored("invoice", "sales", number="number", total="total", issued="invoice_date", party="customer")
BILLS = mirrored("bill", "purchase", number="bill_number", total="total", issued="bill_date", party="supplier")
CREDITS = mirrored(
    "credit_note", "sales", number="number", total="total_amount", issued="date_issued", party="customer"
)
KINDS = {
    "invoice": Kind(collection="invoices", read=INVOICES),
    "bill": Kind(collection="bills", read=BILLS),
    "credit_note": Kind(collection="credit-notes", read=CREDITS),
    "payment": Kind(collection="payments", read=payment_of),
}


# Asking --------------------------------------------------------------------------------------------------------


def one(collection: str, identity: str, headers: Mapping[str, str]) -> Generator[base.Request, base.Response, Payload]:
    """An object, which must be the one asked for."""
    found = yield from lists.get(f"/accounting/{collection}/{quote(identity, safe='')}", headers=headers)
    item = found.at("data")
    item.same("id", identity)
    return item


def numbers_of(
    payments: Sequence[Payload], headers: Mapping[str, str]
) -> Generator[base.Request, base.Response, dict[str, str | None]]:
    """The numbers of the invoices that payments are allocated to: an allocation names only an id."""
    found: dict[str, str | None] = {}
    for payment in payments:
        for identity in linked(payment)[:MAX_LINKED]:
            if identity not in found:
                found[identity] = (yield from one("invoices", identity, headers)).optional_identifier("number")
    return found


def headers_of(consumer: str, service: str | None) -> dict[str, str]:
    """Whose books are meant, and where they are kept."""
    return {"x-apideck-consumer-id": consumer, **({"x-apideck-service-id": service} if service else {})}


def fetch(kind: Kind, consumer: str, service: str, identity: str, credentials: base.Credentials) -> base.Talk:
    """The object that an event links to."""
    if credentials.external_id not in (None, consumer):
        raise MalformedPayload("consumer_id", "is not the connection's consumer")
    headers = headers_of(consumer, service)
    item = yield from one(kind.collection, identity, headers)
    numbers = yield from numbers_of([item] if kind.read is payment_of else [], headers)
    seen, home = credentials.moment(), credentials.settings.get("currency")
    return kind.read(item, Context(service=service, seen_at=seen, currency=home, numbers=numbers))


def refuse(identity: str, credentials: base.Credentials) -> base.Talk:
    """Say to a person what no record can say. Raises Permanent."""
    del credentials
    yield from ()
    raise Permanent(
        f"payment {identity} was deleted, and nothing says any more what it was worth: "
        "if it was received here, take it back by hand"
    )


def _link(item: Payload, kind: Kind) -> str:
    """The id of the object, which must be the one that the link leads to, in the right list of the right API."""
    identity = item.name("entity_id")
    try:
        link = urlsplit(item.text("entity_url"))
    except ValueError:
        raise item.wrong("entity_url", "an address") from None
    if f"{link.scheme}://{link.netloc}" != BASE or unquote(link.path) != f"/accounting/{kind.collection}/{identity}":
        raise item.wrong("entity_url", f"the address of {identity} in {kind.collection}")
    return identity


def _entity(name: str, operation: str) -> base.Reader:
    kind = KINDS[name]

    def read(item: Payload) -> base.Reading:
        consumer, service = item.identifier("consumer_id"), item.identifier("service_id")
        if operation != "deleted":
            identity = _link(item, kind)
            return base.Fetch(talk=lambda held: fetch(kind, consumer, service, identity, held))
        identity = item.name("entity_id")
        if name == "payment":
            return base.Fetch(talk=lambda held: refuse(identity, held))
        # Its link leads nowhere any more.
        at = micros(item.iso("occurred_at"))
        return [MirroredInvoiceGone(object_id=f"{name}:{service}:{identity}", version=at)]

    return read


def _health(health: ConnectionHealth) -> base.Reader:
    def read(item: Payload) -> base.Reading:
        """The state of an accounting connection. The entity's own state may be another one: the event decides."""
        entity = item.at("entity")
        if entity.text("unified_api") != "accounting":
            return []
        why = item.identifier("event_type").removeprefix("vault.connection.").replace(".", " ").replace("_", " ")
        return [
            events.ConnectionState(
                object_id=item.identifier("entity_id"),
                version=micros(item.iso("occurred_at")),
                health=health,
                reason=None if health is ConnectionHealth.ACTIVE else f"{entity.identifier('service_id')}: {why}",
            )
        ]

    return read


def challenge(delivery: base.Delivery, secrets: Sequence[str]) -> base.Answer | None:
    """The check of the address: exactly this question, which brings nothing, is answered without a look at it."""
    del secrets
    if delivery.method != "POST" or delivery.header("x-apideck-event-type") != "apideck.subscription.created":
        return None
    try:
        asked = Payload.from_bytes(delivery.body).value
    except MalformedPayload:
        return None
    return base.Answer() if asked == HANDSHAKE else None


# Listing and registering ---------------------------------------------------------------------------------------

LISTS = ("invoice", "bill", "credit_note", "payment")


def pull_changes(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One page of one list. The cursor is: changed since, this pull's beginning, which list, which page, Apideck's."""
    if not (consumer := credentials.external_id):
        raise Permanent("the connection names no consumer")
    parts = cursor.split(" ", 4) if cursor else []
    going = len(parts) == 5
    begun = datetime.fromisoformat(parts[1]) if going else credentials.moment()
    changed = datetime.fromisoformat(parts[0]) if parts else since
    place, page, theirs = (int(parts[2]), int(parts[3]), parts[4]) if going else (0, 1, "")
    kind, headers = KINDS[LISTS[place]], headers_of(consumer, credentials.settings.get("service_id"))
    params = {"filter[updated_since]": changed.isoformat(), "limit": "20", **({"cursor": theirs} if theirs else {})}
    answer = yield from lists.get(f"/accounting/{kind.collection}", params, headers)
    rows = answer.items("data")
    numbers = yield from numbers_of(rows if kind.read is payment_of else [], headers)
    home = credentials.settings.get("currency")
    context = Context(
        service=answer.identifier("service"), seen_at=credentials.moment(), currency=home, numbers=numbers
    )
    records = [record for row in rows for record in kind.read(row, context)]
    following = answer.text_at("meta", "cursors", "next")
    if following is not None and (following == theirs or page >= MAX_PAGES):
        raise MalformedPayload("meta.cursors.next", f"leads in a circle or past {MAX_PAGES} pages")
    place, page = (place, page + 1) if following else (place + 1, 1)
    if place == len(LISTS):
        return base.Page(records=records, cursor=(begun - OVERLAP).isoformat())
    ours = f"{changed.isoformat()} {begun.isoformat()} {place} {page} {following or ''}"
    return base.Page(records=records, cursor=ours, more=True)


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """Have both kinds of events sent to the address: one subscription an API, made, or mended where it differs."""
    del credentials
    listed = yield from lists.pages(
        lambda cursor: base.Request(
            method="GET", url="/webhook/webhooks", params={"limit": "100", **lists.given(cursor=cursor)}
        ),
        lambda page: page.text_at("meta", "cursors", "next"),
        where="meta.cursors.next",
        most=MAX_PAGES,
    )
    known = [one for page in listed for one in page.items("data")]
    states: list[Literal["kept", "created", "repaired"]] = []
    for api in ("accounting", "vault"):
        wanted = sorted(name for name in connector.events if name.startswith(f"{api}."))
        said = {"unified_api": api, "status": "enabled", "delivery_url": url, "events": wanted}
        mine = [one for one in known if one.text("unified_api") == api and one.text("delivery_url") == url]
        if not mine:
            yield base.Request(method="POST", url="/webhook/webhooks", json={"description": "Ledgerwire", **said})
            states.append("created")
        elif not any(_good(one, wanted) for one in mine):
            path = f"/webhook/webhooks/{quote(mine[0].name('id'), safe='')}"
            yield base.Request(method="PATCH", url=path, json=said)
            states.append("repaired")
    return base.Registration(state=states[0] if states else "kept")


def _good(subscription: Payload, wanted: Sequence[str]) -> bool:
    has = {name.replace("-", "_") for name in subscription.texts("events")}
    return subscription.text("status") == "enabled" and ("*" in has or has.issuperset(wanted))


ACTIVE = _health(ConnectionHealth.ACTIVE)
TROUBLED = _health(ConnectionHealth.NEEDS_ATTENTION)
REVOKED = _health(ConnectionHealth.REVOKED)
CHANGES = ("created", "updated", "deleted")
IGNORED = {
    "customer": "customers are read with the invoices that name them",
    "supplier": "suppliers are read with the bills that name them",
    "invoice_item": "goods and services, which nobody owes by themselves",
    "ledger_account": "a setting of the books, which moves no money",
    "tax_rate": "a setting of the books, which moves no money",
    "tracking_category": "a setting of the books, which moves no money",
    "purchase_order": "an order, which nobody owes yet",
    "quote": "an offer, which nobody owes yet",
    "project": "a label of the books' own",
    "bill_payment": "what a supplier was paid shows in what is left of the bill",
    "expense": "money that was spent, which is no receipt; the bank tells of it",
}

connector = base.Connector(
    slug="apideck",
    title="Apideck",
    docs_url="https://developers.apideck.com/guides/webhooks",
    checked="2026-08-08",
    signature=CanonicalHmac(header="x-apideck-signature"),
    makes_secret=False,
    split=lambda body: (body.at("payload"),),
    event_id=event_id,
    event_name=lambda item: item.identifier("event_type").replace("-", "_"),
    external_id=consumer_of,
    challenge=challenge,
    events={
        **{f"accounting.{name}.{operation}": _entity(name, operation) for name in KINDS for operation in CHANGES},
        **each("callable token_refresh.recovered downstream.recovered", ACTIVE, "vault.connection."),
        **each("token_refresh.failed downstream.degraded", TROUBLED, "vault.connection."),
        **each("disabled deleted revoked", REVOKED, "vault.connection."),
    },
    ignored={
        **{f"accounting.{name}.{operation}": why for name, why in IGNORED.items() for operation in CHANGES},
        "vault.connection.created": "it is not authorised yet; callable says when it is",
        "vault.connection.updated": "its settings changed; callable or revoked says whether it works",
        "vault.connection.migrated": "moved to another release of the service; it works as before",
        "vault.connection.token_refresh.pending": "a try that goes on; failed or recovered says how it ends",
    },
    # Names that older clients of this product were configured with.
    aliases={
        "accounting.transaction.created": "accounting.payment.created",
        "accounting.transaction.updated": "accounting.payment.updated",
    },
    api=base.Api(base=BASE, authorize=access.fixed(headers_of_app)),
    pull=base.Pull(talk=pull_changes, what="invoices, bills, credit notes and payments", days=365),
    register=register,
    brings=("invoices elsewhere", "payments"),
    fields=(
        access.setting("external_id", "Consumer id", "Whose books are meant.", required=True),
        access.setting("app_id", "Application id", required=True),
        access.secret("webhook_secret", "API key", "It also signs the webhooks.", required=True),
        access.setting("service_id", "Service id", "Needed with several accounting systems, such as xero."),
        access.setting("currency", "Currency", "Of amounts that come without one, such as USD."),
    ),
    steps=(
        "Copy the application id and the API key from the Apideck dashboard into the connection.",
        "Enter the consumer id under which the accounting system was connected.",
        "Let the webhooks be registered from here, or make two in the dashboard with {url}: accounting and vault.",
        "Wait until both are enabled: Apideck checks the address first, which is answered by itself.",
    ),
)
