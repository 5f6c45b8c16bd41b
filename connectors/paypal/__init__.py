"""PayPal: payments (captures and the older sales), refunds, disputes, payouts and PayPal's own invoices.

Checked against PayPal's API specifications at ec4d8f3 (2024-02-03) and its developer pages. The signature covers a
CRC-32 of the body, which can be forged to fit another body, so nothing in a webhook is believed: it only says which
object to ask PayPal for. The id of a capture, sale or refund is the key of its money. Decided where pages are silent:
what a lost dispute costs comes as the reversal or refund of its capture and is not deducted twice; an invoice may stand
in the resource itself or below it; a transmission is good for 30 days, as long as PayPal lists its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from connectors import access
from connectors.base import Api, Connector, Fetch, Pull, Reader
from connectors.payload import Payload
from connectors.paypal.asking import authorize, fetch_object, fetch_state, pull_events, register
from connectors.paypal.records import KINDS, Kind, merchant_of, subject_of
from connectors.signatures import RsaWithCertificate
from connectors.tables import each
from core.events import ConnectionHealth


def _asks(kind: Kind) -> Reader:
    def read(item: Payload) -> Fetch:
        chosen, subject = subject_of(kind, item)
        return Fetch(talk=partial(fetch_object, chosen, subject.identifier(chosen.id_key)))

    return read


def _state(health: ConnectionHealth) -> Reader:
    def read(item: Payload) -> Fetch:
        return Fetch(talk=partial(fetch_state, health, item.identifier("id"), item.identifier("event_type")))

    return read


STATES: Mapping[str, Reader] = {
    "MERCHANT.ONBOARDING.COMPLETED": _state(ConnectionHealth.ACTIVE),
    "MERCHANT.PARTNER-CONSENT.REVOKED": _state(ConnectionHealth.REVOKED),
}
PLAN = "a state of the plan; what is collected comes as a sale or a capture"

connector = Connector(
    slug="paypal",
    title="PayPal",
    docs_url="https://developer.paypal.com/api/rest/webhooks/",
    checked="2024-02-03",
    signature=RsaWithCertificate(prefix="Paypal", domain=".paypal.com"),
    makes_secret=False,
    # A body can be made to fit a genuine transmission's CRC-32, so that its id is not proven either.
    event_id=lambda item, envelope: envelope.tied(item.identifier("id")),
    event_name=lambda item: item.identifier("event_type"),
    external_id=merchant_of,
    api=Api(base="https://api-m.paypal.com", authorize=authorize),
    pull=Pull(talk=pull_events, what="events of payments, disputes, invoices and payouts", days=30),
    register=partial(register, (*KINDS, *STATES)),
    brings=("payments", "refunds", "disputes", "payouts", "invoices"),
    fields=(
        access.secret("webhook_secret", "Webhook id", "PayPal shows it once the webhook is made."),
        access.setting("client_id", "Client id", "Of the app.", required=True),
        access.secret("client_secret", "Client secret", "Of the app.", required=True),
    ),
    steps=(
        "In PayPal's developer dashboard, under Apps & Credentials, open or make an app and choose Live.",
        "Copy its client id and secret into the connection; the merchant id, if you know it, is the account.",
        "In the app, add a webhook with the address {url} and all events.",
        "Copy the id that PayPal shows for the webhook into the connection; a registered one is kept by itself.",
    ),
    events={**{name: _asks(kind) for name, kind in KINDS.items()}, **STATES},
    ignored={
        **each("CREATED VOIDED", "an authorisation moves no money; the capture does", "PAYMENT.AUTHORIZATION."),
        **each("APPROVED COMPLETED", "an order moves no money; its captures come by themselves", "CHECKOUT.ORDER."),
        **each("PROCESSING SUCCESS DENIED", "each item of the batch comes by itself", "PAYMENT.PAYOUTSBATCH."),
        **each(
            "CREATED ACTIVATED UPDATED EXPIRED CANCELLED SUSPENDED RE-ACTIVATED PAYMENT.FAILED",
            PLAN,
            "BILLING.SUBSCRIPTION.",
        ),
    },
)
