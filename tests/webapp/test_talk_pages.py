"""The pages of talk and of the mailbox, without a browser: what is shown, to whom, and what a form does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from core import mail
from core.identity import Role
from core.ids import new_id
from core.mail import Mail
from tests.conftest import Servers
from tests.core.talk.test_talk import FINANCING
from tests.papers import PDF, png
from tests.webapp.configured import settings_for
from tests.webapp.conftest import INVOICE, Person, World, make_world
from webapp.pages.mailbox import linked


@pytest.fixture(scope="module")
def standing(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(settings_for(file_database_url, tmp_path_factory.mktemp("pages"), REDIS_URL=servers.redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


class Desk:
    """A seller and a buyer with browsers, and an invoice between them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seller = world.person(Role.SELLER, f"{new_id()}@shop.test", "Asha Seller")
        self.buyer = world.person(Role.BUYER, f"{new_id()}@shop.test", "Bina Buyer")
        body = {**INVOICE, "contact": {"name": "Bina Buyer", "email": self.buyer.actor.email}}
        self.invoice = UUID(world.post("/api/invoices", self.seller, body).body["id"])
        self.path = f"/invoices/{self.invoice}"

    def say(self, who: Person, *papers: tuple[str, bytes], **fields: Any) -> Any:
        browser = self.world.browser(who)
        fields = {"csrf_token": token_of(browser, f"{self.path}/talk"), **fields}
        parts = [
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{each}\r\n'.encode()
            for name, value in fields.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        parts += [
            f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for name, content in papers
        ]
        body = b"".join(parts) + b"--b--\r\n"
        return browser.post(f"{self.path}/talk", data=body, content_type="multipart/form-data; boundary=b")

    def page(self, who: Person, path: str = "") -> str:
        answer = self.world.browser(who).get(f"{self.path}{path}")
        assert answer.status_code == 200
        return answer.text


def token_of(browser: FlaskClient, path: str) -> str:
    return browser.get(path).text.partition('name="csrf_token" value="')[2].partition('"')[0]


@pytest.fixture
def desk(standing: World) -> Desk:
    return Desk(standing)


def test_a_message_with_files_stands_under_the_invoice_and_on_its_own_page(desk: Desk) -> None:
    said = desk.say(
        desk.seller,
        ("note.pdf", PDF),
        ("photo.png", png()),
        body="Line one\r\nline <two>",
        mentions=str(desk.buyer.actor.id),
    )
    assert (said.status_code, said.headers["Location"]) == (303, f"{desk.path}/talk#talk")
    for path in ("", "/talk"):
        page = desk.page(desk.buyer, path)
        assert "Line one\nline &lt;two&gt;" in page
        assert "note.pdf" in page
        assert "photo.png" in page
        assert "For Bina Buyer" in page


def test_said_under_the_invoice_one_stays_there(desk: Desk) -> None:
    assert desk.say(desk.seller, body="Hello", under="invoice").headers["Location"] == f"{desk.path}#talk"


def test_before_anything_is_said_the_page_says_what_this_is_for(desk: Desk) -> None:
    assert "Nothing said yet" in desk.page(desk.buyer, "/talk")


def test_the_part_under_the_invoice_is_fetched_alone_when_something_is_said(desk: Desk) -> None:
    desk.say(desk.buyer, body="Is it on its way?")
    for path in ("", "/talk"):
        asked = desk.world.browser(desk.seller).get(
            f"{desk.path}{path}?fragment=f_talk", headers={"HX-Request": "true"}
        )
        assert asked.status_code == 200
        assert "Is it on its way?" in asked.text
        assert "live:comment.created" in asked.text
        assert "<form" not in asked.text


def test_the_bell_is_fetched_alone_from_any_page(desk: Desk) -> None:
    # It stands in the shell: a page that answered with all of itself would be pasted into the bell.
    desk.say(desk.seller, body="Look", mentions=str(desk.buyer.actor.id))
    for path in ("", "/talk"):
        asked = desk.world.browser(desk.buyer).get(f"{desk.path}{path}?fragment=f_bell", headers={"HX-Request": "true"})
        assert asked.text.startswith('<a class="bell"')
        assert "1 unread notification" in asked.text
        assert "<main" not in asked.text


@pytest.mark.parametrize(
    ("fields", "papers", "words"),
    [
        pytest.param({"body": " "}, [], "Enter a message.", id="nothing said"),
        pytest.param({"body": "x" * 4001}, [], "Use at most 4000 characters.", id="too long"),
        pytest.param({"body": "kept"}, [("a.exe", b"MZ\x00")], "of no type that is taken here", id="a program"),
        pytest.param({"body": "kept"}, [("a.pdf", PDF)] * 6, "Must be at most 5 files.", id="six files"),
        pytest.param(
            {"body": "kept", "mentions": str(new_id())}, [], "Has no part in this invoice.", id="somebody else"
        ),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    desk: Desk, fields: dict[str, str], papers: list[tuple[str, bytes]], words: str
) -> None:
    answer = desk.say(desk.seller, *papers, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert "kept" not in fields["body"] or ">kept</textarea>" in answer.text
    assert "Nothing said yet" in answer.text


def test_lines_of_a_form_count_as_one_character_each(desk: Desk) -> None:
    assert desk.say(desk.seller, body="x\r\n" * 2000).status_code == 303


def test_an_investor_finds_talk_under_what_they_have_money_in_and_not_under_an_offer(desk: Desk) -> None:
    investor, passer_by = (desk.world.person(Role.INVESTOR, f"{new_id()}@shop.test") for _ in "ab")
    values = {
        "id": new_id(),
        "invoice": desk.invoice,
        "seller": desk.seller.actor.id,
        "buyer": desk.buyer.actor.id,
        "investor": investor.actor.id,
        "state": "partially_funded",
        "now": datetime.now(UTC),
    }
    with desk.world.session() as session:
        for statement in FINANCING.split(";"):
            session.execute(text(statement), values)
    desk.say(desk.seller, body="For whoever pays for it")
    assert "For whoever pays for it" in desk.page(investor)
    assert "For whoever pays for it" in desk.page(investor, "/talk")
    offered = desk.page(passer_by)
    assert "For whoever pays for it" not in offered
    assert 'id="talk"' not in offered
    assert desk.world.browser(passer_by).get(f"{desk.path}/talk").status_code == 403


def test_strangers_find_no_talk(desk: Desk) -> None:
    stranger = desk.world.person(Role.SELLER, f"{new_id()}@shop.test")
    browser = desk.world.browser(stranger)
    assert browser.get(f"{desk.path}/talk").status_code == 404
    token = token_of(browser, "/profile")
    assert browser.post(f"{desk.path}/talk", data={"csrf_token": token, "body": "Hi"}).status_code == 404


def test_a_notification_leads_to_the_comment(desk: Desk) -> None:
    said = desk.world.post(f"/api{desk.path}/communicate", desk.seller, {"body": "Look"}).body
    answer = desk.world.browser(desk.buyer).get(f"/comments/{said['id']}")
    assert answer.headers["Location"] == f"{desk.path}/talk#comment-{said['id']}"
    stranger = desk.world.person(Role.BUYER, f"{new_id()}@shop.test")
    assert desk.world.browser(stranger).get(f"/comments/{said['id']}").status_code == 404


# The mailbox ----------------------------------------------------------------------------------------------------


def write(world: World, to: str, words: str = "Hello") -> UUID:
    with world.session() as session:
        made = mail.write(session, Mail(to=to, subject=f"To {to}", text=words), datetime.now(UTC))
    assert made is not None
    return made


def test_everybody_reads_their_own_mail_and_operators_all(desk: Desk) -> None:
    world = desk.world
    mine, other = write(world, desk.buyer.actor.email), write(world, f"{new_id()}@nobody.test")
    buyer, operator = world.browser(desk.buyer), world.browser(world.person(Role.OPERATOR))
    assert f"mail-{mine}" in buyer.get("/mailbox").text
    assert f"mail-{other}" not in buyer.get("/mailbox").text
    assert buyer.get(f"/mailbox/{mine}").status_code == 200
    assert buyer.get(f"/mailbox/{other}").status_code == 404
    assert f"mail-{other}" in operator.get("/mailbox").text
    assert operator.get(f"/mailbox/{other}").status_code == 200


def test_outside_a_demo_only_operators_see_mails_and_never_their_words(
    servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = settings_for(
        file_database_url, tmp_path_factory.mktemp("live"), REDIS_URL=servers.redis_url, DEMO_MODE="0"
    )
    world = make_world(settings)
    try:
        seller = world.person(Role.SELLER, f"{new_id()}@shop.test")
        mine = write(world, seller.actor.email, "the words")
        browser, operator = world.browser(seller), world.browser(world.person(Role.OPERATOR))
        assert browser.get("/mailbox").status_code == 404
        assert browser.get(f"/mailbox/{mine}").status_code == 404
        assert ">Mailbox<" not in browser.get("/dashboard").text
        assert f"mail-{mine}" in operator.get("/mailbox").text
        shown = operator.get(f"/mailbox/{mine}")
        assert shown.status_code == 200
        assert "the words" not in shown.text
    finally:
        world.app.extensions["ledgerwire.gateway"].stop()
        world.parts.database.dispose()


def test_only_addresses_of_this_installation_become_links() -> None:
    words = "<b> see https://here.test/confirm/a-b_c and https://evil.test/x"
    assert str(linked(words, "https://here.test")) == (
        '&lt;b&gt; see <a href="https://here.test/confirm/a-b_c">https://here.test/confirm/a-b_c</a> and https://evil.test/x'
    )
    assert "evil" in linked("https://here.test.evil.test/x", "https://here.test")
    assert "<a" not in linked("https://here.test.evil.test/x", "https://here.test")
