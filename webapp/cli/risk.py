"""How invoices are judged: measure the judgement on made-up trade, or explain one invoice.

`measure` needs nothing running. `explain` reads the installation and changes nothing.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from config import runtime
from config.settings import InvalidSettings
from webapp.cli import _risk_duplicates


@click.group("risk")
def command() -> None:
    """Explainable risk: stops, buyer credit, data quality."""


command.add_command(_risk_duplicates.command)


@command.command()
@click.option("--seed", default=20_261_121, show_default=True, type=click.IntRange(0), help="Makes the trade.")
@click.option(
    "--invoices", default=4_000, show_default=True, type=click.IntRange(100, 200_000), help="So many are judged."
)
def measure(seed: int, invoices: int) -> None:
    """Count faults found, and false alarms, on made-up trade.

    A quarter of the invoices carry one fault each. The same seed finds the same; only the times differ.
    """
    from core.risk import measuring  # noqa: PLC0415 - help must not wait for it.

    with click.progressbar(length=invoices, label="Judging", file=sys.stderr) as bar:

        def tell(number: int) -> None:
            if number % 50 == 0:
                bar.update(50)

        report = measuring.measure(seed, invoices, tell)
    click.echo(measuring.table(report))
    click.echo()
    for line in measuring.summary_lines(report):
        click.echo(line)
    click.echo(f"Time an invoice, on this machine: {report.median_ms:.1f} ms (median), {report.p99_ms:.1f} ms (p99).")


def _reasons(title: str, reasons: list[dict[str, Any]]) -> None:
    for reason in reasons:
        points = f" +{reason['points']:g}" if reason["points"] else ""
        click.echo(f"  {title} {reason['code']}{points}: {reason['sentence']}")
        if reason["counterfactual"]:
            click.echo(f"      {reason['counterfactual']}")


@command.command()
@click.argument("invoice", type=click.UUID)
def explain(invoice: UUID) -> None:
    """Judge INVOICE as of now, reason by reason.

    Nothing is stored; duplicates are not looked for.
    """
    from core.database import Database  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from core.errors import PlatformError  # noqa: PLC0415
    from core.risk import history, scoring  # noqa: PLC0415

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-risk")
    try:
        with database.session() as session:
            found = scoring.judge(history.load(session, invoice, datetime.now(UTC))).shape()
    except PlatformError as error:
        raise click.ClickException(str(error)) from error
    finally:
        database.dispose()
    click.echo(f"Fraud: {len(found['fraud']['stops'])} stops, {len(found['fraud']['reviews'])} to look at")
    _reasons("stop", found["fraud"]["stops"])
    _reasons("look", found["fraud"]["reviews"])
    click.echo(f"Buyer credit: {found['credit']['score']:g} of 100 points of risk, {found['credit']['band']}")
    _reasons("point", found["credit"]["reasons"])
    click.echo(f"Data quality: {found['quality']['score']} of 100 known")
    for gap in found["quality"]["gaps"]:
        click.echo(f"  -{gap['points']}: {gap['sentence']} {gap['counterfactual']}")
    if found["haircut"]:
        click.echo(f"Hold back {100 * found['haircut']['share']:.1f} %")
        _reasons("haircut", found["haircut"]["reasons"])
    _reasons("note", found["notes"])
    click.echo(f"Weights of version {found['version']}")
