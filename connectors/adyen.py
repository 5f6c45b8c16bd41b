"""Adyen: card and local payments by standard webhooks, and balance accounts by platform webhooks.

Checked against Adyen's OpenAPI files at aa014f0 (2026-07-01) and the Python library 16.0.0.
Only eight fields of a standard item are signed: two references, the account, the shop's reference, amount, currency,
event code and success. Money therefore rests on those alone: the event code, and not the unsigned eventDate, says
which of two statements is newer. What else is read is shown and decides nothing.
Whether an authorisation is money depends on when the account captures, which is not signed either, so the owner of
the connection says it (`capture`). Platform bodies are signed whole.
Unverified: how often an event comes again with other content; equal statuses are then settled by their content.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, quote, urlsplit

from connectors import access, base, naming
from connectors.payload import Payload, micros
from connectors.shapes import Moved
from connectors.signatures import ItemHmac
from connectors.tables import each
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import DisputeStatus, PaymentStatus, PayoutStatus, Record, RefundStatus, TransactionStatus
from core.money import Money

# Where Adyen counts other decimal places than ISO 4217.
PLACES = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}
SUCCESS = {"true": True, "false": False}
# Adyen takes disputed money with the chargeback, gives it back when that is reversed, and may take it once more.
DISPUTE = {
    "REQUEST_FOR_INFORMATION": (DisputeStatus.OPEN, False),
    "NOTIFICATION_OF_CHARGEBACK": (DisputeStatus.OPEN, False),
    "CHARGEBACK": (DisputeStatus.UNDER_REVIEW, True),
    "CHARGEBACK_REVERSED": (DisputeStatus.WON, False),
    "PREARBITRATION_WON": (DisputeStatus.WON, False),
    "SECOND_CHARGEBACK": (DisputeStatus.LOST, True),
    "PREARBITRATION_LOST": (DisputeStatus.LOST, True),
}
# What a modification makes of a refund when it succeeded and when it did not; None: nothing.
REFUND: Mapping[str, tuple[RefundStatus, RefundStatus | None]] = {
    "REFUND": (RefundStatus.SUCCEEDED, RefundStatus.FAILED),
    "CANCEL_OR_REFUND": (RefundStatus.SUCCEEDED, RefundStatus.FAILED),
    "POSTPONED_REFUND": (RefundStatus.PENDING, RefundStatus.FAILED),
    "VOID_PENDING_REFUND": (RefundStatus.FAILED, None),
    "REFUND_FAILED": (RefundStatus.RETURNED, None),
    "REFUNDED_REVERSED": (RefundStatus.RETURNED, None),
}
PAYOUT: Mapping[str, tuple[PayoutStatus, PayoutStatus | None]] = {
    "REFUND_WITH_DATA": (PayoutStatus.PAID, PayoutStatus.FAILED),
    "PAYOUT_THIRDPARTY": (PayoutStatus.PAID, PayoutStatus.FAILED),
    "PAYOUT_DECLINE": (PayoutStatus.FAILED, None),
    "PAYOUT_EXPIRE": (PayoutStatus.FAILED, None),
    "PAIDOUT_REVERSED": (PayoutStatus.REVERSED, None),
}
SIGN = {"incoming": 1, "outgoing": -1}
# States of a transfer in which its money is only announced.
ANNOUNCED = {"received", "authorised", "pendingApproval"}
OVERLAP = timedelta(days=1)
MANAGEMENT = "https://management-live.adyen.com"
MAX_PAGES = 100


def split(body: Payload) -> Iterable[Payload]:
    """The items of a standard webhook; a platform webhook is one event."""
    if not body.value or not isinstance(body.value, dict) or "notificationItems" not in body.value:
        return (body,)
    return [wrapper.at("NotificationRequestItem") for wrapper in body.items("notificationItems")]


def is_item(event: Payload) -> bool:
    """Whether it is an item of a standard webhook."""
    return "eventCode" in event.keys()  # noqa: SIM118  # A Payload is no dict.


def event_id(event: Payload, _envelope: base.Envelope) -> str:
    """There is none: what is signed and stays equal on a repeat. A hash where a platform event names no object."""
    if is_item(event):
        return f"{event.text('eventCode')}:{event.identifier('pspReference')}:{event.text('success')}"
    data = event.optional_at("data")
    if data is None or not (identity := data.optional_text("id")):
        return naming.item_id(event)
    count = data.optional_integer("sequenceNumber")
    return f"{event.text('type')}:{identity}" + ("" if count is None else f":{count}")


def account_of(event: Payload) -> str | None:
    """The merchant account, which is signed; of a platform event its balance platform."""
    if is_item(event):
        return event.optional_identifier("merchantAccountCode")
    data = event.optional_at("data")
    return data.optional_identifier("balancePlatform") if data else None


def money(amount: Payload, key: str = "value") -> Money:
    """Minor units as Adyen counts them."""
    currency = amount.currency("currency")
    return amount.minor_money(key, currency, places=PLACES.get(currency))


def succeeded(item: Payload) -> bool:
    """Whether what the code names was done; "false" turns the meaning round."""
    return item.choice("success", SUCCESS)


def _moved(item: Payload, identity: str, amount: Money, version: int = 0) -> Moved:
    return Moved(object_id=identity, version=version, money=amount, occurred_at=item.iso("eventDate"))


def payment_of(item: Payload, identity: str, status: PaymentStatus, rank: int) -> list[Record]:
    """A payment at some stage; one of nothing is a card check, and no payment."""
    amount = money(item.at("amount"))
    if amount.minor <= 0:
        return []
    reason = item.optional_text("reason")
    payment = events.Payment(
        **_moved(item, identity, amount, rank),
        status=status,
        references=naming.references([(0, item.optional_identifier("merchantReference"))]),
        method=item.optional_text("paymentMethod"),
        failure=(reason or item.text("eventCode").lower()) if status is PaymentStatus.FAILED else None,
    )
    return [payment]


def refund_of(item: Payload, status: RefundStatus, reason: str | None) -> list[Record]:
    """Money that goes back out of a payment. The modification's own reference is its id."""
    payment_id, amount = item.identifier("originalReference"), money(item.at("amount"))
    if amount.minor <= 0:
        return []
    moved = _moved(item, item.identifier("pspReference"), amount)
    return [events.Refund(**moved, payment_id=payment_id, status=status, reason=reason)]


def _captures_alone(credentials: base.Credentials) -> bool:
    capture = credentials.settings.get("capture") or "automatic"
    if capture not in {"automatic", "manual"}:
        raise Permanent("the connection's capture must be automatic or manual")
    return capture == "automatic"


def authorised(item: Payload, credentials: base.Credentials) -> base.Talk:
    """An authorisation. It is money where the account captures by itself, and waits for CAPTURE where it does not."""
    yield from ()
    if not succeeded(item):
        status = PaymentStatus.FAILED
    else:
        status = PaymentStatus.SUCCEEDED if _captures_alone(credentials) else PaymentStatus.PENDING
    return payment_of(item, item.identifier("pspReference"), status, 0)


def cancelled(item: Payload, credentials: base.Credentials) -> base.Talk:
    """An authorisation that ended before its capture: what already counted as paid goes back."""
    yield from ()
    if not succeeded(item):
        return []
    found = payment_of(item, item.identifier("originalReference"), PaymentStatus.FAILED, 0)
    if _captures_alone(credentials):
        found += refund_of(item, RefundStatus.SUCCEEDED, "cancelled before it was captured")
    return found


def _judged_later(item: Payload, key: str, talk: Callable[[Payload, base.Credentials], base.Talk]) -> base.Fetch:
    """A talk that needs the connection's settings and nothing of Adyen; what it reads is checked at once."""
    succeeded(item)
    item.identifier(key)
    money(item.at("amount"))
    item.iso("eventDate")
    return base.Fetch(talk=partial(talk, item))


def read_authorised(item: Payload) -> base.Reading:
    """An authorisation; how it counts is the connection's to say, and nothing is asked of Adyen."""
    return _judged_later(item, "pspReference", authorised)


def read_cancelled(item: Payload) -> base.Reading:
    """An authorisation that is cancelled or expired."""
    return _judged_later(item, "originalReference", cancelled)


def read_capture(item: Payload) -> base.Reading:
    """The money of an authorisation; a partial capture is the payment's amount."""
    status = PaymentStatus.SUCCEEDED if succeeded(item) else PaymentStatus.FAILED
    return payment_of(item, item.identifier("originalReference"), status, 1)


def read_capture_failed(item: Payload) -> base.Reading:
    """A capture that failed after it was accepted: the money that was counted does not come."""
    if not succeeded(item):
        return []
    failed = payment_of(item, item.identifier("originalReference"), PaymentStatus.FAILED, 1)
    return failed + refund_of(item, RefundStatus.SUCCEEDED, "the capture failed")


def read_refund(item: Payload) -> base.Reading:
    """A modification that gives money back, or takes that back."""
    good, bad = REFUND[item.text("eventCode")]
    status = good if succeeded(item) else bad
    return [] if status is None else refund_of(item, status, item.optional_text("reason"))


def read_dispute(item: Payload) -> base.Reading:
    """A stage of a dispute; all stages have the dispute's own reference.

    Where Adyen is not asked to send the payment's reference it is missing, and nothing says which payment is meant.
    """
    status, taken = DISPUTE[item.text("eventCode")]
    payment_id, amount = item.identifier("originalReference"), money(item.at("amount"))
    more = item.optional_at("additionalData")
    if not succeeded(item) or amount.minor <= 0:
        return []
    dispute = events.Dispute(
        **_moved(item, item.identifier("pspReference"), amount),
        payment_id=payment_id,
        status=status,
        deducted=amount if taken else Money(0, amount.currency),
        reason=item.optional_text("reason"),
        respond_by=more.optional_iso("defensePeriodEndsAt") if more else None,
    )
    return [dispute]


def read_payout(item: Payload) -> base.Reading:
    """Money sent to somebody else's card or account."""
    good, bad = PAYOUT[item.text("eventCode")]
    status, amount = good if succeeded(item) else bad, money(item.at("amount"))
    identity = item.optional_identifier("originalReference") or item.identifier("pspReference")
    if status is None or amount.minor <= 0:
        return []
    if item.text("eventCode") in {"REFUND_WITH_DATA", "PAYOUT_THIRDPARTY"}:
        identity = item.identifier("pspReference")
    return [events.Payout(**_moved(item, identity, amount), status=status, to_third_party=True)]


def balance_account(data: Payload, currency: str) -> events.BankAccount:
    """A balance account in one of its currencies."""
    account = data.at("balanceAccount")
    identity = account.identifier("id")
    name = account.optional_text("description") or identity
    return events.BankAccount(
        object_id=f"{identity}:{currency}"[:255], version=0, name=name, currency=currency, kind="balance account"
    )


def transaction_of(data: Payload) -> list[Record]:
    """A booked line of a balance account; its amount is signed."""
    amount = money(data.at("amount"))
    account, booked = balance_account(data, amount.currency), data.iso("bookingDate")
    told = [data.optional_text(key) for key in ("description", "referenceForBeneficiary", "reference")]
    named = data.text_at("transfer", "reference")
    line = events.BankTransaction(
        object_id=data.identifier("id"),
        version=micros(booked),
        account_id=account.object_id,
        status=data.choice("status", {"booked": TransactionStatus.POSTED, "pending": TransactionStatus.PENDING}),
        money=amount,
        narration=" ".join(filter(None, (text.strip() for text in [*told, named] if text))) or data.identifier("id"),
        occurred_at=data.iso("valueDate") if data.has("valueDate") else booked,
    )
    return [account, line]


def read_transaction(event: Payload) -> base.Reading:
    """A booked line, as the platform webhook tells it."""
    return transaction_of(event.at("data"))


def read_transfer(event: Payload) -> base.Reading:
    """A transfer on its way, and each line that it has booked so far.

    Until it is booked it is a pending line under its own id; then that is gone, and what was booked has the ids that
    transaction.created uses too, so that both webhooks speak of the same line.
    """
    data = event.at("data")
    amount = money(data.at("amount"))
    account, count = balance_account(data, amount.currency), data.integer("sequenceNumber")
    told = [data.optional_text(key) for key in ("description", "reference", "referenceForBeneficiary")]
    narration = " ".join(filter(None, (text.strip() for text in told if text))) or data.identifier("id")
    announced = data.text("status") in ANNOUNCED
    created = data.iso("creationDate" if data.has("creationDate") else "createdAt")
    records: list[Record] = [
        account,
        events.BankTransaction(
            object_id=data.identifier("id"),
            version=count,
            account_id=account.object_id,
            status=TransactionStatus.PENDING if announced else TransactionStatus.REMOVED,
            money=Money(data.choice("direction", SIGN) * amount.minor, amount.currency),
            narration=narration,
            occurred_at=created,
            category=data.optional_text("category"),
        ),
    ]
    for one in data.optional_items("events"):
        moved = [change for change in one.optional_items("mutations") if change.has("balance")]
        if not one.has("transactionId") or not moved:
            continue
        # A line has one currency; a transfer between currencies books a line for each.
        if len(moved) != 1:
            raise one.wrong("mutations", "one change of the balance for one transaction")
        booked_money = money(moved[0], "balance")
        home = balance_account(data, booked_money.currency)
        records += [home] if home != account else []
        records.append(
            events.BankTransaction(
                object_id=one.identifier("transactionId"),
                version=count,
                account_id=home.object_id,
                status=TransactionStatus.POSTED,
                money=booked_money,
                narration=narration,
                occurred_at=one.iso("valueDate" if one.has("valueDate") else "bookingDate"),
                category=data.optional_text("category"),
            )
        )
    return records


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of booked lines. An account without a balance platform has nothing that could be listed."""
    platform = credentials.settings.get("balance_platform")
    if not platform:
        return base.Page(records=())
    begin, end, page = (cursor or f"{since.isoformat()} - ").split(" ", 2)
    end = credentials.moment().isoformat() if end == "-" else end
    params = {"balancePlatform": platform, "createdSince": begin, "createdUntil": end, "limit": "100"}
    answer = yield base.Request(
        method="GET", url="/btl/v4/transactions", params=params | ({"cursor": page} if page else {})
    )
    listed = answer.payload()
    records: list[Record] = []
    for one in listed.optional_items("data"):
        one.same("balancePlatform", platform)
        records += transaction_of(one)
    following = listed.optional_at("_links", "next")
    if following is not None:
        try:
            further = parse_qs(urlsplit(following.text("href")).query).get("cursor", [""])[0]
        except ValueError:
            further = ""
        if not further or further == page:
            raise following.wrong("href", "a link to another page")
        return base.Page(records=records, cursor=f"{begin} {end} {further}", more=True)
    return base.Page(records=records, cursor=f"{(datetime.fromisoformat(end) - OVERLAP).isoformat()} - ")


def _webhooks(path: str) -> Generator[base.Request, base.Response, list[Payload]]:
    """Every webhook of a merchant account. A list that does not end is refused."""
    found: list[Payload] = []
    for number in range(1, MAX_PAGES + 1):
        params = {"pageNumber": str(number), "pageSize": "100"}
        page = (yield base.Request(method="GET", url=path, params=params)).payload()
        found += page.optional_items("data")
        if number >= (page.optional_integer("pagesTotal") or 1):
            return found
    raise MalformedPayload("pagesTotal", f"is more than {MAX_PAGES}")


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """The standard webhook of this address; a new one gets an HMAC key, which Adyen shows once."""
    if not credentials.external_id:
        raise Permanent("the connection needs its merchant account as external id")
    path = f"{MANAGEMENT}/v3/merchants/{quote(credentials.external_id, safe='')}/webhooks"
    wanted = {"active": True, "communicationFormat": "json"}
    for one in (yield from _webhooks(path)):
        if one.optional_text("url") != url or one.optional_text("type") != "standard":
            continue
        if one.optional_boolean("active") and one.optional_text("communicationFormat") == "json":
            return base.Registration(state="kept")
        yield base.Request(method="PATCH", url=f"{path}/{quote(one.identifier('id'), safe='')}", json=wanted)
        return base.Registration(state="repaired")
    made = yield base.Request(method="POST", url=path, json={**wanted, "type": "standard", "url": url})
    identity = quote(made.payload().identifier("id"), safe="")
    key = yield base.Request(method="POST", url=f"{path}/{identity}/generateHmac", json={})
    return base.Registration(state="created", secret=key.payload().identifier("hmacKey"))


ORDERS = "gathers payments of one basket, each of which is told by itself"
REVIEW = "a check before the payment; what came of it is told by AUTHORISATION or CANCELLATION"

connector = base.Connector(
    slug="adyen",
    title="Adyen",
    docs_url="https://docs.adyen.com/development-resources/webhooks/",
    checked="2026-07-01",
    signature=ItemHmac(),
    # Adyen makes the HMAC key of a webhook.
    makes_secret=False,
    # What is not accepted is queued and sent again for thirty days.
    resend_days=35,
    accepted=base.Answer(body=b"[accepted]"),
    split=split,
    event_id=event_id,
    event_name=lambda event: event.identifier("eventCode" if is_item(event) else "type"),
    external_id=account_of,
    api=base.Api(
        base="https://balanceplatform-api-live.adyen.com",
        authorize=access.fixed(lambda held: {"X-API-Key": held.secret("api_key")}, seconds=3600),
        also=(MANAGEMENT,),
    ),
    register=register,
    pull=base.Pull(talk=pull, what="transactions of balance accounts"),
    brings=("payments", "refunds", "disputes", "payouts to others", "bank transactions"),
    fields=(
        access.secret("webhook_secret", "HMAC key", "In hexadecimal, as Adyen shows it once."),
        access.setting(
            "capture", "Capture", "automatic (also when empty), or manual where each payment is captured by request."
        ),
        access.setting("balance_platform", "Balance platform", "Only to list transactions of a platform."),
        access.secret("api_key", "API key", "To add the webhook, or to list transactions."),
    ),
    steps=(
        "In the Customer Area, under Developers, Webhooks, add a Standard webhook with the address {url}.",
        "Generate an HMAC key for it and copy the key into the connection; Adyen shows it once.",
        "Give the connection the merchant account as its external id, and say whether captures are automatic.",
        "Under Additional settings, have the dispute's and the payment's reference sent with dispute events.",
        "For a balance platform, make a connection of its own, and add its webhooks there with another key.",
    ),
    events={
        "AUTHORISATION": read_authorised,
        "CAPTURE": read_capture,
        "CAPTURE_FAILED": read_capture_failed,
        **each("CANCELLATION TECHNICAL_CANCEL EXPIRE", read_cancelled),
        **dict.fromkeys(REFUND, read_refund),
        **dict.fromkeys(DISPUTE, read_dispute),
        **dict.fromkeys(PAYOUT, read_payout),
        **each("balancePlatform.transfer.created balancePlatform.transfer.updated", read_transfer),
        "balancePlatform.transaction.created": read_transaction,
    },
    ignored={
        "AUTHORISATION_ADJUSTMENT": "another amount is reserved; what is taken comes as CAPTURE",
        **each("INFORMATION_SUPPLIED ISSUER_COMMENTS", "words in a dispute; no money moves by them"),
        "DISPUTE_DEFENSE_PERIOD_ENDED": "the time to answer is over; what was taken stays as it is",
        "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": "the bank did not answer; the reversal was told before",
        "NOTIFICATION_OF_FRAUD": "a warning; a chargeback may follow and comes by itself",
        **each("ORDER_OPENED ORDER_CLOSED OFFER_CLOSED", ORDERS),
        "RECURRING_CONTRACT": "a stored means of payment; no money moved",
        **each("MANUAL_REVIEW_ACCEPT MANUAL_REVIEW_REJECT", REVIEW),
        "REPORT_AVAILABLE": "a file to be fetched under credentials of its own",
        **each(
            "balancePlatform.dispute.created balancePlatform.dispute.updated",
            "a dispute by a holder of an issued card; its money comes as transactions",
        ),
        **each(
            "balancePlatform.balanceAccount.created balancePlatform.balanceAccount.updated",
            "an account is listed with its first transaction",
        ),
        "balancePlatform.report.created": "a file to be fetched under credentials of its own",
    },
)
