"""Talk and its attachments over HTTP, and what a buyer confirmed as others fetch it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask.testing import FlaskClient

from core import files, kyc
from core.identity import Role
from core.ids import new_id
from tests.conftest import Servers
from tests.papers import PDF, png
from tests.webapp.configured import settings_for
from tests.webapp.conftest import INVOICE, Person, Reply, World, make_world


@pytest.fixture(scope="module")
def standing(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(settings_for(file_database_url, tmp_path_factory.mktemp("talk"), REDIS_URL=servers.redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


def form(content: bytes, name: str, field: str = "file") -> dict[str, Any]:
    """A form with one file. Flask's own client leaves the temporary file of a large one open."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return {"data": head.encode() + content + b"\r\n--b--\r\n", "content_type": "multipart/form-data; boundary=b"}


class Case:
    """A seller, the buyer of one of their invoices, and the invoice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seller = world.person(Role.SELLER, f"{new_id()}@shop.test", "Asha Seller")
        self.buyer = world.person(Role.BUYER, f"{new_id()}@shop.test", "Bina Buyer")
        due = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()
        issued = datetime.now(UTC).date().isoformat()
        contact = {"name": "Bina Buyer", "email": self.buyer.actor.email}
        body = {**INVOICE, "contact": contact, "issue_date": issued, "due_date": due}
        self.invoice = world.post("/api/invoices", self.seller, body).body["id"]
        self.path = f"/api/invoices/{self.invoice}"

    def say(self, who: Person, body: Any = "Hello", **more: Any) -> Reply:
        return self.world.post(f"{self.path}/communicate", who, {"body": body, **more})

    def bring(self, who: Person, content: bytes = PDF, name: str = "note.pdf", **more: Any) -> Reply:
        return self.world.ask("POST", f"{self.path}/attachments", who, **form(content, name), **more)

    def download(self, who: Person, identity: str) -> Any:
        return self.world.app.test_client().get(f"{self.path}/attachments/{identity}", headers=who.headers)


@pytest.fixture
def case(standing: World) -> Case:
    return Case(standing)


def test_what_one_party_says_the_other_reads_and_may_answer(case: Case) -> None:
    said = case.say(case.seller, "Is it all there?", mentions=[str(case.buyer.actor.id)])
    assert said.status == 201
    read = case.world.get(f"{case.path}/communicate", case.buyer)
    assert read.status == 200
    assert read.body["items"] == [said.body]
    assert [(each["name"], each["role"]) for each in read.body["parties"]][:1] == [("Asha Seller", "seller")]
    told = case.world.get("/api/notifications", case.buyer).body["items"]
    assert [(each["title"].split(" on ")[0], each["url"]) for each in told] == [
        ("Asha Seller mentioned you", f"/comments/{said.body['id']}")
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"body": ""}, "body", id="nothing"),
        pytest.param({"body": " \n"}, "body", id="only room"),
        pytest.param({"body": "x" * 4001}, "body", id="too long"),
        pytest.param({"body": 5}, "body", id="no text"),
        pytest.param({"body": "x", "mentions": [str(new_id())]}, "mentions.0", id="somebody else"),
        pytest.param({"body": "x", "mentions": ["me"]}, "mentions.0", id="no id"),
        pytest.param({"body": "x", "attachments": [str(new_id())]}, "attachments.0", id="no file of mine"),
        pytest.param({"body": "x", "attachments": [str(new_id())] * 6}, "attachments", id="too many files"),
        pytest.param({"body": "x", "more": 1}, "more", id="a misspelt member"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_field(case: Case, body: dict[str, Any], field: str) -> None:
    answer = case.world.post(f"{case.path}/communicate", case.seller, body)
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, field)


def test_said_twice_with_one_key_is_said_once(case: Case) -> None:
    first, second = (
        case.world.post(f"{case.path}/communicate", case.seller, {"body": "Once"}, Idempotency_Key="k1") for _ in "ab"
    )
    assert first.body == second.body
    assert len(case.world.get(f"{case.path}/communicate", case.seller).body["items"]) == 1


def test_a_file_is_brought_hung_on_a_comment_and_downloaded(case: Case) -> None:
    brought = case.bring(case.seller, name="../Lieferschein für März.pdf")
    assert brought.status == 201
    assert brought.body["name"] == "Lieferschein für März.pdf"
    assert brought.body["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert case.download(case.buyer, brought.body["id"]).status_code == 404
    case.say(case.seller, attachments=[brought.body["id"]])
    answer = case.download(case.buyer, brought.body["id"])
    assert (answer.status_code, answer.data, answer.mimetype) == (200, PDF, "application/pdf")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_page_is_not_smuggled_in_as_a_text(case: Case) -> None:
    brought = case.bring(case.seller, b"<script>alert(1)</script>", "hello.html")
    assert brought.body["name"] == "hello.html.txt"
    answer = case.download(case.seller, brought.body["id"])
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_file_is_judged_by_its_content_and_its_size(case: Case) -> None:
    refused = case.bring(case.seller, b"MZ\x90\x00\x03", "note.pdf")
    assert (refused.status, refused.body["code"]) == (415, "file_type_refused")
    large = case.bring(case.seller, PDF + b"x" * files.MAX_BYTES)
    assert (large.status, large.body["code"]) == (413, "file_too_large")
    # More than any form may have is not even read.
    flood = case.bring(case.seller, b"x" * (files.MAX_BYTES + 100_000))
    assert (flood.status, flood.body["code"]) == (413, "too_large")
    none = case.world.ask("POST", f"{case.path}/attachments", case.seller, **form(PDF, "a.pdf", "other"))
    assert (none.status, none.body["errors"][0]["field"]) == (422, "file")
    text = case.world.post(f"{case.path}/attachments", case.seller, {"file": "x"})
    assert text.status == 415


def test_a_large_file_comes_through_from_a_browser_and_not_without_its_token(case: Case) -> None:
    large = PDF[:-6] + b"x" * 3_000_000 + b"%%EOF\n"
    browser = case.world.browser(case.seller)

    def send(**headers: str) -> Any:
        return browser.post(f"{case.path}/attachments", **form(large, "scan.pdf"), headers=headers)

    assert send().status_code == 403
    assert send(**{"X-CSRFToken": _token(browser)}).status_code == 201


def _token(browser: FlaskClient) -> str:
    page = browser.get("/profile").text
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_only_where_a_file_is_taken_may_a_request_be_that_large(case: Case) -> None:
    answer = case.world.ask(
        "POST", f"{case.path}/communicate", case.seller, data="x" * 2_000_000, content_type="application/json"
    )
    assert answer.status == 413


def test_somebody_elses_invoice_takes_no_file_and_keeps_none(case: Case) -> None:
    stranger = case.world.person(Role.SELLER, f"{new_id()}@shop.test")
    folder = case.world.parts.cabinet.folder
    content = png(7)
    assert case.bring(stranger, content, "a.png").status == 404
    digest = hashlib.sha256(content).hexdigest()
    assert not (folder / digest[:2] / digest).exists()


def test_a_confirmation_is_fetched_by_its_parties_and_verified_by_the_published_key(case: Case) -> None:
    world = case.world
    assert world.get(f"{case.path}/confirmation", case.seller).status == 404
    with world.session() as session:
        for person in (case.seller, case.buyer):
            kyc.welcome(session, person.actor.id, datetime.now(UTC))
    submitted = world.post(f"{case.path}/submit", case.seller, {"buyer_email": case.buyer.actor.email})
    assert submitted.status == 200, submitted.body
    assert world.post(f"{case.path}/confirm", case.buyer, {}).status == 200
    people = (case.seller, case.buyer, world.person(Role.OPERATOR))
    answers = [world.get(f"{case.path}/confirmation", person) for person in people]
    assert [(answer.status, answer.body["verified"]) for answer in answers] == [(200, True)] * 3
    stranger, investor = world.person(Role.SELLER, f"{new_id()}@x.test"), world.person(Role.INVESTOR)
    assert [world.get(f"{case.path}/confirmation", who).status for who in (stranger, investor)] == [404, 404]
    found = answers[0].body
    keys = world.get("/api/marketplace/confirmation-key").body
    (key,) = [each for each in keys["keys"] if each["id"] == keys["current"]]
    assert found["key"]["pem"] == key["pem"]
    public = load_pem_public_key(key["pem"].encode())
    assert isinstance(public, Ed25519PublicKey)
    assert public == Ed25519PublicKey.from_public_bytes(base64.b64decode(key["public_key"]))
    public.verify(base64.b64decode(found["signature"]), found["canonical"].encode())
    assert found["sha256"] == hashlib.sha256(found["canonical"].encode()).hexdigest()
    # Listed, it is every investor's to check.
    listed = world.post(f"{case.path}/list", case.seller, {"mode": "fixed", "discount_rate": "12"})
    assert listed.status == 200, listed.body
    assert world.get(f"{case.path}/confirmation", investor).body["canonical"] == found["canonical"]
    assert world.get(f"{case.path}/confirmation", stranger).status == 404
