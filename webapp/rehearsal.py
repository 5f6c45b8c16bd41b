"""Rehearsing a webhook: a sample is signed, verified, opened and read as a real one would be, and nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Literal

from connectors import samples
from connectors.base import Connector, Delivery, Fetch, Signature
from core.errors import Invalid, MalformedPayload, NotFound, SignatureRejected
from core.events import Record, Reference
from core.money import Money

# What says nothing to whoever reads a record.
_INNER = frozenset({"version"})
_ANY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One event of a rehearsed delivery. `records` is what it would become."""

    name: str
    id: str
    account: str | None
    outcome: Literal["records", "fetch", "ignored", "unknown", "malformed"]
    note: str = ""
    records: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A delivery that was never sent: what it would have looked like, and what would have come of it.

    `proof` is how it was signed: with the connection's own secret, with a key made for this occasion (where only the
    provider can sign), or not at all. `refused` says why the signature did not hold.
    """

    headers: dict[str, str]
    body: bytes
    proof: Literal["own", "made", "none"]
    refused: str | None = None
    events: Sequence[Rehearsed] = field(default=())


def choices(connector: Connector) -> list[tuple[str, str | None]]:
    """The samples there are, as (event, variant)."""
    return list(samples.names(connector.slug))


def rehearse(
    connector: Connector, event: str, variant: str | None, *, secrets: Sequence[str], url: str, now: datetime
) -> Rehearsal:
    """Build a sample's delivery to `url` and judge it by the connection's live secrets. Raises NotFound."""
    if (event, variant) not in choices(connector):
        raise NotFound("sample", event[:80])
    scheme, body = connector.signature, samples.load(connector.slug, event, variant)
    own = bool(secrets) and _signs(scheme, secrets[0])
    signing = secrets[0] if own else scheme.new_secret()
    sealed = scheme.sign(body, signing, at=now, message_id="rehearsal", url=url)
    delivery = Delivery(
        body=sealed.body,
        headers={name.lower(): (value,) for name, value in sealed.headers.items()},
        received_at=now,
        url=url,
        documents=sealed.documents,
    )
    live = list(secrets) if own else [scheme.receiving(signing)]
    proof: Literal["own", "made", "none"] = "own" if own else "made" if sealed.headers else "none"
    try:
        verified = connector.verify(delivery, live)
        found = connector.open(delivery, verified)
    except SignatureRejected as error:
        return Rehearsal(headers=sealed.headers, body=sealed.body, proof=proof, refused=error.reason)
    events = [_read(connector, one.name, one.id, one.external_id, one.item) for one in found]
    return Rehearsal(headers=sealed.headers, body=sealed.body, proof=proof, events=events)


def _signs(scheme: Signature, kept: str) -> bool:
    """Whether what we keep is what the provider signs with; of a public key it is not."""
    try:
        return scheme.receiving(kept) == kept and bool(scheme.sign(b"{}", kept, at=_ANY, message_id="m").headers)
    except Invalid:
        return False


def _read(connector: Connector, name: str, identity: str, account: str | None, item: Any) -> Rehearsed:
    given: dict[str, Any] = {"name": name, "id": identity, "account": account}
    try:
        reading = connector.read(name, item)
    except MalformedPayload as error:
        return Rehearsed(**given, outcome="malformed", note=str(error))
    if isinstance(reading, Fetch):
        return Rehearsed(**given, outcome="fetch")
    if reading is not None:
        return Rehearsed(**given, outcome="records", records=[shown(record) for record in reading])
    if reason := connector.ignores(name):
        return Rehearsed(**given, outcome="ignored", note=reason)
    return Rehearsed(**given, outcome="unknown")


def shown(record: Record) -> dict[str, Any]:
    """A record for people: its kind, and each thing it says in words."""
    said = {}
    for one in fields(record):
        value = getattr(record, one.name)
        if value is not None and value != () and one.name not in _INNER:
            said[one.name.replace("_", " ")] = _words(value)
    return {"kind": _kind(type(record).__name__), "fields": said}


def _kind(name: str) -> str:
    """BankTransaction as bank transaction."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _words(value: object) -> str:
    if isinstance(value, Money):
        return f"{value.to_decimal()} {value.currency}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value.replace("_", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and value and isinstance(value[0], Reference):
        return ", ".join(reference.text for reference in sorted(value))
    return str(value)
