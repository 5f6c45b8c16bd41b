"""Flutterwave: payments and transfers of an African gateway, by its older interface (v3) and its newer one (v4).

Checked against developer.flutterwave.com (v3 and v4 pages as of 2026-11) and public code; the v4 header's rule could
not be read at its source. A v3 webhook proves only that the sender knows a text, so it is a hint. Of both versions
no body is believed: the charge or transfer is fetched, and must be the one, of the amount, that was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from urllib.parse import quote

from connectors import access, base, naming
from connectors.payload import Number, Payload, micros
from connectors.signatures import BySecret, Hmac, StaticSecret
from connectors.tables import words
from core import events
from core.errors import MalformedPayload
from core.events import PaymentStatus, PayoutStatus, Record, Reference
from core.money import Money

V4 = "https://f4bexperience.flutterwave.com"
SANDBOX = "https://developersandbox-api.flutterwave.com"
TOKENS = "https://idp.flutterwave.com/realms/flutterwave/protocol/openid-connect"
MAX_PAGES = 1000
# Each version has words of its own, and the other's are none.
CHARGE = {
    3: {
        "pending": PaymentStatus.PENDING,
        "failed": PaymentStatus.FAILED,
        "successful": PaymentStatus.SUCCEEDED,
    },
    4: {
        "pending": PaymentStatus.PENDING,
        "failed": PaymentStatus.FAILED,
        "succeeded": PaymentStatus.SUCCEEDED,
    },
}
TRANSFER = words(PayoutStatus, PENDING="NEW INITIATED PENDING PROCESSING", FAILED="FAILED CANCELLED", PAID="SUCCESSFUL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a webhook said of a charge or transfer, and in which version. What is fetched must agree with it."""

    version: int
    id: str
    money: Money
    reference: str

    def confirmed_by(self, thing: Payload, money: Money, reference_key: str) -> None:
        """Raise MalformedPayload unless the fetched object is the one, of the amount, that was told."""
        thing.same("id", self.id)
        thing.same(reference_key, self.reference)
        if money != self.money:
            raise thing.wrong("amount", f"{self.money.to_decimal()} {self.money.currency}, as the webhook said")


def generation(item: Payload) -> int:
    """4 for a body of the newer interface, which names its type `type`; else 3."""
    return 3 if item.has("event") else 4


def event_name(item: Payload) -> str:
    """The name of either version."""
    return item.identifier("event" if generation(item) == 3 else "type")


def event_id(item: Payload, envelope: base.Envelope) -> str:
    """v4 has an id (`id` in older bodies); of v3 it is the name with what it is about, or a hash of the body."""
    if generation(item) == 4:
        return item.name("webhook_id" if item.has("webhook_id") else "id")
    data = item.optional_at("data")
    if data is None or not data.has("id"):
        return naming.body_id(envelope)
    return ":".join([item.identifier("event"), data.name("id"), data.optional_name("status") or ""])


def reference_key(version: int) -> str:
    """Where a charge has the merchant's own reference."""
    return "tx_ref" if version == 3 else "reference"


def moment(thing: Payload) -> datetime:
    """When it was made: `created_at`, or `created_datetime` as text or as seconds with a fraction."""
    key = "created_at" if thing.has("created_at") else "created_datetime"
    value = thing.value.get(key) if isinstance(thing.value, dict) else None
    if isinstance(value, Number):
        seconds = Decimal(value.written)
        if not 0 <= seconds < 10**11:
            raise thing.wrong(key, "seconds since 1970")
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(seconds * 10**6))
    return thing.epoch(key) if type(value) is int else thing.iso(key)


def references(thing: Payload, version: int) -> tuple[Reference, ...]:
    """What may name the invoice, best first."""
    named = [(1, thing.optional_text(reference_key(version))), (3, thing.optional_text("narration"))]
    return naming.references([*naming.noted(thing.optional_at("meta"), names=True), *named])


def fee_of(thing: Payload, currency: str) -> Money | None:
    """What v3 kept. It is computed to more places than the currency has, and is left out where it does not fit."""
    try:
        return thing.number_money("app_fee", currency) if thing.has("app_fee") else None
    except MalformedPayload:
        return None


def payment_of(thing: Payload, version: int, asked: datetime) -> events.Payment:
    """A charge as the API has it."""
    currency, status = thing.currency("currency"), thing.choice("status", CHARGE[version])
    payer, method = thing.optional_at("customer"), thing.optional_at("payment_method")
    parts = payer.optional_at("name") if payer else None
    name = [parts.optional_text(key) for key in ("first", "middle", "last")] if parts else []
    refusal = "processor_response"
    failure = thing.text_at(refusal, "type") if thing.optional_at(refusal) else thing.optional_text(refusal)
    return events.Payment(
        object_id=thing.name("id"),
        version=micros(asked),
        status=status,
        # What was asked for; `charged_amount` may have fees on top that the payer bore.
        money=thing.number_money("amount", currency, positive=True),
        occurred_at=moment(thing),
        references=references(thing, version),
        method=method.optional_text("type") if method else thing.optional_text("payment_type"),
        payer_name=" ".join(filter(None, name)) or (payer.optional_text("name") if payer and not parts else None),
        payer_email=thing.text_at("customer", "email"),
        bank_reference=thing.optional_text("flw_ref"),
        fee=fee_of(thing, currency),
        failure=failure if status is PaymentStatus.FAILED else None,
    )


def transferred(thing: Payload) -> Money:
    """What a transfer sent. v4 has one currency for either end, and in its API an amount that says which it is in."""
    amount = thing.optional_at("amount")
    named = "currency" if thing.has("currency") else "destination_currency"
    if amount and amount.has("applies_to"):
        named = amount.choice("applies_to", {key: key for key in ("source_currency", "destination_currency")})
    currency = thing.currency(named)
    held, key = (amount, "value") if amount else (thing, "amount")
    return held.number_money(key, currency, positive=True)


def read_charge(item: Payload) -> base.Reading:
    """A charge that ended, well or not: its status is for the API to say."""
    version, data = generation(item), item.at("data")
    told = Told(
        version=version,
        id=data.name("id"),
        money=data.number_money("amount", data.currency("currency"), positive=True),
        reference=data.identifier(reference_key(version)),
    )
    return base.Fetch(talk=partial(fetch_charge, told))


def read_transfer(item: Payload) -> base.Reading:
    """A transfer to somebody else that ended, well or not."""
    version, data = generation(item), item.at("data")
    told = Told(version=version, id=data.name("id"), money=transferred(data), reference=data.identifier("reference"))
    return base.Fetch(talk=partial(fetch_transfer, told))


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """v4 trades a client's id and secret for a token of ten minutes; v3 has a key."""
    if not credentials.secrets.get("client_id"):
        return (yield from access.bearer("secret_key")(credentials))
    form = {name: credentials.secret(name) for name in ("client_id", "client_secret")}
    return (yield from access.trade(f"{TOKENS}/token", {"grant_type": "client_credentials", **form}))


def _v4(credentials: base.Credentials, path: str) -> str:
    host = SANDBOX if credentials.settings.get("environment") == "sandbox" else V4
    return f"{host}{path}"


def fetch_charge(told: Told, credentials: base.Credentials) -> base.Talk:
    """The charge that a webhook told of."""
    identity = quote(told.id, safe="")
    url = f"/v3/transactions/{identity}/verify" if told.version == 3 else _v4(credentials, f"/charges/{identity}")
    thing = (yield base.Request(method="GET", url=url)).payload().at("data")
    payment = payment_of(thing, told.version, credentials.moment())
    told.confirmed_by(thing, payment.money, reference_key(told.version))
    return [payment]


def fetch_transfer(told: Told, credentials: base.Credentials) -> base.Talk:
    """The transfer that a webhook told of."""
    identity = quote(told.id, safe="")
    url = f"/v3/transfers/{identity}" if told.version == 3 else _v4(credentials, f"/transfers/{identity}")
    thing = (yield base.Request(method="GET", url=url)).payload().at("data")
    sent = transferred(thing)
    told.confirmed_by(thing, sent, "reference")
    payout = events.Payout(
        object_id=thing.name("id"),
        version=micros(credentials.moment()),
        status=thing.choice("status", TRANSFER),
        money=sent,
        occurred_at=moment(thing),
        bank_reference=told.reference,
        to_third_party=True,
    )
    return [payout]


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of the charges, of the version that the connection has keys of. The cursor is "begin end page"."""
    version = 4 if credentials.secrets.get("client_id") else 3
    begin, end, page = [*(cursor or since.strftime("%Y-%m-%d")).split(" "), "", ""][:3]
    end, number = end or credentials.moment().strftime("%Y-%m-%d"), int(page or 1)
    params = {"from": begin, "to": end, "page": str(number)}
    url = "/v3/transactions" if version == 3 else _v4(credentials, "/charges")
    answer = (yield base.Request(method="GET", url=url, params=params)).payload()
    records: list[Record] = [payment_of(one, version, credentials.moment()) for one in answer.items("data")]
    place = answer.at("meta", "page_info")
    place.same("current_page", str(number))
    if number < place.integer("total_pages"):
        if number >= MAX_PAGES:
            raise MalformedPayload("meta.page_info", f"goes on past {MAX_PAGES} pages")
        return base.Page(records=records, cursor=f"{begin} {end} {number + 1}", more=True)
    # Lists go by the day of creation: look again at what may have been paid since.
    again = datetime.fromisoformat(end) - timedelta(days=3)
    return base.Page(records=records, cursor=max(begin, again.strftime("%Y-%m-%d")))


READERS: dict[str, Callable[[Payload], base.Reading]] = {
    "charge.completed": read_charge,
    "transfer.completed": read_transfer,
    "transfer.disburse": read_transfer,
}

connector = base.Connector(
    slug="flutterwave",
    title="Flutterwave",
    docs_url="https://developer.flutterwave.com/docs/webhooks",
    checked="2026-11-03",
    # A secret written "v3:…" stands in the header as it is; any other makes an HMAC. Neither is tried as the other.
    signature=BySecret(
        prefix="v3:",
        prefixed=StaticSecret(header="verif-hash"),
        plain=Hmac(header="flutterwave-signature", encoding="base64"),
    ),
    makes_secret=False,
    event_id=event_id,
    event_name=event_name,
    api=base.Api(base="https://api.flutterwave.com", authorize=authorize, also=(V4, SANDBOX, TOKENS)),
    pull=base.Pull(talk=pull, what="charges", every_seconds=3600, days=90),
    fields=(
        access.secret(
            "webhook_secret",
            "Secret hash",
            "For v4 as it stands. For v3 with v3: in front, such as v3:my-secret-hash.",
            required=True,
        ),
        access.secret("secret_key", "Secret key (v3)", "Begins with FLWSECK."),
        access.secret("client_id", "Client id (v4)"),
        access.secret("client_secret", "Client secret (v4)"),
        access.setting("environment", "Environment (v4)", "Empty for live, or sandbox."),
    ),
    brings=("payments", "transfers"),
    steps=(
        "In the Flutterwave dashboard open Settings, Webhooks, paste the address {url}, and type a long secret hash.",
        "Switch retries on and save. Under Settings, API Keys, see whether the account uses v3 or v4.",
        "For v4, enter the secret hash, the client id and the client secret into the connection.",
        "For v3, enter the secret hash with v3: in front, and the secret key. Each webhook is then checked by API.",
    ),
    events=READERS,
    ignored={"subscription.cancelled": "a state of the plan; what is collected comes as charge.completed"},
)
