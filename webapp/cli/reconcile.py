"""How bank lines are brought together with invoices: measure the engine on made-up statements, or export corrections.

`measure` needs nothing running. `cases` reads the installation and changes nothing.
"""

from __future__ import annotations

import json
import sys

import click

from config import runtime
from config.settings import InvalidSettings


@click.group("reconcile")
def command() -> None:
    """Reconciliation: how sure the engine is, and how often it is right."""


@command.command()
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another seed, other statements.")
@click.option("--lines", default=10_000, show_default=True, type=click.IntRange(100, 100_000), help="Lines to judge.")
@click.option(
    "--invoices", default=50_000, show_default=True, type=click.IntRange(100, 500_000), help="Invoices that are open."
)
@click.option("--growth/--no-growth", default=True, show_default=True, help="Judge a quarter and a half as well.")
def measure(seed: int, lines: int, invoices: int, *, growth: bool) -> None:
    """Judge a made-up statement, and print precision and coverage a tier.

    Exits with 1 when less than 99.9 % of the sure decisions are right, when they cover less than 80 % of the lines that
    pay open invoices, or when money would be posted twice. The same seed finds the same; only the times differ.
    """
    from core.reconciliation import measuring  # noqa: PLC0415 - help must not wait for it.

    smaller = [measuring.measure(seed, lines // part, invoices // part) for part in (4, 2)] if growth else []
    report = measuring.measure(seed, lines, invoices)
    click.echo(measuring.table(report))
    click.echo()
    for line in measuring.summary_lines(report):
        click.echo(line)
    for one in [*smaller, report]:
        each = one.seconds / one.lines * 1000
        click.echo(f"Time for {one.lines} lines x {one.invoices} invoices: {one.seconds:.1f} s, {each:.2f} ms a line.")
    for kind, line_id in report.wrong[:20]:
        click.echo(f"  wrong: {kind}, line {line_id}")
    click.echo("The promise holds." if report.holds else "The promise does not hold.")
    sys.exit(0 if report.holds else 1)


@command.command()
def cases() -> None:
    """Print what people decided otherwise than the engine.

    One JSON object a line: the bank line, what was proposed with its features, and what was right.
    """
    from core.database import Database  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from core.reconciliation import cases as kept  # noqa: PLC0415

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-reconcile")
    try:
        with database.session() as session:
            for case in kept.export(session):
                click.echo(json.dumps(case, ensure_ascii=False))
    finally:
        database.dispose()
