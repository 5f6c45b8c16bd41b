"""How the ledger is, for those who run it: the books at a glance, the chain, and the last verification."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import audit
from core.books import posting
from core.bulk import array
from core.identity import Actor
from core.ledger import clearing_clock
from core.ledger.accounts import BOOKS, Purpose
from core.ledger.verify import Report

# A verification is noted as something that happened to the ledger, which has no row of its own.
SUBJECT = UUID("6f0c2f4e-0d53-5b1f-9a55-1edce2f1a0c5")
VERIFIED = "ledger.verified"

_BOOKS = text(
    "SELECT currency, purpose, sum(balance)::bigint AS balance, sum(held)::bigint AS held, count(*) AS accounts "
    "FROM ledger_accounts GROUP BY currency, purpose ORDER BY currency, purpose"
)
_CHAIN = text(
    "SELECT head.position, head.hash, (SELECT count(*) FROM ledger_unsealed) AS waiting, entry.recorded_at, "
    "anchor.day AS anchored_on, anchor.anchored_at "
    "FROM ledger_chain_head AS head LEFT JOIN ledger_chain AS link ON link.position = head.position "
    "LEFT JOIN ledger_entries AS entry ON entry.account_id = link.account_id AND entry.sequence = link.sequence "
    "LEFT JOIN (SELECT * FROM ledger_anchors ORDER BY day DESC LIMIT 1) AS anchor ON true"
)
_TRANSFERS = text(
    "SELECT id, kind, description, invoice_id, event_id, effective_at, recorded_at FROM ledger_transfers "
    "ORDER BY id DESC LIMIT :limit"
)
_LEGS = text(
    "SELECT entry.transfer_id, entry.amount, entry.balance_after, entry.currency, account.owner, account.purpose "
    "FROM ledger_entries AS entry JOIN ledger_accounts AS account ON account.id = entry.account_id "
    "WHERE entry.transfer_id = ANY(CAST(:ids AS uuid[])) ORDER BY entry.id"
)
_SOURCES = text("SELECT id, delivery_id FROM events WHERE id = ANY(CAST(:ids AS uuid[]))")
_PEOPLE = text("SELECT id, name FROM users WHERE id = ANY(CAST(:ids AS uuid[]))")
_LAST = text(
    "SELECT at, data FROM audit_log WHERE subject_kind = 'ledger' AND subject_id = :subject AND action = :action "
    "ORDER BY at DESC LIMIT 1"
)


def health(where: Session | Connection, now: datetime) -> dict[str, Any]:
    """Books by currency, what is not in them yet or not clear, the chain, and the last verification, if any."""
    return {
        "books": books(where),
        "unposted": posting.waiting(where),
        "clearing": [
            {
                "owner": one.owner,
                "purpose": one.purpose.value,
                "currency": one.currency,
                "balance": one.balance,
                "since": one.since,
                "age_seconds": round(one.age_seconds(now), 3),
            }
            for one in clearing_clock.uncleared(where, limit=100)
        ],
        "chain": chain_state(where),
        "verified": last_verification(where),
    }


def books(where: Session | Connection) -> list[dict[str, Any]]:
    """For each currency what there is of each purpose, in minor units.

    `issued`, `outside` and `recoverable` are what stands below zero there, as positive numbers. `total` is the sum of
    all balances (rule L2) and must be 0. `unexplained` is what the others have beyond what was issued, came in or is
    claimed (L14): must be 0 as well. `sellers` is each purpose of all sellers' books together, as the ledger has it:
    what is owed to them stands below zero.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in where.execute(_BOOKS):
        names: dict[str, Any] = {purpose.value: 0 for purpose in Purpose if purpose not in BOOKS}
        names["sellers"] = {purpose.value: 0 for purpose in BOOKS}
        one = found.setdefault(row.currency, {"currency": row.currency, "held": 0, "accounts": 0, **names})
        (one["sellers"] if row.purpose in BOOKS else one)[row.purpose] += row.balance
        one["held"] += row.held
        one["accounts"] += row.accounts
    for one in found.values():
        own = sum(one[purpose.value] for purpose in Purpose if purpose not in BOOKS)
        one["total"] = own + sum(one["sellers"].values())
        sources = [one.pop(name) for name in ("issuance", "outside", "recoverable")]
        one["issued"], one["outside"], one["recoverable"] = (-amount for amount in sources)
        one["unexplained"] = one["wallet"] + one["escrow"] + one["fees"] + one["gst"] + one["unapplied"]
        one["unexplained"] += one["scratch"] + sum(sources)
    return list(found.values())


def chain_state(where: Session | Connection) -> dict[str, Any]:
    """How far the chain is: sealed and waiting entries, its head, and the day it was last anchored outside."""
    row = where.execute(_CHAIN).one()
    return {
        "sealed": row.position,
        "waiting": row.waiting,
        "head": bytes(row.hash).hex(),
        "head_recorded_at": row.recorded_at,
        "anchored_on": row.anchored_on,
        "anchored_at": row.anchored_at,
    }


def recent(where: Session | Connection, limit: int = 20) -> list[dict[str, Any]]:
    """The newest transfers with their legs in order, and the delivery each came from, where one did."""
    transfers = [row._asdict() for row in where.execute(_TRANSFERS, {"limit": limit})]
    legs = where.execute(_LEGS, {"ids": array((one["id"] for one in transfers), "uuid")}).all()
    events = [one["event_id"] for one in transfers if one["event_id"] is not None]
    sources = {row.id: row.delivery_id for row in where.execute(_SOURCES, {"ids": array(events, "uuid")})}
    names = _names(where, {leg.owner for leg in legs})
    for one in transfers:
        one["delivery_id"] = sources.get(one["event_id"])
        one["legs"] = [{**leg._asdict(), "name": names.get(leg.owner)} for leg in legs if leg.transfer_id == one["id"]]
    return transfers


def _names(where: Session | Connection, owners: set[str]) -> dict[str, str]:
    people = [UUID(owner.removeprefix("user:")) for owner in owners if owner.startswith("user:")]
    return {f"user:{row.id}": row.name for row in where.execute(_PEOPLE, {"ids": array(people, "uuid")})}


def note(session: Session, actor: Actor | None, report: Report, seconds: float, now: datetime) -> None:
    """Keep that the ledger was verified, and what was found."""
    data = {
        "sound": report.sound,
        "problems": len(report.problems),
        "first": _first(report.problems),
        "entries": report.entries,
        "position": report.sealed,
        "seconds": round(seconds, 3),
    }
    audit.record(session, actor, VERIFIED, "ledger", SUBJECT, data, now)


def _first(problems: Sequence[Any]) -> str | None:
    return f"{problems[0].invariant}: {problems[0].subject} {problems[0].message}"[:300] if problems else None


def last_verification(where: Session | Connection) -> dict[str, Any] | None:
    """When it was last verified, and what was found; None before the first time."""
    row = where.execute(_LAST, {"subject": SUBJECT, "action": VERIFIED}).one_or_none()
    return None if row is None else {"at": row.at, **row.data}
