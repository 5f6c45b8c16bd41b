"""TrueLayer: payments by bank transfer, refunds and payouts of a merchant account, and money that reached it otherwise.

Checked against TrueLayer's signing library at 95fdf17 (2026-08-20) and its documentation. Events only point: what they
are about is asked for. The signing key is TrueLayer's and events name no customer, so what is not ours is simply not
found. Decided where the pages are silent: a timestamp is good for 73 hours, as long as repeats come; an external
payment is looked up in the account's list, because the fields of its event are not documented.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

from connectors import access, base, lists
from connectors.payload import Payload, micros
from connectors.shapes import Moved
from connectors.signatures import DetachedJws
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import PaymentStatus, PayoutStatus, Record, RefundStatus, TransactionStatus

MAX_PAGES = 100
# How far back an external payment is looked for when its event comes.
LOOK_BACK = timedelta(days=7)
OVERLAP = timedelta(hours=1)
NOTES = ("invoice_number", "invoice_id", "invoice")
WAITING = "authorization_required authorizing authorized attempt_failed executed"
# Into a merchant account an executed payment is an order that the payer's bank took; only a settled one is money.
MERCHANT = words(PaymentStatus, PENDING=WAITING, SUCCEEDED="settled", FAILED="failed")
# To an account elsewhere TrueLayer sees no further than that.
ELSEWHERE = {**MERCHANT, "executed": PaymentStatus.SUCCEEDED}
REFUND = words(RefundStatus, PENDING="pending authorized", SUCCEEDED="executed", FAILED="failed")
PAYOUT = words(PayoutStatus, PENDING="pending authorized", PAID="executed", FAILED="failed")


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the client id and secret for a bearer token, good for an hour."""
    sandbox = "truelayer-sandbox" in credentials.settings.get("api_base", "")
    url = f"https://auth.truelayer{'-sandbox' if sandbox else ''}.com/connect/token"
    known = {
        "client_id": credentials.settings.get("client_id", ""),
        "client_secret": credentials.secret("client_secret"),
    }
    return (yield from access.trade(url, {"grant_type": "client_credentials", **known, "scope": "payments"}))


def _ask(*steps: str) -> lists.Asked:
    url = "/v3/" + "/".join(quote(step, safe="") for step in steps)
    return (yield from lists.get(url))


def _version(item: Payload) -> int:
    """The last thing that happened: every state has its own time."""
    times = (item.optional_iso(f"{word}_at") for word in ("authorized", "executed", "settled", "failed"))
    return micros(max([item.iso("created_at"), *filter(None, times)]))


def references(item: Payload, beneficiary: Payload | None) -> tuple[events.Reference, ...]:
    """What may name the invoice: metadata that the seller set, then what the payer reads on the statement."""
    metadata = item.optional_at("metadata")
    named = [(0, metadata.optional_identifier(key)) for key in NOTES] if metadata else []
    named.append((1, beneficiary.optional_identifier("reference") if beneficiary else None))
    return tuple(events.Reference(rank, text) for rank, text in named if text)


def _moved(item: Payload, identity: str) -> Moved:
    money = item.minor_money("amount_in_minor", item.currency("currency"), positive=True)
    at = item.iso("created_at")
    return Moved(object_id=item.same("id", identity), version=_version(item), money=money, occurred_at=at)


def fetch_payment(identity: str, credentials: base.Credentials) -> base.Talk:
    """A payment, whose events tell no amount."""
    item = yield from _ask("payments", identity)
    item.same("id", identity)
    method = item.at("payment_method")
    beneficiary = method.optional_at("beneficiary")
    ours = beneficiary is not None and beneficiary.optional_text("type") == "merchant_account"
    if ours and beneficiary and credentials.external_id and beneficiary.has("merchant_account_id"):
        beneficiary.same("merchant_account_id", credentials.external_id)
    status = item.choice("status", MERCHANT if ours else ELSEWHERE)
    payment = events.Payment(
        **_moved(item, identity),
        status=status,
        references=references(item, beneficiary),
        method=method.optional_text("type"),
        payer_name=(item.text_at("user", "name")) or (item.text_at("payment_source", "account_holder_name")),
        payer_email=item.text_at("user", "email"),
        bank_reference=beneficiary.optional_text("reference") if beneficiary else None,
        failure=item.optional_text("failure_reason") if status is PaymentStatus.FAILED else None,
    )
    return [payment]


def fetch_refund(payment_id: str, identity: str, credentials: base.Credentials) -> base.Talk:
    """Money given back out of a payment."""
    del credentials
    item = yield from _ask("payments", payment_id, "refunds", identity)
    refund = events.Refund(
        **_moved(item, identity),
        payment_id=payment_id,
        status=item.choice("status", REFUND),
        reason=item.optional_text("failure_reason") or item.optional_text("reference"),
    )
    return [refund]


def fetch_payout(identity: str, credentials: base.Credentials) -> base.Talk:
    """Money that leaves the merchant account: to the seller's own bank, or to somebody else."""
    item = yield from _ask("payouts", identity)
    item.same("id", identity)
    if credentials.external_id and item.has("merchant_account_id"):
        item.same("merchant_account_id", credentials.external_id)
    beneficiary = item.at("beneficiary")
    payout = events.Payout(
        **_moved(item, identity),
        status=item.choice("status", PAYOUT),
        bank_reference=beneficiary.optional_text("reference"),
        to_third_party=beneficiary.text("type") != "business_account",
    )
    return [payout]


def _account_id(credentials: base.Credentials, named: str | None = None) -> str:
    """The connection's merchant account, which an event must name where it names one."""
    if (account := credentials.external_id) is None:
        raise Permanent("the connection has no merchant account id")
    if named not in (None, account):
        raise MalformedPayload("merchant_account_id", "is not the connection's merchant account")
    return account


def fetch_account(named: str | None, credentials: base.Credentials) -> base.Talk:
    """The merchant account and its balance."""
    account = _account_id(credentials, named)
    item = yield from _ask("merchant-accounts", account)
    currency = item.currency("currency")
    merchant = events.BankAccount(
        object_id=item.same("id", account),
        version=micros(credentials.moment()),
        name=item.optional_text("account_holder_name") or f"TrueLayer {currency}",
        currency=currency,
        kind="merchant account",
        balance=item.minor_money("current_balance_in_minor", currency),
    )
    return [merchant]


def _listed(account: str, begin: datetime, end: datetime, cursor: str | None) -> base.Request:
    stamps = {"from": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    url = f"/v3/merchant-accounts/{quote(account, safe='')}/transactions"
    return base.Request(method="GET", url=url, params={**stamps, **lists.given(cursor=cursor)})


def _following(page: Payload) -> str | None:
    pagination = page.optional_at("pagination")
    return pagination.optional_identifier("next_cursor") if pagination else None


def external_of(item: Payload, account: str) -> events.BankTransaction:
    """Money that reached the account without a payment of TrueLayer's."""
    at = item.iso("settled_at")
    reference = item.text_at("remitter", "reference")
    payer = item.text_at("remitter", "account_holder_name")
    return events.BankTransaction(
        object_id=item.identifier("id"),
        version=micros(at),
        account_id=account,
        status=TransactionStatus.POSTED,
        money=item.minor_money("amount_in_minor", item.currency("currency"), positive=True),
        narration=" ".join(filter(None, (payer, reference))) or "External payment",
        occurred_at=at,
        counterparty=payer,
        bank_reference=reference,
        category="external payment",
    )


def fetch_external(named: str | None, credentials: base.Credentials) -> base.Talk:
    """The external payments of the last days, after the account they reached."""
    account, now = _account_id(credentials, named), credentials.moment()
    found = yield from fetch_account(named, credentials)
    listed = yield from lists.pages(
        lambda cursor: _listed(account, now - LOOK_BACK, now, cursor),
        _following,
        where="pagination.next_cursor",
        most=MAX_PAGES,
    )
    items = [one for page in listed for one in page.items("items")]
    return [*found, *(external_of(one, account) for one in items if one.text("type") == "external_payment")]


def pull_account(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One page of the account's list. The cursor is the window and the page, or where the next pull begins."""
    account, now = _account_id(credentials), credentials.moment()
    parts = cursor.split(" ", 2) if cursor else []
    begin = datetime.fromisoformat(parts[0]) if parts else since
    end, place = (datetime.fromisoformat(parts[1]), parts[2]) if len(parts) == 3 else (now, None)
    found: list[Record] = [] if place else (yield from fetch_account(None, credentials))
    page = (yield _listed(account, begin, end, place)).payload()
    for item in page.items("items"):
        kind = item.text("type")
        if kind == "external_payment":
            found.append(external_of(item, account))
        elif kind == "merchant_account_payment":
            found += yield from fetch_payment(item.identifier("payment_id"), credentials)
        elif kind == "refund":
            identities = item.identifier("payment_id"), item.identifier("refund_id")
            found += yield from fetch_refund(*identities, credentials)
        elif kind == "payout":
            found += yield from fetch_payout(item.identifier("payout_id"), credentials)
    if (following := _following(page)) is None:
        # A little is read again: what happened at the very end may be listed later.
        return base.Page(records=found, cursor=(end - OVERLAP).isoformat())
    return base.Page(records=found, cursor=f"{begin.isoformat()} {end.isoformat()} {following}", more=True)


def _of(*keys: str, talk: Callable[..., base.Talk]) -> base.Reader:
    return lambda item: base.Fetch(talk=partial(talk, *(item.identifier(key) for key in keys)))


def _of_account(talk: Callable[[str | None, base.Credentials], base.Talk]) -> base.Reader:
    return lambda item: base.Fetch(talk=partial(talk, item.optional_identifier("merchant_account_id")))


MANDATE = "a permission to collect later; each collection is a payment of its own"
LINK = "a state of the link; what is paid comes as a payment"

connector = base.Connector(
    slug="truelayer",
    title="TrueLayer",
    docs_url="https://docs.truelayer.com/docs/payment-webhooks",
    checked="2026-08-20",
    signature=DetachedJws(
        header="Tl-Signature",
        timestamp_header="X-TL-Webhook-Timestamp",
        addresses={
            "production": "https://webhooks.truelayer.com/.well-known/jwks",
            "sandbox": "https://webhooks.truelayer-sandbox.com/.well-known/jwks",
        },
    ),
    makes_secret=False,
    event_id=lambda item, _envelope: item.identifier("event_id"),
    event_name=lambda item: item.identifier("type" if item.has("type") else "event_type"),
    external_id=lambda item: item.optional_identifier("merchant_account_id"),
    api=base.Api(
        base="https://api.truelayer.com",
        authorize=authorize,
        also=("https://auth.truelayer.com", "https://auth.truelayer-sandbox.com"),
    ),
    pull=base.Pull(talk=pull_account, what="payments, refunds, payouts and external payments"),
    brings=("payments", "refunds", "payouts", "bank transactions"),
    fields=(
        access.secret(
            "webhook_secret",
            "Environment",
            "The word production, or sandbox: whose keys sign the webhooks.",
            required=True,
        ),
        access.setting("client_id", "Client id", "Of the application.", required=True),
        access.secret("client_secret", "Client secret", "Of the application.", required=True),
    ),
    steps=(
        "In TrueLayer's Console, open the application and copy its client id and secret into the connection.",
        "Enter the word production, or sandbox, as environment, and the merchant account's id as account.",
        "In the Console, under Payments, Settings, set the webhook URI to {url}, without a query.",
    ),
    events={
        **each(
            "payment_authorized payment_executed payment_settled payment_failed payment_creditable "
            "payment_settlement_stalled",
            _of("payment_id", talk=fetch_payment),
        ),
        **each("refund_executed refund_failed", _of("payment_id", "refund_id", talk=fetch_refund)),
        **each("payout_executed payout_failed", _of("payout_id", talk=fetch_payout)),
        "external_payment_received": _of_account(fetch_external),
        "balance_notification": _of_account(fetch_account),
    },
    ignored={
        **each("mandate_authorized mandate_failed mandate_revoked", MANDATE),
        **each("payment_link_payment_created payment_link_disabled", LINK),
    },
)
