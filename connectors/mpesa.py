"""M-PESA Daraja (Safaricom, Kenya): STK pushes, payments to a pay bill or till, and the results of operations.

Checked against the Daraja 3.0 portal pages as of December 2025. Nothing that Safaricom posts is signed, so a callback
is only ever a pointer: what it claims is looked up in Pull Transactions, the list of the short code, and the payment
is built from that list alone. Whatever brings a payment, its receipt number is its key. Decided where the pages are
silent: times without a zone are Kenyan (UTC+3), a listed time with a Z is UTC, the list is asked for with POST.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import TypeAlias

from connectors import access, base, naming
from connectors.payload import Payload, micros
from connectors.signatures import Unsigned
from core import events
from core.errors import MalformedPayload, Permanent, Transient
from core.money import Money

Rows: TypeAlias = Generator[base.Request, base.Response, tuple[Payload, ...]]

NAIROBI = timezone(timedelta(hours=3))
KEPT = timedelta(hours=48)
# A payment is looked for around its time, by Nairobi's clock and then, should the list be kept by it, by UTC's.
NEAR = timedelta(minutes=15)
CLOCKS = (timedelta(0), timedelta(hours=3))
# A payment may be listed a while after it was made, so each pull begins a little before the last one ended.
OVERLAP = timedelta(hours=1)
MAX_PAGES = 100
MAX_ROWS = 1_000_000
FORBIDDEN = ("mpesa", "m-pesa", "safaricom", "exe", "cmd", "sql", "query")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a callback says of a payment, and nobody has proven."""

    receipt: str
    money: Money
    at: datetime
    short_code: str | None = None


def moment(item: Payload, key: str) -> datetime:
    """A Kenyan local time such as 20231121121325, as number or text."""
    try:
        text = item.name(key)
        local = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=NAIROBI)  # It has no zone.
    except ValueError:
        raise item.wrong(key, "a time such as 20231121121325") from None
    if len(text) != 14 or not 1970 < local.year < 9998:
        raise item.wrong(key, "a time such as 20231121121325")
    return local


def named(item: Payload, key: str, label: str) -> Payload:
    """A list of names and values as one object. Items come in any order; some have no value; some stand twice."""
    found: dict[str, object] = {}
    for one in item.items(key):
        found.setdefault(one.identifier(label), one.value.get("Value") if isinstance(one.value, dict) else None)
    return Payload(found, item, (key,))


def code_of(item: Payload) -> str:
    """A result code, which is a number here and text there."""
    return item.name("ResultCode")


def event_name(item: Payload) -> str:
    """Callbacks name no event: their structure tells which it is."""
    if callback := item.optional_at("Body", "stkCallback"):
        return "stk.paid" if code_of(callback) == "0" else "stk.failed"
    if item.has("TransID"):
        # Before a payment is accepted there is no balance after it.
        balance = item.value.get("OrgAccountBalance") if isinstance(item.value, dict) else None
        return "c2b.validation" if balance in (None, "") else "c2b.confirmation"
    result = item.at("Result")
    if code_of(result) != "0":
        return "result.failed"
    parameters = result.optional_at("ResultParameters")
    known = named(parameters, "ResultParameter", "Key").keys() if parameters else ()
    kinds = {"OriginalTransactionID": "result.reversal", "TransactionStatus": "result.status"}
    kinds["AccountBalance"] = "result.balance"
    return next((name for key, name in kinds.items() if key in known), "result.other")


def event_id(item: Payload, _envelope: base.Envelope) -> str:
    """The operation's id. Of an unsigned notice it is kept with a digest of the body, as of every hint."""
    if callback := item.optional_at("Body", "stkCallback"):
        known = callback.identifier("CheckoutRequestID")
    elif result := item.optional_at("Result"):
        known = result.optional_identifier("OriginatorConversationID") or result.identifier("ConversationID")
    else:
        known = item.identifier("TransID")
    return f"{event_name(item)}:{known}"


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the app's key and secret for a bearer token, good for an hour."""
    given = yield base.Request(
        method="GET",
        url="/oauth/v1/generate",
        params={"grant_type": "client_credentials"},
        headers=access.basic(credentials.secret("consumer_key"), credentials.secret("consumer_secret")),
        authorized=False,
    )
    # Text in some answers, a number in others.
    life = given.payload().name("expires_in")
    seconds = min(int(life), 3600) if life.isdigit() else 60
    return base.Authorization(headers=access.token(given.payload().text("access_token")), expires_in_seconds=seconds)


def short_code_of(credentials: base.Credentials) -> str:
    """The pay bill or till. Raises Permanent."""
    if not credentials.external_id:
        raise Permanent("the connection has no short code")
    return credentials.external_id


def listed(short_code: str, begin: datetime, end: datetime, offset: int) -> Rows:
    """A stretch of the short code's payments. The list is nested once more than it needs to be."""
    window = [at.astimezone(NAIROBI).strftime("%Y-%m-%d %H:%M:%S") for at in (begin, end)]
    asked = {"ShortCode": short_code, "StartDate": window[0], "EndDate": window[1], "OffSetValue": str(offset)}
    answer = (yield base.Request(method="POST", url="/pulltransactions/v1/query", json=asked)).payload()
    if (code := answer.name("ResponseCode")) not in ("1000", "1001"):
        raise answer.wrong("ResponseCode", "1000 or 1001")
    whole = answer.value.get("Response") if isinstance(answer.value, dict) else None
    if code == "1001" or not isinstance(whole, list):
        return ()
    lists = [Payload(one, answer, ("Response", place)) for place, one in enumerate(whole)]
    return tuple(row for one in lists for row in one.items())


def payment_of(row: Payload, asked_at: datetime) -> events.Payment:
    """A payment as the short code's list tells it: the only proven statement there is."""
    receipt, name = row.identifier("transactionId"), row.optional_name("billreference")
    return events.Payment(
        object_id=receipt,
        version=micros(asked_at),
        status=events.PaymentStatus.SUCCEEDED,
        money=row.number_money("amount", "KES", positive=True),
        occurred_at=row.iso("trxDate", zone=NAIROBI),
        references=naming.references([(0, name)]),
        method=row.optional_text("transactiontype"),
        payer_name=row.optional_text("sender"),
        bank_reference=receipt,
    )


def is_payment(row: Payload) -> bool:
    """Whether a listed row is a customer's payment."""
    return row.text("transactiontype").lower().startswith("c2b")


def confirm_push(checkout: str, credentials: base.Credentials) -> Generator[base.Request, base.Response, None]:
    """Ask whether a push that a callback calls paid was paid."""
    short_code, passkey = short_code_of(credentials), credentials.secret("passkey")
    timestamp = credentials.moment().astimezone(NAIROBI).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{short_code}{passkey}{timestamp}".encode()).decode()
    asked = {"BusinessShortCode": short_code, "Password": password, "Timestamp": timestamp}
    asked["CheckoutRequestID"] = checkout
    answer = (yield base.Request(method="POST", url="/mpesa/stkpushquery/v1/query", json=asked)).payload()
    answer.same("CheckoutRequestID", checkout)
    if code_of(answer) != "0":
        raise answer.wrong("ResultCode", "0, as the callback says")


def fetch_payment(claim: Claim, checkout: str | None, credentials: base.Credentials) -> base.Talk:
    """Find what was claimed in the short code's list, or say why it cannot be believed."""
    short_code, now = short_code_of(credentials), credentials.moment()
    if claim.short_code not in (None, short_code):
        raise MalformedPayload("BusinessShortCode", "is not the connection's short code")
    if not now - KEPT < claim.at < now + NEAR:
        raise Permanent("M-PESA lists the last 48 hours, and the payment's time is outside of them")
    if checkout is not None:
        yield from confirm_push(checkout, credentials)
    for clock in CLOCKS:
        row = yield from find(claim.receipt, short_code, claim.at - clock)
        if row is not None:
            payment = payment_of(row, now)
            if payment.money != claim.money:
                raise row.wrong("amount", "the amount of the callback")
            return [payment]
    raise Transient("M-PESA does not list this receipt, or not yet")


def find(receipt: str, short_code: str, at: datetime) -> Generator[base.Request, base.Response, Payload | None]:
    """A payment in the list around a time, or None."""
    offset = 0
    for _ in range(MAX_PAGES):
        rows = yield from listed(short_code, at - NEAR, at + NEAR, offset)
        for row in rows:
            if row.identifier("transactionId") == receipt and is_payment(row):
                return row
        if not rows:
            return None
        offset += len(rows)
    raise MalformedPayload("Response", f"does not end after {MAX_PAGES} pages")


def read_push(item: Payload) -> base.Reading:
    """A paid push. It names no invoice; the list does."""
    callback = item.at("Body", "stkCallback")
    told = named(callback.at("CallbackMetadata"), "Item", "Name")
    money, receipt = told.number_money("Amount", "KES", positive=True), told.identifier("MpesaReceiptNumber")
    claim = Claim(receipt=receipt, money=money, at=moment(told, "TransactionDate"))
    return base.Fetch(talk=partial(fetch_payment, claim, callback.identifier("CheckoutRequestID")))


def read_confirmation(item: Payload) -> base.Reading:
    """A payment to the pay bill or till."""
    claim = Claim(
        receipt=item.identifier("TransID"),
        money=item.number_money("TransAmount", "KES", positive=True),
        at=moment(item, "TransTime"),
        short_code=item.name("BusinessShortCode"),
    )
    return base.Fetch(talk=partial(fetch_payment, claim, None))


def read_reversal(item: Payload) -> base.Reading:
    """Money given back. Daraja confirms it only by a further callback that nobody signed, so a person decides."""
    told = named(item.at("Result", "ResultParameters"), "ResultParameter", "Key")
    money, receipt = told.number_money("Amount", "KES", positive=True), item.at("Result").identifier("TransactionID")
    claim = Claim(receipt=receipt, money=money, at=moment(told, "TransCompletedTime"))
    return base.Fetch(talk=partial(fetch_reversal, claim, told.identifier("OriginalTransactionID")))


def fetch_reversal(claim: Claim, original: str, credentials: base.Credentials) -> base.Talk:
    """Nothing can be asked that proves a reversal: say so where a person reads it. Raises Permanent."""
    yield from ()
    del credentials
    raise Permanent(
        f"{claim.receipt} is said to give back {claim.money.to_decimal():f} KES of {original}. M-PESA has no way to "
        "confirm that: check it in the M-PESA portal and enter the refund by hand"
    )


def pull_payments(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One stretch of the list. The cursor is the window and the rows that were read of it, or where the next begins."""
    now = credentials.moment()
    begin, end, offset = _window(cursor, since, now)
    rows = yield from listed(short_code_of(credentials), begin, end, offset)
    payments = [payment_of(row, now) for row in rows if is_payment(row)]
    offset += len(rows)
    if offset > MAX_ROWS:
        raise MalformedPayload("Response", "does not end")
    if rows:
        return base.Page(records=payments, cursor=f"{begin.isoformat()} {end.isoformat()} {offset}", more=True)
    return base.Page(records=payments, cursor=(end - OVERLAP).isoformat())


def _window(cursor: str | None, since: datetime, now: datetime) -> tuple[datetime, datetime, int]:
    """Begin, end and offset that a cursor says. Raises MalformedPayload."""
    parts = cursor.split(" ") if cursor else [since.isoformat()]
    try:
        begin, *end = [datetime.fromisoformat(part).astimezone(UTC) for part in parts[:2]]
        return (begin, end[0], int(parts[2])) if end else (max(begin, now - KEPT), now, 0)
    except (ValueError, IndexError, OverflowError):
        raise MalformedPayload("cursor", "is none of ours") from None


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """Have the short code's payments listed. Addresses can be registered once, and not be looked at: a person does."""
    if word := next((word for word in FORBIDDEN if word in url.lower()), None):
        raise Permanent(f"M-PESA refuses addresses that contain {word!r}")
    short_code = short_code_of(credentials)
    if not (number := credentials.settings.get("nominated_number")):
        raise Permanent("the connection has no nominated number, with which payments are registered to be listed")
    asked = {"ShortCode": short_code, "RequestType": "Pull", "NominatedNumber": number, "CallBackURL": url}
    answer = (yield base.Request(method="POST", url="/pulltransactions/v1/register", json=asked)).payload()
    # 1001 says that it is registered already.
    code = answer.optional_name("ResponseStatus") or answer.name("ResponseCode")
    if code not in ("1000", "1001"):
        raise Permanent(f"M-PESA did not register the short code for Pull Transactions: {code[:20]}")
    return base.Registration(state="created" if code == "1000" else "kept")


def challenge(delivery: base.Delivery, secrets: object) -> base.Answer | None:
    """Validation asks whether a payment may be made. It may: refusing money is the owner's business, not ours."""
    del secrets
    if delivery.method != "POST" or b"TransID" not in delivery.body:
        return None
    try:
        asked = event_name(Payload.from_bytes(delivery.body)) == "c2b.validation"
    except MalformedPayload:
        return None
    return ACCEPTED if asked else None


ACCEPTED = base.Answer(body=b'{"ResultCode":"0","ResultDesc":"Accepted"}', content_type="application/json")
IGNORED: Mapping[str, str] = {
    "c2b.validation": "a question that was answered; the payment is told by its confirmation",
    "stk.failed": "nothing was paid, and the notice names neither amount nor payer",
    "result.failed": "the operation failed and moved no money",
    "result.status": "the answer to a question somebody else asked; nothing moves by it",
    "result.balance": "a balance that nobody signed; the ledger counts by itself",
}

connector = base.Connector(
    slug="mpesa",
    title="M-PESA",
    docs_url="https://developer.safaricom.co.ke/apis",
    checked="2025-12-28",
    signature=Unsigned(),
    opaque_address=True,
    event_id=event_id,
    event_name=event_name,
    external_id=lambda item: item.optional_name("BusinessShortCode"),
    events={"stk.paid": read_push, "c2b.confirmation": read_confirmation, "result.reversal": read_reversal},
    ignored=IGNORED,
    accepted=base.Answer(body=b'{"ResultCode":0,"ResultDesc":"Success"}', content_type="application/json"),
    challenge=challenge,
    api=base.Api(base="https://api.safaricom.co.ke", authorize=authorize, rate_per_second=2),
    pull=base.Pull(talk=pull_payments, what="payments of the last 48 hours", every_seconds=1800, days=2),
    register=register,
    brings=("payments",),
    fields=(
        access.setting("external_id", "Short code", "The pay bill or till number.", required=True),
        access.secret("consumer_key", "Consumer key", required=True),
        access.secret("consumer_secret", "Consumer secret", required=True),
        access.secret("passkey", "Passkey", "Needed for STK pushes (Lipa na M-PESA)."),
        access.setting(
            "nominated_number",
            "Nominated number",
            "The phone number on the short code's record; needed once to list payments.",
        ),
    ),
    steps=(
        "Make an app in the Daraja portal with the products C2B, M-PESA Express and Pull Transactions.",
        "Enter the short code and the app's consumer key and secret here, and the passkey if you send STK pushes.",
        "Register {url} as ConfirmationURL and ValidationURL (C2B register URL, version 2, ResponseType Completed).",
        "Give {url} as the CallBackURL of every STK push and as the ResultURL of every reversal.",
        "Ask Safaricom to let the short code use Pull Transactions: without it no payment can be confirmed.",
    ),
)
