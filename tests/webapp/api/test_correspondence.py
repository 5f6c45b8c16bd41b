"""Sending, reminding, words and bounces over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from core.correspondence.templates import DEFAULTS, KINDS
from core.identity import Role
from tests.conftest import Servers
from tests.core.correspondence.test_bounces import notification
from tests.webapp.conftest import INVOICE, Person, World, standing_world


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("letters"))


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER, f"{uuid4().hex}@sellers.test", "Asha Seller")


def make(world: World, seller: Person, **changes: Any) -> str:
    today = datetime.now(UTC).date()
    given = {**INVOICE, "issue_date": str(today), "due_date": str(today + timedelta(days=30)), **changes}
    made = world.post("/api/invoices", seller, given)
    assert made.status == 201, made.body
    return f"/api/invoices/{made.body['id']}"


def test_a_draft_that_is_sent_is_issued_and_has_its_number(world: World, seller: Person) -> None:
    at = make(world, seller, draft=True)
    assert world.get(at, seller).body["number"] is None
    sent = world.post(f"{at}/send", seller, {"message": "With thanks."})
    assert sent.status == 201
    assert (sent.body["to"], sent.body["number"]) == ("buyer@example.com", "INV-2026-00001")
    found = world.get(at, seller).body
    assert (found["stage"], found["number"]) == ("sent", "INV-2026-00001")
    assert "invoice.sent" in [each["kind"] for each in found["history"]]
    (mail,) = world.get(f"{at}/mails", seller).body["items"]
    assert (mail["id"], mail["state"], [each["kind"] for each in mail["attachments"]]) == (
        sent.body["mail_id"],
        "queued",
        ["invoice_pdf"],
    )


def test_a_repeat_with_its_key_is_one_mail(world: World, seller: Person) -> None:
    at = make(world, seller)
    first = world.post(f"{at}/send", seller, {}, Idempotency_Key="k1")
    again = world.post(f"{at}/send", seller, {}, Idempotency_Key="k1")
    assert (first.status, again.body) == (201, first.body)
    assert len(world.get(f"{at}/mails", seller).body["items"]) == 1
    # Without one it is sent again: somebody may have lost it.
    world.post(f"{at}/send", seller, {"to": "other@shop.test"})
    assert [mail["to"] for mail in world.get(f"{at}/mails", seller).body["items"]] == [
        "other@shop.test",
        "buyer@example.com",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "nobody"}, "to"),
        ({"to": "a@b.test\nBcc: c@d.test"}, "to"),
        ({"message": "x" * 2001}, "message"),
        ({"subject": "mine"}, "subject"),
    ],
)
def test_what_cannot_be_sent_is_refused(world: World, seller: Person, body: dict[str, Any], field: str) -> None:
    at = make(world, seller)
    refused = world.post(f"{at}/send", seller, body)
    assert refused.status == 422
    assert field in str(refused.body)
    assert world.get(f"{at}/mails", seller).body["items"] == []


def test_a_message_of_the_longest_size_is_taken(world: World, seller: Person) -> None:
    assert world.post(f"{make(world, seller)}/send", seller, {"message": "x" * 2000}).status == 201


def test_what_was_cancelled_is_neither_sent_nor_reminded_of(world: World, seller: Person) -> None:
    at = make(world, seller)
    world.delete(at, seller)
    assert [world.post(f"{at}/{do}", seller, {}).status for do in ("send", "remind")] == [409, 409]


def test_a_reminder_by_hand(world: World, seller: Person) -> None:
    at = make(world, seller)
    done = world.post(f"{at}/remind", seller, {})
    assert (done.status, done.body["subject"][:7]) == (201, "Invoice")
    again = world.post(f"{at}/remind", seller, {})
    assert (again.status, again.body["code"]) == (409, "reminded_just_now")
    (reminder,) = world.get(f"{at}/mails", seller).body["reminders"]
    assert (reminder["days"], reminder["mail_id"]) == (None, done.body["mail_id"])


def test_what_is_said_to_a_customer_goes_by_mail_as_well(world: World, seller: Person) -> None:
    at = make(world, seller)
    said = world.post(f"{at}/communicate", seller, {"body": "We deliver on Monday.", "mail": True})
    assert said.status == 201
    (mail,) = world.get(f"{at}/mails", seller).body["items"]
    with world.session() as session:
        words = session.scalars(text("SELECT text FROM mails WHERE id = CAST(:id AS uuid)"), {"id": mail["id"]}).one()
    assert words.startswith("We deliver on Monday.\n\n")
    assert "/i/" in words
    # Without being asked, talk stays where it is.
    world.post(f"{at}/communicate", seller, {"body": "Between us."})
    assert len(world.get(f"{at}/mails", seller).body["items"]) == 1


def test_a_preview_is_what_is_sent_and_sends_nothing(world: World, seller: Person) -> None:
    at = make(world, seller)
    for kind in KINDS:
        shown = world.get(f"{at}/mails/preview", seller, kind=kind)
        assert shown.status == 200, kind
        assert "{{" not in shown.body["subject"] + shown.body["text"]
    shown = world.get(f"{at}/mails/preview", seller).body
    assert world.get(f"{at}/mails", seller).body["items"] == []
    sent = world.post(f"{at}/send", seller, {}).body
    with world.session() as session:
        words = session.scalars(
            text("SELECT text FROM mails WHERE id = CAST(:id AS uuid)"), {"id": sent["mail_id"]}
        ).one()
    assert (shown["subject"], shown["text"], shown["to"]) == (sent["subject"], words, sent["to"])


def test_words_of_ones_own_are_kept_used_and_given_up(world: World, seller: Person) -> None:
    own = {"subject": "Rechnung {{number}}", "body": "Hallo {{customer}}: {{link}}"}
    saved = world.put("/api/mail-templates/invoice", seller, own)
    assert (saved.status, saved.body["own"], saved.body["subject"]) == (200, True, own["subject"])
    sent = world.post(f"{make(world, seller)}/send", seller, {}).body
    assert sent["subject"] == "Rechnung INV-2026-00001"
    back = world.delete("/api/mail-templates/invoice", seller)
    assert (back.body["own"], back.body["subject"]) == (False, DEFAULTS["invoice"].subject)
    listed = world.get("/api/mail-templates", seller).body["items"]
    assert [(each["kind"], each["own"]) for each in listed] == [(kind, False) for kind in KINDS]


def test_words_that_are_the_usual_ones_are_not_ones_own(world: World, seller: Person) -> None:
    usual = {"subject": DEFAULTS["receipt"].subject, "body": DEFAULTS["receipt"].body}
    assert world.put("/api/mail-templates/receipt", seller, usual).body["own"] is False


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("invoice", {"subject": "{{nobody}}", "body": "x"}, 422),
        ("invoice", {"subject": "x", "body": "{{paid}}"}, 422),
        ("nothing", {"subject": "x", "body": "x"}, 422),
        ("invoice", {"subject": "x"}, 422),
    ],
)
def test_words_that_cannot_be_filled_in_are_refused(
    world: World, seller: Person, kind: str, body: dict[str, str], status: int
) -> None:
    assert world.put(f"/api/mail-templates/{kind}", seller, body).status == status
    assert world.post(f"/api/mail-templates/{kind}/preview", seller, body).status == status


def test_words_are_shown_filled_in_before_there_is_any_invoice(world: World, seller: Person) -> None:
    shown = world.post("/api/mail-templates/receipt/preview", seller, {"subject": "{{paid}}", "body": "{{customer}}"})
    assert (shown.status, shown.body["subject"]) == (200, "₹1,000.00")
    assert shown.body["text"].startswith("Example Traders\n")


def test_when_customers_are_reminded_is_the_sellers_to_say(world: World, seller: Person) -> None:
    usual = world.get("/api/mail-settings", seller).body
    assert [rule["days"] for rule in usual["rules"]] == [-3, 0, 7, 14, 30]
    wanted = {"reminders": True, "receipts": False, "rules": [{"days": 3, "enabled": True}]}
    assert world.put("/api/mail-settings", seller, wanted).body == wanted
    assert world.get("/api/mail-settings", seller).body == wanted
    twice = {**wanted, "rules": [{"days": 3, "enabled": True}, {"days": 3, "enabled": False}]}
    assert world.put("/api/mail-settings", seller, twice).status == 422
    assert world.get("/api/mail-settings", seller).body == wanted


def sent_mail(world: World, seller: Person) -> tuple[str, str]:
    at = make(world, seller)
    mail_id = world.post(f"{at}/send", seller, {}).body["mail_id"]
    with world.session() as session:
        session.execute(
            text(
                "UPDATE mails SET state = 'sent', text = '', html = NULL, sent_at = now() WHERE id = CAST(:id AS uuid)"
            ),
            {"id": mail_id},
        )
    return at, mail_id


@pytest.mark.parametrize("by", ["notification", "id"])
def test_a_mail_server_tells_with_a_service_token_what_came_back(world: World, seller: Person, by: str) -> None:
    operator = world.person(Role.OPERATOR)
    made = world.post("/api/service-tokens", operator, {"name": f"mail server {uuid4().hex}"}).body
    at, mail_id = sent_mail(world, seller)
    raw = notification(message_id=f"<{mail_id}@books.test>").decode()
    body = {"message": raw} if by == "notification" else {"mail_id": mail_id, "reason": "User unknown"}
    headers = {"Authorization": f"Bearer {made['token']}"}
    told = world.ask("POST", "/api/mails/bounces", json=body, headers=headers)
    assert (told.status, told.body) == (200, {"marked": [mail_id]})
    again = world.ask("POST", "/api/mails/bounces", json=body, headers=headers)
    assert again.body == {"marked": []}
    (mail,) = world.get(f"{at}/mails", seller).body["items"]
    assert "User unknown" in mail["bounce_reason"]
    (notice,) = world.get("/api/notifications", seller).body["items"]
    assert notice["kind"] == "mail.bounced"


@pytest.mark.parametrize("body", [{}, {"message": "Subject: x\n\nhello"}, {"message": "x", "mail_id": str(uuid4())}])
def test_what_is_no_bounce_is_refused(world: World, body: dict[str, str]) -> None:
    assert world.post("/api/mails/bounces", world.person(Role.OPERATOR), body).status == 422


def test_a_credit_note_is_mailed_once_for_its_key(world: World, seller: Person) -> None:
    at = make(world, seller)
    lines = [{"description": "Torn", "quantity": "1", "unit_price": 5_00}]
    given = {"invoice_id": at.rpartition("/")[2], "reason": "Torn", "items": lines}
    note = world.post("/api/credit-notes", seller, given).body
    shown = world.get(f"/api/credit-notes/{note['id']}/mails/preview", seller).body
    assert (shown["kind"], shown["to"], note["number"] in shown["subject"]) == (
        "credit_note",
        "buyer@example.com",
        True,
    )
    first = world.post(f"/api/credit-notes/{note['id']}/send", seller, {"message": "Sorry."}, Idempotency_Key="c1")
    again = world.post(f"/api/credit-notes/{note['id']}/send", seller, {"message": "Sorry."}, Idempotency_Key="c1")
    assert (first.status, again.body) == (201, first.body)
    assert (first.body["credit_number"], first.body["to"]) == (note["number"], "buyer@example.com")
    (mail,) = world.get(f"/api/credit-notes/{note['id']}/mails", seller).body["items"]
    assert (mail["id"], [each["kind"] for each in mail["attachments"]]) == (first.body["mail_id"], ["credit_note_pdf"])
    assert mail in world.get(f"{at}/mails", seller).body["items"]
    assert "invoice.credit_sent" in [each["kind"] for each in world.get(at, seller).body["history"]]
    world.post(f"/api/credit-notes/{note['id']}/void", seller, {})
    refused = world.post(f"/api/credit-notes/{note['id']}/send", seller, {})
    assert (refused.status, refused.body["code"]) == (409, "conflict")


def test_a_day_that_is_full_says_so(world: World, seller: Person) -> None:
    at = make(world, seller)
    with world.session() as session:
        session.execute(
            text("INSERT INTO mail_days VALUES (:seller, :day, 1000)"),
            {"seller": seller.actor.id, "day": datetime.now(UTC).date()},
        )
    refused = world.post(f"{at}/send", seller, {})
    assert (refused.status, refused.body["code"]) == (409, "daily_mail_limit")
    assert world.get(f"{at}/mails", seller).body["items"] == []
