"""What the database says of accounts and deals, read by SQL of its own and compared with the auditor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from core.bulk import array
from tests.simulation.deals import WELCOME, Deal

if TYPE_CHECKING:
    from tests.simulation.world import World

# (owner, purpose, currency) to (balance, held, number of entries).
Books = dict[tuple[str, str, str], tuple[int, int, int]]
# Every escrow account is asked for in `invariants`: there is one for each deal that ever was.
_READ = text(
    "SELECT owner, purpose, currency, balance, held, sequence FROM ledger_accounts "
    "WHERE purpose IN ('wallet', 'fees', 'gst', 'unapplied', 'issuance', 'outside', 'recoverable', 'scratch') "
    "OR (purpose = 'escrow' AND (balance <> 0 OR held <> 0))"
)
_FINANCINGS = text(
    "SELECT id, state, placed_principal, placed_outlay, collected, repaid_principal, repaid_interest, "
    "seller_reserve_paid, surplus, discount, fee, fee_tax FROM financings WHERE id = ANY(CAST(:ids AS uuid[]))"
)
_SLICES = text(
    "SELECT financing_id, outlay, principal, status, repaid_principal, repaid_interest FROM investments "
    "WHERE financing_id = ANY(CAST(:ids AS uuid[])) ORDER BY financing_id, sequence"
)
_BIDS = text(
    "SELECT financing_id, outlay, state FROM bids WHERE financing_id = ANY(CAST(:ids AS uuid[])) "
    "ORDER BY financing_id, sequence"
)
_BID_STATES = {"held": {"open"}, "withdrawn": {"withdrawn"}, "voided": {"lost"}, "decided": {"won", "lost"}}


def read(connection: Connection) -> Books:
    return {(row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in connection.execute(_READ)}


def wrong(world: World, found: Books) -> Iterator[str]:
    """What is not as the auditor has it. Who owes the platform is read, and bounded: it depends on what was spent."""
    auditor = world.auditor
    expected: Counter[tuple[str, str, str]] = Counter()
    held: Counter[tuple[str, str, str]] = Counter()
    for place, purse in enumerate(auditor.purses):
        owner = f"user:{world.people[place].id}"
        purse.owes = -found.get((owner, "recoverable", "INR"), (0, 0, 0))[0]
        if purse.owes < 0:
            yield f"{owner} is owed by the platform what nobody paid: {purse.owes}"
        if purse.free < 0:
            yield f"{owner} has less than is promised: {purse}"
        expected[owner, "recoverable", "INR"] = -purse.owes
        expected[owner, "wallet", "INR"] = purse.net + purse.owes
        held[owner, "wallet", "INR"] = purse.held
    expected["platform", "issuance", "INR"] = -WELCOME * len(auditor.purses)
    expected["platform", "fees", "INR"] = auditor.fees
    expected["platform", "gst", "INR"] = auditor.taxes
    for buyer, amount in auditor.unapplied.items():
        expected[f"user:{world.people[buyer].id}", "unapplied", "INR"] = amount
    for seller, amount in auditor.outside.items():
        expected[f"connection:{world.connections[seller]}", "outside", "INR"] = amount
    for name in sorted(found.keys() | expected.keys()):
        stands = found.get(name, (0, 0, 0))[:2]
        if stands != (expected[name], held[name]):
            yield f"{' '.join(name)} has (balance, held) {stands}; {(expected[name], held[name])} is right"


def _slices(deal: Deal) -> list[tuple[int, int, str, int, int]]:
    live = {id(one): place for place, one in enumerate(deal.live)}
    return [
        (one.outlay, one.claim, one.status, *(deal.repaid(live[id(one)]) if id(one) in live else (0, 0)))
        for one in deal.slices
    ]


def wrong_deals(connection: Connection, world: World, numbers: Iterable[int]) -> list[str]:
    """Deals that do not stand where the auditor has them."""
    deals = {world.financing_ids[number]: world.auditor.deals[number] for number in numbers}
    if not deals:
        return []
    ids = {"ids": array(deals, "uuid")}
    rows = {row.id: row for row in connection.execute(_FINANCINGS, ids)}
    slices: dict[object, list[tuple[object, ...]]] = {}
    for row in connection.execute(_SLICES, ids):
        slices.setdefault(row.financing_id, []).append(tuple(row)[1:])
    bids: dict[object, list[tuple[int, str]]] = {}
    for row in connection.execute(_BIDS, ids):
        bids.setdefault(row.financing_id, []).append((row.outlay, row.state))
    found = []
    for identity, deal in deals.items():
        row = rows[identity]
        stands = (row.state, row.placed_principal, row.placed_outlay, *tuple(row)[4:9])
        placed = (sum(one.claim for one in deal.live), sum(one.outlay for one in deal.live))
        right = (deal.state, *placed, *deal.sums)
        if stands != right:
            found.append(f"deal {deal.number} stands as {stands}; {right} is right")
        if deal.price and (row.discount, row.fee, row.fee_tax) != (deal.price.discount, deal.price.fee, deal.price.tax):
            found.append(f"deal {deal.number} costs {row.discount}, {row.fee}, {row.fee_tax}; {deal.price} is right")
        if slices.get(identity, []) != _slices(deal):
            found.append(f"deal {deal.number} has slices {slices.get(identity, [])}; {_slices(deal)} is right")
        known = bids.get(identity, [])
        if len(known) != len(deal.bids) or any(
            outlay != bid.outlay or state not in _BID_STATES[bid.status]
            for (outlay, state), bid in zip(known, deal.bids, strict=False)
        ):
            found.append(f"deal {deal.number} has bids {known}; {deal.bids} is right")
    return found


def wrong_counts(connection: Connection, world: World) -> list[str]:
    """Each grant, each settlement and each receipt that stands was posted once."""
    rows = connection.execute(text("SELECT kind, count(*) FROM ledger_transfers GROUP BY kind"))
    counted: dict[str, int] = {row[0]: row[1] for row in rows}
    received = counted.get("repayment.received", 0) + counted.get("repayment.repurchased", 0)
    right = {
        "wallet.welcome": len(world.auditor.purses),
        "financing.settled": world.auditor.settled,
        "standing receipts": sum(len(deal.rows) for deal in world.auditor.deals),
    }
    stands = {
        "wallet.welcome": counted.get("wallet.welcome", 0),
        "financing.settled": counted.get("financing.settled", 0),
        "standing receipts": received - counted.get("repayment.reversed", 0),
    }
    return [] if stands == right else [f"posted {stands}; {right} is right"]
