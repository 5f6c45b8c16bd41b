"""What tests of the marketplace build on: people with verified identities and money, listings, funded invoices.

A listing is written as it stands once its buyer confirmed it and its seller offered it, without the steps before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import kyc, ledger, wallets
from core.database import Database
from core.identity import Actor, Role, users
from core.ids import new_id
from core.ledger import Leg, Purpose, Transfer
from core.marketplace import clock, funding, pricing, states
from core.marketplace.calendar import Calendar, Settlement
from core.marketplace.rules import Rules, today
from core.marketplace.states import Financing, State
from tests.builders import NOW, add_invoice

RULES = Rules(calendar=Calendar(), settlement=Settlement.INSTANT, fingerprint_key=b"planted-key-of-thirty-two-bytes!")
NEXT_DAY = replace(RULES, settlement=Settlement.T1)
LAKH = 1_00_000_00
WELCOME = wallets.WELCOME
# What a refusal must leave as it was.
WATCHED = (
    "ledger_accounts", "ledger_entries", "ledger_transfers", "ledger_holds", "ledger_resolutions", "ledger_keys",
    "financings", "financing_moves", "investments", "bids", "investor_limits", "invoices", "outbox", "notifications",
    "audit_log",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An invoice on offer, and whose it is."""

    seller: Actor
    buyer: Actor
    invoice_id: UUID
    number: str
    financing_id: UUID
    investors: tuple[Actor, ...] = ()


def person(session: Session, role: Role = Role.INVESTOR, *, pan: str | None = None, now: datetime = NOW) -> Actor:
    """Somebody new, verified, with the demo money everybody gets."""
    identity = new_id()
    made = users.register(
        session,
        email=f"{identity}@market.test",
        name=f"{role.value.title()} {identity.hex[-4:]}",
        password_hash="-",
        role=role,
        now=now,
        identity=identity,
    )
    if pan is None:
        kyc.welcome(session, made.id, now)
    else:
        verified(session, made, pan, now)
    if role is not Role.OPERATOR:
        wallets.welcome(session, made.id, now)
    return made


def verified(session: Session, who: Actor, pan: str, now: datetime = NOW) -> None:
    """Their papers were handed in and found good."""
    kyc.submit(
        session,
        who,
        kyc.Profile(
            legal_name=who.name, constitution="individual", pan=pan, gstin=None, udyam=None, account_name=who.name
        ),
        now,
    )
    operator = users.register(
        session, email=f"{new_id()}@ops.test", name="Operator", password_hash="-", role=Role.OPERATOR, now=now
    )
    kyc.decide(session, operator, who.id, "verify", "papers are in order", now)


def give(session: Session, who: Actor, amount: int, now: datetime = NOW) -> None:
    """More demo money, or with a negative amount less."""
    ledger.post(
        session,
        [
            Transfer(
                kind="wallet.welcome",
                key=f"test:{new_id()}",
                legs=[
                    Leg(ledger.wallet(who.id), amount),
                    Leg(ledger.platform(Purpose.ISSUANCE, "INR"), -amount),
                ],
                description="Demo money",
            )
        ],
        now,
    )


def listed(
    session: Session,
    *,
    face: int = LAKH,
    confirmed: int | None = None,
    ask: int | None = None,
    rate: str | None = None,
    haircut: str = "0",
    days: int = 60,
    fee_plan: str = "none",
    mode: str = "fixed",
    bids: str = "uniform",
    min_slice: int = 100,
    closes_in: timedelta = timedelta(days=7),
    recourse: str = "reserve",
    seller: Actor | None = None,
    buyer: Actor | None = None,
    rules: Rules = RULES,
    state: State = State.LISTED,
    now: datetime = NOW,
    fp_e1: bytes | None = None,
) -> Listing:
    """An invoice over `face`, of which its buyer `confirmed` so much (None: all of it).

    It is due `days` after the value date (moved to a working day), on offer since `now`.

    Either `ask` (what investors pay in all) or `rate` (per cent a year, as text); neither is 12 per cent.
    """
    seller = seller or person(session, Role.SELLER, now=now)
    buyer = buyer or person(session, Role.BUYER, now=now)
    invoice = add_invoice(session, seller, face)
    value_date = rules.calendar.value_date(today(now), rules.settlement)
    due = value_date + timedelta(days=days)
    confirmed = confirmed or face
    terms = pricing.terms(
        confirmed,
        days=rules.calendar.days(value_date, due),
        rate=None if ask is not None else pricing.percent(rate or "12"),
        ask=ask,
        haircut=pricing.percent(haircut),
        fee_plan=pricing.FEE_PLANS[fee_plan],
    )
    session.execute(
        text("UPDATE invoices SET buyer_id = :buyer, due_date = :due WHERE id = :id"),
        {"buyer": buyer.id, "due": due, "id": invoice["id"]},
    )
    auctioned = {"pricing": bids} if mode == "auction" else {}
    offered = (
        {
            **auctioned,
            "mode": mode,
            "haircut": Decimal(haircut),
            "rate": None if terms.rate is None else terms.rate * 100,
            "days": terms.days,
            "value_date": value_date,
            "pay_date": rules.calendar.due(due),
            "principal": terms.principal,
            "discount": terms.discount,
            "min_slice": min_slice,
            "fee_plan": fee_plan,
            "fee": terms.fee,
            "fee_tax": terms.gst,
            "recourse": recourse,
            "late_rate": Decimal(18),
            "listed_at": now,
            "closes_at": now + closes_in,
        }
        if state in states.ON_OFFER
        else {}
    )
    values: dict[str, Any] = {
        "id": new_id(),
        "invoice_id": invoice["id"],
        "seller_id": seller.id,
        "buyer_id": buyer.id,
        "buyer_email": buyer.email,
        "state": state.value,
        "currency": "INR",
        "face": face,
        "confirmed_amount": None if state is State.PENDING else confirmed,
        "due_date": due,
        "issue_date": today(now),
        "submitted_at": now,
        "confirm_by": now + timedelta(days=14),
        "fp_e1": fp_e1,
        "created_at": now,
        "updated_at": now,
        **offered,
    }
    columns = ", ".join(values)
    session.execute(
        text(f"INSERT INTO financings ({columns}) VALUES ({', '.join(f':{name}' for name in values)})"), values
    )
    financing = states.lock(session, UUID(invoice["id"]))
    states.record(session, financing, None, now, actor=seller, reason="for a test")
    states.change(session, financing, now, due_at=clock.next_look(financing, rules.calendar))
    return Listing(
        seller=seller,
        buyer=buyer,
        invoice_id=UUID(invoice["id"]),
        number=invoice["number"],
        financing_id=financing.id,
    )


def funded(
    session: Session,
    *,
    slices: Sequence[int] | None = None,
    rules: Rules = RULES,
    now: datetime = NOW,
    **terms: Any,
) -> Listing:
    """A listing that investors funded, one new investor a slice (outlay); without slices, one funds it whole."""
    offer = listed(session, rules=rules, now=now, **terms)
    left = [standing(session, offer).outlay or 0] if slices is None else slices
    investors = tuple(person(session, now=now) for _ in left)
    for who, amount in zip(investors, left, strict=True):
        if amount > WELCOME:
            give(session, who, amount - WELCOME, now)
        funding.fund(session, who, offer.invoice_id, amount, now, rules=rules)
    return replace(offer, investors=investors)


def standing(session: Session | Connection, offer: Listing) -> Financing:
    """The financing as it is now."""
    found = states.find(session, offer.invoice_id)
    assert found is not None
    return found


def money(session: Session | Connection, *people: Actor) -> list[int]:
    """What each has in the wallet, holds included."""
    return [ledger.balance(session, ledger.wallet(one.id)).balance for one in people]


def spendable(session: Session | Connection, *people: Actor) -> list[int]:
    """What each can spend."""
    return [ledger.balance(session, ledger.wallet(one.id)).available for one in people]


def entries(session: Session | Connection, offer: Listing) -> list[tuple[str, str, int]]:
    """Every entry of the ledger that an invoice caused: owner, purpose, amount, in their order."""
    rows = session.execute(
        text(
            "SELECT owner, purpose, amount FROM ledger_entries JOIN ledger_accounts ON ledger_accounts.id = account_id "
            "JOIN ledger_transfers ON ledger_transfers.id = transfer_id WHERE invoice_id = :id "
            "ORDER BY ledger_transfers.position, ledger_entries.id"
        ),
        {"id": offer.invoice_id},
    )
    return [(row.owner, row.purpose, row.amount) for row in rows]


def slices(session: Session | Connection, offer: Listing) -> list[tuple[int, int, str]]:
    """Outlay, principal and status of each slice, in their order."""
    rows = session.execute(
        text("SELECT outlay, principal, status FROM investments WHERE financing_id = :id ORDER BY sequence"),
        {"id": offer.financing_id},
    )
    return [(row.outlay, row.principal, row.status) for row in rows]


def dump(database: Database) -> Mapping[str, list[str]]:
    """Every row that money, promises and news are made of, to compare with a later one."""
    with database.connect() as connection:
        return {
            table: list(connection.scalars(text(f"SELECT t::text FROM {table} AS t ORDER BY 1"))) for table in WATCHED
        }


_WRONG = {
    "the books do not sum to zero": "SELECT 1 WHERE (SELECT coalesce(sum(balance), 0) FROM ledger_accounts) <> 0",
    "a balance is not the sum of its entries": """
        SELECT 1 FROM ledger_accounts WHERE balance <> coalesce(
            (SELECT sum(amount) FROM ledger_entries WHERE account_id = ledger_accounts.id), 0)""",
    "what is held is not the sum of the open holds": """
        SELECT 1 FROM ledger_accounts WHERE held <> coalesce(
            (SELECT sum(amount) FROM ledger_holds WHERE account_id = ledger_accounts.id AND open), 0)""",
    "somebody owes the ledger": """
        SELECT 1 FROM ledger_accounts WHERE balance - held < 0
        AND purpose IN ('wallet', 'escrow', 'fees', 'gst', 'unapplied')""",
    "an escrow is not empty": "SELECT 1 FROM ledger_accounts WHERE purpose = 'escrow' AND balance <> 0",
    "a financing is not the sum of its slices": """
        SELECT 1 FROM financings WHERE placed_principal || '/' || placed_outlay <> (
            SELECT coalesce(sum(principal), 0) || '/' || coalesce(sum(outlay), 0)
            FROM investments WHERE financing_id = financings.id AND status <> 'voided')""",
    "more was sold than there is": "SELECT 1 FROM financings WHERE placed_principal > principal",
    "a promise has no open hold": """
        SELECT 1 FROM investments JOIN ledger_holds ON ledger_holds.id = hold_id WHERE status = 'held' AND NOT open
        UNION ALL SELECT 1 FROM bids JOIN ledger_holds ON ledger_holds.id = hold_id
            WHERE bids.state = 'open' AND NOT open""",
    "a hold outlives its promise": """
        SELECT 1 FROM ledger_holds WHERE open
            AND NOT EXISTS (SELECT FROM investments WHERE hold_id = ledger_holds.id AND status = 'held')
            AND NOT EXISTS (SELECT FROM bids WHERE hold_id = ledger_holds.id AND state = 'open')""",
    "the seller of a funded invoice has not been paid": """
        SELECT 1 FROM financings WHERE funded_at IS NOT NULL AND state NOT IN ('listed', 'withdrawn', 'expired')
        AND principal - discount - fee - fee_tax <> (
            SELECT coalesce(sum(amount), 0) FROM ledger_entries
            JOIN ledger_transfers ON ledger_transfers.id = transfer_id
            JOIN ledger_accounts ON ledger_accounts.id = account_id
            WHERE ledger_transfers.invoice_id = financings.invoice_id AND kind = 'financing.settled'
            AND purpose = 'wallet' AND owner = 'user:' || seller_id)""",
}


def faults(database: Database) -> dict[str, int]:
    """What is wrong with the books, and how often: worked out from the rows alone, without the code that wrote them."""
    with database.connect() as connection:
        counted = {
            name: int(connection.scalar(text(f"SELECT count(*) FROM ({query})")) or 0) for name, query in _WRONG.items()
        }
    return {name: count for name, count in counted.items() if count}


def check_books(database: Database) -> None:
    """Nothing that money rests on is wrong."""
    assert faults(database) == {}
