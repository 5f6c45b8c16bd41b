"""Demo data: four people, their connections, invoices, and a little history.

The history is not written into the tables: really signed deliveries go the road that every webhook goes, so
each demo payment has its provenance.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from config.settings import Settings
from connectors import registry
from connectors.base import Delivery
from core import kyc, wallets
from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.database import Database
from core.identity import Actor, Role, passwords, users
from core.ids import new_id
from core.inbox import store
from core.inbox.store import NewDelivery, NewEvent
from core.invoicing import invoices, profiles
from core.invoicing.invoices import NewInvoice, NewItem
from core.ledger import clearing as ledger_clearing
from core.money import Money
from core.syncing import schedule
from workers import context, demo_books, fetch, normalize
from workers.demo_market import Market
from workers.simulators import settlements, till
from workers.simulators.accounts import demo_account
from workers.simulators.basiq import DEMO_API_KEY, DEMO_USER, SimulatedTransaction, Simulator
from workers.simulators.playing import set_api_base
from workers.simulators.sending import Changes, build_delivery

PASSWORD = "password123"  # noqa: S105 - The demo accounts' password is published, and refused outside demo mode.
RAZORPAY_ACCOUNT = "acc_DemoLedgerwire"

PEOPLE = (
    ("seller@demo.com", "Asha Sharma", "Sharma Textiles", Role.SELLER),
    ("buyer@demo.com", "Vikram Rao", "Rao Retail", Role.BUYER),
    ("investor@demo.com", "Meera Iyer", "Iyer Capital", Role.INVESTOR),
    ("operator@demo.com", "Dev Kapoor", "Ledgerwire", Role.OPERATOR),
)


# What stands on the demo seller's invoices. The numbers are made up, and right in shape and check character.
BUSINESS = {
    "legal_name": "Sharma Textiles Private Limited",
    "address": "14 Mulji Jetha Market\nMumbai 400002",
    "tax_regime": "gst",
    "gstin": "27AAKCS4821Q1ZO",
    "hsn_digits": 4,
    "bank_name": "Demo Bank",
    "bank_account": "000123456789",
    "bank_code": "DEMO0000001",
    "upi_id": "sharma@demobank",
}


@dataclass(frozen=True, slots=True)
class _Contact:
    """A customer of the demo."""

    name: str
    email: str
    address: str
    state_code: str
    gstin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sale:
    """An invoice of the demo: who, what, when (days from today), and how much of it is paid, in percent."""

    contact: _Contact
    # What it is, its HSN code, how many of which unit, the price of one and the tax on it, in percent.
    items: tuple[tuple[str, str, str, str, int, str], ...]
    issued: int
    due: int
    paid_percent: int = 0
    currency: str = "INR"


_BUYER = _Contact("Rao Retail", "buyer@demo.com", "8 Commercial Street\nBengaluru 560001", "29")
_KAVERI = _Contact(
    "Kaveri Exports", "accounts@kaveri.example", "2 Big Bazaar Street\nTiruchirappalli 620008", "33", "33AADCK1974M1ZA"
)
_NILGIRI = _Contact("Nilgiri Stores", "pay@nilgiri.example", "31 Charing Cross\nUdhagamandalam 643001", "33")
_DECCAN = _Contact("Deccan Apparel", "finance@deccan.example", "77 Laxmi Road\nPune 411030", "27", "27AACCD6039H1ZO")
# 96: outside India.
_HARBOUR = _Contact("Harbour Homewares", "ap@harbour.example", "5 Circular Quay\nSydney NSW 2000", "96")
_SALES = (
    _Sale(
        contact=_BUYER,
        items=(("Cotton fabric, bleached, 44 inch", "5208", "400", "m", 18_500, "5"),),
        issued=-75,
        due=-45,
        paid_percent=100,
    ),
    _Sale(
        contact=_KAVERI,
        items=(
            ("Silk saree, handloom", "5007", "24", "pcs", 4_75_000, "5"),
            ("Packing", "9985", "24", "", 15_000, "18"),
        ),
        issued=-48,
        due=-18,
        paid_percent=100,
    ),
    _Sale(
        contact=_NILGIRI,
        items=(("Linen shirting", "5309", "150", "m", 42_000, "5"),),
        issued=-40,
        due=-10,
    ),
    _Sale(
        contact=_BUYER,
        items=(
            ("Denim, 10 oz", "5209", "220", "m", 31_000, "5"),
            ("Cutting charges", "9988", "1", "", 12_50_000, "18"),
        ),
        issued=-25,
        due=5,
        paid_percent=40,
    ),
    _Sale(
        contact=_DECCAN,
        items=(("Polyester lining", "5407", "600", "m", 9_000, "12"),),
        issued=-12,
        due=18,
    ),
    _Sale(
        contact=_BUYER,
        items=(("Cotton yarn 40s, combed", "5205", "1", "lot", 1_00_00_000, "0"),),
        issued=-4,
        due=26,
    ),
    _Sale(
        contact=_HARBOUR,
        items=(("Table linen, export quality", "6302", "80", "pcs", 2_350, "0"),),
        issued=-6,
        due=24,
        currency="AUD",
    ),
    _Sale(
        contact=_KAVERI,
        items=(("Zari border", "5809", "500", "m", 6_400, "5"),),
        issued=-1,
        due=29,
    ),
)


def load(settings: Settings) -> bool:
    """Load the demo into an empty database; False when there are people already."""
    parts = context.make(settings, "ledgerwire-demo")
    try:
        with parts.database.session() as session:
            point(session, settings)
            if session.scalar(text("SELECT EXISTS (SELECT FROM users)")):
                return False
            now = datetime.now(UTC)
            # One hash for all: it is the same published password, and hashing is slow on purpose.
            password_hash = passwords.hash_password(PASSWORD)
            people = _people(session, password_hash, now)
            seller = people[Role.SELLER]
            profiles.save(session, seller, BUSINESS, now)
            made = [_invoice(session, seller, sale, now) for sale in _SALES]
            addresses = _connect(session, seller, parts.ring, now)
            Market(session, settings, people, now).open(password_hash)
        with parts.database.session() as session:
            point(session, settings)
        collected = _pay(parts, addresses["razorpay"], made, now)
        _bank(parts, addresses["basiq"])
        with parts.database.session() as session:
            demo_books.stock(session, settings, seller, made, now)
        paid_out = _settle(parts, settings, addresses["razorpay"], collected, now - timedelta(days=4))
        with parts.database.session() as session:
            # The first worker that runs asks the gateway what is in its payout.
            schedule.begin(session, addresses["razorpay"].connection_id, now)
        demo_books.statement(parts.database, settings, parts.ring, seller, paid_out, now)
    finally:
        parts.database.dispose()
    return True


# What a table holds from the migrations on.
_KEPT = ("alembic_version", "relay_state", "financing_transitions", "kyc_transitions", "ledger_chain_head")


def clear(database: Database) -> None:
    """Remove every row of every table, the schema stays."""
    with database.connect() as connection:
        tables = connection.scalars(
            text(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(:kept) "
                "AND NOT starts_with(tablename, 'ledger_') "
                "AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = format('public.%I', tablename)::regclass)"
            ),
            {"kept": list(_KEPT)},
        ).all()
        # Books are append-only and refuse to be emptied: their owner switches that off by name, and on again.
        ledger_clearing.empty(connection)
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.exec_driver_sql(f"TRUNCATE {', '.join(tables)}")
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def _people(session: Session, password_hash: str, now: datetime) -> dict[Role, Actor]:
    people = {
        role: users.register(
            session, email=email, name=name, organisation=organisation, role=role, password_hash=password_hash, now=now
        )
        for email, name, organisation, role in PEOPLE
    }
    kyc.welcome_all(session, now)
    wallets.welcome_all(session, now)
    return people


def _invoice(session: Session, seller: Actor, sale: _Sale, now: datetime) -> dict[str, Any]:
    issued = now + timedelta(days=sale.issued)
    contact = sale.contact
    return invoices.create(
        session,
        seller,
        NewInvoice(
            contact_name=contact.name,
            contact_email=contact.email,
            contact_address=contact.address,
            contact_state=contact.state_code,
            contact_gstin=contact.gstin,
            currency=sale.currency,
            issue_date=issued.date(),
            due_date=(now + timedelta(days=sale.due)).date(),
            items=[
                NewItem(
                    description=words,
                    hsn=hsn,
                    quantity=Decimal(quantity),
                    unit=unit,
                    unit_price=price,
                    tax_rate=Decimal(rate),
                )
                for words, hsn, quantity, unit, price, rate in sale.items
            ],
            payment_terms=f"Net {sale.due - sale.issued} days",
        ),
        now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    connection_id: UUID
    secret: str


def _connect(session: Session, seller: Actor, ring: KeyRing, now: datetime) -> dict[str, _Address]:
    made = {}
    stripe = demo_account(registry.get("stripe"))
    gateway = {"simulated": "yes"}
    keys = {"key_id": "rzp_test_LedgerwireDemo", "key_secret": "demo-key-secret"}
    for slug, name, external_id, more, known in (
        ("razorpay", "Razorpay", RAZORPAY_ACCOUNT, keys, gateway),
        ("basiq", "Business account at Basiq", DEMO_USER, {"api_key": DEMO_API_KEY}, {}),
        ("standard_webhooks", "Our own shop", None, {}, {}),
        ("stripe", "Stripe", stripe.external_id, stripe.secrets, gateway),
    ):
        secret = registry.get(slug).signature.new_secret()
        row = connections.create(
            session,
            seller,
            ring,
            connector=slug,
            name=name,
            secrets={"webhook_secret": secret, **more},
            settings=known,
            external_id=external_id,
            now=now,
        )
        made[slug] = _Address(connection_id=UUID(row["id"]), secret=secret)
    return made


def point(session: Session, settings: Settings) -> None:
    """Have the connections to simulated gateways ask this installation, at the port that it has now."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound.
    session.execute(
        text(
            "UPDATE connections SET settings = settings || jsonb_build_object('api_base', "
            "CAST(:base AS text) || '/simulated/' || connector || '/' || id) "
            "WHERE settings ->> 'simulated' = 'yes' AND deleted_at IS NULL"
        ),
        {"base": f"http://{host}:{settings.port}"},
    )


def _pay(parts: context.Context, address: _Address, made: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The payments that the gateway reported so far, as it told them."""
    told = []
    for place, (invoice, sale) in enumerate(zip(made, _SALES, strict=True)):
        if sale.paid_percent:
            paid = invoice["total"] * sale.paid_percent // 100
            body = _deliver(
                parts,
                "razorpay",
                "payment.captured",
                address,
                Changes(
                    invoice_number=invoice["number"],
                    money=Money(paid, sale.currency),
                    external_id=RAZORPAY_ACCOUNT,
                ),
                # Some days apart, so that the dashboard has a history; all before the gateway paid out.
                now - timedelta(days=14 - 3 * place, hours=3),
            )
            told.append(json.loads(body)["payload"]["payment"]["entity"])
    while normalize.drain(parts):
        pass
    return told


def _settle(
    parts: context.Context, settings: Settings, address: _Address, collected: list[dict[str, Any]], at: datetime
) -> Money:
    """The gateway tells that it paid out what it collected less its fees; its report will name the parts."""
    amount = Money(sum(one["amount"] - one["fee"] for one in collected), "INR")
    changes = Changes(money=amount, external_id=RAZORPAY_ACCOUNT)
    body = _deliver(parts, "razorpay", "settlement.processed", address, changes, at)
    folder = till.folder_of(settings.data_dir, "razorpay", address.connection_id)
    settlements.keep(folder, json.loads(body)["payload"]["settlement"]["entity"], collected)
    while normalize.drain(parts):
        pass
    return amount


def _bank(parts: context.Context, address: _Address) -> None:
    """A bank account abroad with some lines. The payment of the invoice in its currency is for its reader to send."""
    now = datetime.now(UTC)
    lines = [
        SimulatedTransaction(narration="AUSPOST PARCELS SYDNEY", amount="-84.20", at=now - timedelta(days=6)),
        SimulatedTransaction(narration="TRANSFER FROM COASTAL CAFE", amount="310.00", at=now - timedelta(days=4)),
        SimulatedTransaction(narration="OFFICE RENT", amount="-1450.00", at=now - timedelta(days=3)),
        SimulatedTransaction(narration="CARD 4921 BUNNINGS", amount="-129.95", status="pending"),
    ]
    with Simulator(transactions=lines) as basiq:
        with parts.database.session() as session:
            set_api_base(session, address.connection_id, basiq.base_url)
        body = _deliver(
            parts,
            "basiq",
            "transactions.updated",
            address,
            Changes(external_id=DEMO_USER),
            now,
        )
        basiq.announce(body)
        while normalize.drain(parts) or fetch.drain(parts):
            pass


def _deliver(parts: context.Context, slug: str, event: str, address: _Address, changes: Changes, at: datetime) -> bytes:
    """Sign a sample, verify it like any webhook, and store it."""
    connector = registry.get(slug)
    headers, body = build_delivery(
        connector, event, secret=address.secret, at=at, message_id=f"msg_{secrets.token_hex(8)}", changes=changes
    )
    now = datetime.now(UTC)
    delivery = Delivery(body=body, headers={name.lower(): (value,) for name, value in headers.items()}, received_at=now)
    verified = connector.verify(delivery, [address.secret])
    found = connector.open(delivery, verified)
    with parts.database.connect() as connection:
        store.store(
            connection,
            [
                NewDelivery(
                    id=new_id(),
                    connector=slug,
                    connection_id=address.connection_id,
                    received_at=now,
                    path=f"/api/connectors/{slug}/webhook/{address.connection_id}",
                    remote_addr="127.0.0.1",
                    headers_json=_as_json(headers),
                    body=body,
                    secret_index=verified.secret_index,
                    message_id=verified.message_id,
                    verify_micros=0,
                    events=[
                        NewEvent(
                            id=new_id(),
                            provider_event_id=one.id,
                            name=one.name,
                            item_index=place,
                            connection_id=address.connection_id,
                            external_id=one.external_id,
                            known_name=True,
                        )
                        for place, one in enumerate(found)
                    ],
                )
            ],
        )
    return body


def _as_json(headers: dict[str, str]) -> str:
    return json.dumps([(name.lower(), value) for name, value in headers.items()])
