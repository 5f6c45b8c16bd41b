"""What is asked of Stripe: objects that an event points at, lists, the events it keeps, and webhook endpoints."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from connectors import base, lists
from connectors.payload import Payload, micros
from connectors.stripe.records import (
    PLACES,
    TRANSACTION,
    Told,
    charge_of,
    event_name,
    external_id,
    intent_of,
    invoice_of,
    item_of,
    money,
    references,
    refunds_of,
    told_at,
)
from core import events
from core.errors import MalformedPayload
from core.money import exponent

API_VERSION = "2025-03-31.basil"
MAX_PAGES = 200
# Events may become visible a little out of order; what is listed twice does no harm.
OVERLAP_SECONDS = 300


def _about(credentials: base.Credentials) -> dict[str, str]:
    """The header of a request about the connected account."""
    return {"Stripe-Account": credentials.external_id} if credentials.external_id else {}


def _get(credentials: base.Credentials, url: str, params: Mapping[str, str] | None = None) -> base.Request:
    """A request about the connected account, where the connection is for one."""
    return base.Request(method="GET", url=url, params=params or {}, headers=_about(credentials))


def _object(credentials: base.Credentials, url: str, identity: str) -> Generator[base.Request, base.Response, Payload]:
    """The object asked for, and no other."""
    thing = (yield _get(credentials, url)).payload()
    thing.same("id", identity)
    return thing


def _list(credentials: base.Credentials, url: str, params: Mapping[str, str]) -> lists.Listing:
    """Every item of a list. One that leads in a circle or does not end is refused."""
    listed = yield from lists.pages(
        lambda after: _get(credentials, url, {"limit": "100", **params, **lists.given(starting_after=after)}),
        _last,
        where="has_more",
        most=MAX_PAGES,
    )
    return [one for page in listed for one in page.items("data")]


def _last(page: Payload) -> str | None:
    """Behind which object the next page begins."""
    if not page.boolean("has_more"):
        return None
    if not (items := page.items("data")):
        raise page.wrong("data", "objects, where there are more")
    return items[-1].identifier("id")


def fetch_refunds(told: Told, credentials: base.Credentials) -> base.Talk:
    """The refunds of a charge that does not hold them."""
    charge = told.thing.identifier("id")
    listed = yield from _list(credentials, "/v1/refunds", {"charge": charge})
    for one in listed:
        one.same("charge", charge)
    return [charge_of(told), *refunds_of(told.thing, listed, micros(credentials.moment()))]


def fetch_invoice_payment(
    told: Told, kind: str, identity: str, invoice_id: str, credentials: base.Credentials
) -> base.Talk:
    """The payment with the number of the invoice that it paid."""
    asked = micros(credentials.moment())
    thing = yield from _object(credentials, f"/v1/{kind}s/{quote(identity, safe='')}", identity)
    held = yield from _object(credentials, f"/v1/invoices/{quote(invoice_id, safe='')}", invoice_id)
    invoice = invoice_of(Told(thing=held, name="", at=told.at, version=asked))
    read = intent_of if kind == "payment_intent" else charge_of
    payment = read(Told(thing=thing, name="", at=told.at, version=asked))
    named = tuple(sorted({*payment.references, *references(held, (1, invoice.number))}))
    return [replace(payment, references=named), invoice]


def fetch_transactions(account: events.BankAccount, credentials: base.Credentials) -> base.Talk:
    """The transactions of a linked bank account, after the account."""
    listed = yield from _list(credentials, "/v1/financial_connections/transactions", {"account": account.object_id})
    lines = []
    for one in listed:
        line = events.BankTransaction(
            object_id=one.identifier("id"),
            version=micros(one.epoch("updated")),
            account_id=one.same("account", account.object_id),
            status=one.choice("status", TRANSACTION),
            money=money(one, "amount"),
            narration=one.text("description"),
            occurred_at=one.epoch("transacted_at"),
        )
        lines.append(line)
    return [account, *lines]


def fetch_parts(payout: events.Payout, credentials: base.Credentials) -> base.Talk:
    """A payout with the movements of the balance that Stripe put into it."""
    asked = {"payout": payout.object_id, "expand[]": "data.source"}
    listed = yield from _list(credentials, "/v1/balance_transactions", asked)
    return [payout, *(item for entry in listed for item in item_of(entry, payout.object_id))]


def fetch_related(read: Callable[[Told], base.Reading], item: Payload, credentials: base.Credentials) -> base.Talk:
    """The object that a thin event points at, as it is now."""
    related = item.at("related_object")
    thing = yield from _object(credentials, related.text("url"), related.identifier("id"))
    told = Told(thing=thing, name=event_name(item), at=told_at(item), version=micros(credentials.moment()))
    return (yield from _records(read(told), credentials))


def _records(reading: base.Reading, credentials: base.Credentials) -> base.Talk:
    """What a reading comes to, asked for where it must be."""
    return (yield from reading.talk(credentials)) if isinstance(reading, base.Fetch) else list(reading)


def pull(
    readers: Mapping[str, base.Reader], credentials: base.Credentials, cursor: str | None, since: datetime
) -> base.PullTalk:
    """A page of the events that Stripe keeps, newest first; the same objects that webhooks carry.

    The cursor is "from" at rest, else "from newest oldest id": seconds of the stretch and where its next page begins.
    """
    begin, newest, oldest, after = [*(cursor or str(int(since.timestamp()))).split(" "), "", "", ""][:4]
    params = {"limit": "100", "created[gte]": begin} | ({"starting_after": after} if after else {})
    page = (yield _get(credentials, "/v1/events", params)).payload()
    items, records = page.items("data"), []
    times = [micros(told_at(item)) // 1_000_000 for item in items]
    if after and (not items or items[-1].identifier("id") == after or times[0] > int(oldest)):
        raise MalformedPayload("has_more", "leads in a circle")
    for item in items:
        if external_id(item) not in (None, credentials.external_id):
            raise item.wrong("account", "the account that was asked about")
        reader = readers.get(event_name(item))
        records += (yield from _records(reader(item), credentials)) if reader else []
    newest = newest or str(max(times, default=int(begin) + OVERLAP_SECONDS))
    if items and page.boolean("has_more"):
        following = f"{begin} {newest} {times[-1]} {items[-1].identifier('id')}"
        return base.Page(records=records, cursor=following, more=True)
    return base.Page(records=records, cursor=str(max(int(begin), int(newest) - OVERLAP_SECONDS)))


def create_link(credentials: base.Credentials, wanted: base.LinkWanted) -> base.LinkTalk:
    """A Checkout session for one invoice. Asked again with its key, Stripe answers with the one it made."""
    currency = wanted.money.currency
    # Stripe's own decimal places, where they are not ours.
    shift = PLACES.get(currency, 2) - exponent(currency)
    amount = wanted.money.minor * 10**shift if shift >= 0 else wanted.money.minor // 10**-shift
    line = "line_items[0][price_data]"
    form = {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        f"{line}[currency]": currency.lower(),
        f"{line}[unit_amount]": str(amount),
        f"{line}[product_data][name]": wanted.description[:250],
        "client_reference_id": wanted.reference[:200],
        "metadata[invoice_number]": wanted.number,
        "payment_intent_data[metadata][invoice_number]": wanted.number,
        "customer_email": wanted.customer_email,
        "success_url": wanted.return_url,
        "cancel_url": wanted.return_url,
    }
    headers = {**_about(credentials), "Idempotency-Key": wanted.key}
    session = (yield base.Request(method="POST", url="/v1/checkout/sessions", form=form, headers=headers)).payload()
    return base.LinkMade(
        provider_id=session.identifier("id"), url=session.text("url"), expires_at=session.optional_epoch("expires_at")
    )


def close_link(credentials: base.Credentials, provider_id: str) -> base.CloseTalk:
    """Expire a session that can still be paid."""
    url = f"/v1/checkout/sessions/{quote(provider_id, safe='')}"
    session = yield from _object(credentials, url, provider_id)
    if session.text("status") == "open":
        yield base.Request(method="POST", url=f"{url}/expire", form={}, headers=_about(credentials))


def register(wanted: frozenset[str], credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """Have Stripe post these events to `url`. A secret is told only for an endpoint that is made here."""
    own = base.Credentials(secrets=credentials.secrets, settings=credentials.settings, external_id=None)
    for one in (yield from _list(own, "/v1/webhook_endpoints", {})):
        if one.text("url") != url:
            continue
        have = one.texts("enabled_events")
        if one.text("status") == "enabled" and ("*" in have or wanted <= have):
            return base.Registration(state="kept")
        path = f"/v1/webhook_endpoints/{quote(one.identifier('id'), safe='')}"
        yield base.Request(method="POST", url=path, form=_enabled(wanted | have - {"*"}) | {"disabled": "false"})
        return base.Registration(state="repaired")
    form = {"url": url, **_enabled(wanted), **({"connect": "true"} if credentials.external_id else {})}
    made = (yield base.Request(method="POST", url="/v1/webhook_endpoints", form=form)).payload()
    return base.Registration(state="created", secret=made.identifier("secret"))


def _enabled(names: frozenset[str]) -> dict[str, str]:
    return {f"enabled_events[{place}]": name for place, name in enumerate(sorted(names))}
