"""S7: the list of invoices, its search and the reports over two million invoices, one million of them one seller's.

Each is measured as the second of two runs, in milliseconds and as a ratio to a floor of the same run: for lists a
page of bare ids by index, for reports the sum of all the seller's totals. `python -m bench s7` builds the data anew,
which takes a quarter of an hour; `python -m bench.s7_lists URL` measures a database that was built before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from bench import lists_data
from bench.world import world
from core import paging, reports
from core.database import Database
from core.identity import Actor, Role, users
from core.invoicing import filters, queries
from core.invoicing.filters import Filters
from core.lists import export
from core.reports.periods import period

LIST_TARGET_MS = 300
REPORT_TARGET_MS = 2_000


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds of the second run: the first one warms caches."""
    work()
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def lists(session: Session, seller: Actor, operator: Actor) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What people do with the list, by name."""
    today = datetime.now(UTC).date()

    def listed(actor: Actor, cursor: str | None = None, **asked: Any) -> Callable[[], Any]:
        return lambda: queries.list_invoices(session, actor, limit=25, cursor=cursor, filters=Filters(**asked))

    yield "first page", listed(seller)
    yield "first page, operator", listed(operator)
    for sort in ("newest", *(name for name in filters.SORTS if name not in {"newest", "oldest"})):
        cursor = _deep(session, seller, sort)
        yield f"sort {sort}", listed(seller, sort=sort)
        yield f"sort {sort}, deep page", listed(seller, cursor, sort=sort)
    for status in ("draft", "open", "overdue", "paid", "void", "listed"):
        yield f"status {status}", listed(seller, status=status)
    yield "stage viewed (none)", listed(seller, stage="viewed")
    yield "currency none has", listed(seller, currency="EUR")
    yield "amount of few", listed(seller, amount_min=1179_000, amount_max=1179_200)
    yield "amount of none", listed(seller, amount_min=10**12)
    yield "issued on one day", listed(seller, issued_from=today - timedelta(500), issued_to=today - timedelta(500))
    yield "due this week, by amount", listed(seller, due_from=today, due_to=today + timedelta(7), sort="-amount")
    for who, actor in (("", seller), (", operator", operator)):
        for name, word in _SEARCHES:
            yield f"search {name}{who}", listed(actor, search=word)
    yield "bulk selection of overdue", lambda: queries.matching(session, seller, Filters(status="overdue"), 10_001)
    yield (
        "export of a day",
        lambda: export.export(
            session, seller, "csv", Filters(issued_from=today - timedelta(400), issued_to=today - timedelta(400))
        ),
    )


_SEARCHES = (
    ("number", "INV-123456"), ("name", "ramesh"), ("name and goods", "ramesh cotton"), ("customer", "buyer4711"),
    ("typo", "ramsh"), ("two neighbours", "rmaesh"), ("amount", "118000"), ("3 of a code", "a7f"),
    ("4 of a code", "a7f3"), ("5 of a code", "a7f3b"), ("8 of a code", "c4ca4238"), ("of none", "zzyzx"),
)  # fmt: skip


def _deep(session: Session, actor: Actor, sort: str) -> str | None:
    """A cursor far down an order: nine tenths of the way."""
    key = {"due": "due_date", "amount": "total", "number": "coalesce(number, '')"}.get(sort.lstrip("-"), "id")
    ordered = f"{key} {'DESC' if sort.startswith('-') or sort == 'newest' else 'ASC'}"
    row = session.execute(
        text(
            f"SELECT id, due_date, total, number, contact_id FROM invoices WHERE seller_id = :seller "
            f"ORDER BY {ordered} OFFSET (SELECT count(*) * 9 / 10 FROM invoices WHERE seller_id = :seller) LIMIT 1"
        ),
        {"seller": actor.id},
    ).one()
    asked = Filters(sort=sort)
    if sort == "newest":
        return paging._spell([str(row.id)])  # noqa: SLF001 - a cursor is made as a page would.
    name, value, identity = filters.order(asked, actor, None).key(row)
    return paging._spell([name, value, str(identity)])  # noqa: SLF001


def books(session: Session, seller: Actor) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every report over its usual period, and the rows behind one figure of it."""
    today = datetime.now(UTC).date()
    for name in reports.NAMES:
        days = period(reports.usual_period(name), None, None, today)
        yield f"report {name}", partial(reports.make, session, seller.id, name, days, today)
        yield f"rows of {name}", partial(reports.rows, session, seller.id, name, days, today)
    year = period("last_12_months", None, None, today)
    yield "report tax, 12 months", lambda: reports.make(session, seller.id, "tax", year, today)


def measure(database: Database, seller_id: UUID) -> dict[str, float]:
    """Print and return milliseconds by name."""
    found: dict[str, float] = {}
    with database.session() as session:
        seller = users.get(session, seller_id)
        if seller is None:
            raise LookupError(seller_id)
        operator = Actor(id=seller_id, role=Role.OPERATOR, name="", email="")
        bare = text("SELECT id FROM invoices WHERE seller_id = :seller ORDER BY id DESC LIMIT 26")
        whole = text("SELECT sum(total) FROM invoices WHERE seller_id = :seller")
        page = timed(lambda: session.execute(bare, {"seller": seller_id}).all())
        every = timed(lambda: session.scalar(whole, {"seller": seller_id}))
        print(f"S7  floor: a page of ids {page:.2f} ms; the sum of a million totals {every:.0f} ms")
        for target, floor, things in (
            (LIST_TARGET_MS, page, lists(session, seller, operator)),
            (REPORT_TARGET_MS, every, books(session, seller)),
        ):
            for name, work in things:
                took = found[name] = timed(work)
                over = "  over" if took > target else ""
                print(f"    {name:32} {took:8.0f} ms  {took / floor:9.1f} x floor{over}", flush=True)
    return found


def run() -> dict[str, float]:
    """Build, measure, print and return the figures."""
    with world() as parts:
        seller = lists_data.build(parts.database, lists_data.Scale())
        return measure(parts.database, seller)


if __name__ == "__main__":
    there = Database(sys.argv[1], application_name="ledgerwire-s7")
    with there.session() as opened:
        somebody = opened.scalar(text("SELECT id FROM users WHERE email = 'seller0@bench.example'"))
    measure(there, UUID(str(somebody)))
