"""A world from its first day on, so many steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.database import Database
from tests.simulation.books import Books
from tests.simulation.life import Life
from tests.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run was like."""

    seed: int
    steps: int
    seconds: float
    days: int
    statements: int
    killed: int
    repeated: int
    answers: dict[str, int]
    states: dict[str, int]
    balances: dict[str, int]

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.steps} steps, {self.days} days, {self.steps / self.seconds:.0f} steps/s",
            f"{self.statements} statements, {self.killed} kills, {self.repeated} repeats, violations 0",
            "answers: " + ", ".join(f"{name} {count}" for name, count in sorted(self.answers.items())),
            "deals: " + ", ".join(f"{name} {count}" for name, count in sorted(self.states.items())),
            "balance of the world (INR, minor units): "
            + ", ".join(f"{name} {amount}" for name, amount in sorted(self.balances.items()))
            + f", sum {sum(self.balances.values())}",
        ]
        return "\n".join(lines)


def _balances(found: Books) -> dict[str, int]:
    sums: dict[str, int] = {}
    for (_, purpose, _), (balance, _, _) in found.items():
        sums[purpose] = sums.get(purpose, 0) + balance
    return sums


def simulate(
    database: Database,
    seed: int,
    steps: int,
    folder: Path,
    *,
    every: int = 250,
    kills: float = 0.12,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run a seed on an empty database; everything is looked at `every` so many steps and at the end.

    Raises Violation, which says all there is to know.
    """
    world = World(database, seed, folder, kills)
    life = Life(world)
    begun, first = time.monotonic(), world.now
    try:
        life.begin()
        for number in range(1, steps + 1):
            life.step()
            if number % every == 0 or number == steps:
                world.check_all()
                rate = number / (time.monotonic() - begun)
                progress(f"seed {seed}: {number} of {steps} steps, {rate:.0f} steps/s, {world.now:%d %b %Y}")
    finally:
        world.reaper.retire()
    states: dict[str, int] = {}
    for deal in world.auditor.deals:
        states[deal.state] = states.get(deal.state, 0) + 1
    return Report(
        seed=seed,
        steps=steps,
        seconds=time.monotonic() - begun,
        days=(world.now - first).days,
        statements=world.reaper.statements,
        killed=world.tally.killed,
        repeated=world.tally.repeated,
        answers=world.tally.answers,
        states=states,
        balances=_balances(world.books),
    )
