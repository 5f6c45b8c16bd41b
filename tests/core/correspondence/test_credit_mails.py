"""Credit notes by mail, how many mails a day has, and mails that follow a corrected address."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.contacts import store as contacts
from core.correspondence import allowance, credit_mails, sending
from core.correspondence.allowance import MOST_A_DAY, DayIsFull
from core.correspondence.store import save_words
from core.correspondence.templates import Template
from core.errors import Conflict, Forbidden, NotFound
from core.identity import Role
from core.invoicing import credit_notes
from core.invoicing.totals import NewItem
from core.mail import queue
from tests.builders import Clockwork, worker
from tests.core.correspondence.scene import Scene, customer_links, sent_invoice
from tests.core.invoicing.desk import register
from tests.workers.test_invoice_mail import words_of
from tests.workers.test_mail import by, office
from workers import mail


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture
def scene(context: Clockwork) -> Iterator[Scene]:
    yield sent_invoice(context)
    with context.database.connect() as connection:
        connection.execute(text("DELETE FROM mails"))


def credit(scene: Scene, price: int = 2_500) -> dict[str, Any]:
    lines = [NewItem(description="Torn", quantity=Decimal(1), unit_price=price)]
    new = credit_notes.NewCreditNote(
        invoice_id=scene.id, reason="Torn", issue_date=scene.context.now().date(), items=lines
    )
    with scene.shop.database.session() as session:
        return credit_notes.create(session, scene.shop.seller, new, scene.context.now())


def send(scene: Scene, note: dict[str, Any], **more: Any) -> dict[str, Any]:
    with scene.shop.database.session() as session:
        return credit_mails.send(
            session,
            more.pop("actor", scene.shop.seller),
            UUID(note["id"]),
            customer_links(scene.context),
            scene.context.now(),
            **more,
        )


def asked(scene: Scene, count: int) -> None:
    """So many mails were asked for today."""
    scene.run(
        "INSERT INTO mail_days VALUES (:seller, :day, :count) "
        "ON CONFLICT (seller_id, day) DO UPDATE SET asked = :count",
        day=scene.context.now().date(),
        count=count,
    )


def test_a_credit_note_goes_with_its_pdf_in_the_sellers_words(scene: Scene) -> None:
    with scene.shop.database.session() as session:
        words = Template(subject="{{credit_number}} for you", body="{{credit}} off {{number}}, {{amount_due}} left.")
        save_words(session, scene.shop.seller, "credit_note", words, scene.context.now())
    note = credit(scene)
    with scene.shop.database.session() as session:
        shown = credit_mails.preview(
            session, scene.shop.seller, UUID(note["id"]), customer_links(scene.context), scene.context.now(), "Sorry."
        )
    send(scene, note, message="Sorry.")
    with office() as server:
        assert mail.drain(by(scene.context, server.port)) == 1
    (got,) = server.got
    assert (str(got["To"]), str(got["Subject"])) == ("buyer@rao.test", f"{note['number']} for you")
    plain = got.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines() == shown["text"].splitlines()
    assert f"₹25.00 off {scene.invoice['number']}, ₹75.00 left." in shown["text"]
    (paper,) = got.iter_attachments()
    assert paper.get_filename() == f"credit-note-{note['number']}.pdf"
    assert note["number"] in words_of(paper.get_content())


def test_who_sent_it_stands_in_the_histories_and_on_the_note(scene: Scene) -> None:
    note, other = credit(scene), credit(scene)
    sent = send(scene, note, to="accounts@rao.test")
    rows = scene.shop.rows(
        "SELECT action, subject_kind FROM audit_log WHERE action LIKE '%credit%sent' AND data->>'mail_id' = :mail",
        mail=sent["mail_id"],
    )
    assert {(row["action"], row["subject_kind"]) for row in rows} == {
        ("credit_note.sent", "credit_note"),
        ("invoice.credit_sent", "invoice"),
    }
    with scene.shop.database.session() as session:
        found = [credit_mails.about(session, scene.shop.seller, each) for each in (note, other)]
    assert [[one["id"] for one in each] for each in found] == [[sent["mail_id"]], []]


def test_a_cancelled_credit_note_is_not_sent_nor_is_what_waited(scene: Scene) -> None:
    note = credit(scene)
    send(scene, note)
    with scene.shop.database.session() as session:
        credit_notes.void(session, scene.shop.seller, UUID(note["id"]), scene.context.now())
    with pytest.raises(Conflict, match="cancelled credit note"):
        send(scene, note)
    with office() as server:
        assert mail.drain(by(scene.context, server.port)) == 1
    assert server.got == []
    (kept,) = scene.shop.rows("SELECT state, error FROM mails WHERE subject_id = :id", id=scene.id)
    assert (kept["state"], kept["error"]) == ("failed", "the credit note was cancelled by now")


def test_only_its_seller_mails_it(scene: Scene) -> None:
    note = credit(scene)
    with pytest.raises(NotFound):
        send(scene, note, actor=register(scene.shop.database))
    with pytest.raises(Forbidden):
        send(scene, note, actor=register(scene.shop.database, Role.OPERATOR))
    assert scene.mails() == []


@pytest.mark.parametrize(
    ("before", "goes"),
    [
        pytest.param(MOST_A_DAY - 2, True, id="below"),
        pytest.param(MOST_A_DAY - 1, True, id="the last one"),
        pytest.param(MOST_A_DAY, False, id="above"),
    ],
)
def test_a_day_has_so_many_mails(scene: Scene, before: int, *, goes: bool) -> None:
    note = credit(scene)
    asked(scene, before)
    if goes:
        send(scene, note)
    else:
        with pytest.raises(DayIsFull, match="1,000 mails were asked for today"):
            send(scene, note)
    with scene.shop.database.session() as session:
        left = allowance.left(session, scene.shop.seller.id, scene.context.now())
    assert (left, len(scene.mails())) == (MOST_A_DAY - before - goes, int(goes))


def test_every_way_to_ask_counts_and_the_next_day_begins_anew(scene: Scene) -> None:
    database, seller, links, now = (
        scene.shop.database,
        scene.shop.seller,
        customer_links(scene.context),
        scene.context.now(),
    )
    asked(scene, 1)
    with database.session() as session:
        sending.send(session, seller, scene.id, links, now)
        sending.remind(session, seller, scene.id, links, now)
        sending.communicate(session, seller, scene.id, links, now, message="Hello")
        sending.send(session, seller, scene.id, links, now, counted=False)
        assert allowance.left(session, seller.id, now) == MOST_A_DAY - 4
    asked(scene, MOST_A_DAY)
    tomorrow = now.replace(day=now.day + 1)
    with database.session() as session:
        sending.send(session, seller, scene.id, links, tomorrow)
        assert allowance.left(session, seller.id, tomorrow) == MOST_A_DAY - 1
    with database.connect() as connection:
        allowance.forget(connection, now.replace(day=now.day + 8))
        assert connection.scalar(text("SELECT count(*) FROM mail_days WHERE seller_id = :id"), {"id": seller.id}) == 1


def test_the_database_holds_the_limit_too(scene: Scene) -> None:
    with pytest.raises(IntegrityError, match="mail_days_within_limit"):
        asked(scene, MOST_A_DAY + 1)


@pytest.mark.parametrize(
    ("to", "goes_to"),
    [
        pytest.param(None, "new@rao.test", id="the customer's"),
        pytest.param("buyer@rao.test", "new@rao.test", id="the customer's, as the form has it"),
        pytest.param("boss@rao.test", "boss@rao.test", id="another one that was named"),
    ],
)
def test_a_mail_that_waits_follows_a_corrected_address(scene: Scene, to: str | None, goes_to: str) -> None:
    note = credit(scene)
    send(scene, note, to=to)
    with scene.context.database.connect() as connection:
        held = queue.claim(connection, lease_seconds=60, now=scene.context.now())
        assert held is not None
        queue.failed(connection, held, error="away", now=scene.context.now(), max_attempts=9)
    contact = UUID(note["contact"]["id"])
    with scene.shop.database.session() as session:
        contacts.update(session, scene.shop.seller, contact, {"email": "new@rao.test"}, scene.context.now())
    assert [one["to_address"] for one in scene.mails()] == [goes_to]
    scene.context.wait(3600)
    with office() as server:
        mail.drain(by(scene.context, server.port))
    assert [str(one["To"]) for one in server.got] == [goes_to]
    with scene.shop.database.session() as session:
        contacts.update(session, scene.shop.seller, contact, {"email": "late@rao.test"}, scene.context.now())
    assert [one["to_address"] for one in scene.mails()] == [goes_to]
