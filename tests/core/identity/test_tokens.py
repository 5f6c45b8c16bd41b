"""Refresh tokens under concurrency, and what is kept of tokens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from core.database import Database
from core.errors import AuthenticationFailed, Conflict, Invalid
from core.identity import Actor, Role, passwords, tokens, users

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNING = tokens.Signing(key="a signing key of the tests, long enough")


@pytest.fixture
def person(database: Database) -> Actor:
    with database.session() as session:
        return users.register(
            session, email="Person@Example.com", name="Person", password_hash="x", role=Role.SELLER, now=NOW
        )


def _sign_in(database: Database, person: Actor) -> tokens.TokenPair:
    with database.session() as session:
        return tokens.sign_in(session, SIGNING, person, NOW)


def _trade(database: Database, token: str, at: datetime = NOW) -> tokens.TokenPair | None:
    with database.session() as session:
        traded = tokens.refresh(session, SIGNING, token, at)
        return traded[1] if traded else None


def test_of_two_that_trade_one_token_at_once_at_most_one_wins_and_the_family_ends(
    database: Database, person: Actor
) -> None:
    for _ in range(5):
        pair = _sign_in(database, person)
        with ThreadPoolExecutor(8) as pool:
            won = [each for each in pool.map(lambda _: _trade(database, pair.refresh_token), range(8)) if each]  # noqa: B023
        assert len(won) == 1
        assert _trade(database, won[0].refresh_token) is None
        with database.session() as session:
            claims = tokens.read_access(SIGNING, won[0].access_token, NOW)
            assert tokens.actor_by_access(session, claims) is None


def test_an_expired_refresh_token_is_no_reuse(database: Database, person: Actor) -> None:
    old = _sign_in(database, person)
    assert _trade(database, old.refresh_token, NOW + timedelta(days=31)) is None
    assert _trade(database, old.refresh_token) is not None


def test_an_unknown_refresh_token_ends_nobodys_sign_in(database: Database, person: Actor) -> None:
    pair = _sign_in(database, person)
    assert _trade(database, "never given out") is None
    assert _trade(database, pair.refresh_token) is not None


def test_an_access_token_ends_when_it_says(database: Database, person: Actor) -> None:
    pair = _sign_in(database, person)
    assert tokens.read_access(SIGNING, pair.access_token, NOW + timedelta(minutes=14)).user_id == person.id
    with pytest.raises(AuthenticationFailed, match="expired"):
        tokens.read_access(SIGNING, pair.access_token, NOW + timedelta(minutes=16))


def test_no_token_stands_in_the_database(database: Database, person: Actor) -> None:
    pair = _sign_in(database, person)
    with database.session() as session:
        cookie = tokens.open_session(session, person.id, "tests", NOW, seconds=60)
        _, service = tokens.make_service_token(session, person, "reports", NOW)
    with database.session() as session:
        rows = session.scalars(
            text(
                "SELECT row_to_json(t)::text FROM refresh_tokens AS t UNION ALL "
                "SELECT row_to_json(t)::text FROM sessions AS t UNION ALL "
                "SELECT row_to_json(t)::text FROM service_tokens AS t"
            )
        ).all()
    kept = "\n".join(rows)
    for token in (pair.refresh_token, cookie, service):
        assert token not in kept
        assert token.encode().hex() not in kept


def test_what_has_expired_is_purged(database: Database, person: Actor) -> None:
    _sign_in(database, person)
    with database.session() as session:
        tokens.open_session(session, person.id, "tests", NOW, seconds=60)
    with database.session() as session:
        assert tokens.purge(session, NOW + timedelta(hours=1)) == 1
        assert tokens.purge(session, NOW + timedelta(days=31)) == 1


def test_one_email_is_one_account_whatever_its_case(database: Database, person: Actor) -> None:
    assert person.email == "person@example.com"
    with database.session() as session, pytest.raises(Conflict):
        users.register(session, email="PERSON@example.com", name="x", password_hash="x", role=Role.BUYER, now=NOW)


@pytest.mark.parametrize("email", ["", "a", "a@", "@b", "a b@c", "a@b\x00c", "a" * 250 + "@b.c", "a" * 65 + "@b.c"])
def test_what_is_no_email_is_refused(email: str) -> None:
    with pytest.raises(Invalid):
        users.clean_email(email)


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        pytest.param(lambda: passwords.check("short"), True, id="short"),
        pytest.param(lambda: passwords.check("x" * 129), True, id="long"),
        pytest.param(lambda: passwords.check("Password"), True, id="common"),
        pytest.param(lambda: passwords.check("me@example.com", email="ME@example.com"), True, id="the e-mail"),
        pytest.param(lambda: passwords.check("password123"), True, id="the demo's, where it counts"),
        pytest.param(lambda: passwords.check("password123", demo=True), False, id="the demo's, in a demo"),
        pytest.param(lambda: passwords.check("a long enough one"), False, id="good"),
    ],
)
def test_passwords_are_judged(check: Callable[[], None], refused: bool) -> None:
    if refused:
        with pytest.raises(Invalid):
            check()
    else:
        check()


def test_a_password_fits_its_hash_alone() -> None:
    hashed = passwords.hash_password("a long enough one")
    assert passwords.verify(hashed, "a long enough one")
    assert not passwords.verify(hashed, "another one")
    assert not passwords.verify(None, "nobody has this password")
    assert not passwords.verify("not a hash", "x")
