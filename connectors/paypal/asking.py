"""What is asked of PayPal: the objects that events point at, the events it keeps, and the app's webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from connectors import access, base, lists
from connectors.payload import Payload, micros
from connectors.paypal.records import KINDS, Kind, subject_of
from core import events
from core.errors import MalformedPayload
from core.events import ConnectionHealth, Record

# Thirty days, with a little to spare: what begins too early may be refused.
KEPT = timedelta(days=30, minutes=-5)


def authorize(credentials: base.Credentials) -> base.AuthorizationTalk:
    """Trade the app's client id and secret for a bearer token, good for some hours."""
    form = {"grant_type": "client_credentials"}
    return (yield from access.trade("/v1/oauth2/token", form, access.client(credentials)))


def _check_merchant(item: Payload, credentials: base.Credentials) -> None:
    payee = item.optional_at("payee")
    if payee and payee.has("merchant_id") and credentials.external_id:
        payee.same("merchant_id", credentials.external_id)


def fetch_object(kind: Kind, identity: str, credentials: base.Credentials) -> base.Talk:
    """Ask PayPal for the object that an event is about."""
    item = yield from lists.get(kind.path + quote(identity, safe=""))
    item.same(kind.id_key, identity)
    _check_merchant(item, credentials)
    return kind.records(item)


def fetch_state(health: ConnectionHealth, identity: str, name: str, credentials: base.Credentials) -> base.Talk:
    """Ask PayPal for the event itself: there is no other object that says so."""
    event = yield from lists.get(f"/v1/notifications/webhooks-events/{quote(identity, safe='')}")
    event.same("id", identity)
    event.same("event_type", name)
    merchant = event.at("resource").identifier("merchant_id")
    if credentials.external_id not in (None, merchant):
        raise MalformedPayload("resource.merchant_id", "is not the connection's merchant")
    state = events.ConnectionState(
        object_id=merchant,
        version=micros(event.iso("create_time")),
        health=health,
        reason="access withdrawn at PayPal" if health is ConnectionHealth.REVOKED else None,
    )
    return [state]


def pull_events(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One page of the events that PayPal keeps for 30 days. The cursor is the next page, or where the next pull begins.

    What PayPal lists is its own word, unlike what is posted to us.
    """
    now = credentials.moment()
    if cursor and cursor.startswith("/"):
        end, _, url = cursor[1:].partition("/")
        request = base.Request(method="GET", url=f"/{url}")
    else:
        begin = max(datetime.fromisoformat(cursor) if cursor else since, now - KEPT)
        end = _stamp(now)
        params = {"page_size": "100", "start_time": _stamp(begin), "end_time": end}
        request = base.Request(method="GET", url="/v1/notifications/webhooks-events", params=params)
    page, found = (yield request).payload(), list[Record]()
    for event in page.items("events"):
        if (kind := KINDS.get(event.identifier("event_type"))) is None:
            continue
        chosen, subject = subject_of(kind, event)
        if chosen.whole:
            _check_merchant(subject, credentials)
            found += chosen.records(subject)
        else:
            found += yield from fetch_object(chosen, subject.identifier(chosen.id_key), credentials)
    links = page.optional_items("links")
    following = next((one.text("href") for one in links if one.optional_text("rel") == "next"), None)
    if following is None:
        return base.Page(records=found, cursor=end)
    parts = urlsplit(following)
    return base.Page(records=found, cursor=f"/{end}{parts.path}?{parts.query}", more=True)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def register(names: Iterable[str], credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """The webhook of this address, with every event that is mapped. Its id is what signatures are checked with."""
    wanted = sorted(names)
    listed = yield from lists.get("/v1/notifications/webhooks")
    for one in listed.items("webhooks"):
        if one.optional_text("url") != url:
            continue
        have = {kind.optional_text("name") for kind in one.items("event_types")}
        identity = one.identifier("id")
        renewed = identity if credentials.secrets.get("webhook_secret") != identity else None
        if "*" in have or have.issuperset(wanted):
            return base.Registration(state="repaired" if renewed else "kept", secret=renewed)
        types = [{"name": name} for name in sorted({*wanted, *(name for name in have if name)})]
        change = [{"op": "replace", "path": "/event_types", "value": types}]
        yield base.Request(method="PATCH", url=f"/v1/notifications/webhooks/{quote(identity, safe='')}", json=change)
        return base.Registration(state="repaired", secret=renewed)
    made = {"url": url, "event_types": [{"name": name} for name in wanted]}
    answer = yield base.Request(method="POST", url="/v1/notifications/webhooks", json=made)
    return base.Registration(state="created", secret=answer.payload().identifier("id"))
