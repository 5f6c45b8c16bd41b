"""Look at what providers said, and have it processed again.

`replay --dry-run` shows what would change, field by field, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from config import runtime
from config.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from core.database import Database

STATES = ("processed", "ignored", "ready", "fetch", "paused", "unrouted", "unknown", "dead")


@click.group("events")
def command() -> None:
    """Events that providers reported."""


@contextmanager
def _database() -> Iterator[tuple[Database, Settings]]:
    from core.database import Database  # noqa: PLC0415 - help must not wait for SQLAlchemy.

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-events")
    try:
        yield database, settings
    finally:
        database.dispose()


def _find(database: Database, where: str, values: dict[str, Any], limit: int) -> list[Any]:
    from sqlalchemy import text  # noqa: PLC0415

    with database.session() as session:
        return list(
            session.execute(
                text(
                    "SELECT events.id, events.received_at, events.connector, events.name, events.delivery_id, "
                    "events.provider_event_id, coalesce(queue.state, results.outcome, 'gone') AS state, "
                    "coalesce(queue.error, results.note) AS words "
                    "FROM events LEFT JOIN event_queue AS queue ON queue.event_id = events.id "
                    "LEFT JOIN event_results AS results ON results.event_id = events.id "
                    f"WHERE {where} ORDER BY events.id DESC LIMIT :limit"
                ),
                {**values, "limit": limit},
            )
        )


@command.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only events in this state.")
@click.option("--connector", help="Only events of this connector.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
def list_events(state: str | None, connector: str | None, limit: int) -> None:
    """The newest events, one a line."""
    where = (
        "(CAST(:state AS text) IS NULL OR coalesce(queue.state, results.outcome) = :state) "
        "AND (CAST(:connector AS text) IS NULL OR events.connector = :connector)"
    )
    with _database() as (database, _):
        rows = _find(database, where, {"state": state, "connector": connector}, limit)
    for row in rows:
        click.echo(f"{row.id}  {row.received_at:%Y-%m-%d %H:%M:%S}  {row.connector:18} {row.name:32} {row.state}")
    if not rows:
        click.echo("No such events.")


@command.command()
@click.argument("event", type=click.UUID)
def show(event: UUID) -> None:
    """One event: its state, what it did, and its body."""
    from sqlalchemy import text  # noqa: PLC0415

    with _database() as (database, settings):
        rows = _find(database, "events.id = :id", {"id": event}, 1)
        if not rows:
            raise click.ClickException(f"there is no event {event}")
        with database.session() as session:
            effects = session.execute(
                text("SELECT object_kind, object_id, effect FROM event_effects WHERE event_id = :id"), {"id": event}
            ).all()
            body = session.scalar(text("SELECT body FROM deliveries WHERE id = :id"), {"id": rows[0].delivery_id})
    row = rows[0]
    click.echo(f"{row.connector} {row.name}, provider's id {row.provider_event_id}")
    click.echo(f"received {row.received_at:%Y-%m-%d %H:%M:%S} UTC, {row.state}{': ' + row.words if row.words else ''}")
    for effect in effects:
        click.echo(f"  {effect.object_kind} {effect.object_id} {effect.effect}")
    click.echo(f"{settings.base_url}/deliveries/{row.delivery_id}")
    click.echo((body or b"").decode("utf-8", "replace"))


@command.command()
@click.argument("events", nargs=-1, type=click.UUID)
@click.option(
    "--state", type=click.Choice(["dead", "unknown", "processed", "ignored"]), help="All events in this state."
)
@click.option("--since", type=click.DateTime(), help="With --state: only events received since (UTC).")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(
    events: tuple[UUID, ...],
    state: str | None,
    since: datetime | None,
    dry_run: bool,  # noqa: FBT001 - Click passes flags this way.
    yes: bool,  # noqa: FBT001
) -> None:
    """Process stored events again: named ones, or all in a state. What is known already changes nothing."""
    from workers.replay import preview  # noqa: PLC0415

    with _database() as (database, _):
        chosen = list(events)
        if state is not None:
            where = (
                "coalesce(queue.state, results.outcome) = :state "
                "AND (CAST(:since AS timestamptz) IS NULL OR events.received_at >= :since)"
            )
            moment = None if since is None else since.replace(tzinfo=UTC)
            chosen += [row.id for row in _find(database, where, {"state": state, "since": moment}, 100_000)]
        if not chosen:
            raise click.ClickException("no events: name some, or choose them with --state")
        found = preview(database, chosen, datetime.now(UTC))
        for change in found.changes:
            click.echo(f"{change.kind} {change.id}")
            for name, (before, after) in sorted(change.fields.items()):
                click.echo(f"    {name}: {json.dumps(before)} → {json.dumps(after)}")
        for identity, error in found.failures:
            click.echo(f"{identity} cannot be read: {error}")
        click.echo(
            f"{len(chosen)} events: {len(found.changes)} objects would change, {found.fetches} would be fetched again, "
            f"{found.ignored} are ignored, {len(found.failures)} cannot be read."
        )
        if dry_run:
            return
        if not yes:
            click.confirm("Replay them?", abort=True)
        _requeue(database, chosen)


def _requeue(database: Database, chosen: list[UUID], size: int = 1000) -> None:
    from core.inbox.replay import requeue  # noqa: PLC0415

    count = 0
    with click.progressbar(range(0, len(chosen), size), label="Putting them back") as starts:
        for start in starts:
            with database.session() as session:
                count += requeue(session, chosen[start : start + size], datetime.now(UTC))
    click.echo(f"{count} events are in the queue again; the worker takes them within seconds.")
