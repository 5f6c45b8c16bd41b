"""The schema: made from nothing, made again, made by two at once; and rows land in the month of their id."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from core import migrations
from core.database import Database
from core.ids import lowest_id_at, moment_of, new_id
from core.migrations import partitions
from tests.conftest import Servers
from tests.standing import standing_database

MILLISECOND = timedelta(milliseconds=1)


@contextmanager
def opened(address: str) -> Iterator[Database]:
    database = Database("postgresql+psycopg://" + address.split("://", 1)[1], pool_size=4)
    try:
        yield database
    finally:
        database.dispose()


@pytest.fixture
def nothing(servers: Servers) -> Iterator[Database]:
    """A database with nothing in it."""
    with standing_database(servers, None) as address, opened(address) as database:
        yield database


@pytest.fixture(scope="module")
def standing(servers: Servers, template_database: str) -> Iterator[Database]:
    with standing_database(servers, template_database) as address, opened(address) as database:
        yield database


@pytest.fixture
def connection(standing: Database) -> Iterator[Connection]:
    """A connection to the migrated schema whose changes are taken back."""
    with standing.engine.connect() as made:
        yield made
        made.rollback()


def address_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def shape(connection: Connection) -> list[str]:
    """Every column, index and constraint, as text to compare."""
    columns = (
        "SELECT format('%s.%s %s %s', table_name, column_name, data_type, is_nullable) FROM information_schema.columns "
        "WHERE table_schema = 'public'"
    )
    constraints = (
        "SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace"
    )
    queries = (columns, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'", constraints)
    return sorted(str(row) for query in queries for row in connection.scalars(text(query)))


def test_from_nothing_to_head_and_again_changes_nothing(nothing: Database) -> None:
    with nothing.connect() as connection:
        assert not migrations.at_head(connection)
        assert shape(connection) == []
    migrations.upgrade(address_of(nothing))
    with nothing.connect() as connection:
        assert migrations.at_head(connection)
        first = shape(connection)
    migrations.upgrade(address_of(nothing))
    with nothing.connect() as connection:
        assert migrations.at_head(connection)
        assert shape(connection) == first
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        assert connection.scalar(text(f"{locks} (SELECT oid FROM pg_database WHERE datname = current_database())")) == 0


def test_several_who_start_at_once_make_one_schema(nothing: Database) -> None:
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(migrations.upgrade, address_of(nothing)) for _ in range(3)]:
            done.result()
    with nothing.connect() as connection:
        assert migrations.at_head(connection)
        assert connection.scalar(text("SELECT count(*) FROM relay_state")) == 1


# What the release before this one holds of one shop: a connection, a delivery, and events in each state.
LAST_RELEASE = "0010"
_SHOP = """
INSERT INTO users (id, email, name, role, password_hash) VALUES (:user, 'a@shop.test', 'Asha', 'seller', '-');
INSERT INTO connections (id, user_id, connector, name, hook_id) VALUES (:connection, :user, 'razorpay', 'Shop', 'h');
INSERT INTO deliveries (id, connector, connection_id, received_at, path, remote_addr, headers, body, secret_index,
    verify_micros) VALUES (:delivery, 'razorpay', :connection, now(), '/', '', '[]', '{}', 0, 1);
"""
_WAITING = "INSERT INTO event_queue (event_id, delivery_id, connector, connection_id, state, due_at) VALUES "


def test_a_database_of_the_last_release_keeps_its_rows_and_gets_the_schema_of_a_new_one(
    nothing: Database, connection: Connection
) -> None:
    migrations.upgrade(address_of(nothing), LAST_RELEASE)
    states = ["ready", "fetch", "unrouted", "unknown", "dead"]
    ids = {name: new_id() for name in ("user", "connection", "delivery")}
    with nothing.connect() as old:
        for statement in _SHOP.strip().removesuffix(";").split(";"):
            old.execute(text(statement), ids)
        for state in states:
            values = {"id": new_id(), "delivery": ids["delivery"], "connection": ids["connection"], "state": state}
            old.execute(text(_WAITING + "(:id, :delivery, 'razorpay', :connection, :state, now())"), values)
    migrations.upgrade(address_of(nothing))
    with nothing.connect() as new:
        assert migrations.at_head(new)
        assert shape(new) == shape(connection)
        assert sorted(new.scalars(text("SELECT state FROM event_queue"))) == sorted(states)
        assert new.execute(text("SELECT id, paused_at FROM connections")).one() == (ids["connection"], None)
        assert new.scalar(text("SELECT id FROM deliveries")) == ids["delivery"]


def test_an_older_or_unknown_revision_is_not_head(connection: Connection) -> None:
    assert migrations.at_head(connection)
    connection.execute(text("UPDATE alembic_version SET version_num = '0000_of_another_time'"))
    assert not migrations.at_head(connection)
    connection.execute(text("DELETE FROM alembic_version"))
    assert not migrations.at_head(connection)


def test_every_table_split_by_time_has_its_default_and_its_months(connection: Connection) -> None:
    split = connection.scalars(text("SELECT partrelid::regclass::text FROM pg_partitioned_table WHERE partstrat = 'r'"))
    assert set(split) == set(partitions.TIMED)
    for table in partitions.TIMED:
        parts = set(parts_of(connection, table))
        assert f"{table}_default" in parts
        assert len(parts) == 4


def parts_of(connection: Connection, table: str) -> list[str]:
    found = connection.scalars(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)"),
        {"table": table},
    )
    return list(found)


@pytest.mark.parametrize(
    ("now", "months"),
    [
        pytest.param(datetime(2030, 10, 31, 23, 59, tzinfo=UTC), ["2030_10", "2030_11", "2030_12"], id="before"),
        pytest.param(datetime(2030, 11, 1, tzinfo=UTC), ["2030_11", "2030_12", "2031_01"], id="one month over"),
        pytest.param(datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC), ["2030_12", "2031_01", "2031_02"], id="last day"),
        pytest.param(
            datetime(2032, 1, 1, tzinfo=UTC), ["2032_01", "2032_02", "2032_03"], id="first day of a leap year"
        ),
    ],
)
def test_months_are_made_over_the_end_of_a_year_and_only_once(
    connection: Connection, now: datetime, months: list[str]
) -> None:
    made = partitions.ensure(connection, now)
    assert sorted(made) == sorted(f"{table}_{month}" for table in partitions.TIMED for month in months)
    assert partitions.ensure(connection, now) == []
    assert partitions.ensure(connection, now + timedelta(seconds=0), months_ahead=1) == []


def test_many_months_ahead_leave_no_gap_and_do_not_overlap(connection: Connection) -> None:
    made = partitions.ensure(connection, datetime(2030, 11, 15, tzinfo=UTC), months_ahead=26)
    assert len(made) == 27 * len(partitions.TIMED)
    assert "feed_2033_01" in made
    assert "feed_2033_02" not in made


def landed(connection: Connection, identity: UUID) -> str:
    """The partition that a feed row of this id is in."""
    found: str = connection.execute(
        text(
            "INSERT INTO feed (id, position, room, seq, name, data, at) "
            "VALUES (:id, 1, 'room', 1, 'name', '{}', now()) RETURNING tableoid::regclass::text"
        ),
        {"id": identity},
    ).scalar_one()
    return found


def highest(identity: UUID) -> UUID:
    """The largest id of the same millisecond."""
    return UUID(int=identity.int | (1 << 80) - 1)


@pytest.mark.parametrize(
    ("identity", "part"),
    [
        pytest.param(lowest_id_at(datetime(2030, 11, 1, tzinfo=UTC)), "feed_2030_11", id="first of its month"),
        pytest.param(
            highest(lowest_id_at(datetime(2030, 12, 1, tzinfo=UTC) - MILLISECOND)),
            "feed_2030_11",
            id="last of its month",
        ),
        pytest.param(lowest_id_at(datetime(2030, 12, 1, tzinfo=UTC)), "feed_2030_12", id="first of the next"),
        pytest.param(
            highest(lowest_id_at(datetime(2031, 1, 1, tzinfo=UTC) - MILLISECOND)), "feed_2030_12", id="last of its year"
        ),
        pytest.param(lowest_id_at(datetime(2031, 1, 1, tzinfo=UTC)), "feed_2031_01", id="first of the next year"),
        pytest.param(
            lowest_id_at(datetime(2030, 11, 1, 5, 30, tzinfo=UTC).astimezone()),
            "feed_2030_11",
            id="of another time zone",
        ),
        pytest.param(lowest_id_at(datetime(1970, 1, 1, tzinfo=UTC)), "feed_default", id="clock at its beginning"),
        pytest.param(lowest_id_at(datetime(2031, 2, 1, tzinfo=UTC)), "feed_default", id="just past what there is"),
        pytest.param(lowest_id_at(datetime(9999, 12, 31, tzinfo=UTC)), "feed_default", id="clock far ahead"),
        pytest.param(UUID(int=0), "feed_default", id="least id"),
        pytest.param(UUID(int=(1 << 128) - 1), "feed_default", id="greatest id"),
    ],
)
def test_a_row_lands_in_the_month_of_its_id_or_in_the_default(
    connection: Connection, identity: UUID, part: str
) -> None:
    partitions.ensure(connection, datetime(2030, 11, 15, tzinfo=UTC))
    assert landed(connection, identity) == part


def test_new_ids_land_in_this_month_and_not_in_the_default(connection: Connection) -> None:
    identity = new_id()
    assert landed(connection, identity) == f"feed_{moment_of(identity):%Y_%m}"


def test_rows_that_came_before_their_month_was_made_move_there_with_everything_in_them(connection: Connection) -> None:
    ahead = datetime(2040, 5, 15, tzinfo=UTC)
    early, later = lowest_id_at(ahead), lowest_id_at(datetime(2050, 1, 1, tzinfo=UTC))
    assert {landed(connection, identity) for identity in (early, later)} == {"feed_default"}
    for table in ("event_results", "event_effects"):
        fill(connection, table, early)
    before = {table: whole(connection, table) for table in ("feed", "event_results", "event_effects")}
    assert "feed_2040_05" in partitions.ensure(connection, ahead)
    assert {table: whole(connection, table) for table in before} == before
    found = connection.execute(text("SELECT id, tableoid::regclass::text FROM feed ORDER BY id")).all()
    assert [tuple(row) for row in found] == [(early, "feed_2040_05"), (later, "feed_default")]
    for table in ("event_results", "event_effects"):
        assert connection.scalar(text(f"SELECT tableoid::regclass::text FROM {table}")) == f"{table}_2040_05"


def fill(connection: Connection, table: str, event_id: UUID) -> None:
    values = {
        "event_results": (
            "(event_id, outcome, attempts, claimed_at, read_micros) VALUES (:id, 'processed', 1, now(), 1)"
        ),
        "event_effects": "(event_id, object_kind, object_id, effect) VALUES (:id, 'payment', :id, 'created')",
    }
    connection.execute(text(f"INSERT INTO {table} {values[table]}"), {"id": event_id})


def whole(connection: Connection, table: str) -> list[str]:
    return sorted(connection.scalars(text(f"SELECT given::text FROM {table} AS given")))


def test_every_table_lets_rows_of_the_default_move(connection: Connection) -> None:
    # Generated columns and append-only tables must not stand in the way. Constraints are not what is asked here.
    ahead = datetime(2040, 5, 15, tzinfo=UTC)
    for table in ("payments", "allocations"):
        loosen(connection, table)
        connection.execute(text(f"INSERT INTO {table} (id) VALUES (:id)"), {"id": lowest_id_at(ahead)})
    partitions.ensure(connection, ahead)
    for table in ("payments", "allocations"):
        assert connection.scalar(text(f"SELECT tableoid::regclass::text FROM {table}")) == f"{table}_2040_05"
    assert partitions.ensure(connection, ahead) == []


def loosen(connection: Connection, table: str) -> None:
    """Let every column but the key be empty and point to nothing, until the rollback."""
    bound = connection.scalars(
        text(
            "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype IN ('c', 'f') "
            "AND conparentid = 0"
        ),
        {"table": table},
    ).all()
    for name in bound:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    deferred = connection.scalars(
        text(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND tgdeferrable AND tgparentid = 0"
        ),
        {"table": table},
    ).all()
    for name in deferred:
        connection.execute(text(f"DROP TRIGGER IF EXISTS {name} ON {table}"))
    # The sums that the database makes itself are left as they are.
    generated = connection.scalars(
        text("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attgenerated <> ''"),
        {"table": table},
    ).all()
    for column in generated:
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"))
    found = connection.scalars(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 "
            "AND attnotnull AND attgenerated = '' AND attname <> 'id'"
        ),
        {"table": table},
    ).all()
    for column in found:
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"))


def test_ids_of_the_database_are_of_version_7_of_now_and_sort_with_ours(connection: Connection) -> None:
    before = new_id()
    made = connection.scalars(text("SELECT uuid7() FROM generate_series(1, 500)")).all()
    after = new_id()
    assert {identity.version for identity in made} == {7}
    assert {identity.variant for identity in made} == {before.variant}
    assert len(set(made)) == 500
    moments = [moment_of(identity) for identity in made]
    assert moments == sorted(moments)
    # The database rounds to the millisecond where we cut.
    assert moment_of(before) <= moments[0]
    assert moments[-1] <= moment_of(after) + MILLISECOND
