"""Braintree: transactions, refunds, disputes, disbursements and subscription charges.

Checked against the Python library 4.48.0 (80b03f4, 2026-06-16); the search against Braintree's GraphQL guide.
A notice is XML inside a form, a snapshot of one object with the notice's own time, which is its version. Ordinary card
sales are not announced: they are searched for, and what a disbursement brings is told as a payout.
Unverified: whether a retry repeats time and text. The key of an event is kind, time and object; were it another one,
the same would be read twice, which changes nothing. The search's refunds; the guide shows transactions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from xml.etree.ElementTree import Element, ParseError  # Types only; defusedxml parses.

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from connectors import access, base, naming
from connectors.payload import MAX_DEPTH, Payload, micros
from connectors.shapes import SENT, Moved, withdrawn
from connectors.signatures import FormHmac, form_field
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload, Permanent
from core.events import DisputeStatus, PaymentStatus, PayoutStatus, Record, RefundStatus
from core.money import Money

FAILED = "settlement_declined settlement_failed processor_declined gateway_rejected failed voided authorization_expired"
ON_ITS_WAY = "authorizing authorized submitted_for_settlement settling settlement_pending settlement_confirmed"
PAYMENT = words(PaymentStatus, PENDING=ON_ITS_WAY, FAILED=FAILED, SUCCEEDED="settled")
REFUND = words(RefundStatus, PENDING=ON_ITS_WAY, FAILED=FAILED, SUCCEEDED="settled")
DISPUTE = words(
    DisputeStatus,
    OPEN="open",
    UNDER_REVIEW="under_review disputed",
    WON="won",
    # Given in, by hand or by rule, or not answered in time: the money is gone all the same.
    LOST="lost accepted auto_accepted expired",
)
IDS = ("id", "payment-id", "transaction-id", "merchant-id", "merchant-public-id", "token")
OVERLAP = timedelta(days=14)


def decode(body: bytes) -> Payload:
    """The notification inside the form. Raises MalformedPayload."""
    try:
        document = base64.b64decode(form_field(body, "bt_payload").replace("\n", ""), validate=True)
        root: Element = fromstring(document, forbid_dtd=True)
    except (binascii.Error, ParseError, DefusedXmlException, LookupError, ValueError):
        raise MalformedPayload("bt_payload", "is not base64 of an XML document without a DTD") from None
    if root.tag != "notification":
        raise MalformedPayload("bt_payload", "is no notification")
    value = _value(root, MAX_DEPTH)
    if not isinstance(value, dict):
        raise MalformedPayload("bt_payload", "is an empty notification")
    return Payload(value)


def _value(element: Element, depth: int) -> object:
    """An element as JSON has it: its attributes say of what type it is."""
    if depth == 0:
        raise MalformedPayload("bt_payload", f"nests deeper than {MAX_DEPTH} levels")
    if element.get("nil") == "true":
        return None
    if element.get("type") == "array":
        return [_value(child, depth - 1) for child in element]
    if len(element):
        return {child.tag: _value(child, depth - 1) for child in element}
    text = (element.text or "").strip()
    if element.get("type") == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def subject_of(item: Payload) -> Payload:
    """What a notice is about; where Braintree wraps it into an answer to a request, what is inside."""
    subject = item.at("subject")
    return subject.optional_at("api-error-response") or subject


def event_id(item: Payload, _envelope: base.Envelope) -> str:
    """There is none: kind, time and object stand for it, or a hash where the object has no id."""
    subject = item.optional_at("subject")
    subject = subject_of(item) if subject else item
    for key in subject.keys():  # noqa: SIM118  # A Payload is no dict.
        inner = subject.optional_at(key)
        found = next((text for name in IDS if inner and (text := _text(inner, name))), None)
        if found:
            return f"{item.identifier('kind')}:{item.identifier('timestamp')}:{found}"
    return naming.item_id(item)


def _text(item: Payload, name: str) -> str | None:
    value = item.value.get(name) if isinstance(item.value, dict) else None
    # Ids are far shorter; kind, time and id must fit an index together.
    return value if isinstance(value, str) and 0 < len(value) <= 100 else None


def money(item: Payload, key: str = "amount", *, positive: bool = True) -> Money:
    """Decimal text in major units."""
    return item.decimal_money(key, item.currency("currency-iso-code"), positive=positive)


def transaction_of(item: Payload, told_at: datetime, *, settled: bool = False) -> Record:
    """A sale, or the credit that gives one back. `settled` where the notice itself says that the money arrived."""
    moved = _moved(item, told_at)
    if item.optional_text("type") == "credit":
        refund = RefundStatus.SUCCEEDED if settled else item.choice("status", REFUND)
        return _refund(item, moved, refund)
    status = PaymentStatus.SUCCEEDED if settled else item.choice("status", PAYMENT)
    customer = item.optional_at("customer")
    names = [customer.optional_text(key) for key in ("first-name", "last-name")] if customer else []
    holder = item.text_at("credit-card", "cardholder-name")
    named = [(0, item.optional_text("order-id")), (1, item.optional_text("purchase-order-number"))]
    return events.Payment(
        **moved,
        status=status,
        references=naming.references(named),
        method=item.optional_text("payment-instrument-type"),
        payer_name=" ".join(filter(None, names)) or holder,
        payer_email=customer.optional_text("email") if customer else None,
        failure=(item.optional_text("processor-response-text") or item.text("status").replace("_", " "))
        if status is PaymentStatus.FAILED
        else None,
    )


def _moved(item: Payload, told_at: datetime) -> Moved:
    at, identity = item.optional_iso("created-at") or told_at, item.identifier("id")
    return Moved(object_id=identity, version=micros(told_at), money=money(item), occurred_at=at)


def _refund(item: Payload, moved: Moved, status: RefundStatus) -> Record:
    """A credit; one that gives back no sale is money sent to somebody."""
    if item.has("refunded-transaction-id"):
        return events.Refund(**moved, payment_id=item.identifier("refunded-transaction-id"), status=status)
    return events.Payout(**moved, status=SENT[status], to_third_party=True)


def read_transaction(item: Payload) -> base.Reading:
    """A transaction as its status says."""
    return [transaction_of(subject_of(item).at("transaction"), item.iso("timestamp"))]


def read_disbursed(item: Payload) -> base.Reading:
    """A transaction whose money is on its way to the bank: it has settled."""
    return [transaction_of(subject_of(item).at("transaction"), item.iso("timestamp"), settled=True)]


def read_refund_failed(item: Payload) -> base.Reading:
    """A refund that the payer's bank did not take, perhaps after it had settled."""
    credit = subject_of(item).at("transaction")
    return [_refund(credit, _moved(credit, item.iso("timestamp")), RefundStatus.RETURNED)]


def read_subscription(item: Payload) -> base.Reading:
    """The charges of a subscription, newest first, each as its status says."""
    charges = subject_of(item).at("subscription").items("transactions")
    return [transaction_of(charge, item.iso("timestamp")) for charge in charges]


def _read_local(name: str) -> Callable[[Payload], base.Reading]:
    def read(item: Payload) -> base.Reading:
        """A local payment, as far as it became a transaction."""
        transaction = subject_of(item).at(name).optional_at("transaction")
        return [transaction_of(transaction, item.iso("timestamp"))] if transaction else []

    return read


def read_dispute(item: Payload) -> base.Reading:
    """A dispute. A bank's question about a sale (a retrieval) takes nothing, however it ends."""
    dispute = subject_of(item).at("dispute")
    status, amount = dispute.choice("status", DISPUTE), money(dispute, "amount-disputed")
    if dispute.optional_text("kind") == "retrieval" and status is DisputeStatus.LOST:
        status = DisputeStatus.CLOSED
    due = dispute.optional_day("reply-by-date")
    record = events.Dispute(
        object_id=dispute.identifier("id"),
        version=micros(item.iso("timestamp")),
        payment_id=dispute.at("transaction").identifier("id"),
        status=status,
        money=amount,
        deducted=amount if status is DisputeStatus.LOST else Money(0, amount.currency),
        occurred_at=dispute.optional_iso("created-at") or item.iso("timestamp"),
        reason=(dispute.optional_text("reason") or "").replace("_", " ") or None,
        respond_by=datetime.combine(due, time.min, UTC) if due else None,
    )
    return [record]


def read_disbursement(item: Payload) -> base.Reading:
    """Collected money sent to the bank, or the try that failed; a later try has the same id."""
    sent = subject_of(item).at("disbursement")
    currency = sent.at("merchant-account").currency("currency-iso-code")
    done = sent.boolean("success") and item.text("kind") == "disbursement"
    payout = events.Payout(
        object_id=sent.identifier("id"),
        version=micros(item.iso("timestamp")),
        status=PayoutStatus.PAID if done else PayoutStatus.FAILED,
        money=sent.decimal_money("amount", currency, positive=True),
        occurred_at=datetime.combine(sent.day("disbursement-date"), time.min, UTC),
    )
    return [payout]


def read_revoked(item: Payload) -> base.Reading:
    """A merchant withdrew our access."""
    revocation = subject_of(item).at("oauth-application-revocation")
    return withdrawn("Braintree", revocation.identifier("merchant-id"), micros(item.iso("timestamp")))


def key_pair(credentials: base.Credentials) -> dict[str, str]:
    """The key pair that signs the notices also opens the API."""
    public, _, private = credentials.secret("webhook_secret").partition(":")
    return {**access.basic(public, private), "Braintree-Version": "2019-01-01"}


SEARCHES = {
    "transactions": (
        "TransactionSearchInput",
        "legacyId createdAt status orderId purchaseOrderNumber amount { value currencyIsoCode }",
    ),
    "refunds": (
        "RefundSearchInput",
        "legacyId createdAt status refundedTransaction { legacyId } amount { value currencyIsoCode }",
    ),
}


def _searched(name: str, node: Payload, asked_at: datetime) -> Record:
    """A node of the search, read as the notices are read. `legacyId` is the id that they have."""
    amount, back = node.at("amount"), node.optional_at("refundedTransaction")
    said = {
        "id": node.text("legacyId"),
        "type": "credit" if name == "refunds" else "sale",
        "status": node.text("status").lower(),
        "created-at": node.text("createdAt"),
        "currency-iso-code": amount.text("currencyIsoCode"),
        "amount": amount.text("value"),
        "order-id": node.optional_text("orderId"),
        "purchase-order-number": node.optional_text("purchaseOrderNumber"),
        "refunded-transaction-id": back.text("legacyId") if back else None,
    }
    return transaction_of(Payload(said), asked_at)


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of transactions, then of refunds, made since a moment."""
    name, begin, began, after = (cursor or f"transactions {since.isoformat()} - ").split(" ", 3)
    began = credentials.moment().isoformat() if began == "-" else began
    kind, fields = SEARCHES[name]
    operation = f"{'More' if after else ''}{name.title()}"
    page = f"{name}(input: $input, first: 50, after: $after)"
    asks = f"{page} {{ pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {fields} }} }} }}"
    query = f"query {operation}($input: {kind}!, $after: String) {{ search {{ {asks} }} }}"
    variables = {"input": {"createdAt": {"greaterThanOrEqualTo": begin}}, "after": after or None}
    asked = {"operationName": operation, "query": query, "variables": variables}
    said = (yield base.Request(method="POST", url="/graphql", json=asked)).payload()
    if said.has("errors"):
        raise Permanent(f"Braintree refused the search for {name}")
    listed = said.at("data", "search", name)
    nodes = [edge.at("node") for edge in listed.items("edges")]
    # A card check of nothing is no payment.
    nodes = [node for node in nodes if node.at("amount").text("value").strip("0.")]
    records = [_searched(name, node, credentials.moment()) for node in nodes]
    info = listed.at("pageInfo")
    if info.boolean("hasNextPage"):
        if (following := info.identifier("endCursor")) == after:
            raise info.wrong("endCursor", "a cursor that moves on")
        return base.Page(records=records, cursor=f"{name} {begin} {began} {following}", more=True)
    if name == "transactions":
        return base.Page(records=records, cursor=f"refunds {begin} {began} ", more=True)
    # It takes days until a sale has settled, and the search goes by the day it was made.
    return base.Page(records=records, cursor=f"transactions {(datetime.fromisoformat(began) - OVERLAP).isoformat()} - ")


PLAN = "a state of the plan; what is collected comes as subscription_charged_successfully"
STORED = "a stored means of payment; no money moved"
PARTNER = "onboarding of a partner's merchant, which this product does not do"
UNMADE = "a local payment that never became a transaction"

connector = base.Connector(
    slug="braintree",
    title="Braintree",
    docs_url="https://developer.paypal.com/braintree/docs/guides/webhooks/overview",
    checked="2026-06-16",
    signature=FormHmac(),
    # The account's own API keys sign.
    makes_secret=False,
    challenge=FormHmac().answer,
    decode=decode,
    event_id=event_id,
    event_name=lambda item: item.identifier("kind"),
    external_id=lambda item: item.optional_identifier("source-merchant-id"),
    api=base.Api(base="https://payments.braintree-api.com", authorize=access.fixed(key_pair, seconds=3600)),
    pull=base.Pull(talk=pull, what="transactions and refunds"),
    brings=("payments", "refunds", "disputes", "payouts"),
    fields=(
        access.secret(
            "webhook_secret",
            "API keys",
            "Public and private key with a colon between them: public_key:private_key.",
            required=True,
        ),
    ),
    steps=(
        "In Braintree's control panel, under API, copy a key pair into the connection, as public_key:private_key.",
        "Under API, Webhooks, create one with the address {url} and choose the kinds of notices.",
        "Press Check URL: the notice named check then shows among the connection's deliveries.",
    ),
    events={
        **each("transaction_settled transaction_settlement_declined transaction_retried", read_transaction),
        "transaction_disbursed": read_disbursed,
        "refund_failed": read_refund_failed,
        **each("disbursement disbursement_exception", read_disbursement),
        **each("dispute_opened dispute_under_review dispute_disputed dispute_won dispute_lost", read_dispute),
        **each("dispute_accepted dispute_auto_accepted dispute_expired", read_dispute),
        **each("subscription_charged_successfully subscription_charged_unsuccessfully", read_subscription),
        "local_payment_completed": _read_local("local-payment"),
        "local_payment_funded": _read_local("local-payment-funded"),
        "oauth_access_revoked": read_revoked,
    },
    ignored={
        "check": "Braintree's test, sent on request",
        "transaction_reviewed": "a decision about a risk; what came of the transaction comes by itself",
        "account_updater_daily_report": "a list of renewed cards; no money moved",
        **each("local_payment_expired local_payment_reversed", UNMADE),
        **each("subscription_canceled subscription_expired subscription_went_active", PLAN),
        **each("subscription_went_past_due subscription_trial_ended subscription_billing_skipped", PLAN),
        **each("connected_merchant_status_transitioned connected_merchant_paypal_status_changed", PARTNER),
        **each("partner_merchant_connected partner_merchant_disconnected partner_merchant_declined", PARTNER),
        **each("payment_method_customer_data_updated payment_method_revoked_by_customer", STORED),
        **each("granted_payment_method_revoked grantor_updated_granted_payment_method", STORED),
        **each("recipient_updated_granted_payment_method", STORED),
    },
)
