"""Plaid: bank accounts and transactions of the United States, Canada and Europe, and payments initiated there.

Checked against Plaid's OpenAPI file of 2026-06-10. A webhook only says that there is news of an Item, which is one
login at one bank: what is new is asked for. Decided where the pages are silent: a webhook that is sent again may be
signed anew and then counts as another signal, which costs a look and changes nothing; what has no ISO currency is
left out; a payment counts as received once it is settled, not when it was initiated or executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from datetime import UTC, datetime, time
from functools import partial
from typing import TypeAlias

from connectors import access, base
from connectors.payload import Payload, micros
from connectors.signatures import JwtOverBodyHash
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import ConnectionHealth, PaymentStatus, Record, TransactionStatus
from core.money import Money

MAX_PAGES = 200
PAGE_SIZE = 500
PAYMENT = words(
    PaymentStatus,
    PENDING="INPUT_NEEDED AUTHORISING PROCESSING INITIATED EXECUTED ESTABLISHED COMPLETED UNKNOWN",
    FAILED="INSUFFICIENT_FUNDS FAILED BLOCKED REJECTED CANCELLED",
    SUCCEEDED="SETTLED",
)
STATUSES = {f"PAYMENT_STATUS_{word}": status for word, status in PAYMENT.items()}
Synced: TypeAlias = Generator[base.Request, base.Response, tuple[list[Record], str]]


def event_id(_item: Payload, envelope: base.Envelope) -> str:
    """There is none: the signed hash of the body and the signed time tell one signal from the next."""
    return envelope.verified.message_id or hashlib.sha256(envelope.delivery.body).hexdigest()


def keys_of(credentials: base.Credentials) -> dict[str, str]:
    """Client id and secret go along as headers; there is nothing to trade."""
    client_id, _, secret = credentials.secret("webhook_secret").partition(":")
    return {"PLAID-CLIENT-ID": client_id, "PLAID-SECRET": secret}


def asked(path: str, credentials: base.Credentials, **more: object) -> Generator[base.Request, base.Response, Payload]:
    """One question about the Item."""
    request = base.Request(method="POST", url=path, json={"access_token": credentials.secret("access_token"), **more})
    return (yield request).payload()


def _check_item(item: Payload, credentials: base.Credentials, named: str | None) -> str:
    """The Item that the access token belongs to: the connection's own, and the one that an event names."""
    expected = credentials.external_id or named
    if expected is None:
        raise Permanent("the connection has no Item id")
    if named not in (None, expected):
        raise MalformedPayload("item_id", "is not the connection's Item")
    return item.same("item_id", expected)


def account_of(item: Payload, version: int) -> events.BankAccount | None:
    """One account; None where it is not kept in an ISO currency."""
    balances = item.at("balances")
    if not balances.has("iso_currency_code"):
        return None
    currency = balances.currency("iso_currency_code")
    return events.BankAccount(
        object_id=item.identifier("account_id"),
        version=version,
        name=item.optional_text("name") or item.identifier("account_id"),
        currency=currency,
        number=item.optional_text("mask"),
        kind=item.optional_text("subtype") or item.optional_text("type"),
        balance=balances.number_money("current", currency) if balances.has("current") else None,
    )


def transaction_of(item: Payload, version: int) -> events.BankTransaction | None:
    """One transaction; None without an ISO currency. At Plaid money that leaves the account is positive."""
    if not item.has("iso_currency_code"):
        return None
    left, day = item.number_money("amount", item.currency("iso_currency_code")), item.day("date")
    told = item.optional_iso("datetime")
    return events.BankTransaction(
        object_id=item.identifier("transaction_id"),
        version=version,
        account_id=item.identifier("account_id"),
        status=TransactionStatus.PENDING if item.boolean("pending") else TransactionStatus.POSTED,
        money=Money(-left.minor, left.currency),
        narration=item.optional_text("original_description") or item.text("name"),
        occurred_at=told or datetime.combine(day, time.min, UTC),
        # Most banks tell only a day.
        booked_on=None if told else day,
        counterparty=item.optional_text("merchant_name"),
        bank_reference=item.text_at("payment_meta", "reference_number"),
        category=item.text_at("personal_finance_category", "primary"),
    )


def removed_of(item: Payload, currencies: dict[str, str], asked_at: datetime) -> events.BankTransaction | None:
    """A transaction that is gone, of which only the ids are told; mostly it was pending and came anew as posted."""
    account = item.identifier("account_id")
    if account not in currencies:
        return None
    return events.BankTransaction(
        object_id=item.identifier("transaction_id"),
        version=micros(asked_at),
        account_id=account,
        status=TransactionStatus.REMOVED,
        money=Money(0, currencies[account]),
        narration="Removed by the bank",
        occurred_at=asked_at,
    )


def sync(credentials: base.Credentials, named: str | None, cursor: str | None) -> Synced:
    """The Item's accounts, and everything that changed since the cursor, to the end of the list; the next cursor.

    Plaid wants a list that was broken off to be begun again where it began, so it is one stretch.
    """
    asked_at = credentials.moment()
    answer = yield from asked("/accounts/get", credentials)
    _check_item(answer.at("item"), credentials, named)
    accounts = [one for one in (account_of(each, micros(asked_at)) for each in answer.items("accounts")) if one]
    currencies = {one.object_id: one.currency for one in accounts}
    found: list[Record] = [*accounts]
    whole, seen = not cursor, {cursor}
    while True:
        given = {"cursor": cursor} if cursor else {}
        page = yield from asked("/transactions/sync", credentials, count=PAGE_SIZE, **given)
        listed = [transaction_of(one, micros(asked_at)) for key in ("added", "modified") for one in page.items(key)]
        listed += [removed_of(one, currencies, asked_at) for one in page.items("removed")]
        found += [one for one in listed if one is not None]
        cursor = page.text("next_cursor")
        if not page.boolean("has_more"):
            break
        if cursor in seen or len(seen) >= MAX_PAGES:
            raise MalformedPayload("next_cursor", f"leads in a circle or past {MAX_PAGES} pages")
        seen.add(cursor)
    if whole:
        # Everything there is was listed, so what is pending and not among it is gone.
        found += [events.PendingSnapshot(object_id=one.object_id, version=micros(asked_at)) for one in accounts]
    return found, cursor


def fetch_transactions(named: str, credentials: base.Credentials) -> base.Talk:
    """All that Plaid has of the Item: an event cannot know how far the last pull came."""
    records, _ = yield from sync(credentials, named, None)
    return records


def pull_transactions(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """What changed since the last pull; the first one goes back as far as the Item was linked for."""
    del since
    records, following = yield from sync(credentials, None, cursor)
    return base.Page(records=records, cursor=following or None)


def fetch_state(named: str, credentials: base.Credentials) -> base.Talk:
    """Whether the login at the bank works now."""
    item = (yield from asked("/item/get", credentials)).at("item")
    error = item.optional_at("error")
    code = error.identifier("error_code") if error else None
    state = events.ConnectionState(
        object_id=_check_item(item, credentials, named),
        version=micros(credentials.moment()),
        health=ConnectionHealth.NEEDS_ATTENTION if code else ConnectionHealth.ACTIVE,
        reason=code.replace("_", " ").lower() if code else None,
    )
    return [state]


def tell_state(health: ConnectionHealth, reason: str, named: str, credentials: base.Credentials) -> base.Talk:
    """What the signed event says itself, as of now: it has no time, and who was shut out can ask nothing."""
    yield from ()
    if credentials.external_id not in (None, named):
        raise MalformedPayload("item_id", "is not the connection's Item")
    version = micros(credentials.moment())
    return [events.ConnectionState(object_id=named, version=version, health=health, reason=reason)]


def fetch_payment(identity: str, credentials: base.Credentials) -> base.Talk:
    """A payment that was initiated at a payer's bank."""
    del credentials
    request = base.Request(method="POST", url="/payment_initiation/payment/get", json={"payment_id": identity})
    answer = (yield request).payload()
    amount, status = answer.at("amount"), answer.choice("status", STATUSES)
    reference, changed_at = answer.optional_identifier("reference"), answer.iso("last_status_update")
    payment = events.Payment(
        object_id=answer.same("payment_id", identity),
        version=micros(changed_at),
        status=status,
        money=amount.number_money("value", amount.currency("currency"), positive=True),
        occurred_at=changed_at,
        references=(events.Reference(0, reference),) if reference else (),
        method="bank transfer",
        description=reference,
        failure=answer.text("status").removeprefix("PAYMENT_STATUS_").replace("_", " ").lower()
        if status is PaymentStatus.FAILED
        else None,
    )
    return [payment]


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """The Item's one webhook address."""
    item = (yield from asked("/item/get", credentials)).at("item")
    _check_item(item, credentials, None)
    before = item.optional_text("webhook")
    if before == url:
        return base.Registration(state="kept")
    yield from asked("/item/webhook/update", credentials, webhook=url)
    return base.Registration(state="repaired" if before else "created")


def _of_item(talk: Callable[[str, base.Credentials], base.Talk], key: str = "item_id") -> base.Reader:
    return lambda item: base.Fetch(talk=partial(talk, item.identifier(key)))


NEWS = _of_item(fetch_transactions)
STATE = _of_item(fetch_state)
EXPIRING = _of_item(partial(tell_state, ConnectionHealth.NEEDS_ATTENTION, "access ends soon: renew it at the bank"))
WITHDRAWN = "access withdrawn by the account's holder"
ONE_WITHDRAWN = "access to one account withdrawn by its holder"
WALLET = "a virtual account of the platform's own, which is not a seller's bank account"
TRANSFER = "the platform's own transfers; what they move is seen on the bank account"
MICRO_DEPOSIT = "a step of proving an account number, before anything is linked"

connector = base.Connector(
    slug="plaid",
    title="Plaid",
    docs_url="https://plaid.com/docs/api/webhooks/",
    checked="2026-06-10",
    signature=JwtOverBodyHash(
        header="Plaid-Verification",
        key_path="/webhook_verification_key/get",
        unknown_key="INVALID_WEBHOOK_VERIFICATION_KEY_ID",
    ),
    makes_secret=False,
    event_id=event_id,
    event_name=lambda item: f"{item.identifier('webhook_type')}.{item.identifier('webhook_code')}",
    external_id=lambda item: item.optional_identifier("item_id"),
    api=base.Api(base="https://production.plaid.com", authorize=access.fixed(keys_of)),
    pull=base.Pull(talk=pull_transactions, what="accounts and transactions", days=730),
    register=register,
    brings=("bank accounts", "bank transactions", "payments by bank transfer"),
    fields=(
        access.secret(
            "webhook_secret",
            "Client id and secret",
            "From Plaid's dashboard, with a colon between them.",
            required=True,
        ),
        access.secret("access_token", "Access token", "Of the Item.", required=True),
    ),
    steps=(
        "In Plaid's dashboard, under Developers, Keys, copy the client id and the secret of the environment.",
        "Link the bank with Plaid Link, for the product Transactions, and keep the access token and the Item id.",
        "Enter both in the connection, the Item id as account.",
        "Give {url} as the Item's webhook, in the Link token or by Register here.",
    ),
    events={
        **each("SYNC_UPDATES_AVAILABLE INITIAL_UPDATE HISTORICAL_UPDATE DEFAULT_UPDATE", NEWS, "TRANSACTIONS."),
        "TRANSACTIONS.TRANSACTIONS_REMOVED": NEWS,
        **each("ERROR LOGIN_REPAIRED", STATE, "ITEM."),
        **each("PENDING_EXPIRATION PENDING_DISCONNECT", EXPIRING, "ITEM."),
        "ITEM.USER_PERMISSION_REVOKED": _of_item(partial(tell_state, ConnectionHealth.REVOKED, WITHDRAWN)),
        "ITEM.USER_ACCOUNT_REVOKED": _of_item(partial(tell_state, ConnectionHealth.NEEDS_ATTENTION, ONE_WITHDRAWN)),
        "PAYMENT_INITIATION.PAYMENT_STATUS_UPDATE": _of_item(fetch_payment, "payment_id"),
    },
    ignored={
        "TRANSACTIONS.RECURRING_TRANSACTIONS_UPDATE": "a guess at what will recur; nothing moved",
        "ITEM.NEW_ACCOUNTS_AVAILABLE": "accounts that their holder has not shared yet",
        "ITEM.WEBHOOK_UPDATE_ACKNOWLEDGED": "Plaid confirms the address",
        "PAYMENT_INITIATION.CONSENT_STATUS_UPDATE": "a permission to pay; what is paid comes by itself",
        "TRANSFER.TRANSFER_EVENTS_UPDATE": TRANSFER,
        **each("NEW_TRANSFER TRANSFER_SKIPPED CANCELLED", TRANSFER, "TRANSFER.RECURRING_"),
        "WALLET.WALLET_TRANSACTION_STATUS_UPDATE": WALLET,
        "AUTH.DEFAULT_UPDATE": "account and routing numbers, which are not kept here",
        **each("AUTOMATICALLY_VERIFIED VERIFICATION_EXPIRED", MICRO_DEPOSIT, "AUTH."),
    },
)
