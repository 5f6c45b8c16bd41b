"""Mollie: payments with their refunds and chargebacks, sales invoices, payouts and movements of its accounts.

Checked against Mollie's webhook and API pages and its PHP library at 53e49e7 (2026-05-21). Mollie has two systems side
by side: classic calls are unsigned and say no more than `id=tr_…`, so what they name is fetched; events are signed and
hold the whole object ("full") or only its id ("simple", and then it is fetched too). Whatever a refund, chargeback
or dispute event says, the payment it belongs to is fetched with all that was taken from it. The entities of the beta
types are described thinly; what is read beyond the library's samples is optional, save an amount where money moves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

from connectors import access, base, naming
from connectors.payload import Payload, micros
from connectors.shapes import Moved
from connectors.signatures import Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.money import Money

# What reads an entity: its version, and the moment that counts where the entity has no time of its own.
EntityReader: TypeAlias = Callable[[Payload, int], list[events.Record]]

POINTER = re.compile(rb"id=([a-z]{2,12}_[A-Za-z0-9]{1,64})")
POINTERS = {"tr": "payment", "ord": "order", "pl": "payment-link", "sub": "subscription"}
# Mollie documents these only as families: `refund.*` and the like.
FAMILIES = ("refund", "chargeback", "capture")
LISTS = ("payments", "refunds", "chargebacks")
MAX_PAGES = 2000
# A bank transfer may be paid two weeks after the payment was made, and lists are sorted by when it was made.
RECHECKED = timedelta(days=14)

PAYMENT = words(
    events.PaymentStatus, PENDING="open pending authorized", SUCCEEDED="paid", FAILED="canceled expired failed"
)
REFUND = words(
    events.RefundStatus,
    PENDING="queued pending processing",
    SUCCEEDED="refunded",
    # Fails after it was processed, when the payer's bank sends it back.
    RETURNED="failed",
    FAILED="canceled",
)
INVOICE = words(events.MirroredStatus, DRAFT="draft", OPEN="issued", PAID="paid", VOID="canceled")
PAYOUT = words(
    events.PayoutStatus,
    PENDING="requested initiated processing-at-bank",
    PAID="completed",
    FAILED="canceled failed",
)
TRANSFER = words(
    events.TransactionStatus,
    PENDING="requested initiated pending-review",
    POSTED="processed",
    REMOVED="failed blocked returned",
)
# Money at Mollie that is not the seller's yet. Matched, it is told as a payment; else it goes back.
INCOMING = words(events.TransactionStatus, PENDING="received", REMOVED="matched returned expired")
# Keys of a payment's metadata that may name the invoice, by rank.
NAMES = ((0, "invoice_number"), (0, "invoice_id"), (0, "invoice"), (1, "reference"), (1, "order_id"))


@dataclass(frozen=True, slots=True)
class MollieSignature(base.Symmetric):
    """A signed event, or an unsigned classic call. Only a bare id may come unsigned, and it proves nothing."""

    # While the secret is replaced there are two signatures, in lines of their own or joined by a comma.
    events: Hmac = field(default=Hmac(header="X-Mollie-Signature", prefix="sha256=", several=True))

    def verify(self, delivery: base.Delivery, secrets: Sequence[str]) -> base.Verified:
        """Prove an event, or take a bare id as a hint. Raises SignatureRejected."""
        if self.events.header.lower() in delivery.headers:
            return self.events.verify(delivery, secrets)
        if POINTER.fullmatch(delivery.body):
            return base.Verified(trust=events.Trust.HINT)
        raise SignatureRejected(f"{self.events.header} is missing, and the body is more than an id")

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> base.Signed:
        """The request Mollie would send: a bare id goes unsigned."""
        if POINTER.fullmatch(body):
            return base.Signed(headers={}, body=body)
        return self.events.sign(body, secret, at=at, message_id=message_id, url=url)

    def new_secret(self) -> str:
        """A fresh secret."""
        return self.events.new_secret()

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        self.events.check_secret(secret)


def decode(body: bytes) -> Payload:
    """An event, or the id of a classic call as {"pointer": id}."""
    if found := POINTER.fullmatch(body):
        return Payload({"pointer": found[1].decode()})
    return Payload.from_bytes(body)


def event_name(item: Payload) -> str:
    """The type; of a classic call the kind of thing its id names."""
    if pointer := item.optional_identifier("pointer"):
        prefix = pointer.partition("_")[0]
        return f"classic.{POINTERS.get(prefix, prefix)}"
    name = item.identifier("type")
    family = name.partition(".")[0]
    return f"{family}.*" if family in FAMILIES else name


def event_id(item: Payload, envelope: base.Envelope) -> str:
    """The event's id. Classic calls have none and say the same at every change, so each one is looked into."""
    if pointer := item.optional_identifier("pointer"):
        return f"{pointer}@{micros(envelope.delivery.received_at)}"
    return item.identifier("id")


def profile_of(item: Payload) -> str | None:
    """The profile, where the entity names one."""
    entity = item.optional_at("_embedded", "entity")
    return entity.optional_identifier("profileId") if entity else None


def get(credentials: base.Credentials, path: str, **params: str) -> Generator[base.Request, base.Response, Payload]:
    """One object or page. With an organisation's token, test objects must be asked for as such."""
    mode = {"testmode": "true"} if credentials.settings.get("testmode", "").lower() == "true" else {}
    return (yield base.Request(method="GET", url=f"/v2/{path}", params={**params, **mode})).payload()


def amount(item: Payload, key: str = "amount", *, positive: bool = False) -> Money:
    """Decimal text beside its currency."""
    money = item.at(key)
    return money.decimal_money("value", money.currency("currency"), positive=positive)


# Entities.


def references(entity: Payload) -> tuple[events.Reference, ...]:
    """What may name the invoice: metadata, which is whatever the merchant put there, then the description."""
    metadata = entity.value.get("metadata") if isinstance(entity.value, dict) else None
    found: list[tuple[int, object]] = [(1, metadata)]
    if isinstance(metadata, dict):
        found = [(rank, metadata.get(key)) for rank, key in NAMES]
    found.append((2, entity.optional_text("description")))
    return naming.references((rank, str(name)) for rank, name in found if type(name) in (str, int))


def _moved(entity: Payload, version: int, money: Money, done: str = "") -> Moved:
    at = (entity.optional_iso(done) if done else None) or entity.iso("createdAt")
    return Moved(object_id=entity.identifier("id"), version=version, money=money, occurred_at=at)


def payment_records(entity: Payload, version: int) -> list[events.Record]:
    """A payment and, where they are embedded, what was refunded and charged back of it."""
    identity, money, status = entity.identifier("id"), amount(entity), entity.choice("status", PAYMENT)
    if money.minor == 0:
        # The first payment of a mandate may be of nothing: it authorises, and moves no money.
        return []
    failure = entity.text_at("statusReason", "message") or entity.text_at("details", "failureReason")
    payment = events.Payment(
        **_moved(entity, version, amount(entity, positive=True), "paidAt"),
        status=status,
        references=references(entity),
        method=entity.optional_text("method"),
        payer_name=entity.text_at("details", "consumerName") or entity.text_at("details", "cardHolder"),
        bank_reference=entity.text_at("details", "transferReference"),
        description=entity.optional_text("description"),
        failure=(failure or entity.text("status")) if status is events.PaymentStatus.FAILED else None,
    )
    held = entity.optional_at("_embedded")
    taken: list[events.Record] = [payment]
    for key, read in (("refunds", refund_records), ("chargebacks", chargeback_records)):
        for one in held.optional_items(key) if held else ():
            one.same("paymentId", identity)
            taken += read(one, version)
    return taken


def refund_records(entity: Payload, version: int) -> list[events.Record]:
    """A refund."""
    refund = events.Refund(
        **_moved(entity, version, amount(entity, positive=True)),
        payment_id=entity.identifier("paymentId"),
        status=entity.choice("status", REFUND),
        reason=entity.optional_text("description"),
    )
    return [refund]


def chargeback_records(entity: Payload, version: int) -> list[events.Record]:
    """A chargeback takes its amount at once, and gives it back when it is reversed."""
    money, reversed_at = amount(entity, positive=True), entity.optional_iso("reversedAt")
    dispute = events.Dispute(
        **_moved(entity, version, money),
        payment_id=entity.identifier("paymentId"),
        status=events.DisputeStatus.WON if reversed_at else events.DisputeStatus.CLOSED,
        deducted=Money(0, money.currency) if reversed_at else money,
        reason=entity.text_at("reason", "description"),
    )
    return [dispute]


def invoice_records(entity: Payload, version: int) -> list[events.Record]:
    """A sales invoice. Two states within the clock's tick are told apart by their order."""
    status = entity.choice("status", INVOICE)
    recipient = entity.optional_at("recipient")
    names = [recipient.optional_text(key) for key in ("givenName", "familyName")] if recipient else []
    person = " ".join(filter(None, names)) or None
    invoice = events.MirroredInvoice(
        object_id=entity.identifier("id"),
        version=version + tuple(INVOICE.values()).index(status),
        status=status,
        number=entity.optional_name("invoiceNumber"),
        direction="sales",
        total=amount(entity, "totalAmount"),
        due=amount(entity, "amountDue"),
        issued_on=entity.optional_day("issuedAt"),
        due_on=entity.optional_day("dueAt"),
        contact_name=entity.text_at("recipient", "organizationName") or person,
        contact_email=entity.text_at("recipient", "email"),
        url=entity.text_at("_links", "invoicePayment", "href"),
    )
    if min(invoice.total.minor, invoice.due.minor) < 0:
        raise entity.wrong("amountDue", "no amount below zero")
    return [invoice]


def payout_records(entity: Payload, version: int) -> list[events.Record]:
    """Collected money on its way to the seller's bank."""
    payout = events.Payout(
        **_moved(entity, version, amount(entity, positive=True), "completedAt"),
        status=entity.choice("status", PAYOUT),
        bank_reference=entity.optional_text("description"),
    )
    return [payout]


def transaction(
    account: str, status: events.TransactionStatus, money: Money, entity: Payload, version: int
) -> events.BankTransaction:
    """A line on one of the accounts Mollie keeps."""
    kind = entity.optional_text("type") or entity.text("resource")
    context = entity.optional_at("context")
    named = [context.optional_text(key) for key in context.keys() if key.endswith("Id")] if context else []  # noqa: SIM118  # A Payload is no dict.
    told = entity.optional_text("description") or " ".join([kind, *filter(None, named)])
    return events.BankTransaction(
        **_moved(entity, version, money),
        account_id=account,
        status=status,
        narration=told,
        category=kind,
    )


def balance_records(entity: Payload, version: int) -> list[events.Record]:
    """A movement of a balance, after what Mollie kept of it."""
    account = entity.optional_identifier("balanceId") or "balance"
    return [transaction(account, events.TransactionStatus.POSTED, amount(entity, "resultAmount"), entity, version)]


def transfer_records(entity: Payload, version: int) -> list[events.Record]:
    """Money sent out of the business account."""
    money = amount(entity)
    leaving = -money if money.minor > 0 else money
    return [transaction("business-account", entity.choice("status", TRANSFER), leaving, entity, version)]


def incoming_records(entity: Payload, version: int) -> list[events.Record]:
    """A transfer that came in and fits no payment."""
    arrived = amount(entity, positive=True)
    return [transaction("unmatched-transfers", entity.choice("status", INCOMING), arrived, entity, version)]


# Fetching.


def fetch_payment(identity: str, credentials: base.Credentials) -> base.Talk:
    """A payment with all that was taken from it."""
    path = f"payments/{quote(identity, safe='')}"
    entity = yield from get(credentials, path, embed="refunds,chargebacks")
    entity.same("id", identity)
    return payment_records(entity, micros(credentials.moment()))


def fetch_each(path: str, key: str, params: dict[str, str], credentials: base.Credentials) -> base.Talk:
    """The payments of an order or a payment link, one by one."""
    answer = yield from get(credentials, path, **params)
    records: list[events.Record] = []
    for one in answer.at("_embedded").items(key):
        records += yield from fetch_payment(one.identifier("id"), credentials)
    return records


def fetch_order(identity: str, credentials: base.Credentials) -> base.Talk:
    """What was paid for an order."""
    return (yield from fetch_each(f"orders/{quote(identity, safe='')}", "payments", {"embed": "payments"}, credentials))


def fetch_link(identity: str, credentials: base.Credentials) -> base.Talk:
    """What was paid by a payment link, which tells nothing of its payments itself."""
    return (yield from fetch_each(f"payment-links/{quote(identity, safe='')}/payments", "payments", {}, credentials))


def fetch_entity(item: Payload, credentials: base.Credentials) -> Generator[base.Request, base.Response, Payload]:
    """The entity of a simple event: what is asked for holds the snapshot."""
    identity = item.identifier("id")
    whole = yield from get(credentials, f"events/{quote(identity, safe='')}")
    whole.same("id", identity)
    whole.same("entityId", item.identifier("entityId"))
    return whole.at("_embedded", "entity")


def entity_of(item: Payload) -> Payload | None:
    """The whole object, where the event holds it."""
    entity = item.optional_at("_embedded", "entity")
    if entity:
        entity.same("id", item.identifier("entityId"))
    return entity


def classic(talk: Callable[[str, base.Credentials], base.Talk]) -> base.Reader:
    """A call that names an object by its id."""
    return lambda item: base.Fetch(talk=partial(talk, item.identifier("pointer")))


def snapshot(read: EntityReader) -> base.Reader:
    """An event with its object, or without: then the event is asked for. Either way it is as old as the event."""

    def fetch(item: Payload, version: int, credentials: base.Credentials) -> base.Talk:
        return read((yield from fetch_entity(item, credentials)), version)

    def reader(item: Payload) -> base.Reading:
        version, entity = micros(item.iso("createdAt")), entity_of(item)
        if entity:
            return read(entity, version)
        item.identifier("entityId")
        return base.Fetch(talk=partial(fetch, item, version))

    return reader


def read_payment(item: Payload) -> base.Reading:
    """A payment that changed. What was taken from it is not in the event, so it is fetched in any case."""
    entity_of(item)
    return base.Fetch(talk=partial(fetch_payment, item.identifier("entityId")))


def read_link(item: Payload) -> base.Reading:
    """A payment link that was paid."""
    return base.Fetch(talk=partial(fetch_link, item.identifier("entityId")))


def read_taken(item: Payload) -> base.Reading:
    """A refund, chargeback, capture or dispute: its payment tells what it came to."""

    def fetch(credentials: base.Credentials) -> base.Talk:
        entity = entity_of(item) or (yield from fetch_entity(item, credentials))
        return (yield from fetch_payment(entity.identifier("paymentId"), credentials))

    item.identifier("entityId")
    entity = entity_of(item)
    return base.Fetch(talk=partial(fetch_payment, entity.identifier("paymentId")) if entity else fetch)


def profile(health: events.ConnectionHealth, item: Payload) -> base.Reading:
    """What became of the profile."""
    state = events.ConnectionState(
        object_id=item.identifier("entityId"),
        version=micros(item.iso("createdAt")),
        health=health,
        reason=None if health is events.ConnectionHealth.ACTIVE else item.identifier("type").replace(".", " "),
    )
    return [state]


# Listing, and the webhook.


def next_id(page: Payload) -> str | None:
    """Where the next page begins."""
    link = page.text_at("_links", "next", "href")
    try:
        return parse_qs(urlsplit(link).query).get("from", [None])[0] if link else None
    except ValueError:
        raise MalformedPayload("_links.next.href", "is no address") from None


READERS: dict[str, EntityReader] = dict(zip(LISTS, (payment_records, refund_records, chargeback_records), strict=True))


def place_of(cursor: str) -> tuple[str, str, int, datetime, datetime]:
    """The list, the page, its number, how far back, and when the pull began. Raises MalformedPayload."""
    try:
        name, begin, number, *times = cursor.split(" ")
        until, began = (datetime.fromisoformat(one).astimezone(UTC) for one in times)
        if name in LISTS:
            return name, begin, int(number), until, began
    except (ValueError, OverflowError):
        pass
    raise MalformedPayload("cursor", "is none of ours")


def pull_money(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of a list, newest first. The cursor is the list, the page, its number, how far back, and the start."""
    now = credentials.moment()
    name, begin, number, until, began = place_of(cursor or f"payments - 0 {since.isoformat()} {now.isoformat()}")
    params = {"limit": "250"} if begin == "-" else {"limit": "250", "from": begin}
    page = yield from get(credentials, name, **params)
    entities = page.at("_embedded").items(name)
    wanted = [one for one in entities if one.iso("createdAt") >= until]
    records = [record for one in wanted for record in READERS[name](one, micros(now))]
    following = next_id(page)
    if following is not None and len(wanted) == len(entities) > 0:
        if following == begin or number >= MAX_PAGES:
            raise MalformedPayload("_links.next", f"leads in a circle or past {MAX_PAGES} pages")
        ours = f"{name} {following} {number + 1} {until.isoformat()} {began.isoformat()}"
        return base.Page(records=records, cursor=ours, more=True)
    if name != LISTS[-1]:
        ours = f"{LISTS[LISTS.index(name) + 1]} - 0 {until.isoformat()} {began.isoformat()}"
        return base.Page(records=records, cursor=ours, more=True)
    back = (began - RECHECKED).isoformat()
    # The next pull's own start is not known yet; it is at least this late, and only decides how far that one looks.
    return base.Page(records=records, cursor=f"payments - 0 {back} {now.isoformat()}")


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """Subscribe the address to every event. A subscription that is blocked or narrower is replaced by a new one."""
    if credentials.secret("api_key").startswith(("live_", "test_")):
        raise Permanent("an API key makes no webhooks: paste an access token, or make the webhook in the dashboard")
    ours: list[Payload] = []
    begin: str | None = None
    for _ in range(20):
        params = {"limit": "250", "from": begin} if begin else {"limit": "250"}
        page = yield from get(credentials, "webhooks", **params)
        ours += [one for one in page.at("_embedded").items("webhooks") if one.text("url") == url]
        if (begin := next_id(page)) is None:
            break
    for one in ours:
        if one.optional_text("status") == "enabled" and "*" in one.texts("eventTypes"):
            return base.Registration(state="kept")
    asked = {"name": "Ledgerwire", "url": url, "eventTypes": ["*"]}
    made = (yield base.Request(method="POST", url="/v2/webhooks", json=asked)).payload()
    for one in ours:
        # Afterwards, so that there is no moment without a subscription.
        yield base.Request(method="DELETE", url=f"/v2/webhooks/{quote(one.identifier('id'), safe='')}")
    return base.Registration(state="repaired" if ours else "created", secret=made.identifier("webhookSecret"))


connector = base.Connector(
    slug="mollie",
    title="Mollie",
    docs_url="https://docs.mollie.com/reference/webhooks-new",
    checked="2026-05-21",
    signature=MollieSignature(),
    # Mollie makes the secret of a subscription; classic calls need none.
    makes_secret=False,
    decode=decode,
    event_id=event_id,
    event_name=event_name,
    external_id=profile_of,
    events={
        "classic.payment": classic(fetch_payment),
        "classic.order": classic(fetch_order),
        "classic.payment-link": classic(fetch_link),
        **each("paid authorized pending canceled expired failed", prefix="payment.", meaning=read_payment),
        "payment-link.paid": read_link,
        **each("created issued paid canceled", prefix="sales-invoice.", meaning=snapshot(invoice_records)),
        "balance-transaction.created": snapshot(balance_records),
        **each(
            "initiated processing-at-bank completed canceled failed",
            prefix="payout.",
            meaning=snapshot(payout_records),
        ),
        **each(" ".join(TRANSFER), prefix="business-account-transfer.", meaning=snapshot(transfer_records)),
        **each(" ".join(INCOMING), prefix="unmatched-credit-transfer.", meaning=snapshot(incoming_records)),
        **each("created updated resolved", prefix="dispute.", meaning=read_taken),
        **{f"{family}.*": read_taken for family in FAMILIES},
        "profile.verified": partial(profile, events.ConnectionHealth.ACTIVE),
        "profile.blocked": partial(profile, events.ConnectionHealth.NEEDS_ATTENTION),
        "profile.deleted": partial(profile, events.ConnectionHealth.REVOKED),
    },
    ignored={
        "classic.subscription": "a state of the plan; each of its payments is told by its own call",
        "profile.created": "a profile that takes no payments yet",
        **each(
            "succeeded failed",
            prefix="connect-balance-transfer.",
            meaning="told as a transaction of the balance it moves",
        ),
        **each("accepted rejected failed", prefix="file.", meaning="a document that was handed in; no money moves"),
    },
    api=base.Api(base="https://api.mollie.com", authorize=access.bearer("api_key", seconds=3600)),
    pull=base.Pull(talk=pull_money, what="payments, refunds and chargebacks", every_seconds=21_600, days=90),
    register=register,
    brings=("payments", "refunds", "disputes", "payouts", "invoices", "bank transactions"),
    fields=(
        access.secret("api_key", "API key or access token", required=True),
        access.secret(
            "webhook_secret", "Webhook secret", "Shown once when the webhook is made. Classic calls need none."
        ),
        access.setting("testmode", "Test mode", "true, where an organisation's token is used for test data."),
    ),
    steps=(
        "Copy the API key of the profile (live or test), or make an organisation access token, and paste it here.",
        "Give {url} as webhookUrl of each payment, order and payment link you make: those are the classic calls.",
        "For the other events, make a webhook in the Mollie dashboard with {url} and all event types.",
        "Paste the secret that Mollie shows once for that webhook here.",
    ),
)
