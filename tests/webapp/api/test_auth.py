"""Accounts and tokens over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from core.identity import Role, users
from tests.webapp.configured import SECRET_KEY
from tests.webapp.conftest import PASSWORD, Person, World
from webapp.limits import limiter

JOINING = {"email": "New@Example.com", "password": "a long enough one", "name": "New", "role": "seller"}


def test_registering_signs_in(world: World) -> None:
    answer = world.post("/api/auth/register", None, JOINING)
    assert answer.status == 201
    assert answer.body["user"]["email"] == "new@example.com"
    assert answer.body["expires_in"] == 900
    assert world.post("/api/auth/register", None, JOINING).status == 409


def test_a_role_that_reads_everything_is_not_for_the_asking(world: World) -> None:
    assert world.post("/api/auth/register", None, JOINING | {"role": "operator"}).status == 422


def test_sign_in_gives_tokens_that_work(world: World, seller: Person) -> None:
    answer = world.post("/api/auth/login", None, {"email": "Seller@Example.com ", "password": PASSWORD})
    assert answer.status == 200
    assert set(answer.body) == {"access_token", "refresh_token", "expires_in", "token_type", "user"}
    bearer = {"Authorization": f"Bearer {answer.body['access_token']}"}
    profile = world.ask("GET", "/api/auth/profile", headers=bearer).body
    assert (profile["id"], profile["role"]) == (str(seller.actor.id), "seller")


def test_a_wrong_password_and_an_unknown_email_are_answered_alike(world: World, seller: Person) -> None:
    wrong = world.post("/api/auth/login", None, {"email": "seller@example.com", "password": "wrong wrong"})
    unknown = world.post("/api/auth/login", None, {"email": "nobody@example.com", "password": "wrong wrong"})
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body


def test_a_refresh_token_works_once_and_its_reuse_ends_the_sign_in(world: World, seller: Person) -> None:
    first = world.post("/api/auth/refresh", None, {"refresh_token": seller.refresh_token})
    assert first.status == 200
    assert world.post("/api/auth/refresh", None, {"refresh_token": seller.refresh_token}).status == 401
    # Whoever holds the newer token is thrown out as well: one of the two is a thief.
    assert world.post("/api/auth/refresh", None, {"refresh_token": first.body["refresh_token"]}).status == 401
    assert world.get("/api/auth/profile", seller).status == 401


def test_signing_out_ends_access_at_once(world: World, seller: Person) -> None:
    assert world.post("/api/auth/logout", None, {"refresh_token": seller.refresh_token}).status == 204
    assert world.get("/api/auth/profile", seller).status == 401
    assert world.post("/api/auth/logout", None, {}).status == 401


def test_a_new_password_ends_every_other_sign_in(world: World, seller: Person) -> None:
    new = {"current_password": PASSWORD, "new_password": "another long one"}
    assert world.put("/api/auth/profile", seller, new | {"current_password": "wrong wrong"}).status == 422
    assert world.put("/api/auth/profile", seller, new).status == 200
    assert world.get("/api/auth/profile", seller).status == 401
    assert world.browser(seller).get("/api/auth/profile").status_code == 401
    assert (
        world.post("/api/auth/login", None, {"email": "seller@example.com", "password": "another long one"}).status
        == 200
    )


def test_a_deactivated_person_is_out(world: World, seller: Person) -> None:
    with world.session() as session:
        users.deactivate(session, seller.actor.id, datetime.now(UTC))
    assert world.get("/api/auth/profile", seller).status == 401
    assert world.post("/api/auth/login", None, {"email": "seller@example.com", "password": PASSWORD}).status == 401


def _token(person: Person, **changes: object) -> str:
    now = datetime.now(UTC)
    claims = jwt.decode(
        person.headers["Authorization"].removeprefix("Bearer "),
        SECRET_KEY,
        algorithms=["HS256"],
        audience="ledgerwire-api",
    )
    assert claims["exp"] > now.timestamp()
    changed = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(changed, changes.pop("key", SECRET_KEY), algorithm="HS256")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())}, id="expired"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"exp": "tomorrow"}, id="an end that is no time"),
        pytest.param({"iss": "somebody"}, id="another issuer"),
        pytest.param({"aud": "another"}, id="another audience"),
        pytest.param({"sub": "operator"}, id="a subject that is no id"),
        pytest.param({"role": "king"}, id="a role there is not"),
        pytest.param({"fam": None}, id="without a sign-in"),
        pytest.param({"key": "another key, also quite long enough"}, id="another key"),
    ],
)
def test_a_token_that_is_not_good_is_refused(
    shared_world: World, shared_seller: Person, changes: dict[str, object]
) -> None:
    bearer = {"Authorization": f"Bearer {_token(shared_seller, **changes)}"}
    answer = shared_world.ask("GET", "/api/auth/profile", headers=bearer)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["Basic eDp5", "Bearer", "Bearer ", "Bearer a.b.c", "Bearer lws_nothing", "x" * 5000]
)
def test_an_authorization_that_is_not_understood_is_refused(shared_world: World, header: str) -> None:
    assert shared_world.ask("GET", "/api/auth/profile", headers={"Authorization": header}).status == 401


def test_a_cookie_needs_the_csrf_token_to_change_anything(world: World, seller: Person) -> None:
    browser = world.browser(seller)
    assert browser.get("/api/auth/profile").status_code == 200
    refused = browser.put("/api/auth/profile", json={"name": "Changed"})
    assert (refused.status_code, refused.json["code"]) == (403, "csrf_failed")  # type: ignore[index]
    page = browser.get("/dashboard").text
    token = page.partition('"X-CSRFToken": "')[2].partition('"')[0]
    assert token
    changed = browser.put("/api/auth/profile", json={"name": "Changed"}, headers={"X-CSRFToken": token})
    assert changed.status_code == 200


def test_a_service_token_acts_for_its_operator_until_it_is_revoked(
    world: World, operator: Person, seller: Person
) -> None:
    made = world.post("/api/service-tokens", operator, {"name": "reports"})
    assert made.status == 201
    bearer = {"Authorization": f"Bearer {made.body['token']}"}
    assert world.ask("GET", "/api/invoices", headers=bearer).status == 200
    assert world.ask("POST", "/api/service-tokens", json={"name": "more"}, headers=bearer).status == 403
    listed = world.get("/api/service-tokens", operator).body["items"]
    assert "token" not in listed[0]
    assert world.delete(f"/api/service-tokens/{made.body['id']}", operator).status == 204
    assert world.ask("GET", "/api/invoices", headers=bearer).status == 401
    assert world.post("/api/service-tokens", seller, {"name": "mine"}).status == 403


def test_guessing_passwords_is_slowed_down_and_right_ones_are_not(world: World) -> None:
    world.person(Role.SELLER, "guessed@example.com")
    limiter.enabled = True
    try:
        limiter.reset()
        right = {"email": "guessed@example.com", "password": PASSWORD}
        assert {world.post("/api/auth/login", None, right).status for _ in range(12)} == {200}
        wrong = right | {"password": "wrong wrong"}
        statuses = [world.post("/api/auth/login", None, wrong).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        refused = world.post("/api/auth/login", None, wrong)
        assert int(refused.headers["Retry-After"]) > 0
        # Others are not locked out by it.
        assert world.post("/api/auth/login", None, wrong | {"email": "other@example.com"}).status == 401
    finally:
        limiter.enabled = False
