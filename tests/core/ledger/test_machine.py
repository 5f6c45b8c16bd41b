"""Anything in any order: the ledger answers what an independent auditor says it must, and stands where it must."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from core import ledger
from core.ids import new_id
from core.ledger import Account, Hold, HoldPart, Leg, Purpose, Release, Transfer, Work, chain, clearing
from core.ledger.verify import verify
from tests.core.ledger.auditor import Auditor
from tests.core.ledger.desk import NOW, Desk

PLACES = st.integers(0, 7)
AMOUNTS = st.integers(1, 120)
FOUR = st.lists(st.integers(-50, 50), min_size=4, max_size=4)
MOVES = st.lists(st.tuples(PLACES, PLACES, AMOUNTS), min_size=2, max_size=6)
# The ledger is emptied when it has grown so far: what is compared at the end of a run grows with it.
_FULL = 5_000


class Ledger(RuleBasedStateMachine):
    """Four wallets, an escrow, two accounts of the world outside, one in dollars; and whatever happens to them."""

    desk: ClassVar[Desk]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.auditor = Auditor()
        self.now = NOW
        person = [new_id() for _ in range(5)]
        self.accounts = [
            *(ledger.wallet(one) for one in person[:4]),
            ledger.escrow(person[4], "INR"),
            ledger.outside(person[4], "INR"),
            Account(f"user:{person[0]}", Purpose.RECOVERABLE, "INR"),
            ledger.wallet(person[0], "USD"),
        ]
        self.holds: list[Hold] = []
        self.posted: list[Transfer] = []
        self.asked: list[Work] = []
        self.ask(self._move(5, 0, 200), self._move(5, 1, 50))

    def _move(self, source: int, target: int, amount: int, **more: Any) -> Transfer:
        legs = (Leg(self.accounts[source], -amount), Leg(self.accounts[target], amount))
        return Transfer(kind="test.moved", key=str(new_id()), legs=legs, description="", **more)

    def ask(self, *work: Work) -> None:
        """Ask the ledger, and hold its answer against the auditor's."""
        type(self).steps += 1
        expected = self.auditor.predict(list(work), self.now)
        answer = self.desk.ask(*work, now=self.now)
        assert (answer.status, answer.reason) == expected, (work, answer)
        self.asked.extend(work)
        if answer.applied:
            self.holds.extend(piece for piece in work if isinstance(piece, Hold))
            self.posted.extend(piece for piece in work if isinstance(piece, Transfer))
        self.compare()

    def compare(self) -> None:
        """Every account stands as it must."""
        state = self.auditor.state
        with self.desk.database.connect() as connection:
            found = ledger.balances(connection, self.accounts)
        for account, stands in found.items():
            assert (stands.balance, stands.held) == (state.balances.get(account, 0), state.held(account))

    @rule(source=PLACES, into=PLACES, amount=AMOUNTS)
    def move(self, source: int, into: int, amount: int) -> None:
        self.ask(self._move(source, into, amount))

    @rule(
        places=st.lists(PLACES, min_size=1, max_size=4),
        amounts=st.lists(st.integers(-50, 50), min_size=4, max_size=4),
        even=st.booleans(),
    )
    def spread(self, places: list[int], amounts: list[int], even: bool) -> None:
        legs = [Leg(self.accounts[place], amount or 1) for place, amount in zip(places, amounts, strict=False)]
        rest = -sum(leg.amount for leg in legs)
        if even and rest:
            legs.append(Leg(self.accounts[0], rest))
        self.ask(Transfer(kind="test.spread", key=str(new_id()), legs=tuple(legs), description=""))

    @rule(source=PLACES, into=PLACES, amount=AMOUNTS, minutes=st.sampled_from([None, 1, 30]))
    def hold(self, source: int, into: int, amount: int, minutes: int | None) -> None:
        a, b = self.accounts[source], self.accounts[into]
        if a == b or a.currency != b.currency:
            return
        expires_at = None if minutes is None else self.now + timedelta(minutes=minutes)
        self.ask(Hold(key=str(new_id()), account=a, to=b, amount=amount, description="", expires_at=expires_at))

    @rule(place=st.integers(0, 30), share=st.integers(1, 130), elsewhere=st.booleans())
    def post(self, place: int, share: int, elsewhere: bool) -> None:
        if not self.holds:
            return
        hold = self.holds[place % len(self.holds)]
        amount = max(1, hold.amount * share // 100)
        target = self.accounts[place % 7] if elsewhere else hold.to
        legs = (Leg(hold.account, -amount), Leg(target, amount))
        self.ask(
            Transfer(
                kind="test.posted", key=str(new_id()), legs=legs, description="", posts=(HoldPart(hold.id, amount),)
            )
        )

    @rule(place=st.integers(0, 30), expired=st.booleans(), known=st.integers(0, 9))
    def release(self, place: int, expired: bool, known: int) -> None:
        hold_id = self.holds[place % len(self.holds)].id if self.holds and known else new_id()
        self.ask(Release(hold_id, "expired" if expired else "voided"))

    @rule(place=st.integers(0, 30), spoiled=st.integers(0, 5))
    def reverse(self, place: int, spoiled: int) -> None:
        if not self.posted:
            return
        original = self.posted[place % len(self.posted)]
        more = 1 if spoiled == 0 else 0
        legs = [Leg(leg.account, -leg.amount) for leg in original.legs]
        legs[0], legs[-1] = Leg(legs[0].account, legs[0].amount - more), Leg(legs[-1].account, legs[-1].amount + more)
        if any(leg.amount == 0 for leg in legs):
            return
        self.ask(
            Transfer(kind="test.undone", key=str(new_id()), legs=tuple(legs), description="", reverses=original.id)
        )

    @rule(place=st.integers(0, 60))
    def repeat(self, place: int) -> None:
        """The very same request again, applied or refused."""
        self.ask(self.asked[place % len(self.asked)])

    @rule(place=st.integers(0, 60), source=PLACES, into=PLACES, amount=AMOUNTS)
    def reuse(self, place: int, source: int, into: int, amount: int) -> None:
        """Another request under a key that is spent."""
        before = self.asked[place % len(self.asked)]
        if isinstance(before, Release) or self.accounts[source].currency != self.accounts[into].currency:
            return
        legs = (Leg(self.accounts[source], -amount), Leg(self.accounts[into], amount))
        self.ask(Transfer(kind="test.reused", key=before.key, legs=legs, description=""))

    @rule(
        moves=MOVES,
        place=st.integers(0, 30),
        again=st.booleans(),
    )
    def batch(self, moves: list[tuple[int, int, int]], place: int, again: bool) -> None:
        """Several at once, one of which may be a repeat, and the end of a hold: all or nothing."""
        work: list[Work] = [self._move(*one) for one in moves]
        if again:
            work.append(self.asked[place % len(self.asked)])
        elif self.holds:
            work.insert(1, Release(self.holds[place % len(self.holds)].id))
        self.ask(*work)

    @rule(minutes=st.integers(-2, 40))
    def pass_time(self, minutes: int) -> None:
        """Clocks of two machines do not agree: it may run backwards a little."""
        self.now += timedelta(minutes=minutes)

    @rule()
    def seal(self) -> None:
        with self.desk.database.connect() as connection:
            chain.seal(connection, 5)

    def teardown(self) -> None:
        """The verifier has nothing to say, and every account has as many entries as it must."""
        with self.desk.database.connect() as connection:
            chain.seal_all(connection)
        with self.desk.database.connect() as connection:
            report = verify(connection)
        assert report.problems == []
        for account, entries in self.auditor.state.entries.items():
            with self.desk.database.connect() as connection:
                assert len(ledger.statement(connection, account, limit=entries + 1)) == entries
        if report.entries > _FULL:
            with self.desk.database.connect() as connection:
                clearing.empty(connection)


@pytest.fixture
def machine(guarded: Desk) -> type[Ledger]:
    Ledger.desk, Ledger.steps = guarded, 0
    return Ledger


def settled(examples: int, steps: int, *, same: bool) -> settings:
    """`same`: the same requests at every run of the tests; otherwise others each time."""
    return settings(
        derandomize=same,
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=True,
    )


def test_the_ledger_answers_what_the_auditor_says(machine: type[Ledger]) -> None:
    run_state_machine_as_test(machine, settings=settled(8, 40, same=True))
    assert machine.steps > 100


@pytest.mark.long
def test_the_ledger_answers_what_the_auditor_says_for_long(machine: type[Ledger]) -> None:
    """10⁵ requests."""
    while machine.steps < 100_000:
        run_state_machine_as_test(machine, settings=settled(200, 120, same=False))
