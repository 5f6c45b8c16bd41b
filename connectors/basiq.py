"""Basiq: bank transactions and accounts by Australian open banking.

Checked against Basiq's documentation source at 79bc160 (2024-12-18).
A webhook holds ids and links only; what they point at is fetched. A fetched statement carries no time of its own,
so its version is the moment the talk began. That converges in any order: of two fetches the one that began
later has the higher version, and a fetch that began after a change sees the change, as all later ones do.
Pending transactions are deleted and made anew, under new ids, whenever Basiq refreshes; PendingSnapshot says
that those not listed any more are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

from connectors import access, base, lists
from connectors.payload import Payload, micros
from connectors.signatures import StandardWebhooks
from connectors.tables import each
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import ConnectionHealth, TransactionStatus

MAX_PAGES = 200
# A bank may post a transaction days after its date.
OVERLAP = timedelta(days=7)
STATUS = {"pending": TransactionStatus.PENDING, "posted": TransactionStatus.POSTED}
Pages: TypeAlias = Generator[base.Request, base.Response, list[Payload]]


def user_of(item: Payload) -> str | None:
    """The Basiq user in the path of a link; the body names it nowhere else."""
    path = _path((item.text_at("links", "eventEntity")) or "")
    steps = path.split("/")
    return steps[2] if len(steps) > 2 and steps[1] == "users" and steps[2] else None


def _path(link: str) -> str:
    try:
        return urlsplit(link).path
    except ValueError:
        return ""


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the API key for a bearer token, good for an hour."""
    headers = {"Authorization": f"Basic {credentials.secret('api_key')}", "basiq-version": "3.0"}
    return (yield from access.trade("/token", {"scope": "SERVER_ACCESS"}, headers))


def _link(item: Payload, name: str) -> str:
    """A link of the event, with the quotes and parentheses of its filter encoded."""
    return quote(item.at("links").text(name), safe=":/?&=%,;+@!$*~")


def _subject(item: Payload) -> str:
    """The id at the end of the link that names what an event is about."""
    return _path(item.at("links").text("eventEntity")).rstrip("/").rsplit("/", 1)[-1]


def _user(item: Payload, credentials: base.Credentials) -> str:
    """The user an event is about, who must be the one this connection belongs to."""
    user = user_of(item)
    if user is None or credentials.external_id not in (None, user):
        raise MalformedPayload("links.eventEntity", "names no user, or another than the connection's")
    return user


def _pages(url: str) -> Pages:
    """Every item of a list, page by page. A list that leads in a circle or does not end is refused."""
    listed = yield from lists.pages(
        lambda link: base.Request(method="GET", url=link or url), _next, where="links.next", most=MAX_PAGES
    )
    return [one for page in listed for one in page.items("data")]


def _next(page: Payload) -> str | None:
    return _link(page, "next") if page.text_at("links", "next") else None


def account_of(item: Payload, version: int) -> events.BankAccount:
    """One account. Its balance may be empty where the bank does not tell it."""
    currency = item.currency("currency")
    product = item.text_at("class", "product")
    return events.BankAccount(
        object_id=item.identifier("id"),
        version=version,
        name=item.optional_text("name") or product or item.identifier("id"),
        currency=currency,
        number=item.optional_text("accountNo"),
        kind=item.text_at("class", "type"),
        balance=item.decimal_money("balance", currency) if item.optional_text("balance") else None,
        available=item.optional_text("status") != "unavailable",
    )


def transaction_of(item: Payload, currency: str, asked_at: datetime) -> events.BankTransaction:
    """One transaction.

    An institution may know only a day, which Basiq writes as midnight. Of a pending one it may not know even
    that, which then counts as of when it was seen.
    """
    moment = item.optional_iso("transactionDate") or item.optional_iso("postDate")
    status = item.choice("status", STATUS)
    if moment is None and status is TransactionStatus.POSTED:
        raise item.wrong("postDate", "a date once posted")
    return events.BankTransaction(
        object_id=item.identifier("id"),
        version=micros(asked_at),
        account_id=item.identifier("account"),
        status=status,
        money=item.decimal_money("amount", currency),
        narration=item.text("description"),
        occurred_at=moment or asked_at,
        booked_on=moment.date() if moment and moment.time() == time.min else None,
        bank_reference=item.text_at("paymentDetails", "bpay", "crn"),
        balance=item.decimal_money("balance", currency) if item.optional_text("balance") else None,
        category=item.optional_text("class"),
    )


def _wholly_listed(link: str, listed: list[Payload]) -> set[str]:
    """The accounts of which a link lists every transaction: all, or those of the one bank its filter names."""
    narrowed = parse_qs(urlsplit(link).query).get("filter", [""])[0]
    bank = narrowed.removeprefix("connection.id.eq('").removesuffix("')")
    if narrowed and narrowed != f"connection.id.eq('{bank}')":
        return set()
    found = set()
    for account in listed:
        nested = account.optional_at("connection")
        if not bank or bank == (nested or account).optional_text("id" if nested else "connection"):
            found.add(account.identifier("id"))
    return found


def fetch_transactions(item: Payload, credentials: base.Credentials) -> base.Talk:
    """The transactions an event points at, after the accounts they stand on."""
    user, asked_at, link = _user(item, credentials), credentials.moment(), _link(item, "eventEntity")
    accounts_url = f"/users/{quote(user, safe='')}/accounts"
    listed = yield from _pages(accounts_url)
    accounts = {account.object_id: account for account in (account_of(one, micros(asked_at)) for one in listed)}
    transactions = []
    for one in (yield from _pages(link)):
        owner = one.identifier("account")
        if owner not in accounts:
            account = (yield base.Request(method="GET", url=f"{accounts_url}/{quote(owner, safe='')}")).payload()
            account.same("id", owner)
            accounts[owner] = account_of(account, micros(asked_at))
        currency = one.currency("currency") if one.has("currency") else accounts[owner].currency
        transactions.append(transaction_of(one, currency, asked_at))
    whole = sorted(_wholly_listed(link, listed))
    snapshots = [events.PendingSnapshot(object_id=owner, version=micros(asked_at)) for owner in whole]
    return [*accounts.values(), *transactions, *snapshots]


def fetch_account(item: Payload, credentials: base.Credentials) -> base.Talk:
    """The account an event points at."""
    _user(item, credentials)
    account = (yield base.Request(method="GET", url=_link(item, "eventEntity"))).payload()
    account.same("id", _subject(item))
    return [account_of(account, micros(credentials.moment()))]


def fetch_state(health: ConnectionHealth, item: Payload, credentials: base.Credentials) -> base.Talk:
    """A change of the link. Health is no ladder, and only the event itself knows when it happened."""
    user = _user(item, credentials)
    event = (yield base.Request(method="GET", url=_link(item, "event"))).payload()
    if event.text("userId") != user:
        raise event.wrong("userId", "the user of the webhook")
    state = events.ConnectionState(
        object_id=_subject(item),
        version=micros(event.iso("createdDate")),
        health=health,
        reason=None if health is ConnectionHealth.ACTIVE else item.text("eventTypeId").replace(".", " "),
    )
    return [state]


def pull_transactions(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """The user's accounts and one page of transactions. The cursor is the next page's link, or a day to begin with.

    What is pending no more is not told: that needs the whole list at one moment, which a notice brings.
    """
    user, asked_at = credentials.external_id, credentials.moment()
    if not user:
        raise Permanent("the connection names no Basiq user whose transactions could be listed")
    root = f"/users/{quote(user, safe='')}"
    url = cursor or since.date().isoformat()
    if "/" not in url:
        url = f"{root}/transactions?filter={quote(f'transaction.postDate.gteq({_day(url)!r})', safe='')}"
    if not _path(url).startswith(f"{root}/transactions"):
        raise MalformedPayload("cursor", "is no link to the user's transactions")
    listed = yield from _pages(f"{root}/accounts")
    accounts = {account.object_id: account for account in (account_of(one, micros(asked_at)) for one in listed)}
    page = (yield base.Request(method="GET", url=url)).payload()
    transactions = []
    for one in page.items("data"):
        owner = one.identifier("account")
        if owner not in accounts and not one.has("currency"):
            raise one.wrong("account", "an account of the user, or a currency")
        currency = one.currency("currency") if one.has("currency") else accounts[owner].currency
        transactions.append(transaction_of(one, currency, asked_at))
    following = _next(page)
    if following == url:
        raise MalformedPayload("links.next", "leads in a circle")
    return base.Page(
        records=[*accounts.values(), *transactions],
        cursor=following or (asked_at - OVERLAP).date().isoformat(),
        more=following is not None,
    )


def _day(text: str) -> str:
    """A day such as 2026-11-30. Raises MalformedPayload."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise MalformedPayload("cursor", "is none of ours") from None


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """Subscribe the address to every event that means something. An event has one subscriber per application."""
    del credentials
    known = [one for one in (yield from _pages("/notifications/webhooks")) if one.text("url") == url]
    wanted = sorted(connector.events)
    asked = {"name": "Ledgerwire", "description": "Bank transactions", "url": url, "subscribedEvents": wanted}
    for one in known:
        if one.texts("subscribedEvents").issuperset(wanted):
            return base.Registration(state="kept")
        target = f"/notifications/webhooks/{quote(one.identifier('id'), safe='')}"
        changed = (yield base.Request(method="POST", url=target, json=asked)).payload()
        return base.Registration(state="repaired", secret=changed.optional_identifier("secret"))
    made = (yield base.Request(method="POST", url="/notifications/webhooks", json=asked)).payload()
    return base.Registration(state="created", secret=made.identifier("secret"))


def _pointer(talk: Callable[[Payload, base.Credentials], base.Talk]) -> base.Reader:
    """A reader whose event only points: it checks the links and leaves the rest to a talk."""

    def read(item: Payload) -> base.Fetch:
        _link(item, "event")
        if user_of(item) is None:
            raise item.at("links").wrong("eventEntity", "a link below /users/")
        return base.Fetch(talk=partial(talk, item))

    return read


ACTIVE = _pointer(partial(fetch_state, ConnectionHealth.ACTIVE))
NEEDS_ATTENTION = _pointer(partial(fetch_state, ConnectionHealth.NEEDS_ATTENTION))
REVOKED = _pointer(partial(fetch_state, ConnectionHealth.REVOKED))

connector = base.Connector(
    slug="basiq",
    title="Basiq",
    docs_url="https://api.basiq.io/docs/webhooks",
    checked="2024-12-18",
    # v1 only: Basiq documents no other version.
    signature=StandardWebhooks(asymmetric=False),
    # Basiq makes the secret and shows it when the webhook is created.
    makes_secret=False,
    event_id=lambda item, _envelope: item.identifier("eventId"),
    event_name=lambda item: item.identifier("eventTypeId"),
    external_id=user_of,
    api=base.Api(base="https://au-api.basiq.io", authorize=authorize),
    pull=base.Pull(talk=pull_transactions, what="accounts and transactions", every_seconds=21_600, days=365),
    register=register,
    fields=(
        access.secret("webhook_secret", "Webhook secret", "Begins with whsec_.", required=True),
        access.secret("api_key", "API key", "From the Basiq dashboard.", required=True),
    ),
    steps=(
        "In the Basiq dashboard, open your application and make an API key.",
        "Under Webhooks, add one with the address {url} for transactions, accounts, connections, consents and users.",
        "Copy its secret, which begins with whsec_, and the API key into the connection.",
        "Give the connection the id of the Basiq user whose accounts it shows.",
    ),
    brings=("bank transactions", "bank accounts", "the state of the consent"),
    events={
        "transactions.updated": _pointer(fetch_transactions),
        "account.updated": _pointer(fetch_account),
        **each("connection.created connection.activated consent.created consent.updated", ACTIVE),
        **each("connection.invalidated consent.warning", NEEDS_ATTENTION),
        **each("connection.deleted consent.revoked consent.expired user.deleted", REVOKED),
    },
    ignored={
        "connection.updated": "no webhook exists for it, and its changes come as other events",
        "consent.reminder": "a courtesy notice every 90 days; nothing changed",
        "consent.archived": "housekeeping after a consent ended; its end was told before",
        "user.created": "a user without accounts has nothing to show yet",
        "user.updated": "contact details, which are not kept here",
    },
    # Names that older clients of this product were configured with.
    aliases={"transaction.created": "transactions.updated", "transaction.updated": "transactions.updated"},
)
