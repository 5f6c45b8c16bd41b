"""What became of simulated deliveries: waited for, and told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy import text

from config.settings import Settings
from core.database import Database

_PATIENCE_SECONDS = 20
_LOOKS_SECONDS = 0.05

_ONE = text(
    "SELECT events.name, results.outcome, results.note, queue.state, queue.error, "
    "extract(epoch FROM results.finished_at - events.received_at) * 1000 AS milliseconds, "
    "(SELECT string_agg(DISTINCT object_kind || ' ' || effect, ', ') FROM event_effects "
    " WHERE event_id = events.id) AS effects "
    "FROM events LEFT JOIN event_results AS results ON results.event_id = events.id "
    "LEFT JOIN event_queue AS queue ON queue.event_id = events.id WHERE events.delivery_id = :id"
)
_ALL = text(
    "SELECT count(*) AS stored, count(results.event_id) AS done, "
    "count(*) FILTER (WHERE queue.state IN ('ready', 'fetch') AND results.event_id IS NULL) AS waiting, "
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM results.finished_at - events.received_at)) AS p50, "
    "percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM results.finished_at - events.received_at)) AS p99 "
    "FROM events JOIN deliveries ON deliveries.id = events.delivery_id "
    "LEFT JOIN event_results AS results ON results.event_id = events.id "
    "LEFT JOIN event_queue AS queue ON queue.event_id = events.id "
    "WHERE deliveries.connection_id = :connection AND deliveries.received_at >= :since"
)
_OUTCOMES = text(
    "SELECT coalesce(results.outcome, queue.state) AS outcome, count(*) AS events, min(queue.error) AS error "
    "FROM events JOIN deliveries ON deliveries.id = events.delivery_id "
    "LEFT JOIN event_results AS results ON results.event_id = events.id "
    "LEFT JOIN event_queue AS queue ON queue.event_id = events.id "
    "WHERE deliveries.connection_id = :connection AND deliveries.received_at >= :since "
    "GROUP BY 1 ORDER BY 2 DESC"
)


def newest_delivery(database: Database | None, connection_id: UUID, since: datetime) -> str | None:
    """The last delivery to a connection, for providers whose answer has no room for its id."""
    if database is None:
        return None
    query = text(
        "SELECT id FROM deliveries WHERE connection_id = :connection AND received_at >= :since "
        "ORDER BY received_at DESC LIMIT 1"
    )
    with database.session() as session:
        found = session.scalar(query, {"connection": connection_id, "since": since})
    return None if found is None else str(found)


def tell_one(database: Database | None, settings: Settings | None, delivery_id: str | None) -> None:
    """Wait until everything in a delivery is done, and print what it did."""
    if database is None or settings is None:
        return
    if delivery_id is None:
        click.echo("Nothing was stored: it was known already, or asked for an answer and nothing else.")
        return
    ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with database.session() as session:
            rows = session.execute(_ONE, {"id": delivery_id}).all()
        waiting = [row for row in rows if row.state in {"ready", "fetch"} and row.error is None]
        if not waiting or time.monotonic() > ends:
            break
        time.sleep(_LOOKS_SECONDS)
    for row in rows:
        if row.outcome:
            click.echo(f"{row.name}: {row.outcome} after {row.milliseconds:.0f} ms: {row.note or row.effects}")
        else:
            click.echo(f"{row.name}: {row.state} {row.error or '(is the worker running?)'}")
    if not rows:
        click.echo("The event was known already: it counts once.")
    click.echo(f"Provenance: {settings.base_url}/deliveries/{delivery_id}")


def tell_all(
    database: Database | None, connection_id: UUID, since: datetime, *, echo: Callable[[str], None] = click.echo
) -> None:
    """Wait until everything that a connection was sent is done, as long as that goes on, and print the sum."""
    if database is None:
        return
    asked = {"connection": connection_id, "since": since}
    done, moved = -1, time.monotonic()
    told = time.monotonic()
    row: Any = None
    while True:
        with database.session() as session:
            row = session.execute(_ALL, asked).one()
        if row.done != done:
            done, moved = row.done, time.monotonic()
        if not row.waiting or time.monotonic() > moved + _PATIENCE_SECONDS:
            break
        if time.monotonic() > told + 2:
            told = time.monotonic()
            click.echo(f"{row.done} of {row.stored} processed", err=True)
        time.sleep(4 * _LOOKS_SECONDS)
    with database.session() as session:
        outcomes = session.execute(_OUTCOMES, asked).all()
    parts = [f"{each.outcome} x{each.events}" + (f" ({each.error})" if each.error else "") for each in outcomes]
    echo(f"Stored {row.stored} new events: {', '.join(parts) or 'all were known already'}.")
    if row.p50 is not None:
        echo(f"From arrival to the books: p50 {row.p50 * 1000:.0f} ms, p99 {row.p99 * 1000:.0f} ms.")
