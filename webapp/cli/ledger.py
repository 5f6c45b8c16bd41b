"""Verify the ledger, print the heads of its chain, and read an account as of any instant."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from config import runtime
from config.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from core.database import Database
    from core.ledger.verify import Report

_HEADS = "SELECT day, position, hash, anchored_at FROM ledger_anchors ORDER BY day DESC LIMIT :limit"
_TELL_SECONDS = 1.0


@click.group("ledger")
def command() -> None:
    """The double-entry books."""


@contextmanager
def _database() -> Iterator[tuple[Database, Settings]]:
    from core.database import Database  # noqa: PLC0415 - help must not wait for SQLAlchemy.

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-ledger")
    try:
        yield database, settings
    finally:
        database.dispose()


class _Progress:
    """Says on standard error how far it is, at most once a second within a step."""

    def __init__(self) -> None:
        self._step, self._told = "", 0.0

    def __call__(self, step: str, done: int) -> None:
        if step != self._step or time.monotonic() - self._told > _TELL_SECONDS:
            self._step, self._told = step, time.monotonic()
            click.echo(f"  {step}{f': {done:,}' if done else ''}", err=True)


@command.command()
@click.option(
    "--from-anchors",
    "anchors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare the chain with this file of daily heads as well.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(anchors: Path | None, as_json: bool) -> None:  # noqa: FBT001 - Click passes flags this way.
    """Rebuild everything from the entries and say what does not agree. Exit code 1 when something does not."""
    from core.ledger import health  # noqa: PLC0415
    from core.ledger.verify import verify as check  # noqa: PLC0415

    with _database() as (database, _):
        began = time.monotonic()
        with database.connect() as connection:
            report = check(connection, None if as_json else _Progress(), anchors)
        seconds = time.monotonic() - began
        with database.session() as session:
            health.note(session, None, report, seconds, datetime.now(UTC))
    _tell(report, seconds, as_json=as_json)
    if not report.sound:
        raise SystemExit(1)


def _tell(report: Report, seconds: float, *, as_json: bool) -> None:
    problems = [{"invariant": one.invariant, "subject": one.subject, "message": one.message} for one in report.problems]
    counts = {
        name: getattr(report, name)
        for name in ("accounts", "transfers", "entries", "holds", "sealed", "unsealed", "unposted", "anchors")
    }
    if as_json:
        head = report.head.hex()
        said = {"sound": report.sound, **counts, "head": head, "seconds": round(seconds, 3), "problems": problems}
        click.echo(json.dumps(said, indent=2))
        return
    click.echo(", ".join(f"{count:,} {name}" for name, count in counts.items()) + f", looked at in {seconds:.1f} s.")
    click.echo(f"Head of the chain: position {report.sealed:,}, {report.head.hex()}")
    for one in problems:
        click.echo(f"{one['invariant']}  {one['subject']} {one['message']}")
    if problems:
        click.echo(f"{len(problems)} things do not agree.")
    else:
        click.echo("Everything agrees.")


@command.command()
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
def heads(limit: int) -> None:
    """The head of the chain on each day, newest first, and where it is now."""
    from sqlalchemy import text  # noqa: PLC0415

    from core.ledger import health  # noqa: PLC0415

    with _database() as (database, _), database.connect() as connection:
        state = health.chain_state(connection)
        rows = connection.execute(text(_HEADS), {"limit": limit}).all()
    click.echo(f"now         {state['sealed']:>12,}  {state['head']}  ({state['waiting']:,} entries wait)")
    for row in rows:
        click.echo(f"{row.day}  {row.position:>12,}  {bytes(row.hash).hex()}")
    if not rows:
        click.echo("No day is anchored yet: a worker does it once a day.")


@command.command()
@click.argument("owner")
@click.option("--at", "moment", type=click.DateTime(), help="As of this instant (UTC) instead of now.")
@click.option(
    "--by",
    type=click.Choice(["effective", "recorded"]),
    default="effective",
    show_default=True,
    help="What counts until then, whenever it was learned, or what the books said then.",
)
def account(owner: str, moment: datetime | None, by: str) -> None:
    """The accounts of OWNER ("user:<id>", "financing:<id>", "platform", "connection:<id>"), in minor units."""
    with _database() as (database, _), database.connect() as connection:
        rows = _accounts(connection, owner, moment, cast('Literal["effective", "recorded"]', by))
    if not rows:
        raise click.ClickException(f"there is no account of {owner}")
    for row in rows:
        held = f", {row['held']} of it held" if row["held"] else ""
        click.echo(f"{row['purpose']:12} {row['currency']} {row['balance']:>20}{held}")


def _accounts(
    connection: Any, owner: str, moment: datetime | None, by: Literal["effective", "recorded"]
) -> list[dict[str, Any]]:
    from sqlalchemy import text  # noqa: PLC0415

    from core import ledger  # noqa: PLC0415
    from core.ledger import Account, Purpose  # noqa: PLC0415

    query = text(
        "SELECT purpose, currency, balance, held FROM ledger_accounts WHERE owner = :owner ORDER BY purpose, currency"
    )
    found = []
    for row in connection.execute(query, {"owner": owner}):
        said = row._asdict()
        if moment is not None:
            named = Account(owner, Purpose(row.purpose), row.currency)
            said["balance"] = ledger.balance_at(connection, named, moment.replace(tzinfo=UTC), by)
            # Holds count by when they were recorded, and so have no place in the other question.
            then = ledger.books_at(connection, named, moment.replace(tzinfo=UTC))
            said["held"] = then.held if by == "recorded" else 0
        found.append(said)
    return found
