"""The platform as the simulation sees it: people with connections, a clock, and requests that may die half way."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.database import Database
from core.errors import PlatformError
from core.identity import Actor, Role
from core.marketplace.calendar import Calendar, Settlement
from core.marketplace.confirmations import Notary
from core.marketplace.rules import Rules
from tests.builders import MASTER_KEYS, NOW, SECRET_KEY
from tests.core.marketplace import builders
from tests.simulation import books, invariants
from tests.simulation.auditor import Auditor
from tests.simulation.deals import WELCOME, Invoice, Purse
from tests.simulation.dues import Almanac
from tests.simulation.kills import Killed, Reaper

# Bank holidays beside the national ones; each year has some, also next to weekends.
_BANK_HOLIDAYS = ((11, 9), (11, 24), (12, 25), (1, 14), (3, 4), (4, 3), (4, 14), (5, 1), (8, 28), (10, 20))
_KEPT = 30


class Violation(AssertionError):
    """Something is not as it must be. The message has the seed, the step, what happened last and all balances."""


@dataclass(slots=True)
class Tally:
    """What happened, counted."""

    answers: dict[str, int] = field(default_factory=dict)
    killed: int = 0
    repeated: int = 0

    def add(self, word: str) -> None:
        self.answers[word] = self.answers.get(word, 0) + 1


class World:
    """One seeded world. `deliver` is the way of every request; it compares the answer with the auditor's."""

    def __init__(self, database: Database, seed: int, folder: Path, kills: float) -> None:
        """`kills` is how probable it is that a request, or a worker's turn, dies on its way."""
        self.database, self.seed, self.heads = database, seed, folder / f"heads-{seed}.jsonl"
        self.chance, self.kills = random.Random(seed), kills
        self.reaper = Reaper(database.engine, random.Random(seed + 1))
        years = range(NOW.year, NOW.year + 40)
        holidays = frozenset(NOW.date().replace(year=year, month=m, day=d) for year in years for m, d in _BANK_HOLIDAYS)
        self.rules = Rules(
            calendar=Calendar(holidays), settlement=Settlement.T1, fingerprint_key=b"planted-key-of-thirty-two-bytes!"
        )
        self.auditor = Auditor(almanac=Almanac(holidays))
        self.notary = Notary.of(SECRET_KEY)
        self.now: datetime = NOW
        self.step = self.done = 0
        self.people: list[Actor] = []
        self.connections: dict[int, UUID] = {}
        self.invoice_ids: dict[int, UUID] = {}
        self.financing_ids: dict[int, UUID] = {}
        self.bid_ids: dict[tuple[int, int], UUID] = {}
        self.deductions: dict[int, int] = {}
        self.log: deque[str] = deque(maxlen=_KEPT)
        self.tally = Tally()
        self.marks = invariants.Marks()
        self.books: books.Books = {}
        with database.session() as session:
            self.operator = builders.person(session, Role.OPERATOR, now=self.now)

    def of_role(self, role: Role) -> list[int]:
        return [place for place, one in enumerate(self.people) if one.role is role]

    def register(self, role: Role) -> None:
        """Somebody new, with demo money; a seller with a connection through which the buyers' payments are told."""
        place = len(self.people)
        self.done += 1
        self.note(f"{self.now:%d %b %H:%M} register {role.value} {place}")
        with self.database.session() as session:
            who = builders.person(session, role, now=self.now)
            if role is Role.SELLER:
                made = connections.create(
                    session, who, KeyRing.parse(MASTER_KEYS), connector="standard_webhooks", name="gateway", secrets={},
                    settings={}, external_id=None, now=self.now,
                )  # fmt: skip
                self.connections[place] = UUID(made["id"])
        self.people.append(who)
        self.auditor.purses.append(Purse(net=WELCOME))
        self.look()

    def note(self, words: str) -> None:
        self.log.append(words)

    def settle_by(self, settlement: Settlement) -> None:
        self.rules = replace(self.rules, settlement=settlement)
        self.auditor.instant = settlement is Settlement.INSTANT

    def deliver(
        self,
        words: str,
        act: Callable[[Session], Any],
        answer: Callable[[Any], str],
        *,
        also: frozenset[str] = frozenset(),
        twice: bool = False,
    ) -> Any:
        """Do a request in a transaction, perhaps killed on the way and done again, perhaps delivered twice.

        `answer` is the auditor's, given what came back; it is asked once for each time the request took effect.
        `also` are answers that are right as well, and change nothing.
        """
        result: Any = None
        self.done += 1
        for attempt in range(2 if twice else 1):
            if attempt:
                self.tally.repeated += 1
            result, said = self._until_it_ends(words, act)
            before = self.books
            right = answer(result) if said not in also else said
            self.note(f"{self.now:%d %b %H:%M} {words} → {said}")
            self.tally.add(said)
            self.check(said == right, f"{words}: it said {said!r}, and {right!r} is right")
            self.look(unchanged=before if said != "done" else None)
        return result

    def _until_it_ends(self, words: str, act: Callable[[Session], Any]) -> tuple[Any, str]:
        if self.chance.random() < self.kills:
            self.reaper.arm()
        while True:
            try:
                with self.database.session() as session:
                    result = act(session)
                self.reaper.disarm()
                return result, "done"
            except PlatformError as refusal:
                self.reaper.disarm()
                return None, refusal.code
            except Killed:
                pass
            except Exception as error:
                # A connection that died may say so in its own way.
                if not self.reaper.struck:
                    raise self.violation(f"{words} raised {type(error).__name__}: {error}") from error
            self.reaper.struck = False
            self.tally.killed += 1
            self.note(f"{words}: killed")
            self.look(unchanged=self.books)

    def work(self, words: str, act: Callable[[], Any]) -> None:
        """Let a worker do something of many transactions; killed, another one goes on with it."""
        if self.chance.random() < self.kills:
            self.reaper.arm()
        while True:
            try:
                act()
            except Killed:
                self.reaper.struck = False
                self.tally.killed += 1
                self.note(f"{words}: killed")
                continue
            finally:
                self.reaper.disarm()
            return

    def stopped(self) -> None:
        """Read which deals a review stops."""
        with self.database.connect() as connection:
            found = set(
                connection.scalars(
                    text(
                        "SELECT financing_id FROM reviews WHERE financing_id IS NOT NULL "
                        "AND ((state = 'open' AND stops) OR state = 'upheld')"
                    )
                )
            )
        self.auditor.stopped = {number for number, identity in self.financing_ids.items() if identity in found}

    def look(self, *, unchanged: books.Books | None = None) -> None:
        """Every account and every deal that was touched stands where the auditor says."""
        with self.database.connect() as connection:
            self.books = books.read(connection)
            if unchanged is not None:
                self.check(self.books == unchanged, "a refusal, or somebody who was killed, moved money")
            for what in books.wrong(self, self.books):
                self.check(False, what)
            touched, self.auditor.touched = self.auditor.touched, set()
            for what in books.wrong_deals(connection, self, sorted(touched)):
                self.check(False, what)

    def check_all(self) -> None:
        """Everything, by SQL of its own: see `invariants`."""
        with self.database.connect() as connection:
            found = invariants.violations(connection, self.now, self.heads, self.marks)
            found += books.wrong_deals(connection, self, range(len(self.auditor.deals)))
            found += books.wrong_counts(connection, self)
        for what in found:
            self.check(False, what)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            raise self.violation(what)

    def violation(self, what: str) -> Violation:
        lines = [f"seed {self.seed}, step {self.step}, {self.now:%d %b %Y %H:%M}: {what}", "what happened last:"]
        lines += [f"  {line}" for line in self.log]
        lines.append("balances (owner, purpose, currency: balance, held, entries):")
        with suppress(Exception), self.database.connect() as connection:
            lines += [f"  {' '.join(name)}: {stands}" for name, stands in sorted(books.read(connection).items())]
        lines += [f"  person {place}: {purse}" for place, purse in enumerate(self.auditor.purses)]
        return Violation("\n".join(lines))

    def invoice_id(self, invoice: Invoice) -> UUID:
        return self.invoice_ids[id(invoice)]

    def passes(self, span: timedelta) -> None:
        self.now += span
