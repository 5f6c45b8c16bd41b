"""Wise: movements on multi-currency balances, and transfers to others.

Checked against Wise's documentation and its example repository at c29c362 (2021-09-16). Wise signs the events of all
its customers with one key, so only events of a profile that is connected here are believed. Decided where the pages are
silent: there is no age limit, because repeats come for two weeks; a movement is known by its balance, reference,
direction and amount, which the event and the statement both tell; the production key below comes from a third party,
so another can be pasted in its place; a test call is answered and otherwise passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias
from urllib.parse import quote

from connectors import access, base, lists
from connectors.payload import Payload, micros
from connectors.signatures import RsaSha256
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import PayoutStatus, Record, TransactionStatus
from core.money import Money

PRODUCTION = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvO8vXV+JksBzZAY6GhSO
XdoTCfhXaaiZ+qAbtaDBiu2AGkGVpmEygFmWP4Li9m5+Ni85BhVvZOodM9epgW3F
bA5Q1SexvAF1PPjX4JpMstak/QhAgl1qMSqEevL8cmUeTgcMuVWCJmlge9h7B1CS
D4rtlimGZozG39rUBDg6Qt2K+P4wBfLblL0k4C4YUdLnpGYEDIth+i8XsRpFlogx
CAFyH9+knYsDbR43UJ9shtc42Ybd40Afihj8KnYKXzchyQ42aC8aZ/h5hyZ28yVy
Oj3Vos0VdBIs/gAyJ/4yyQFCXYte64I7ssrlbGRaco4nKF3HmaNhxwyKyJafz19e
HwIDAQAB
-----END PUBLIC KEY-----
"""
SANDBOX = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfP
ZIlPZfNUefH+n6w9SW3fykqKu938cR7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPU
ys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3j
wt760MsCPJ7GMT141ByQM+yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958Cg
nZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSyg
z7KqoKUN0oHqWLr2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEs
VwIDAQAB
-----END PUBLIC KEY-----
"""
# A statement covers so many days at most.
LONGEST = timedelta(days=365)
OVERLAP = timedelta(days=1)
MAX_BALANCES = 200
VERSION = "3.0.0"
DIRECTION = {"credit": 1, "debit": -1}
TRANSFER = words(
    PayoutStatus,
    PENDING="incoming_payment_waiting incoming_payment_initiated processing funds_converted unknown",
    FAILED="cancelled",
    PAID="outgoing_payment_sent",
    # Money that had left comes back: sent is not the end.
    REVERSED="bounced_back funds_refunded charged_back",
)
Balances: TypeAlias = Generator[base.Request, base.Response, list[events.BankAccount]]


def profile_of(item: Payload) -> str | None:
    """The profile whose event it is."""
    resource = item.optional_at("data", "resource")
    return resource.optional_name("profile_id") if resource else None


def event_id(item: Payload, _envelope: base.Envelope) -> str:
    """Wise sends no id that is signed, and the same change once for each subscription: what is said is the id."""
    name, data = item.identifier("event_type"), item.at("data")
    if name == "balances#update":
        said = [data.name("balance_id"), data.name("step_id"), data.text("transaction_type")]
    elif name == "transfers#state-change":
        moment = data.iso("occurred_at").isoformat()
        said = [data.at("resource").name("id"), data.text("current_state"), moment]
    else:
        said = [json.dumps(data.value, sort_keys=True)]
    return f"{name[:60]}:{hashlib.sha256(json.dumps(said).encode()).hexdigest()}"


def _own_profile(credentials: base.Credentials, named: str | None = None) -> str:
    """The connection's profile, which an event must name. Raises Permanent or MalformedPayload."""
    if (profile := credentials.external_id or named) is None:
        raise Permanent("the connection has no profile id")
    if named not in (None, profile):
        raise MalformedPayload("data.resource.profile_id", "is not the connection's profile")
    return profile


def movement_id(balance_id: str, reference: str, money: Money) -> str:
    """What the event and the statement both tell of a movement."""
    direction = "credit" if money.minor > 0 else "debit"
    return f"{balance_id}:{reference[:150]}:{direction}:{abs(money.minor)}"


def _account(
    identity: str, at: datetime, currency: str, balance: Money | None, name: str | None = None
) -> events.BankAccount:
    return events.BankAccount(
        object_id=identity,
        version=micros(at),
        name=name or f"Wise {currency}",
        currency=currency,
        kind="balance",
        balance=balance,
    )


def read_balance(item: Payload) -> base.Reading:
    """A credit or debit of a balance, and the balance after it. Amounts are positive; the type tells the direction."""
    data = item.at("data")
    currency, at, balance_id = data.currency("currency"), data.iso("occurred_at"), data.name("balance_id")
    amount, sign = data.number_money("amount", currency, positive=True), data.choice("transaction_type", DIRECTION)
    money, reference = Money(sign * amount.minor, currency), data.optional_identifier("transfer_reference")
    channel, key = data.optional_text("channel_name"), "post_transaction_balance_amount"
    balance = data.number_money(key, currency) if data.has(key) else None
    account = _account(balance_id, at, currency, balance)
    moved = events.BankTransaction(
        object_id=movement_id(balance_id, reference or f"step {data.name('step_id')}", money),
        version=micros(at),
        account_id=balance_id,
        status=TransactionStatus.POSTED,
        money=money,
        narration=" ".join(filter(None, (channel, reference))) or "Movement at Wise",
        occurred_at=at,
        bank_reference=reference,
        balance=balance,
        category=channel,
    )
    return [account, moved]


def fetch_transfer(identity: str, profile: str, at: datetime, credentials: base.Credentials) -> base.Talk:
    """A transfer to somebody else: its events tell no amount."""
    own = _own_profile(credentials, profile)
    item = (yield base.Request(method="GET", url=f"/v1/transfers/{quote(identity, safe='')}")).payload()
    item.same("id", identity)
    if item.has("business"):
        item.same("business", own)
    payout = events.Payout(
        object_id=identity,
        version=micros(credentials.moment()),
        status=item.choice("status", TRANSFER),
        money=item.number_money("sourceValue", item.currency("sourceCurrency"), positive=True),
        occurred_at=at,
        bank_reference=item.text_at("details", "reference") or item.optional_text("reference"),
        to_third_party=True,
    )
    return [payout]


def read_transfer(item: Payload) -> base.Reading:
    """Something happened to a transfer."""
    data = item.at("data")
    resource = data.at("resource")
    at = data.optional_iso("occurred_at") or item.iso("sent_at")
    return base.Fetch(talk=partial(fetch_transfer, resource.name("id"), resource.name("profile_id"), at))


def balances(profile: str, credentials: base.Credentials) -> Balances:
    """The profile's balances, one a currency or a jar."""
    url = f"/v4/profiles/{quote(profile, safe='')}/balances"
    answer = (yield base.Request(method="GET", url=url, params={"types": "STANDARD,SAVINGS"})).payload()
    found = []
    for item in answer.items():
        amount, currency = item.at("amount"), item.currency("currency")
        held, name = amount.number_money("value", amount.currency("currency")), item.optional_text("name")
        found.append(_account(item.name("id"), credentials.moment(), currency, held, name))
    if len(found) > MAX_BALANCES:
        raise MalformedPayload("", f"holds more than {MAX_BALANCES} balances")
    return found


def fetch_balances(profile: str, credentials: base.Credentials) -> base.Talk:
    """The balances as they are now: one was opened or closed."""
    return [*(yield from balances(_own_profile(credentials, profile), credentials))]


def line_of(item: Payload, account: events.BankAccount, asked_at: datetime) -> events.BankTransaction:
    """A line of a statement. It may be signed or not; its type tells the direction."""
    amount, details = item.at("amount"), item.at("details")
    given = amount.number_money("value", amount.currency("currency"))
    if given.currency != account.currency or given.minor == 0:
        raise amount.wrong("value", f"an amount in {account.currency}")
    sign = item.choice("type", {"CREDIT": 1, "DEBIT": -1})
    money, running = Money(sign * abs(given.minor), given.currency), item.optional_at("runningBalance")
    reference, told = item.identifier("referenceNumber"), [details.optional_text("description")]
    if (named := details.optional_text("paymentReference")) and named not in (told[0] or ""):
        told.append(named)
    return events.BankTransaction(
        object_id=movement_id(account.object_id, reference, money),
        version=micros(asked_at),
        account_id=account.object_id,
        status=TransactionStatus.POSTED,
        money=money,
        narration=" ".join(filter(None, told)) or reference,
        occurred_at=item.iso("date"),
        counterparty=details.optional_text("senderName") or details.text_at("recipient", "name"),
        bank_reference=reference,
        balance=running.number_money("value", account.currency) if running else None,
        category=details.optional_text("type"),
    )  # fmt: skip


def pull_statements(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """The statement of one balance after another. The cursor is the window and the place, or where the next begins."""
    profile, now = _own_profile(credentials), credentials.moment()
    parts = cursor.split(" ") if cursor else []
    begin = datetime.fromisoformat(parts[0]) if parts else since
    end, place = (datetime.fromisoformat(parts[1]), int(parts[2])) if len(parts) == 3 else (now, 0)
    begin = max(begin, end - LONGEST)
    accounts = sorted((yield from balances(profile, credentials)), key=lambda one: one.object_id)
    if place >= len(accounts):
        return base.Page(records=[], cursor=(end - OVERLAP).isoformat())
    account = accounts[place]
    where = f"/v1/profiles/{quote(profile, safe='')}/balance-statements/{quote(account.object_id, safe='')}"
    window = {"intervalStart": f"{begin:%Y-%m-%dT%H:%M:%S.000Z}", "intervalEnd": f"{end:%Y-%m-%dT%H:%M:%S.000Z}"}
    # FLAT: a fee is a line of its own, as it is an event of its own.
    params = {"currency": account.currency, **window, "type": "FLAT"}
    answer = yield from lists.get(f"{where}/statement.json", params)
    lines: list[Record] = [line_of(one, account, now) for one in answer.items("transactions")]
    if place + 1 == len(accounts):
        # A little is read again: what happened at the very end may be written later.
        return base.Page(records=[account, *lines], cursor=(end - OVERLAP).isoformat())
    following = f"{begin.isoformat()} {end.isoformat()} {place + 1}"
    return base.Page(records=[account, *lines], cursor=following, more=True)


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """A subscription for each mapped event; those that are missing are made."""
    path = f"/v3/profiles/{quote(_own_profile(credentials), safe='')}/subscriptions"
    listed, have = (yield from lists.get(path)), set[str]()
    for one in listed.items():
        name, delivery = one.text("trigger_on"), one.at("delivery")
        # Another version would tell other fields.
        if delivery.optional_text("url") == url and delivery.optional_text("version") == VERSIONS.get(name):
            have.add(name)
    for name, version in VERSIONS.items():
        if name not in have:
            made = {"name": "Ledgerwire", "trigger_on": name, "delivery": {"version": version, "url": url}}
            yield base.Request(method="POST", url=path, json=made)
    if have.issuperset(VERSIONS):
        return base.Registration(state="kept")
    return base.Registration(state="repaired" if have else "created")


def challenge(delivery: base.Delivery, secrets: object) -> base.Answer | None:
    """The call by which Wise tries a new subscription's address: it brings nothing, and only wants to be heard."""
    del secrets
    tried = delivery.method == "POST" and delivery.header("x-test-notification") == "true"
    return base.Answer() if tried else None


VERSIONS = {
    "balances#update": VERSION,
    "balances#account-state-change": "2.0.0",
    "transfers#state-change": "2.0.0",
    "transfers#payout-failure": "2.0.0",
    "transfers#refund": "2.0.0",
}
CREDITED = "the credit of the balance is told by balances#update"
CARD = "what a card pays is told by balances#update"

connector = base.Connector(
    slug="wise",
    title="Wise",
    docs_url="https://docs.wise.com/guides/developer/webhooks",
    checked="2021-09-16",
    signature=RsaSha256(header="X-Signature-SHA256", pinned={"production": PRODUCTION, "sandbox": SANDBOX}),
    makes_secret=False,
    event_id=event_id,
    event_name=lambda item: item.identifier("event_type"),
    external_id=profile_of,
    api=base.Api(base="https://api.wise.com", authorize=access.bearer("api_token")),
    pull=base.Pull(talk=pull_statements, what="balances and their statements", days=365),
    register=register,
    challenge=challenge,
    resend_days=30,
    brings=("bank accounts", "bank transactions", "payouts"),
    fields=(
        access.secret(
            "webhook_secret",
            "Signing key",
            "The word production, or sandbox, or Wise's public key as its documentation shows it.",
            required=True,
        ),
        access.secret("api_token", "API token", "A personal token.", required=True),
    ),
    steps=(
        "In Wise, under Settings, API tokens, make a token with full access.",
        "Enter it in the connection, with the profile's number as account and the word production as signing key.",
        "Compare the production key in these pages with that in Wise's documentation; paste that one if it differs.",
        "Let the connection register its address {url}, or make a webhook for it under Settings, Developer tools.",
    ),
    events={
        "balances#update": read_balance,
        "balances#account-state-change": lambda item: base.Fetch(
            talk=partial(fetch_balances, item.at("data", "resource").name("profile_id"))
        ),
        **each("state-change payout-failure refund", read_transfer, "transfers#"),
    },
    ignored={
        "transfers#active-cases": "Wise asks the sender for something; what becomes of the transfer is told by itself",
        "balances#credit": "deprecated, and balances#update tells the same",
        "account-details-payment#state-change": CREDITED,
        "swift-in#credit": CREDITED,
        "bulk-settlement#payment-received": "a settlement between Wise and a partner bank",
        "batch-payment-initiations#state-change": "each transfer of the batch is told by itself",
        "cards#transaction-state-change": CARD,
        "cards#card-status-change": "the state of a card, and no money",
        "transaction-disputes#update": "a dispute of a card's payment; the money is told by balances#update",
    },
)
