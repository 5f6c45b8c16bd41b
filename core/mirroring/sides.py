"""What two sets of books say of one invoice, field by field, and which side moved since they last agreed. Pure.

A side is a dict of the FIELDS: total and paid in minor units, issue_date and due_date as text or None (not said), void
as true or false. Beside what is void nothing else is compared: books keep all kinds of amounts there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

FIELDS: Final = ("total", "paid", "issue_date", "due_date", "void")
LABELS: Final = {
    "total": "Total",
    "paid": "Paid",
    "issue_date": "Issue date",
    "due_date": "Due date",
    "void": "Void",
}
Moved = Literal["ours", "theirs", "both"]
State = Literal["agreed", "differs", "conflict"]
Side = dict[str, Any]

SENT: Final = "sent"
# Of a field that is changed again and again while the other side does not answer.
_MOST_SENT: Final = 20

# Before anything was said, nothing was paid and nothing was void.
_BEGINNING: Final[Mapping[str, Any]] = {"paid": 0, "void": False}


@dataclass(frozen=True, slots=True)
class Compared:
    """What both sides say alike now or said alike last, and by field which side moved since."""

    agreed: dict[str, Any]
    moved: dict[str, Moved]

    @property
    def state(self) -> State:
        """The worst there is."""
        if not self.moved:
            return "agreed"
        return "conflict" if "both" in self.moved.values() else "differs"


def ours(row: Any) -> Side:
    """Our side, from a row of invoices."""
    return {
        "total": row.total,
        "paid": row.amount_paid,
        "issue_date": row.issue_date.isoformat(),
        "due_date": row.due_date.isoformat(),
        "void": row.status == "void",
    }


def theirs(row: Any) -> Side:
    """Their side, from a mirrored invoice as it is shown: deleted means void."""
    return {
        "total": row.total,
        "paid": row.total - row.due,
        "issue_date": row.issued_on.isoformat() if row.issued_on else None,
        "due_date": row.due_on.isoformat() if row.due_on else None,
        "void": row.status == "void",
    }


def compare(agreed: Mapping[str, Any], ours: Side, theirs: Side) -> Compared:
    """Where two sides differ. What they said alike before tells who moved; where they never did, nobody knows.

    `agreed` has under SENT what we wrote there and may have heard no answer of: to find that there is our own doing.
    """
    known, moved = {name: said for name, said in agreed.items() if name != SENT}, dict[str, Moved]()
    sent = dict(agreed.get(SENT, {}))
    fields = ("void",) if ours["void"] or theirs["void"] else FIELDS
    for name in fields:
        here, there = ours[name], theirs[name]
        if there is None:
            continue
        if here == there or there in sent.get(name, ()):
            known[name] = there
            sent.pop(name, None)
        if here == there:
            continue
        before = known.get(name, _BEGINNING.get(name))
        if before is not None and here == before:
            moved[name] = "theirs"
        elif before is not None and there == before:
            moved[name] = "ours"
        else:
            moved[name] = "both"
    return Compared(known | ({SENT: sent} if sent else {}), moved)


def sending(agreed: Mapping[str, Any], fields: Collection[str], ours: Side) -> dict[str, Any]:
    """What was agreed, and that these fields of ours are being written there."""
    sent = dict(agreed.get(SENT, {}))
    for name in fields:
        sent[name] = [*(value for value in sent.get(name, ()) if value != ours[name]), ours[name]][-_MOST_SENT:]
    return {**agreed, SENT: sent}


def writable(compared: Compared, ours: Side, theirs: Side) -> frozenset[str]:
    """Fields that may be written there: where ours alone moved. While there is a conflict, none.

    Money that was given back here is not taken back there: that is for a person to do.
    """
    if compared.state == "conflict":
        return frozenset()
    found = {name for name, side in compared.moved.items() if side == "ours"}
    if ours["paid"] < theirs["paid"]:
        found.discard("paid")
    if not ours["void"]:
        found.discard("void")
    return frozenset(found)


def digest(side: Side) -> str:
    """A short name for what a side says."""
    spelled = json.dumps([side[name] for name in FIELDS], separators=(",", ":"))
    return hashlib.sha256(spelled.encode()).hexdigest()[:32]
