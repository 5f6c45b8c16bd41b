"""What tests of the road build on: a small installation, senders that really sign, and books to compare."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import text

from config.settings import Settings, from_environment
from connectors import registry
from connectors.base import Connector, Credentials, Delivery, Request, Response, Verified
from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.database import Database
from core.errors import PlatformError
from core.events import Record, Trust
from core.identity import Actor, Role, users
from core.ids import new_id
from core.inbox import store
from core.inbox.store import NewDelivery, NewEvent
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from core.invoicing.references import number_key
from core.statements import Statement
from workers import fetch, normalize
from workers.context import Context
from workers.doorbell import Bell, Doorbell
from workers.transport import Custody, Listener, Transport

T = TypeVar("T")
Json = dict[str, Any]

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
SECRET_KEY = "planted-secret-key-0123456789abcdefghij"
MASTER_KEY = base64.b64encode(b"planted-master-key-of-32-bytes!!").decode()
MASTER_KEYS = f"one:{MASTER_KEY}"


def make_settings(database_url: str, redis_url: str, **more: str) -> Settings:
    """Settings of a small installation; `more` are variables by their field names."""
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": SECRET_KEY, "MASTER_KEYS": MASTER_KEYS}
    return from_environment(given | {name.upper(): value for name, value in more.items()})


class SilentDoorbell(Doorbell):
    """A doorbell without Redis that remembers who was rung."""

    def __init__(self, *, rung: Iterable[bool] = ()) -> None:
        self.rings: list[Bell] = []
        self.signs: list[str] = []
        self._answers = iter(rung)

    def ring(self, bell: Bell) -> bool:
        self.rings.append(bell)
        return True

    def summon(self, bell: Bell) -> bool:
        return True

    def attended(self, bell: Bell) -> bool:
        return False

    def on_duty(self, bell: Bell) -> None:
        self.signs.append("on")

    def off_duty(self, bell: Bell) -> None:
        self.signs.append("off")

    def wait(self, bell: Bell, seconds: float) -> bool:
        return next(self._answers, False)


class ScriptedTransport(Transport):
    """A transport that knows what each pointer's fetch brings: records, or an error to raise."""

    def __init__(self) -> None:
        self.answers: dict[str, Sequence[Record] | Exception] = {}
        self.asked: list[str] = []

    def run(
        self,
        connector: Connector,
        credentials: Credentials,
        talk: Callable[[Credentials], Generator[Request, Response, T]],
        *,
        custody: Custody | None = None,
        listener: Listener | None = None,
    ) -> T:
        item = talk.args[0]  # type: ignore[attr-defined]  # Basiq's talks are partials over the item.
        event_id = str(item.text("eventId"))
        self.asked.append(event_id)
        answer = self.answers[event_id]
        if isinstance(answer, Exception):
            raise answer
        return cast("T", list(answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clockwork(Context):
    """A worker's parts with a clock that stands still until it is moved."""

    moment: list[datetime] = field(default_factory=lambda: [NOW])

    def now(self) -> datetime:
        return self.moment[0]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.moment[0] += timedelta(seconds=seconds)

    @property
    def bell(self) -> SilentDoorbell:
        assert isinstance(self.doorbell, SilentDoorbell)
        return self.doorbell

    @property
    def provider(self) -> ScriptedTransport:
        assert isinstance(self.transport, ScriptedTransport)
        return self.transport


def make_context(database_url: str, redis_url: str = "redis://127.0.0.1:1", **more: str) -> Clockwork:
    """The parts of a worker without Redis and without a way out."""
    settings = make_settings(database_url, redis_url, **more)
    return Clockwork(
        settings=settings,
        database=Database(settings.sqlalchemy_url, pool_size=10),
        doorbell=SilentDoorbell(),
        transport=ScriptedTransport(),
        ring=KeyRing.parse(MASTER_KEYS),
    )


@contextmanager
def worker(database_url: str, **more: str) -> Iterator[Clockwork]:
    """`make_context`, closed at the end."""
    context = make_context(database_url, **more)
    try:
        yield context
    finally:
        context.database.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A seller with one connection, and the worker that serves it."""

    context: Clockwork
    seller: Actor
    connection_id: UUID
    connector: str
    external_id: str | None
    secret: str

    @property
    def database(self) -> Database:
        return self.context.database

    def invoice(self, total: int = 10_000, currency: str = "INR", *, draft: bool = False) -> Json:
        """An invoice over `total` minor units."""
        with self.database.session() as session:
            return add_invoice(session, self.seller, total, currency, draft=draft)

    def name_invoice(self, invoice: Json, number: str) -> None:
        """Give an invoice the number that a stream of events names."""
        with self.database.connect() as connection:
            connection.execute(
                text("UPDATE invoices SET number = :number, number_key = :key WHERE id = :id"),
                {"number": number, "key": number_key(number), "id": invoice["id"]},
            )

    def delivery(self, body: bytes | Json, *, event_id: str | None = None, platform: bool = False) -> NewDelivery:
        """A delivery to this shop's address, or to the platform's, as the webhook endpoint would store it."""
        given = body if isinstance(body, bytes) else json.dumps(body).encode()
        return delivery_of(
            self.connector,
            given,
            event_id=event_id,
            address=None if platform else self.connection_id,
            connection_id=None if platform else self.connection_id,
        )

    def store(self, *deliveries: NewDelivery) -> set[UUID]:
        """Put deliveries into the queue."""
        with self.database.connect() as connection:
            return store.store(connection, deliveries)

    def work(self, *, limit: int = normalize.BATCH) -> None:
        """Let the worker do everything that is due."""
        while normalize.drain(self.context, limit=limit) or fetch.drain(self.context):
            pass

    def hear(self, *bodies: bytes | Json) -> None:
        """Store each body as an event of its own in one batch, and process them."""
        self.store(*(self.delivery(body, event_id=str(new_id())) for body in bodies))
        self.work()

    def state(self, *records: Record, trust: Trust = Trust.SIGNED) -> list[Statement]:
        """Records as statements of one new event."""
        event_id = new_id()
        return [
            Statement(
                event_id=event_id,
                connection_id=self.connection_id,
                user_id=self.seller.id,
                connector=self.connector,
                trust=trust,
                record=record,
            )
            for record in records
        ]

    def rows(self, statement: str, **values: object) -> list[Json]:
        """What a query finds."""
        with self.database.connect() as connection:
            found = connection.execute(text(statement), {"user": self.seller.id, **values}).mappings()
            return [dict(row) for row in found]

    def one(self, statement: str, **values: object) -> Json:
        """The only row a query finds."""
        (row,) = self.rows(statement, **values)
        return row


def add_seller(context: Context, role: Role = Role.SELLER) -> Actor:
    """A new person."""
    with context.database.session() as session:
        return users.register(
            session, email=f"{new_id()}@shop.test", name="Asha", password_hash="-", role=role, now=NOW
        )


def open_shop(
    context: Clockwork,
    connector: str = "standard_webhooks",
    *,
    seller: Actor | None = None,
    external_id: str | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Shop:
    """A seller (a new one unless given) and a connection of theirs."""
    owner = seller or add_seller(context)
    scheme = registry.get(connector).signature
    signing = scheme.new_secret()
    kept = scheme.receiving(signing)
    held = ({"webhook_secret": kept} if kept else {}) | dict(secrets or {})
    with context.database.session() as session:
        made = connections.create(
            session,
            owner,
            context.ring,
            connector=connector,
            name=f"my {connector}",
            secrets=held,
            settings={},
            external_id=external_id,
            now=NOW,
        )
    return Shop(
        context=context,
        seller=owner,
        connection_id=UUID(made["id"]),
        connector=connector,
        external_id=external_id,
        secret=(secrets or {}).get("webhook_secret", signing),
    )


def add_invoice(session: Any, seller: Actor, total: int, currency: str = "INR", *, draft: bool = False) -> Json:
    """An open invoice of one line."""
    return invoices.create(
        session,
        seller,
        NewInvoice(
            contact_name="Rao Retail",
            contact_email="buyer@rao.test",
            currency=currency,
            issue_date=date(2026, 11, 1),
            due_date=date(2026, 12, 1),
            items=[NewItem(description="Cloth", quantity=Decimal(1), unit_price=total)],
        ),
        NOW,
        draft=draft,
    )


def delivery_of(
    slug: str,
    body: bytes,
    *,
    event_id: str | None = None,
    address: UUID | None = None,
    connection_id: UUID | None = None,
    external_id: str | None = None,
) -> NewDelivery:
    """A delivery as it is stored. `address` is the connection whose address it came to, `connection_id` whose it is."""
    connector = registry.get(slug)
    message_id = event_id or str(new_id())
    headers = {"webhook-id": (message_id,), "x-razorpay-event-id": (message_id,)}
    opened = connector.open(
        Delivery(body=body, headers=headers, received_at=NOW), Verified(secret_index=0, message_id=message_id)
    )
    return NewDelivery(
        id=new_id(),
        connector=slug,
        connection_id=address,
        received_at=NOW,
        path=f"/api/connectors/{slug}/webhook",
        remote_addr="192.0.2.1",
        headers_json="[]",
        body=body,
        secret_index=0,
        message_id=message_id,
        verify_micros=1,
        events=[
            NewEvent(
                id=new_id(),
                provider_event_id=event_id or one.id,
                name=one.name,
                item_index=place,
                connection_id=connection_id,
                external_id=external_id or one.external_id,
                known_name=one.name in connector.events or one.name in connector.ignored,
            )
            for place, one in enumerate(opened)
        ],
    )


def said(name: str, at: int = 0, /, **data: object) -> Json:
    """A body of the generic connector, told `at` seconds after NOW."""
    return {"type": name, "timestamp": (NOW + timedelta(seconds=at)).isoformat(), "data": data}


def payment(name: str = "succeeded", at: int = 0, **data: object) -> Json:
    """A payment of 100 rupees unless said otherwise."""
    return said(f"payment.{name}", at, **{"id": "pmt_1", "amount_minor": 10_000, "currency": "INR", **data})


def refund(name: str = "succeeded", at: int = 0, **data: object) -> Json:
    """A refund of 40 rupees of that payment unless said otherwise."""
    given = {"id": "rfd_1", "payment_id": "pmt_1", "amount_minor": 4_000, "currency": "INR", **data}
    return said(f"refund.{name}", at, **given)


def dispute(name: str, at: int = 0, **data: object) -> Json:
    """A dispute of the whole payment unless said otherwise."""
    given = {"id": "dsp_1", "payment_id": "pmt_1", "amount_minor": 10_000, "currency": "INR", **data}
    return said(f"dispute.{name}", at, **given)


def transaction(name: str = "posted", at: int = 0, **data: object) -> Json:
    """A bank transaction that brought 100 rupees unless said otherwise."""
    given = {"id": "btx_1", "account_id": "ba_1", "amount": "100.00", "currency": "INR", "narration": "hello", **data}
    return said(f"transaction.{name}", at, **given)


BOOKS: Mapping[str, str] = {
    "payments": """
        SELECT payments.object_id, source, payments.version, payments.status, amount, payments.currency, refunded,
               deducted, net, allocated, invoice_references::text AS named, reference_keys::text AS keys,
               invoices.number, method, payer_name, payer_email, bank_reference, description, fee, failure,
               occurred_at, trust
        FROM payments LEFT JOIN invoices ON invoices.id = payments.invoice_id
        WHERE payments.user_id = :user ORDER BY payments.object_id, source""",
    "adjustments": """
        SELECT kind, object_id, payment_object_id, version, status, amount, taken, currency, reason, respond_by,
               occurred_at
        FROM payment_adjustments JOIN connections ON connections.id = connection_id
        WHERE connections.user_id = :user ORDER BY kind, object_id""",
    "allocations": """
        SELECT payments.object_id, invoices.number, sum(allocations.amount)::bigint AS amount
        FROM allocations JOIN payments ON payments.id = payment_id JOIN invoices ON invoices.id = allocations.invoice_id
        WHERE payments.user_id = :user GROUP BY 1, 2 HAVING sum(allocations.amount) <> 0 ORDER BY 1, 2""",
    "invoices": "SELECT number, status, amount_paid, amount_due FROM invoices WHERE seller_id = :user ORDER BY number",
    "transactions": """
        SELECT account_object_id, object_id, version, status, amount, currency, narration, counterparty,
               bank_reference, category, balance, occurred_at, booked_on, trust, swept, match_state
        FROM transactions WHERE user_id = :user ORDER BY object_id""",
    "matches": """
        SELECT transactions.object_id, invoices.number, matches.state, score, features
        FROM matches JOIN transactions ON transactions.id = transaction_id
        JOIN invoices ON invoices.id = matches.invoice_id
        WHERE matches.user_id = :user ORDER BY 1, 2""",
    "accounts": """
        SELECT object_id, version, name, number_masked, currency, kind, balance, available
        FROM bank_accounts WHERE user_id = :user ORDER BY object_id""",
    "payouts": """
        SELECT object_id, version, status, amount, currency, fee, bank_reference, occurred_at
        FROM payouts WHERE user_id = :user ORDER BY object_id""",
    "mirrored": """
        SELECT object_id, mirrored_invoices.version, gone.version AS gone, status, direction, kind, number, total,
               currency, due, issued_on, due_on, contact_name, contact_email, url, trust
        FROM mirrored_invoices LEFT JOIN mirrored_invoices_gone AS gone USING (id)
        WHERE user_id = :user ORDER BY object_id""",
    "ledger": """
        SELECT purpose, currency, sum(balance)::bigint AS balance FROM ledger_accounts WHERE owner = 'books:' || :user
            OR owner IN (SELECT 'connection:' || id FROM connections WHERE user_id = :user)
        GROUP BY 1, 2 HAVING sum(balance) <> 0 ORDER BY 1, 2""",
    "connections": "SELECT health, health_reason, health_version FROM connections WHERE user_id = :user ORDER BY id",
    "queue": """
        SELECT queue.state, error FROM event_queue AS queue JOIN connections ON connections.id = queue.connection_id
        WHERE user_id = :user ORDER BY event_id""",
}


def books(shop: Shop) -> dict[str, list[Json]]:
    """Everything the books of a seller say, without ids and times of ours, to compare with other books."""
    with shop.database.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(text(query), {"user": shop.seller.id}).mappings()]
            for name, query in BOOKS.items()
        }


def check_sums(database: Database) -> None:
    """Every amount of the books is the sum of its allocations, whatever happened before."""
    with database.connect() as connection:
        off = connection.execute(
            text(
                "SELECT 'invoice' AS what, id FROM invoices WHERE amount_paid <> "
                "(SELECT coalesce(sum(amount), 0) FROM allocations WHERE invoice_id = invoices.id) "
                "UNION ALL SELECT 'payment', id FROM payments WHERE allocated <> "
                "(SELECT coalesce(sum(amount), 0) FROM allocations WHERE payment_id = payments.id)"
            )
        ).all()
    assert off == []


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


class Refusal(PlatformError):
    """An error a test plants."""

    code = "planted"
