"""What happens, one step at a time, chosen by the seed; and the workers' turn when time passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from core import wallets
from core.identity import Role
from core.ledger import anchors, chain
from core.marketplace import watch
from core.marketplace.calendar import Settlement
from tests.simulation.deals import ON_OFFER, Deal
from tests.simulation.investors import Investing
from tests.simulation.payers import Paying
from tests.simulation.sellers import Selling

_PEOPLE = {Role.SELLER: 5, Role.BUYER: 5, Role.INVESTOR: 7}
_RICH = 3_00_000_00


@dataclass(slots=True)
class Life(Selling, Investing, Paying):
    """Chooses what happens next in a world."""

    anchored: date | None = None

    def begin(self) -> None:
        """The first people."""
        for role in (Role.SELLER, Role.SELLER, Role.BUYER, Role.BUYER, *[Role.INVESTOR] * 4):
            self.world.register(role)

    def step(self) -> None:
        """One thing happens."""
        self.world.step += 1
        deeds: list[tuple[int, Callable[[], object]]] = [
            (8, self.bill), (10, self.submit), (10, self.confirm), (2, self.refuse), (10, self.offer), (30, self.fund),
            (28, self.bid), (4, self.withdraw_bid), (1, self.take_back), (1, self.review), (12, self.pay),
            (6, self.give_back), (24, self.hear), (18, self.time_passes), (1, self.arrive), (1, self.welcome_again),
            (1, self.settlement_changes),
        ]  # fmt: skip
        before = self.world.done
        # Where there is nobody to do it, something else happens.
        while self.world.done == before:
            [deed] = self.chance.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            deed()

    def arrive(self) -> None:
        """Somebody comes: a few of each, and investors while money is short."""
        investors = [self.world.auditor.purses[place].free for place in self.world.of_role(Role.INVESTOR)]
        short = sum(free > _RICH for free in investors) < 3
        fitting = [role for role, most in _PEOPLE.items() if len(self.world.of_role(role)) < most]
        if short or fitting:
            self.world.register(Role.INVESTOR if short else self.one(fitting))

    def welcome_again(self) -> None:
        who = self.one(self.world.people)
        self.world.deliver(
            "welcome again", lambda session: wallets.welcome(session, who.id, self.world.now), lambda _: "done"
        )

    def settlement_changes(self) -> None:
        self.world.settle_by(Settlement.INSTANT if self.happens(0.35) else Settlement.T1)

    def time_passes(self) -> None:
        """The clock goes on, perhaps to the last minutes of an auction; workers do what is due."""
        world = self.world
        ends = [
            deal.closes_at
            for deal in self._open_auctions()
            if deal.closes_at and deal.closes_at > world.now + timedelta(minutes=6)
        ]
        if ends and self.happens(0.3):
            world.now = min(ends) - timedelta(minutes=5)
        else:
            world.now += timedelta(minutes=self.chance.choice([5, 61, 400, 900, 1500, 2500]))
        self.ring()

    def _open_auctions(self) -> Sequence[Deal]:
        return [deal for deal in self.world.auditor.deals[-60:] if deal.state in ON_OFFER and deal.mode == "auction"]

    def ring(self) -> None:
        """The workers' turn: the marketplace's clock, the chain, and once a day its anchor."""
        world = self.world
        world.done += 1
        world.note(f"{world.now:%d %b %H:%M} the clock")
        world.stopped()

        def tick() -> None:
            while True:
                looked = watch.tick(world.database, world.now, world.rules)
                world.check(not looked.failures, f"the clock failed: {looked.failures}")
                if not looked.invoices:
                    return

        world.work("the clock", tick)
        world.auditor.ring(world.now)
        world.look()
        world.work("sealing", self._seal)
        if self.anchored != world.now.date():
            self.anchored = world.now.date()
            world.work("anchoring", self._anchor)

    def _seal(self) -> None:
        with self.world.database.connect() as connection:
            chain.seal(connection)

    def _anchor(self) -> None:
        with self.world.database.connect() as connection:
            anchors.anchor(connection, self.world.heads, self.world.now)
