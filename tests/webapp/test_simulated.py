"""The simulated gateways of a demo: asked like the real ones, paid by a click, and nowhere else to be found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from connectors import registry
from core.connections import store
from core.identity import Role
from tests.conftest import Servers
from tests.webapp.configured import settings_for
from tests.webapp.conftest import Person, World, make_world, standing_world
from webapp import simulated


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("tills"))


@dataclass(frozen=True, slots=True)
class Account:
    """A seller's connection to a simulated gateway."""

    world: World
    seller: Person
    slug: str
    id: UUID

    @property
    def base(self) -> str:
        return f"/simulated/{self.slug}/{self.id}"

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": "Bearer sk_demo", **more.pop("headers", {})}
        return self.world.app.test_client().open(self.base + path, method=method, headers=headers, **more)

    def link(self, amount: int = 1_250_00) -> tuple[str, str]:
        """A new payment page: its id at the gateway and its path here."""
        if self.slug == "razorpay":
            body = {
                "reference_id": f"INV-7/{uuid4().hex[:6]}", "amount": amount, "currency": "INR",
                "notes": {"invoice_number": "INV-7"}, "callback_url": "http://localhost/i/abc?back=1",
                "expire_by": int(datetime.now(UTC).timestamp()) + 3600, "description": "Invoice INV-7",
            }  # fmt: skip
            made = self.ask("POST", "/v1/payment_links", json=body)
        else:
            line = "line_items[0][price_data]"
            form = {
                "metadata[invoice_number]": "INV-7", f"{line}[unit_amount]": str(amount), f"{line}[currency]": "inr",
                f"{line}[product_data][name]": "Invoice INV-7", "success_url": "http://localhost/i/abc?back=1",
            }  # fmt: skip
            made = self.ask("POST", "/v1/checkout/sessions", data=form, headers={"Idempotency-Key": uuid4().hex})
        assert made.status_code == 200, made.text
        found = made.get_json()
        path: str = (found.get("short_url") or found["url"]).partition("://")[2].partition("/")[2]
        return found["id"], f"/{path}"


@pytest.fixture(params=["razorpay", "stripe"])
def account(world: World, request: pytest.FixtureRequest) -> Account:
    seller = world.person(Role.SELLER, f"{uuid4().hex}@sellers.test")
    slug: str = request.param
    with world.session() as session:
        made = store.create(
            session,
            seller.actor,
            world.parts.ring,
            connector=slug,
            name="Simulated",
            secrets={"webhook_secret": registry.get(slug).signature.new_secret()},
            settings={"simulated": "yes"},
            external_id=None,
            now=datetime.now(UTC),
        )
    return Account(world, seller, slug, UUID(made["id"]))


def pay(browser: FlaskClient, path: str) -> Any:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', browser.get(path).text)
    assert found is not None
    return browser.post(path, data={"csrf_token": found[1]})


def here(account: Account, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Bring what the gateway posts to this application; what came of each."""
    posted: list[tuple[str, int]] = []

    def post(path: str, headers: dict[str, str], body: bytes) -> int:
        answer = account.world.app.test_client().post(path, data=body, headers=headers)
        posted.append((path, answer.status_code))
        return answer.status_code

    monkeypatch.setattr(simulated, "_post", post)
    return posted


def test_the_button_sends_a_webhook_that_is_believed_and_names_the_invoice(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = here(account, monkeypatch)
    _, path = account.link()
    browser = account.world.app.test_client()
    assert "₹1,250.00" in browser.get(path).text
    done = pay(browser, path)
    assert (done.status_code, done.headers["Location"].startswith("http://localhost/i/abc?back=1")) == (303, True)
    assert [status for _, status in posted] == [200]
    with account.world.session() as session:
        bodies = session.scalars(
            text("SELECT convert_from(body, 'UTF8') FROM deliveries WHERE connection_id = :id"), {"id": account.id}
        ).all()
    (body,) = bodies
    assert "INV-7" in body
    assert "125000" in body
    # Paid, it is not paid again; the pull of the connection lists what was paid.
    assert "It is paid." in browser.get(path).text
    listed = account.ask("GET", "/v1/payments" if account.slug == "razorpay" else "/v1/events").get_json()
    assert len(listed.get("items") or listed["data"]) == 1


def test_a_webhook_that_was_not_taken_is_sent_again_by_the_same_button(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([503, 200])
    bodies: list[bytes] = []

    def post(_path: str, _headers: dict[str, str], body: bytes) -> int:
        bodies.append(body)
        return next(answers)

    monkeypatch.setattr(simulated, "_post", post)
    _, path = account.link()
    browser = account.world.app.test_client()
    refused = pay(browser, path)
    assert (refused.status_code, "answered 503" in refused.text) == (502, True)
    found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', refused.text)
    assert found is not None
    assert browser.post(path, data={"csrf_token": found[1]}).status_code == 303
    # The same payment both times, however often it is told.
    identity = [re.findall(r'"(pay_\w+|pi_\w+)"', body.decode()) for body in bodies]
    assert identity[0] == identity[1]


def test_what_was_closed_cannot_be_paid(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = here(account, monkeypatch)
    link_id, path = account.link()
    browser = account.world.app.test_client()
    token = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', browser.get(path).text)
    closing = {"razorpay": f"/v1/payment_links/{link_id}/cancel", "stripe": f"/v1/checkout/sessions/{link_id}/expire"}
    assert account.ask("POST", closing[account.slug], json={}).status_code == 200
    assert token is not None
    assert browser.post(path, data={"csrf_token": token[1]}).status_code == 409
    assert posted == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/payment_links", 400),
        ("POST", "/v1/checkout/sessions", 400),
        ("GET", "/v1/payment_links/..%2f..%2fsecret_key", 404),
        ("GET", "/v1/checkout/sessions/cs_test_" + "a" * 20, 404),
        ("GET", "/pay/plink_x", 404),
        ("GET", "/pay/..", 404),
    ],
)
def test_nonsense_is_answered_and_breaks_nothing(account: Account, method: str, path: str, status: int) -> None:
    assert account.ask(method, path, **({"json": {}} if method == "POST" else {})).status_code in {status, 404}


def test_it_wants_credentials_and_a_connection_that_was_set_up_so(account: Account) -> None:
    browser = account.world.app.test_client()
    assert browser.get(f"{account.base}/v1/payments").status_code == 401
    with account.world.session() as session:
        session.execute(text("UPDATE connections SET settings = '{}' WHERE id = :id"), {"id": account.id})
    for path in ("/v1/payments", "/pay/plink_aaaaaaaaaaaaaaaaaaaaaaaa"):
        assert account.ask("GET", path).status_code == 404


def test_outside_a_demo_there_are_none(servers: Servers, file_database_url: str, tmp_path: Any) -> None:
    settings = settings_for(file_database_url, tmp_path, REDIS_URL=servers.redis_url, DEMO_MODE="false")
    made = make_world(settings)
    try:
        assert not [rule for rule in made.app.url_map.iter_rules() if rule.endpoint.startswith("simulated.")]
    finally:
        made.app.extensions["ledgerwire.gateway"].stop()
        made.parts.database.dispose()


def test_the_files_of_a_till_are_json_and_nobody_elses(account: Account) -> None:
    link_id, _ = account.link()
    folder = account.world.parts.settings.data_dir / "simulator" / "till" / account.slug / str(account.id)
    (file,) = folder.glob("*.json")
    assert json.loads(file.read_text())["id"] == link_id
    assert folder.stat().st_mode & 0o077 == 0
