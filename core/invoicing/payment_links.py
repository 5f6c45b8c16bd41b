"""Pages at gateways on which customers pay: wanted by the customer's page, made and closed by a worker.

One link an invoice and gateway leads somewhere at a time, for what is open then. When that changes (something was paid,
or the invoice changed) the old one is closed at the gateway, so that nobody pays twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.ids import new_id

# Nobody is sent to a page that closes while they look for their card.
_MARGIN = timedelta(minutes=5)
# Each needs another amount, or a failure before it.
MAX_LINKS = 100
# So often is a provider asked for a page before the customer is told that it cannot be had; they wait meanwhile.
MAX_TRIES = 4
MAX_CLOSING_TRIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A connection of a seller through which a customer can pay."""

    connection_id: UUID
    connector: str


def gateways(session: Session, seller_id: UUID, able: Mapping[str, Sequence[str]]) -> list[Gateway]:
    """The seller's connections that can make links, oldest first, one a provider.

    `able` has, by connector, the names of the secrets that making one needs.
    """
    rows = session.execute(
        text(
            "SELECT connections.id, connector, (SELECT coalesce(array_agg(DISTINCT name), '{}') FROM "
            "connection_secrets WHERE connection_id = connections.id) AS secrets FROM connections "
            "WHERE user_id = :seller AND connector = ANY(CAST(:able AS text[])) AND deleted_at IS NULL "
            "AND paused_at IS NULL AND health <> 'revoked' ORDER BY connections.id"
        ),
        {"seller": seller_id, "able": list(able)},
    )
    found: dict[str, Gateway] = {}
    for row in rows:
        if set(able[row.connector]) <= set(row.secrets):
            found.setdefault(row.connector, Gateway(connection_id=row.id, connector=row.connector))
    return list(found.values())


def want(session: Session, invoice_id: UUID, connection_id: UUID, now: datetime) -> UUID:
    """The link on which what is open now can be paid, made where there is none; its id. The caller rings.

    Asking again finds the same one. The invoice is locked. Raises NotFound, and Conflict where nothing is open.
    """
    invoice = session.execute(
        text("SELECT status, amount_due, currency FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id}
    ).one_or_none()
    if invoice is None:
        raise NotFound("invoice", invoice_id)
    if invoice.status not in ("open", "partial") or invoice.amount_due <= 0:
        raise Conflict("nothing is to be paid any more")
    known = session.execute(
        text(
            "SELECT id, state, amount, currency, expires_at FROM payment_links "
            "WHERE invoice_id = :invoice AND connection_id = :connection AND state IN ('wanted', 'open') FOR UPDATE"
        ),
        {"invoice": invoice_id, "connection": connection_id},
    ).one_or_none()
    if known is not None:
        same = (known.amount, known.currency) == (invoice.amount_due, invoice.currency)
        if same and (known.expires_at is None or known.expires_at > now + _MARGIN):
            return UUID(str(known.id))
        # One that is being made may exist at the provider by the time this commits: its maker sees that, and closes it.
        _unwant(session, known.id, now)
    return _insert(session, invoice_id, connection_id, invoice.amount_due, invoice.currency, now)


def _unwant(session: Session, link_id: UUID, now: datetime) -> None:
    session.execute(
        text(
            "UPDATE payment_links SET state = CASE WHEN provider_id IS NULL AND attempts = 0 THEN 'closed' "
            "ELSE 'unwanted' END, due_at = :now, attempts = 0, updated_at = :now WHERE id = :id"
        ),
        {"id": link_id, "now": now},
    )


def _insert(session: Session, invoice_id: UUID, connection_id: UUID, amount: int, currency: str, now: datetime) -> UUID:
    made = new_id()
    ordinal = session.scalar(
        text("SELECT coalesce(max(ordinal), 0) + 1 FROM payment_links WHERE invoice_id = :invoice"),
        {"invoice": invoice_id},
    )
    if ordinal is None or ordinal > MAX_LINKS:
        raise Conflict("this invoice had too many payment pages; ask its seller how to pay")
    session.execute(
        text(
            "INSERT INTO payment_links (id, invoice_id, connection_id, ordinal, amount, currency, due_at, created_at, "
            "updated_at) VALUES (:id, :invoice, :connection, :ordinal, :amount, :currency, :now, :now, :now)"
        ),
        {
            "id": made,
            "invoice": invoice_id,
            "connection": connection_id,
            "ordinal": ordinal,
            "amount": amount,
            "currency": currency,
            "now": now,
        },
    )
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a link stands, for the page that waits for it."""

    state: str
    url: str | None
    connector: str
    amount: int
    currency: str
    attempts: int


def standing(session: Session, invoice_id: UUID, link_id: UUID) -> Standing:
    """A link of this invoice. Raises NotFound."""
    row = session.execute(
        text(
            "SELECT payment_links.state, payment_links.url, connections.connector, amount, currency, attempts "
            "FROM payment_links JOIN connections ON connections.id = connection_id "
            "WHERE payment_links.id = :id AND invoice_id = :invoice"
        ),
        {"id": link_id, "invoice": invoice_id},
    ).one_or_none()
    if row is None:
        raise NotFound("payment page", link_id)
    return Standing(**row._asdict())


# The worker's side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A link in hand until its lease ends: to be made (`wanted`) or closed (`unwanted`) at its provider."""

    id: UUID
    state: Literal["wanted", "unwanted"]
    attempts: int
    claimed_at: datetime
    invoice_id: UUID
    connection_id: UUID
    connector: str
    ordinal: int
    amount: int
    currency: str
    provider_id: str | None
    number: str
    link_version: int
    seller_id: UUID
    seller: str
    customer: str
    customer_email: str = field(repr=False)


_CLAIM = text(
    "WITH taken AS (UPDATE payment_links SET attempts = attempts + 1, due_at = :now + :lease, claimed_at = :now "
    "WHERE id = (SELECT id FROM payment_links WHERE state IN ('wanted', 'unwanted') AND due_at <= :now "
    "ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *) "
    "SELECT taken.id, taken.state, taken.attempts, taken.claimed_at, taken.invoice_id, taken.connection_id, "
    "connections.connector, taken.ordinal, taken.amount, taken.currency, taken.provider_id, "
    "coalesce(invoices.number, '') AS number, invoices.link_version, invoices.seller_id, "
    "coalesce(nullif(users.organisation, ''), users.name) AS seller, contacts.name AS customer, "
    "contacts.email AS customer_email FROM taken JOIN connections ON connections.id = taken.connection_id "
    "JOIN invoices ON invoices.id = taken.invoice_id JOIN contacts ON contacts.id = invoices.contact_id "
    "JOIN users ON users.id = invoices.seller_id"
)


def claim(connection: Connection, *, lease_seconds: float, now: datetime) -> Claimed | None:
    """Take the link that is due longest; None when none is. The caller commits before it asks a provider."""
    row = connection.execute(_CLAIM, {"now": now, "lease": timedelta(seconds=lease_seconds)}).one_or_none()
    return None if row is None else Claimed(**row._asdict())


# Who no longer holds the attempt it claimed changes nothing.
_OURS = "WHERE id = :id AND attempts = :attempts AND claimed_at = :claimed_at AND state = :state RETURNING id"


def _held(link: Claimed) -> dict[str, Any]:
    return {"id": link.id, "attempts": link.attempts, "claimed_at": link.claimed_at, "state": link.state}


def opened(
    connection: Connection, link: Claimed, *, provider_id: str, url: str, expires_at: datetime | None, now: datetime
) -> bool:
    """Keep where a link leads. False when it is not wanted any more: then it is kept to be closed, where it can be."""
    values = {"provider": provider_id, "url": url, "expires": expires_at, "now": now}
    done = connection.execute(
        text(
            "UPDATE payment_links SET state = 'open', provider_id = :provider, url = :url, expires_at = :expires, "
            f"error = NULL, updated_at = :now {_OURS}"
        ),
        {**_held(link), **values},
    ).all()
    if done:
        return True
    connection.execute(
        text(
            "UPDATE payment_links SET state = 'unwanted', provider_id = :provider, url = :url, expires_at = :expires, "
            "due_at = :now, attempts = 0, updated_at = :now "
            "WHERE id = :id AND provider_id IS NULL AND state <> 'wanted'"
        ),
        {"id": link.id, **values},
    )
    return False


def closed(connection: Connection, link: Claimed, now: datetime, error: str | None = None) -> None:
    """The provider takes no money by it any more; or, with an error, it cannot be asked."""
    connection.execute(
        text(f"UPDATE payment_links SET state = 'closed', error = :error, updated_at = :now {_OURS}"),
        {**_held(link), "error": error, "now": now},
    )


def failed(
    connection: Connection, link: Claimed, error: str, now: datetime, *, permanent: bool, wait_seconds: float | None
) -> Literal["retry", "failed", "lost"]:
    """Put a link back for a little later, or give it up."""
    closing = link.state == "unwanted"
    over = permanent or link.attempts >= (MAX_CLOSING_TRIES if closing else MAX_TRIES)
    # Somebody waits for a page; nobody for its end.
    pause = max(wait_seconds or 0.0, 2.0 ** min(link.attempts, 4) * (15.0 if closing else 1.0))
    end = "closed" if closing else "failed"
    rows = connection.execute(
        text(f"UPDATE payment_links SET state = :after, due_at = :due, error = :error, updated_at = :now {_OURS}"),
        {
            **_held(link),
            "after": end if over else link.state,
            "due": now + timedelta(seconds=pause),
            "error": error.replace("\x00", "")[:1000],
            "now": now,
        },
    ).all()
    if not rows:
        return "lost"
    return "failed" if over else "retry"


_CHANGED = (
    "invoices.id = payment_links.invoice_id AND payment_links.state = 'open' "
    "AND (invoices.status NOT IN ('open', 'partial') OR invoices.amount_due <> payment_links.amount "
    "OR invoices.currency <> payment_links.currency)"
)
# Links that ask for something that is not open any more.
STALE = f"FROM payment_links, invoices WHERE {_CHANGED}"


def retire(connection: Connection, now: datetime) -> int:
    """Mark the links that ask for something that is not open any more; return how many."""
    stale = connection.execute(
        text(
            "UPDATE payment_links SET state = 'unwanted', due_at = :now, attempts = 0, updated_at = :now "
            f"FROM invoices WHERE {_CHANGED}"
        ),
        {"now": now},
    )
    ended = connection.execute(
        text(
            "UPDATE payment_links SET state = 'expired', updated_at = :now WHERE state = 'open' AND expires_at <= :now"
        ),
        {"now": now},
    )
    return stale.rowcount + ended.rowcount
