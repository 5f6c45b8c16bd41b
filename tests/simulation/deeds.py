"""What everybody who does something in a simulated world rests on: the world, and chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.simulation.deals import Invoice
from tests.simulation.world import World

T = TypeVar("T")


@dataclass(slots=True)
class Deeds:
    """Chooses by the world's seed, and by nothing else."""

    world: World

    @property
    def chance(self) -> random.Random:
        return self.world.chance

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def one(self, some: Sequence[T]) -> T:
        return some[self.chance.randrange(len(some))]

    def newest(self, wanted: Callable[[Invoice], bool], seldom: float = 0.05) -> Invoice | None:
        """One of the newest invoices: one that is wanted, if there is any, and seldom any other."""
        some = self.world.auditor.invoices[-60:]
        if self.happens(seldom):
            return self.one(some) if some else None
        fitting = [one for one in some if wanted(one)]
        return self.one(fitting) if fitting else None
