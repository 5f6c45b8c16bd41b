"""A closed auction, worked out again from its bids: what the rule says against what was written and posted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.marketplace import states
from core.marketplace.auction import Clearing
from core.marketplace.closing import HIGHEST, bids_of, clearing_of
from core.marketplace.states import Financing


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A clearing, worked out again. `differences` says in words where the books say something else; none is right."""

    clearing: Clearing
    differences: tuple[str, ...]


def replay(session: Session, financing_id: UUID) -> Replay:
    """Work out a closed auction from its bids, and compare it with the slices and what the ledger posted.

    Raises NotFound, and Conflict for what is no auction or has not closed.
    """
    row = session.execute(
        text(f"SELECT {states.COLUMNS} FROM financings WHERE id = :id"), {"id": financing_id}
    ).one_or_none()
    if row is None:
        raise NotFound("financing", financing_id)
    financing = states.of_row(row)
    awarded = session.scalar(
        text("SELECT EXISTS (SELECT FROM financing_moves WHERE financing_id = :id AND after = 'settlement_pending')"),
        {"id": financing_id},
    )
    if financing.mode != "auction" or not (awarded or financing.state in states.ENDED):
        raise Conflict(f"there is no closed auction: {financing.state.value}")
    # Every bid was admitted under the reserve rate, which the price has replaced since.
    clearing = clearing_of(financing, bids_of(session, financing_id, ["won", "lost"]), HIGHEST)
    expected = {fill.bid.id: (fill.amount, fill.outlay) for fill in clearing.fills} if awarded else {}
    return Replay(clearing=clearing, differences=tuple(_differences(session, financing, clearing, expected)))


def _differences(
    session: Session, financing: Financing, clearing: Clearing, expected: dict[UUID | str, tuple[int, int]]
) -> list[str]:
    rows = session.execute(
        text(
            "SELECT bids.id, bids.state, investments.principal, investments.outlay, investments.status, "
            "resolution.outcome, resolution.amount AS posted FROM bids "
            "LEFT JOIN investments ON investments.bid_id = bids.id "
            "LEFT JOIN ledger_resolutions AS resolution "
            "ON resolution.hold_id = coalesce(investments.hold_id, bids.hold_id) "
            "WHERE bids.financing_id = :id AND bids.state IN ('won', 'lost') ORDER BY bids.sequence"
        ),
        {"id": financing.id},
    ).all()
    found = []
    for row in rows:
        bought = None if row.principal is None else (row.principal, row.outlay)
        if bought != expected.get(row.id):
            found.append(f"bid {row.id} bought {bought}, the rule says {expected.get(row.id)}")
        if (row.state == "won") != (row.id in expected):
            found.append(f"bid {row.id} is {row.state}")
        settled = row.status not in {None, "held", "voided"}
        right = {True: ("posted", row.outlay), False: ("voided", 0)}[settled]
        if row.status != "held" and (row.outcome, row.posted) != right:
            found.append(
                f"the hold of bid {row.id} ended as {row.outcome} of {row.posted}, not {right[0]} of {right[1]}"
            )
    if expected and financing.state in states.SETTLED and financing.discount != clearing.discount:
        found.append(f"the discount is {financing.discount}, the rule says {clearing.discount}")
    return found
