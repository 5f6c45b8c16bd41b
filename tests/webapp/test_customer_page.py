"""The page behind the link in an invoice's mail: what it shows, to whom, and what it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from core.connections import store
from core.identity import Role
from core.invoicing import links
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world
from webapp.limits import limiter


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("customers"))


@dataclass(frozen=True, slots=True)
class Sent:
    """An invoice that was mailed, its seller, and the address of its page."""

    world: World
    seller: Person
    invoice: dict[str, Any]
    email: str
    path: str

    @property
    def at(self) -> str:
        return f"/api/invoices/{self.invoice['id']}"

    def browser(self) -> FlaskClient:
        return self.world.app.test_client()

    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.get(self.at, self.seller).body
        return found


def make(world: World, **changes: Any) -> Sent:
    seller, email = world.person(Role.SELLER, f"{uuid4().hex}@sellers.test", "Asha Seller"), f"{uuid4().hex}@shop.test"
    today = datetime.now(UTC).date()
    given = {
        **INVOICE,
        "contact": {"name": "Bina Buyer", "email": email},
        "issue_date": str(today),
        "due_date": str(today + timedelta(days=30)),
        **changes,
    }
    invoice = world.post("/api/invoices", seller, given).body
    sent = world.post(f"/api/invoices/{invoice['id']}/send", seller, {})
    assert sent.status == 201, sent.body
    with world.session() as session:
        words = session.scalars(
            text("SELECT text FROM mails WHERE to_address = :to ORDER BY id DESC LIMIT 1"), {"to": email}
        ).one()
    found = re.search(r"https?://[^/]+(/i/\S+)", words)
    assert found is not None, words
    return Sent(world, seller, world.get(f"/api/invoices/{invoice['id']}", seller).body, email, found[1])


@pytest.fixture
def sent(world: World) -> Sent:
    return make(world)


def csrf(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page)
    assert found is not None
    return found[1]


def watch(page: str) -> str:
    found = re.search(r'id="watch"[^>]*hx-get="([^"]+)"', page)
    assert found is not None, page
    return found[1].replace("&amp;", "&")


HTMX = {"HX-Request": "true"}


def test_whoever_has_the_link_sees_the_invoice(sent: Sent) -> None:
    answer = sent.browser().get(sent.path)
    assert answer.status_code == 200
    for words in (sent.invoice["number"], "Asha Seller", "Bina Buyer", "Tea, 1 kg", "29.54"):
        assert words in answer.text
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path[:-3] + ("AAA" if path[-3:] != "AAA" else "BBB"), id="altered"),
        pytest.param(lambda path: path + "x", id="longer"),
        pytest.param(lambda path: path + "=", id="spelled otherwise"),
        pytest.param(lambda _: "/i/x", id="none"),
        pytest.param(lambda _: "/i/" + "A" * 300, id="too long"),
    ],
)
def test_an_altered_link_is_none(sent: Sent, spoil: Any) -> None:
    for under in ("", "/watch", "/pdf", f"/receipts/{uuid4()}", f"/credit-notes/{uuid4()}", f"/pay/{uuid4()}"):
        assert sent.browser().get(spoil(sent.path) + under).status_code == 404


def test_the_signature_holds_for_one_invoice_only(world: World, sent: Sent) -> None:
    other = make(world)
    key = links.of(world.parts.settings)
    theirs = key.token(UUID(other.invoice["id"]), 1)
    mine = sent.path.removeprefix("/i/")
    # The head of one link with the signature of the other.
    assert sent.browser().get(f"/i/{theirs[:28]}{mine[28:]}").status_code == 404


def test_a_link_that_was_taken_back_says_so(sent: Sent) -> None:
    answer = sent.world.delete(f"{sent.at}/link", sent.seller)
    assert answer.status == 200
    gone = sent.browser().get(sent.path)
    assert (gone.status_code, "This link has ended" in gone.text) == (410, True)
    assert sent.invoice["number"] not in gone.text
    assert sent.browser().get(f"{sent.path}/pdf").status_code == 410
    fresh = "/i/" + answer.body["url"].rpartition("/i/")[2]
    assert sent.browser().get(fresh).status_code == 200
    assert sent.world.get(f"{sent.at}/link", sent.seller).body == answer.body


@pytest.mark.parametrize(("days", "status"), [(365, 200), (366, 410)])
def test_a_link_lives_a_year_after_the_due_date(sent: Sent, days: int, status: int) -> None:
    due = datetime.now(UTC).date() - timedelta(days=days)
    with sent.world.session() as session:
        session.execute(
            text("UPDATE invoices SET issue_date = :due, due_date = :due WHERE id = CAST(:id AS uuid)"),
            {"due": due, "id": sent.invoice["id"]},
        )
    assert sent.browser().get(sent.path).status_code == status


def test_a_draft_is_told_to_nobody(world: World) -> None:
    seller = world.person(Role.SELLER, f"{uuid4().hex}@sellers.test")
    draft = world.post("/api/invoices", seller, {**INVOICE, "draft": True}).body
    path = "/i/" + links.of(world.parts.settings).token(UUID(draft["id"]), 1)
    assert world.app.test_client().get(path).status_code == 404


def test_nothing_of_others_stands_on_it(world: World, sent: Sent) -> None:
    with world.session() as session:
        values = {"id": sent.invoice["id"], "seller": sent.seller.actor.id, "now": datetime.now(UTC), "new": uuid4()}
        session.execute(
            text(
                "INSERT INTO financings (id, invoice_id, seller_id, buyer_email, state, currency, face, "
                "confirmed_amount, due_date, issue_date, submitted_at, confirm_by, created_at, updated_at) "
                "SELECT :new, id, :seller, 'b@x.test', 'withdrawn', 'INR', total, total, due_date, issue_date, "
                ":now, :now, :now, :now FROM invoices WHERE id = CAST(:id AS uuid)"
            ),
            values,
        )
        session.execute(
            text(
                "INSERT INTO financing_moves (id, financing_id, version, after, reason, at) "
                "VALUES (:new, :new, 1, 'withdrawn', 'test', :now)"
            ),
            values,
        )
    other = make(world)
    page = sent.browser().get(sent.path).text
    seller_email = sent.seller.actor.email
    for words in ("financing", "investor", "discount rate", other.invoice["id"], sent.invoice["id"], seller_email):
        assert words not in page.lower()
    # Not even the id of an invoice can be taken from the page, and another's receipt is not there.
    assert sent.browser().get(f"{sent.path}/receipts/{uuid4()}").status_code == 404


def test_a_person_who_looks_marks_it_as_seen_and_a_scanner_does_not(sent: Sent) -> None:
    browser = sent.browser()
    page = browser.get(sent.path).text
    assert browser.head(sent.path).status_code == 200
    asked = watch(page)
    # Read like any address, without the browser's script.
    browser.get(asked)
    assert sent.now()["stage"] == "sent"
    # The seller's own look, and an operator's.
    for person in (sent.seller, sent.world.person(Role.OPERATOR)):
        assert "This is what your customer sees" in sent.world.browser(person).get(sent.path).text
        sent.world.browser(person).get(asked, headers=HTMX)
    assert sent.now()["stage"] == "sent"
    browser.get(asked, headers=HTMX)
    assert sent.now()["stage"] == "viewed"
    assert [each["kind"] for each in sent.now()["history"]].count("invoice.viewed") == 1


def test_the_page_asks_until_it_is_settled_or_long_enough(sent: Sent) -> None:
    browser = sent.browser()
    first = watch(browser.get(sent.path).text)
    quiet = browser.get(first, headers=HTMX)
    assert ("HX-Trigger" in quiet.headers, "n=2" in watch(quiet.text)) == (False, True)
    late = browser.get(first.replace("n=1", "n=300"), headers=HTMX)
    assert "hx-get" not in late.text
    paid = sent.world.post(
        "/api/payments",
        sent.seller,
        {
            "invoice_id": sent.invoice["id"],
            "amount": sent.invoice["total"],
            "currency": "INR",
            "method": "cash",
            "date": str(datetime.now(UTC).date()),
        },
    )
    if paid.status == 201:
        told = browser.get(first, headers=HTMX)
        assert "invoice-changed" in told.headers["HX-Trigger"]
        assert "hx-get" not in told.text


def test_the_customer_agrees(sent: Sent) -> None:
    browser = sent.browser()
    form = {"csrf_token": csrf(browser.get(sent.path).text), "answer": "agreed"}
    done = browser.post(f"{sent.path}/answer", data=form, follow_redirects=True)
    assert "You agreed to it" in done.text
    assert sent.world.get(f"{sent.at}/mails", sent.seller).body["answer"]["answer"] == "agreed"


def test_the_customer_disputes_and_the_seller_hears_why(sent: Sent) -> None:
    browser = sent.browser()
    form = {"csrf_token": csrf(browser.get(sent.path).text), "answer": "disputed"}
    refused = browser.post(f"{sent.path}/answer", data=form)
    assert (refused.status_code, "Enter what is wrong" in refused.text) == (422, True)
    words = "Two bales were <b>torn</b>"
    done = browser.post(f"{sent.path}/answer", data={**form, "reason": words}, follow_redirects=True)
    assert "Two bales were &lt;b&gt;torn&lt;/b&gt;" in done.text
    heard = sent.world.get("/api/notifications", sent.seller).body["items"]
    assert [(each["kind"], each["body"]) for each in heard] == [("invoice.disputed", words)]
    # Agreeing after all ends the notice.
    browser.post(f"{sent.path}/answer", data={**form, "answer": "agreed"})
    ended = sent.world.get("/api/notifications", sent.seller).body["items"]
    assert [each["cleared_at"] is not None for each in ended] == [True]
    kinds = [each["kind"] for each in sent.now()["history"]]
    assert {"invoice.disputed", "invoice.agreed"} <= set(kinds)


def test_the_seller_does_not_answer_for_the_customer(sent: Sent) -> None:
    browser = sent.world.browser(sent.seller)
    form = {"csrf_token": csrf(browser.get(sent.path).text), "answer": "agreed"}
    browser.post(f"{sent.path}/answer", data=form)
    assert sent.world.get(f"{sent.at}/mails", sent.seller).body["answer"] is None


@pytest.mark.parametrize("under", ["/answer", "/pay"])
def test_an_answer_without_a_form_token_is_refused(sent: Sent, under: str) -> None:
    browser = sent.browser()
    browser.get(sent.path)
    assert browser.post(sent.path + under, data={"answer": "agreed"}).status_code == 403


@pytest.mark.parametrize(("under", "most"), [("/pay", 20), ("/answer", 60)])
def test_trying_without_end_is_refused(sent: Sent, under: str, most: int) -> None:
    browser = sent.browser()
    token = {"csrf_token": csrf(browser.get(sent.path).text)}
    at = {"REMOTE_ADDR": "192.0.2.77"}
    limiter.enabled = True
    try:
        answers = [
            browser.post(sent.path + under, data=token, environ_overrides=at).status_code for _ in range(most + 1)
        ]
    finally:
        limiter.enabled = False
        limiter.reset()
    assert (answers[:most].count(429), answers[most]) == (0, 429)


def test_an_invoice_that_was_cancelled_asks_for_nothing(sent: Sent) -> None:
    assert sent.world.delete(sent.at, sent.seller).status == 200
    page = sent.browser().get(sent.path)
    assert (page.status_code, "nothing is owed" in page.text, "I agree" in page.text) == (200, True, False)


def test_bank_details_stand_there_where_the_seller_has_some(sent: Sent) -> None:
    with sent.world.session() as session:
        session.execute(
            text(
                "INSERT INTO business_profiles (user_id, bank_name, bank_account, bank_code, upi_id) "
                "VALUES (:user, 'Canara Bank', '00112233445566', 'CNRB0000001', 'asha@okbank')"
            ),
            {"user": sent.seller.actor.id},
        )
    page = sent.browser().get(sent.path).text
    for words in ("00112233445566", "CNRB0000001", "asha@okbank", f"Please name {sent.invoice['number']}"):
        assert words in page


def test_the_invoice_is_there_as_a_file(sent: Sent) -> None:
    answer = sent.browser().get(f"{sent.path}/pdf")
    assert (answer.status_code, answer.mimetype, answer.data[:5]) == (200, "application/pdf", b"%PDF-")
    assert sent.invoice["number"] in answer.headers["Content-Disposition"]


def gateway(sent: Sent, seller: Person | None = None) -> str:
    """A connection that can make payment pages, of the invoice's seller or another one."""
    with sent.world.session() as session:
        made = store.create(
            session,
            (seller or sent.seller).actor,
            sent.world.parts.ring,
            connector="razorpay",
            name="Gateway",
            secrets={"webhook_secret": "s" * 20, "key_id": "rzp", "key_secret": "k"},
            settings={},
            external_id=None,
            now=datetime.now(UTC),
        )
    return str(made["id"])


def ask_to_pay(sent: Sent, chosen: str) -> tuple[FlaskClient, str]:
    browser = sent.browser()
    form = {"csrf_token": csrf(browser.get(sent.path).text), "gateway": chosen}
    answer = browser.post(f"{sent.path}/pay", data=form)
    assert answer.status_code == 303
    return browser, answer.headers["Location"]


def set_link(sent: Sent, **columns: str) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    with sent.world.session() as session:
        session.execute(
            text(f"UPDATE payment_links SET {changes} WHERE invoice_id = CAST(:id AS uuid)"),
            {**columns, "id": sent.invoice["id"]},
        )


def test_the_customer_waits_for_the_payment_page_and_goes_there(sent: Sent) -> None:
    chosen = gateway(sent)
    browser, wait = ask_to_pay(sent, chosen)
    assert "Pay ₹29.54 by Razorpay" in browser.get(sent.path).text
    page = browser.get(wait)
    assert (page.status_code, "Razorpay makes the page" in page.text) == (200, True)
    set_link(sent, state="open", provider_id="plink_1", url="https://rzp.io/i/x")
    part = browser.get(f"{wait}?n=1&fragment=f_wait", headers=HTMX)
    assert (part.headers["HX-Redirect"], part.text) == ("https://rzp.io/i/x", "")
    # Without scripts there is a link.
    assert 'href="https://rzp.io/i/x"' in browser.get(wait).text
    # Pressing again leads to the same page.
    assert ask_to_pay(sent, chosen)[1] == wait


def test_a_gateway_that_cannot_be_reached_is_said_and_can_be_tried_again(sent: Sent) -> None:
    chosen = gateway(sent)
    browser, wait = ask_to_pay(sent, chosen)
    set_link(sent, state="failed", error="razorpay: POST /v1/payment_links answered 503 from 10.0.0.1")
    page = browser.get(wait).text
    assert "Razorpay cannot be reached" in page
    assert "nothing was charged" in page
    # What went wrong inside is the seller's to read.
    assert "503" not in page
    assert ask_to_pay(sent, chosen)[1] != wait


def test_a_page_that_never_comes_is_not_waited_for_for_ever(sent: Sent) -> None:
    browser, wait = ask_to_pay(sent, gateway(sent))
    late = browser.get(f"{wait}?n=90&fragment=f_wait", headers=HTMX).text
    assert ("cannot be reached" in late, "hx-get" in late) == (True, False)


def test_only_the_sellers_own_gateways_are_used(world: World, sent: Sent) -> None:
    theirs = gateway(sent, world.person(Role.SELLER, f"{uuid4().hex}@sellers.test"))
    browser, location = ask_to_pay(sent, theirs)
    assert location == sent.path
    assert "not offered any more" in browser.get(sent.path).text
    other = make(world)
    _, wait = ask_to_pay(sent, gateway(sent))
    assert other.browser().get(f"{other.path}/pay/{wait.rpartition('/')[2]}").status_code == 404


def test_what_is_cancelled_by_the_time_of_the_press_is_not_paid(sent: Sent) -> None:
    browser = sent.browser()
    form = {"csrf_token": csrf(browser.get(sent.path).text), "gateway": gateway(sent)}
    with sent.world.session() as session:
        session.execute(
            text("UPDATE invoices SET status = 'void' WHERE id = CAST(:id AS uuid)"), {"id": sent.invoice["id"]}
        )
    assert browser.post(f"{sent.path}/pay", data=form).headers["Location"] == sent.path
    with sent.world.session() as session:
        count = session.scalar(
            text("SELECT count(*) FROM payment_links WHERE invoice_id = CAST(:id AS uuid)"), {"id": sent.invoice["id"]}
        )
    assert count == 0


def credited(sent: Sent) -> dict[str, Any]:
    lines = [{"description": "Tea, 1 kg", "quantity": "1", "unit_price": 5_00}]
    given = {"invoice_id": sent.invoice["id"], "reason": "One packet was torn", "items": lines}
    made = sent.world.post("/api/credit-notes", sent.seller, given)
    assert made.status == 201, made.body
    note: dict[str, Any] = made.body
    return note


def test_what_was_credited_stands_there_with_its_paper_until_it_is_cancelled(world: World, sent: Sent) -> None:
    note, other = credited(sent), credited(make(world))
    page = sent.browser().get(sent.path).text
    at = f"{sent.path}/credit-notes/{note['id']}"
    for words in (note["number"], "One packet was torn", at, "was credited"):
        assert words in page
    paper = sent.browser().get(at)
    assert (paper.status_code, paper.mimetype, paper.data[:5]) == (200, "application/pdf", b"%PDF-")
    assert sent.browser().get(f"{sent.path}/credit-notes/{other['id']}").status_code == 404
    assert world.post(f"/api/credit-notes/{note['id']}/void", sent.seller, {}).status == 200
    assert note["number"] not in sent.browser().get(sent.path).text
