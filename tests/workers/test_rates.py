"""Exchange rates are fetched for the sellers who want them, over HTTP from a bank on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from core.errors import Conflict, Forbidden
from core.identity import Actor, Role
from core.invoicing import profiles, rate_feeds, rates
from core.invoicing.rates import Rate
from tests.builders import Clockwork, add_seller, make_context
from tests.core.invoicing.desk import register
from workers import rates as work
from workers import sweep
from workers.simulators.api import Answer
from workers.simulators.ecb import Bank, document
from workers.simulators.server import Server
from workers.transport import Transport

# A Friday, and what the simulated bank says of a dollar then.
FRIDAY = datetime(2026, 11, 20, 16, tzinfo=UTC)
SUNDAY = FRIDAY + timedelta(days=2)
BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'


@dataclass
class Counter:
    """The simulated bank, which a test may have say something else, and what it was asked."""

    clock: list[datetime]
    says: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    slug: str = "ecb"

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.asked.append(target)
        if self.says:
            return self.says[0]
        return Bank(today=self.clock[0].date).answer(method, target, headers, body)


@dataclass(frozen=True)
class Scene:
    """A worker, the bank, and a seller who wants its rates."""

    context: Clockwork
    bank: Counter
    seller: Actor

    def switch(self, *, on: bool = True) -> rate_feeds.Feed:
        with self.context.database.session() as session:
            return rate_feeds.switch(session, self.seller, self.context.now(), on=on)

    def feed(self) -> rate_feeds.Feed:
        with self.context.database.session() as session:
            return rate_feeds.feed(session, self.seller.id)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.context.database.session() as session:
            return list(session.execute(text(sql), {"user": self.seller.id, **values}).all())

    def on(self, day: date, currency: str = "USD") -> Decimal | None:
        with self.context.database.session() as session:
            return rates.rate_on(session, self.seller.id, currency, "INR", day)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[tuple[Clockwork, Counter]]:
    made = make_context(file_database_url)
    bank = Counter(made.moment)
    with Server(alone=bank) as server:
        # No waiting between the tries of one fetch.
        transport = Transport(allow_local=True, sleep=lambda _: None)
        settings = made.settings.model_copy(update={"rates_url": server.address("ecb")})
        yield replace(made, settings=settings, transport=transport), bank
        transport.close()
    made.database.dispose()


@pytest.fixture
def scene(context: tuple[Clockwork, Counter]) -> Iterator[Scene]:
    parts, bank = context
    parts.moment[0] = FRIDAY
    bank.says, bank.asked = [], []
    yield Scene(parts, bank, add_seller(parts))
    with parts.database.connect() as connection:
        connection.execute(text("UPDATE rate_feeds SET is_on = false, due_at = NULL"))


def test_the_first_fetch_brings_ninety_days_and_the_next_ones_a_day_each(scene: Scene) -> None:
    assert scene.switch().due_at == FRIDAY
    assert sweep.due(scene.context)["pull"]
    assert (work.drain(scene.context), work.drain(scene.context)) == (1, 0)
    assert scene.bank.asked == ["/eurofxref-daily.xml", "/eurofxref-hist-90d.xml"]
    found = scene.feed()
    assert (found.newest_day, found.fetched_at, found.error) == (FRIDAY.date(), FRIDAY, None)
    assert found.due_at == FRIDAY + timedelta(days=1)
    (counted,) = scene.rows(
        "SELECT count(DISTINCT day) AS days, min(day) AS since, bool_and(source = 'provider') AS theirs "
        "FROM exchange_rates WHERE user_id = :user"
    )
    assert (counted.days, counted.since, counted.theirs) == (65, FRIDAY.date() - timedelta(days=88), True)
    scene.bank.asked.clear()
    scene.context.moment[0] = FRIDAY + timedelta(days=3)
    assert work.drain(scene.context) == 1
    assert (scene.bank.asked, scene.feed().newest_day) == (["/eurofxref-daily.xml"], date(2026, 11, 23))
    # Nobody looked for a week.
    scene.bank.asked.clear()
    scene.context.moment[0] = FRIDAY + timedelta(days=11)
    work.drain(scene.context)
    assert scene.bank.asked == ["/eurofxref-daily.xml", "/eurofxref-hist-90d.xml"]
    assert all(scene.rows("SELECT 1 FROM exchange_rates WHERE user_id = :user AND day = :day", day=day) for day in (
        date(2026, 11, 24), date(2026, 11, 27), date(2026, 12, 1),
    ))  # fmt: skip


def test_a_weekend_has_the_rates_of_its_friday(scene: Scene) -> None:
    scene.context.moment[0] = SUNDAY
    scene.switch()
    work.drain(scene.context)
    assert scene.feed().newest_day == FRIDAY.date()
    assert scene.on(SUNDAY.date()) == scene.on(FRIDAY.date()) is not None
    assert scene.rows("SELECT 1 FROM exchange_rates WHERE user_id = :user AND day > :day", day=FRIDAY.date()) == []


def test_fetched_again_nothing_changes_and_one_file_serves_many(scene: Scene) -> None:
    scene.switch()
    work.drain(scene.context)
    before = scene.rows("SELECT * FROM exchange_rates WHERE user_id = :user ORDER BY day, currency")
    others = [add_seller(scene.context) for _ in range(2)]
    with scene.context.database.session() as session:
        for other in others:
            rate_feeds.switch(session, other, FRIDAY, on=True)
        rate_feeds.fetch_now(session, scene.seller, FRIDAY)
    scene.bank.asked.clear()
    assert work.drain(scene.context) == 3
    assert scene.bank.asked == ["/eurofxref-daily.xml", "/eurofxref-hist-90d.xml"]
    assert scene.rows("SELECT * FROM exchange_rates WHERE user_id = :user ORDER BY day, currency") == before
    told = scene.rows("SELECT 1 FROM audit_log WHERE action = 'rates.written' AND subject_id = :user")
    assert len(told) == 1


@pytest.mark.parametrize("source", ["hand", "csv"])
def test_what_a_person_wrote_is_not_replaced(scene: Scene, source: Any) -> None:
    mine = Rate(currency="USD", home="INR", day=FRIDAY.date(), rate=Decimal("99.5"))
    with scene.context.database.session() as session:
        rates.write(session, scene.seller, [mine], source, FRIDAY)
    scene.switch()
    work.drain(scene.context)
    assert scene.on(FRIDAY.date()) == Decimal("99.5")
    assert scene.on(FRIDAY.date(), "GBP") is not None


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param(Answer(status=500), "ecb: GET /eurofxref-daily.xml answered 500", id="500"),
        pytest.param(Answer(status=404), "ecb: GET /eurofxref-daily.xml answered 404", id="gone"),
        pytest.param(
            Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}),
            "ecb: GET /eurofxref-daily.xml answered with a redirect, which is never followed",
            id="redirect",
        ),
        pytest.param(Answer(content=b"<Envelope><Cube"), "the file is not XML that can be read", id="cut off"),
        pytest.param(Answer(content=BOMB), "the file is not XML that can be read", id="entities"),
        pytest.param(Answer(content=b"\xff\xfe\x00"), "the file is not XML that can be read", id="no text"),
        pytest.param(
            Answer(content=b"<html>We are closed</html>"),
            "the file is not the European Central Bank's file of reference rates",
            id="another file",
        ),
        pytest.param(
            Answer(content=document(FRIDAY.date(), 1).replace('rate="', 'rate="x').encode()),
            "the file has a wrong rate",
            id="no number",
        ),
        pytest.param(
            Answer(content=document(FRIDAY.date(), 1).replace("2026-11-20", "someday").encode()),
            "the file has a wrong day",
            id="no day",
        ),
        pytest.param(
            Answer(content=b" " * (work.MOST_BYTES + 1)),
            f"ecb: GET /eurofxref-daily.xml answered with more than {work.MOST_BYTES} bytes",
            id="too large",
        ),
    ],
)
def test_what_goes_wrong_is_said_and_tried_again(scene: Scene, said: Answer, error: str) -> None:
    # A process leaves a bank alone that failed five times; each case is another process.
    context = replace(scene.context, transport=Transport(allow_local=True, sleep=lambda _: None))
    scene.switch()
    scene.bank.says = [said]
    assert work.drain(context) == 1
    found = scene.feed()
    assert (found.error, found.failures, found.fetched_at) == (error, 1, None)
    assert found.due_at == FRIDAY + timedelta(minutes=5)
    assert scene.rows("SELECT 1 FROM exchange_rates WHERE user_id = :user") == []
    assert work.drain(context) == 0
    scene.bank.says = []
    scene.context.wait(300)
    assert work.drain(context) == 1
    found = scene.feed()
    assert (found.error, found.failures, found.newest_day) == (None, 0, FRIDAY.date())
    told = scene.rows("SELECT data->>'error' AS error FROM outbox WHERE name = 'rates.fetched' AND room = :room",
                      room=f"user:{scene.seller.id}")  # fmt: skip
    assert [row.error for row in told] == [error, None]
    context.transport.close()


def test_a_file_of_the_largest_size_is_read(scene: Scene) -> None:
    content = document(FRIDAY.date(), 1).encode()
    scene.bank.says = [Answer(content=content + b" " * (work.MOST_BYTES - len(content)))]
    scene.switch()
    work.drain(scene.context)
    assert (scene.feed().error, scene.feed().newest_day) == (None, FRIDAY.date())


def test_the_waits_grow_and_end(scene: Scene) -> None:
    scene.switch()
    scene.bank.says = [Answer(content=b"<x/>")]
    waits = []
    for _ in range(9):
        work.drain(scene.context)
        due = scene.feed().due_at
        assert due is not None
        waits.append((due - scene.context.now()) // timedelta(minutes=1))
        scene.context.moment[0] = due
    assert waits == [5, 10, 20, 40, 80, 160, 320, 360, 360]


def test_a_home_that_the_bank_does_not_quote_is_told_to_its_seller_alone(scene: Scene) -> None:
    with scene.context.database.session() as session:
        profiles.save(session, scene.seller, {"home_currency": "KWD"}, FRIDAY)
        other = add_seller(scene.context)
        rate_feeds.switch(session, other, FRIDAY, on=True)
    scene.switch()
    assert work.drain(scene.context) == 2
    assert scene.feed().error == "the file has no rate of KWD on 2026-11-20"
    with scene.context.database.session() as session:
        assert rate_feeds.feed(session, other.id).error is None


def test_who_switched_it_off_gets_no_more(scene: Scene) -> None:
    scene.switch()
    with scene.context.database.connect() as connection:
        (due,) = rate_feeds.claim(connection, FRIDAY)
    scene.switch(on=False)
    mine = Rate(currency="USD", home="INR", day=FRIDAY.date(), rate=Decimal(1))
    with scene.context.database.session() as session:
        rate_feeds.came(session, due, [mine], FRIDAY)
        rate_feeds.failed(session, due, "late", FRIDAY)
    assert scene.rows("SELECT 1 FROM exchange_rates WHERE user_id = :user") == []
    assert scene.feed() == rate_feeds.Feed()
    with scene.context.database.session() as session, pytest.raises(Conflict):
        rate_feeds.fetch_now(session, scene.seller, FRIDAY)
    for role in (Role.BUYER, Role.INVESTOR, Role.OPERATOR):
        person = register(scene.context.database, role)
        with scene.context.database.session() as session, pytest.raises(Forbidden):
            rate_feeds.switch(session, person, FRIDAY, on=True)


def test_two_workers_do_not_fetch_for_the_same_seller_and_one_that_dies_is_followed(scene: Scene) -> None:
    scene.switch()
    with scene.context.database.connect() as first, scene.context.database.connect() as second:
        assert len(rate_feeds.claim(first, FRIDAY)) == 1
        assert rate_feeds.claim(second, FRIDAY) == []
    # It died: its lease ends.
    assert work.drain(scene.context) == 0
    scene.context.wait(600)
    assert work.drain(scene.context) == 1
    assert scene.feed().newest_day == FRIDAY.date()


def test_a_bank_inside_the_network_is_not_asked_in_earnest(scene: Scene) -> None:
    context = replace(scene.context, transport=Transport(allow_local=False, sleep=lambda _: None))
    scene.switch()
    work.drain(context)
    assert scene.bank.asked == []
    assert scene.feed().error == "ecb: the API base must be https"
    context.transport.close()
