"""Stripe: payments, refunds, disputes, payouts and invoices, and bank accounts by Financial Connections.

Checked against the Python SDK 16.1.0, the OpenAPI repository at f6c2a48f (2026-08-21) and Stripe's documentation.
A payment is known by its payment intent, and by its charge only where there is no intent: whatever event brings
it, it is one payment. An endpoint keeps the API version it was made with, so shapes from 2020 on are read.
Decided where the documentation is silent: a bank line of Financial Connections is negative when money went out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from connectors import access
from connectors.base import Api, Connector, Fetch, PaymentLinks, Pull, Reader, Reading
from connectors.payload import Payload, micros
from connectors.shapes import withdrawn
from connectors.signatures import TimestampedHmac
from connectors.stripe import asking, records
from connectors.stripe.records import THIN, Told, event_name, external_id, told_at
from connectors.tables import each
from core.events import Payout, Record

# From this API version on refund.* tells of every refund; before, charge.refunded may be all there is.
REFUNDS_ARE_TOLD = "2024-10-28"


def read_refunded(told: Told) -> Reading:
    """A charge of which money went back. Older shapes hold the refunds; between, they must be asked for."""
    held = told.thing.optional_at("refunds")
    if held and not held.optional_boolean("has_more"):
        return [records.charge_of(told), *records.refunds_of(told.thing, held.items("data"), told.version)]
    if "" < told.shape < REFUNDS_ARE_TOLD:
        return Fetch(talk=partial(asking.fetch_refunds, told))
    return [records.charge_of(told)]


def read_refund(told: Told) -> Reading:
    """A refund. One that belongs to no payment (of a top-up) moves no customer's money."""
    return [records.refund_of(told.thing, told.version)] if records.payment_id(told.thing) else []


def read_invoice_payment(told: Told) -> Reading:
    """From basil on this ties a payment to its invoice, by their ids alone."""
    by = told.thing.at("payment")
    kind = by.text("type")
    if kind not in ("payment_intent", "charge"):
        return []
    identity, invoice = by.identifier(kind), told.thing.identifier("invoice")
    return Fetch(talk=partial(asking.fetch_invoice_payment, told, kind, identity, invoice))


def read_reconciled(told: Told) -> Reading:
    """Stripe knows by now what is in a payout that it made by itself. One that a person asked for has no list."""
    found = records.payout_of(told)
    if not told.thing.optional_boolean("automatic"):
        return found
    return next((Fetch(talk=partial(asking.fetch_parts, one)) for one in found if isinstance(one, Payout)), found)


def read_refreshed(told: Told) -> Reading:
    """There are new transactions, which must be listed."""
    return Fetch(talk=partial(asking.fetch_transactions, records.account_of(told)))


def read_deauthorized(item: Payload) -> Reading:
    """A connected account withdrew our access; there is nothing left to fetch."""
    return withdrawn("Stripe", external_id(item) or "account", micros(told_at(item)))


def _one(read: Callable[[Told], Record]) -> Callable[[Told], Reading]:
    return lambda told: [read(told)]


def _of(read: Callable[[Told], Reading], prefix: str, names: str) -> dict[str, Reader]:
    """Readers of the events of one object, which a thin event only points at."""

    def reader(item: Payload) -> Reading:
        if item.text("object") == THIN:
            url = item.at("related_object").text("url")
            if not url.startswith("/v1/"):
                raise item.at("related_object").wrong("url", "a path below /v1/")
            return Fetch(talk=partial(asking.fetch_related, read, item))
        at = told_at(item)
        shape = item.optional_text("api_version") or ""
        thing = item.at("data", "object")
        return read(Told(thing=thing, name=event_name(item), at=at, version=micros(at), shape=shape))

    return each(names, reader, prefix)


EVENTS: dict[str, Reader] = {
    **_of(_one(records.intent_of), "payment_intent.", "created processing requires_action amount_capturable_updated"),
    **_of(_one(records.intent_of), "payment_intent.", "partially_funded succeeded payment_failed canceled"),
    **_of(_one(records.charge_of), "charge.", "succeeded pending captured failed expired updated"),
    **_of(read_refunded, "charge.", "refunded"),
    **_of(records.session_of, "checkout.session.", "completed async_payment_succeeded async_payment_failed"),
    **_of(read_refund, "", "refund.created refund.updated refund.failed charge.refund.updated"),
    **_of(records.dispute_of, "charge.dispute.", "created updated closed funds_withdrawn funds_reinstated"),
    **_of(records.paid_invoice_of, "invoice.", "paid payment_succeeded"),
    **_of(_one(records.invoice_of), "invoice.", "created finalized finalization_failed sent updated overdue"),
    **_of(_one(records.invoice_of), "invoice.", "payment_failed payment_action_required payment_attempt_required"),
    **_of(_one(records.invoice_of), "invoice.", "overpaid will_be_due marked_uncollectible voided deleted"),
    **_of(read_invoice_payment, "invoice_payment.", "paid"),
    **_of(records.credit_note_of, "credit_note.", "created updated voided"),
    **_of(records.payout_of, "payout.", "created updated paid failed canceled"),
    **_of(read_reconciled, "payout.", "reconciliation_completed"),
    **_of(_one(records.account_of), "financial_connections.account.", "created deactivated disconnected reactivated"),
    **_of(_one(records.account_of), "financial_connections.account.", "refreshed_balance"),
    **_of(read_refreshed, "financial_connections.account.", "refreshed_transactions"),
    "account.application.deauthorized": read_deauthorized,
}

connector = Connector(
    slug="stripe",
    title="Stripe",
    docs_url="https://docs.stripe.com/webhooks",
    checked="2026-08-21",
    # The key is the whole text of the secret, whsec_ included: not what Standard Webhooks makes of that prefix.
    signature=TimestampedHmac(header="Stripe-Signature"),
    makes_secret=False,
    # Resent by hand for up to thirty days.
    resend_days=31,
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=event_name,
    external_id=external_id,
    api=Api(
        base="https://api.stripe.com",
        authorize=access.bearer("api_key", Stripe_Version=asking.API_VERSION),
        rate_per_second=20,
    ),
    payment_links=PaymentLinks(create=asking.create_link, close=asking.close_link, needs=("api_key",)),
    pull=Pull(talk=partial(asking.pull, EVENTS), what="events of the last 30 days", every_seconds=3600, days=30),
    register=partial(asking.register, frozenset(EVENTS)),
    fields=(
        access.secret("webhook_secret", "Signing secret", "Begins with whsec_.", required=True),
        access.secret("api_key", "Secret or restricted API key", "For pulls and pointers."),
    ),
    brings=("payments", "refunds", "disputes", "payouts", "invoices", "bank transactions"),
    steps=(
        "In Stripe's Workbench open Webhooks and add an endpoint with the address {url}.",
        "Choose the events listed on this connector's page, or all; what is of no use is ignored here.",
        "Copy the endpoint's signing secret, which begins with whsec_, into the connection.",
        "Optionally make a restricted API key with read access, and paste it: it serves pulls and events that point.",
        "For a connected account enter its acct_ id as external id; for your own account leave it empty.",
    ),
    events=EVENTS,
    ignored={
        "checkout.session.expired": "a page that closed unpaid; a payment begun there ends by payment_intent.canceled",
        "invoice.upcoming": "a preview of an invoice that has no id yet",
        **each("created updated", "an early sign only; a dispute is told by itself", "radar.early_fraud_warning."),
        "balance.available": "the balance at Stripe; what moves it comes as events of its own",
        **each("canceled created failed reversed succeeded", "from the own bank, whose line tells it", "topup."),
        **each("created reversed updated", "a share passed on to a connected account", "transfer."),
        "account.updated": "details and capabilities of an account; no money moves",
        **each("created deleted updated", "bank details for payouts; no money moves", "account.external_account."),
        "v2.core.event_destination.ping": "a test of the destination",
        **each("error_report_triggered no_meter_found", "metering of usage; no money moves", "billing.meter."),
    },
)
