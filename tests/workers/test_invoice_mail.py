"""An invoice's mail on its way: in the seller's name, with the file set when it goes, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pypdfium2
import pytest
from sqlalchemy import text

from core import documents
from core.correspondence import sending
from core.documents import TypesettingFailed
from tests.builders import payment, refund, worker
from tests.core.correspondence.scene import Scene, customer_links, sent_invoice
from tests.workers.test_mail import Office, by, office
from workers import mail, reminders


@pytest.fixture
def scene(file_database_url: str) -> Iterator[Scene]:
    with worker(file_database_url) as made:
        with made.database.connect() as connection:
            connection.execute(text("DELETE FROM mails"))
        yield sent_invoice(made, send=False)


def send(scene: Scene, **more: Any) -> UUID:
    with scene.shop.database.session() as session:
        links = customer_links(scene.context)
        made = sending.send(session, scene.shop.seller, scene.id, links, scene.context.now(), **more)
    return UUID(str(made["mail_id"]))


def words_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


def test_it_goes_in_the_sellers_name_with_the_invoice_as_it_is_then(scene: Scene) -> None:
    send(scene, message="Thank you for the order.")
    with office() as server:
        assert mail.drain(by(scene.context, server.port)) == 1
    (got,) = server.got
    assert str(got["From"]) == "Asha via Ledger <books@shop.test>"
    assert str(got["Reply-To"]) == f"Asha <{scene.shop.seller.email}>"
    plain = got.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines()[:3] == ["Thank you for the order.", "", "Dear Rao Retail,"]
    (paper,) = got.iter_attachments()
    assert paper.get_filename() == f"invoice-{scene.invoice['number']}.pdf"
    assert paper.get_content_type() == "application/pdf"
    found = words_of(paper.get_content())
    assert scene.invoice["number"] in found
    assert "Rao Retail" in found
    (kept,) = scene.mails()
    assert (kept["state"], kept["text"]) == ("sent", "")


def test_sent_again_it_is_the_same_bytes(scene: Scene) -> None:
    send(scene)
    (words,) = scene.mails()
    with office() as server:
        context = by(scene.context, server.port)
        mail.drain(context)
        # The worker was killed before it wrote that it was sent.
        scene.run(
            "UPDATE mails SET state = 'queued', sent_at = NULL, text = :text, html = :html WHERE subject_id = :id",
            text=words["text"],
            html=words["html"],
        )
        context.wait(3600)
        mail.drain(context)
    first, second = server.raw
    assert first == second
    assert first.count(b"application/pdf") == 1


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_what_the_customers_server_refuses_came_back_and_the_seller_hears_why(scene: Scene, stage: str) -> None:
    send(scene)
    made = Office()
    setattr(made, f"{stage}_answer", "550 5.1.1 no such user here")
    with office(made) as server:
        mail.drain(by(scene.context, server.port))
    (kept,) = scene.mails()
    assert (kept["state"], kept["bounced_at"]) == ("failed", scene.context.now())
    assert "550" in kept["bounce_reason"]
    notice = scene.shop.one("SELECT kind, body FROM notifications WHERE user_id = :user")
    assert notice["kind"] == "mail.bounced"
    assert "no such user here" in notice["body"]


def test_what_is_put_off_has_not_come_back(scene: Scene) -> None:
    send(scene)
    with office(Office(rcpt_answer="451 4.7.1 greylisted")) as server:
        mail.drain(by(scene.context, server.port))
    (kept,) = scene.mails()
    assert (kept["state"], kept["bounced_at"]) == ("queued", None)


def test_a_file_that_cannot_be_set_puts_the_mail_off_and_then_it_goes_without(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise TypesettingFailed("too many are being set")

    monkeypatch.setattr(documents, "invoice_pdf", fails)
    send(scene)
    with office() as server:
        context = by(scene.context, server.port)
        for _ in range(3):
            mail.drain(context)
            context.wait(3600)
    assert len(server.got) == 1
    assert list(server.got[0].iter_attachments()) == []


def test_an_invoice_that_is_gone_by_then_takes_its_file_along_and_not_the_mail(scene: Scene) -> None:
    send(scene)
    scene.run(
        'UPDATE mails SET attachments = \'[{"kind": "invoice_pdf", "id": "0192a4b0-0000-7000-8000-000000000000"}]\''
    )
    with office() as server:
        assert mail.drain(by(scene.context, server.port)) == 1
    assert list(server.got[0].iter_attachments()) == []


def pay(scene: Scene, name: str = "pmt_1", amount: int = 10_000) -> None:
    scene.shop.hear(payment(invoice_number=scene.invoice["number"], id=name, amount_minor=amount))


def test_a_receipt_waits_for_the_server_and_the_money_goes_back_meanwhile(scene: Scene) -> None:
    send(scene)
    scene.run("DELETE FROM mails WHERE subject_id = :id")
    pay(scene)
    assert reminders.receipt(scene.context) == 1
    scene.shop.hear(refund(at=9, amount_minor=10_000))
    with office() as server:
        mail.drain(by(scene.context, server.port))
    assert server.got == []
    (kept,) = scene.mails()
    assert (kept["state"], kept["bounced_at"]) == ("failed", None)
    # Nobody has anything to mend.
    assert (
        scene.shop.rows("SELECT FROM notifications WHERE subject_id IN (:mail, :id)", mail=kept["id"], id=scene.id)
        == []
    )


def test_a_reminder_waits_for_the_server_and_the_money_comes_meanwhile(scene: Scene) -> None:
    with scene.shop.database.session() as session:
        sending.remind(session, scene.shop.seller, scene.id, customer_links(scene.context), scene.context.now())
    pay(scene, amount=4_000)
    with office() as server:
        # There is still something to be paid.
        mail.drain(by(scene.context, server.port))
        assert len(server.got) == 1
    scene.context.wait(3600)
    with scene.shop.database.session() as session:
        sending.remind(session, scene.shop.seller, scene.id, customer_links(scene.context), scene.context.now())
    pay(scene, "pmt_2", 6_000)
    with office() as server:
        mail.drain(by(scene.context, server.port))
    assert server.got == []
    assert [each["state"] for each in scene.mails()] == ["sent", "failed"]


def test_one_mail_that_cannot_be_made_does_not_hold_up_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(scene, to="(a)@buyer.test")
    send(scene, to="b@buyer.test")
    made = mail.papers_of
    monkeypatch.setattr(
        mail, "papers_of", lambda context, one: made(context, one) if one.to_address[0] == "b" else 1 / 0
    )
    send(scene, to="c@buyer.test")
    with office() as server:
        mail.drain(by(scene.context, server.port))
    assert [str(got["To"]) for got in server.got] == ["b@buyer.test"]
    assert [each["state"] for each in scene.mails()] == ["queued", "sent", "queued"]


def test_an_address_that_mail_cannot_be_sent_to_is_given_up_at_once(scene: Scene) -> None:
    send(scene, to="(a)@buyer.test")
    with office() as server:
        mail.drain(by(scene.context, server.port))
    (kept,) = scene.mails()
    assert (server.got, kept["state"]) == ([], "failed")
