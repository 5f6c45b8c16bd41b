"""What a simulated Razorpay paid out: its settlements and, row by row, the payments that each of them holds.

They lie in files beside the account's payment pages, and are answered as the settlement report is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_INDIA = timezone(timedelta(hours=5, minutes=30))


def keep(folder: Path, settlement: Json, payments: Sequence[Json]) -> None:
    """Remember a settlement and the payments in it, both as webhooks told them."""
    place = folder / "settled"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [_row(settlement, payment) for payment in payments]
    written = json.dumps({"settlement": settlement, "payments": list(payments), "rows": rows})
    (place / f"{settlement['id']}.json").write_text(written, encoding="utf-8")


def _row(settlement: Json, payment: Json) -> Json:
    return {
        "entity_id": payment["id"],
        "type": "payment",
        "debit": 0,
        "credit": payment["amount"] - payment["fee"],
        "amount": payment["amount"],
        "currency": payment["currency"],
        "fee": payment["fee"],
        "tax": payment["tax"],
        "on_hold": False,
        "settled": True,
        "created_at": payment["created_at"],
        "settled_at": settlement["created_at"],
        "settlement_id": settlement["id"],
        "settlement_utr": settlement["utr"],
        "payment_id": None,
        "order_id": payment["order_id"],
        "method": payment["method"],
        "dispute_id": None,
    }


def _all(folder: Path) -> list[Json]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / "settled").glob("*.json"))]


def collected(folder: Path) -> list[Json]:
    """The payments that were settled."""
    return [payment for one in _all(folder) for payment in one["payments"]]


def listed(folder: Path, params: Mapping[str, str]) -> Json:
    """The list of settlements."""
    first, last = int(params.get("from", 0)), int(params.get("to", 2**40))
    return _page(
        [one["settlement"] for one in _all(folder) if first <= one["settlement"]["created_at"] <= last], params
    )


def report(folder: Path, params: Mapping[str, str]) -> Json:
    """The rows of a month, or of a day."""
    wanted = [int(params[name]) for name in ("year", "month", "day") if name in params]
    rows = []
    for row in (row for one in _all(folder) for row in one["rows"]):
        day = datetime.fromtimestamp(row["settled_at"], _INDIA)
        if [day.year, day.month, day.day][: len(wanted)] == wanted:
            rows.append(row)
    return _page(rows, params)


def _page(found: list[Json], params: Mapping[str, str]) -> Json:
    skip, count = int(params.get("skip", 0)), int(params.get("count", 10))
    items = found[skip : skip + count]
    return {"entity": "collection", "count": len(items), "items": items}
