"""`ledgerwire risk duplicates`: how well duplicate invoices are found, and how often an honest one is reviewed."""

from __future__ import annotations

import sys

import click

LEAST_NEAR = 0.95
MOST_ALARMS = 10.0


@click.command("duplicates")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another seed, other cases.")
@click.option(
    "--suppliers", default=20, show_default=True, type=click.IntRange(1, 500), help="Suppliers with a year of trade."
)
@click.option(
    "--copies", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Planted copies of each kind."
)
def command(seed: int, suppliers: int, copies: int) -> None:
    """Plant labelled copies among a year of honest invoices, and print what is found.

    Exits with 1 when exact copies are missed, or near ones beyond 5 %, or when more than 1 % of the honest invoices
    would be reviewed.
    """
    from core.marketplace import duplicate_cases as cases  # noqa: PLC0415 - help must not wait for it.

    found = cases.measure(seed=seed, suppliers=suppliers, copies=copies)
    for title, kinds in (
        ("Exact copies, stopped", cases.EXACT),
        ("Near copies, reviewed", cases.NEAR),
        ("Beyond the rules, not counted", cases.BEYOND),
    ):
        click.echo(f"{title}: {found.share(kinds):.1%}")
        for kind in kinds:
            click.echo(f"  {kind:<40} {found.found[kind]:>5} of {found.planted[kind]}")
    levels = ", ".join(f"{level} {times}" for level, times in found.by_level.items())
    click.echo(f"Levels that spoke of a copy: {levels}")
    click.echo(
        f"Honest invoices: {found.clean}, of which {found.alarms} would be reviewed "
        f"({found.alarms_per_thousand:.1f} per 1,000) and {found.stops} refused"
    )
    for habit, times in sorted(found.habits.items()):
        click.echo(f"  reviewed: {habit:<31} {times:>5}")
    kept = (
        found.share(cases.EXACT) == 1
        and found.share(cases.NEAR) >= LEAST_NEAR
        and found.alarms_per_thousand <= MOST_ALARMS
        and not found.stops
    )
    click.echo("The promise holds." if kept else "The promise does not hold.")
    sys.exit(0 if kept else 1)
