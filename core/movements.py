"""Every movement of a person's money in one list: the wallet here, and bank accounts that are connected.

Two lists, each read by its own index, are merged by time; a page costs two queries, however long they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy.orm import Session

from core import ledger, paging, wallets
from core.banking import queries as banking
from core.errors import Invalid
from core.identity import Actor

SOURCES: Final = ("wallet", "bank")
# When it was, which list it is of, the place in that list after it, and how it is shown.
_Line: TypeAlias = tuple[datetime, str, str, dict[str, Any]]


def movements(
    session: Session, actor: Actor, *, source: str | None = None, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """A page of a person's own movements, newest first. Raises Invalid.

    The cursor says how far each of the two lists was read, so that nothing is shown twice or left out.
    """
    paging.check_limit(limit)
    if source and source not in SOURCES:
        raise Invalid("source", f"must be one of {', '.join(SOURCES)}")
    places = dict(zip(SOURCES, paging.after_places(cursor, 2), strict=True))
    found: list[_Line] = []
    beyond = False
    if source != "bank":
        found += _of_wallet(session, actor, places["wallet"] or None, limit + 1)
    # An operator reads everybody's bank transactions elsewhere; none of them is theirs.
    if source != "wallet" and not actor.is_operator:
        page = banking.list_transactions(session, actor, limit=limit, cursor=places["bank"] or None)
        found += [_of_bank(line) for line in page["items"]]
        beyond = page["next_cursor"] is not None
    # Stable: within a list its own order stays.
    found.sort(key=lambda each: each[0], reverse=True)
    places |= {name: place for _, name, place, _ in found[:limit]}
    return {
        "items": [item for *_, item in found[:limit]],
        "next_cursor": paging.spell_places(list(places.values())) if beyond or len(found) > limit else None,
    }


def _of_wallet(session: Session, actor: Actor, after: str | None, limit: int) -> list[_Line]:
    before = paging.after_number(after)
    found: list[_Line] = []
    for row in ledger.statement(session, ledger.wallet(actor.id, wallets.CURRENCY), limit=limit, before=before):
        line = wallets.shape(row)
        shared = {name: line[name] for name in ("type", "amount", "currency", "description", "invoice_id", "at")}
        item = {"id": line["id"], "source": "wallet", **shared, "wallet": line, "transaction": None}
        found.append((row.recorded_at, "wallet", paging.spell_places([str(row.id)]), item))
    return found


def _of_bank(line: dict[str, Any]) -> _Line:
    matched = line["match"] if line["match"] and line["match"]["state"] == "accepted" else None
    item = {
        "id": line["id"],
        "source": "bank",
        "type": "credit" if line["amount"] >= 0 else "debit",
        "amount": abs(line["amount"]),
        "currency": line["currency"],
        "description": line["narration"],
        # A payout is matched and pays no invoice.
        "invoice_id": matched["invoice"]["id"] if matched and matched["invoice"] else None,
        "at": line["occurred_at"],
        "wallet": None,
        "transaction": line,
    }
    return line["occurred_at"], "bank", banking.place_of(line), item
