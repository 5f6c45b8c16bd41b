"""Secrets at rest: unreadable, bound to their row, and re-sealed under a new key."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.connections import sealing, store
from core.connections.sealing import InvalidKeyRing, KeyRing, SealBroken
from core.database import Database
from core.identity import Actor, Role, users

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLANTED = "planted-secret-4f1d"


def key(name: str, byte: int) -> str:
    return f"{name}:{base64.b64encode(bytes([byte]) * 32).decode()}"


OLD = KeyRing.parse(key("k1", 1))
BOTH = KeyRing.parse(f"{key('k2', 2)},{key('k1', 1)}")
NEW = KeyRing.parse(key("k2", 2))


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens_for_its_row(secret: str, identity: str) -> None:
    sealed = OLD.seal(secret, identity)
    assert OLD.open(sealed, identity) == secret
    assert OLD.seal(secret, identity) != sealed
    with pytest.raises(SealBroken):
        OLD.open(sealed, identity + "x")


@given(st.data())
def test_one_changed_bit_breaks_the_seal(data: st.DataObject) -> None:
    sealed = bytearray(OLD.seal(PLANTED, "row"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        OLD.open(bytes(sealed), "row")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01\xff", b"\x02\x02k1" + b"x" * 40, b"\x01\x02k1", b"plain text"])
def test_what_is_no_seal_is_named_as_such(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        OLD.open(sealed, "row")


@pytest.mark.parametrize(
    "spelled", ["", "k1", "k1:", ":AAAA", "k1:AAAA", "k1:!!!", f"{key('k1', 1)},{key('k1', 2)}", "ö:x"]
)
def test_a_ring_that_cannot_be_read_is_refused_without_showing_it(spelled: str) -> None:
    with pytest.raises(InvalidKeyRing) as refused:
        KeyRing.parse(spelled)
    assert not spelled or spelled.partition(":")[2] not in str(refused.value) or not spelled.partition(":")[2]


def test_a_ring_never_shows_its_keys() -> None:
    assert base64.b64encode(b"\x01" * 32).decode() not in repr(OLD)
    assert "\\x01" not in repr(OLD)


@pytest.fixture
def seller(database: Database) -> Actor:
    with database.session() as session:
        return users.register(session, email="s@example.com", name="S", password_hash="x", role=Role.SELLER, now=NOW)


def _connect(database: Database, seller: Actor, external_id: str | None = None) -> UUID:
    with database.session() as session:
        made = store.create(
            session,
            seller,
            OLD,
            connector="razorpay",
            name="Shop",
            secrets={"webhook_secret": PLANTED},
            settings={},
            external_id=external_id,
            now=NOW,
        )
    return UUID(made["id"])


def test_a_planted_secret_is_nowhere_in_the_database(database: Database, seller: Actor) -> None:
    _connect(database, seller)
    with database.session() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        ).all()
        for table in tables:
            for row in session.scalars(text(f'SELECT row_to_json(t)::text FROM "{table}" AS t')):
                assert PLANTED not in row
                assert PLANTED.encode().hex() not in row


def test_a_secret_copied_to_another_connection_does_not_open(database: Database, seller: Actor) -> None:
    mine, other = _connect(database, seller), _connect(database, seller)
    with database.session() as session:
        session.execute(
            text(
                "UPDATE connection_secrets SET sealed = "
                "(SELECT sealed FROM connection_secrets WHERE connection_id = :mine) WHERE connection_id = :other"
            ),
            {"mine": mine, "other": other},
        )
    with database.session() as session, pytest.raises(SealBroken):
        store.secrets_for(session, OLD, other, "webhook_secret", NOW)


def test_rotation_seals_everything_under_the_newest_key_and_repeating_it_changes_nothing(
    database: Database, seller: Actor
) -> None:
    connection = _connect(database, seller)
    with database.session() as session, pytest.raises(SealBroken):
        store.secrets_for(session, NEW, connection, "webhook_secret", NOW)
    with database.session() as session:
        assert sealing.rotate(session, BOTH) == 1
    with database.session() as session:
        assert sealing.rotate(session, BOTH) == 0
        assert store.secrets_for(session, NEW, connection, "webhook_secret", NOW) == (PLANTED,)


def test_a_replaced_secret_lives_on_for_a_while(database: Database, seller: Actor) -> None:
    connection = _connect(database, seller)
    with database.session() as session:
        store.update(
            session,
            seller,
            OLD,
            connection,
            now=NOW + timedelta(seconds=1),
            secrets={"webhook_secret": "newer"},
            old_secrets_live=timedelta(days=1),
        )
    with database.session() as session:
        live = store.secrets_for(session, OLD, connection, "webhook_secret", NOW + timedelta(hours=23))
        assert live == ("newer", PLANTED)
        assert store.secrets_for(session, OLD, connection, "webhook_secret", NOW + timedelta(hours=25)) == ("newer",)
        assert store.newest_secrets(session, OLD, connection, NOW + timedelta(hours=1)) == {"webhook_secret": "newer"}


def test_a_deleted_connection_has_no_secrets(database: Database, seller: Actor) -> None:
    connection = _connect(database, seller, "acc_1")
    with database.session() as session:
        store.delete(session, seller, connection, NOW)
    with database.session() as session:
        assert store.secrets_for(session, OLD, connection, "webhook_secret", NOW) == ()
    # The account may be connected again.
    assert _connect(database, seller, "acc_1") != connection
