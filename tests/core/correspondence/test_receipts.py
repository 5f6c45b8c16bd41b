"""Receipts: who paid is told once, whatever becomes of the money afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from core.correspondence import sending, store
from tests.builders import Clockwork, payment, refund, worker
from tests.core.correspondence.scene import Scene, customer_links, sent_invoice
from workers import reminders as work
from workers import sweep


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture
def scene(context: Clockwork) -> Scene:
    return sent_invoice(context)


def subjects(scene: Scene) -> list[str]:
    return [mail["subject"] for mail in scene.mails()]


def test_a_payment_is_receipted_once(scene: Scene) -> None:
    scene.shop.hear(payment(invoice_number=scene.invoice["number"], amount_minor=4_000))
    assert sweep.due(scene.context)["letters"]
    assert [work.receipt(scene.context), work.receipt(scene.context)] == [1, 0]
    assert not sweep.due(scene.context)["letters"]
    (mail,) = scene.mails()
    assert mail["subject"] == f"We received ₹40.00 for invoice {scene.invoice['number']}"
    assert "₹60.00 is left to pay" in mail["text"]
    (paper,) = mail["attachments"]
    assert paper == {
        "kind": "receipt_pdf",
        "id": str(scene.shop.one("SELECT id FROM payments WHERE user_id = :user")["id"]),
    }


def test_each_payment_has_its_own(scene: Scene) -> None:
    number = scene.invoice["number"]
    scene.shop.hear(payment(invoice_number=number, amount_minor=4_000))
    work.receipt(scene.context)
    scene.shop.hear(payment(at=5, id="pmt_2", invoice_number=number, amount_minor=6_000))
    work.receipt(scene.context)
    assert subjects(scene) == [f"We received ₹{amount}.00 for invoice {number}" for amount in (40, 60)]


def test_what_goes_back_and_comes_again_is_no_new_payment(scene: Scene) -> None:
    number = scene.invoice["number"]
    scene.shop.hear(payment(invoice_number=number))
    work.receipt(scene.context)
    # The books forget mails after a while; a receipt is remembered as long as the payment.
    scene.run("DELETE FROM mails WHERE subject_id = :id")
    scene.shop.hear(refund(at=9))
    assert work.receipt(scene.context) == 0
    assert scene.mails() == []


def test_a_refund_before_anybody_looked_is_told_as_it_stands(scene: Scene) -> None:
    number = scene.invoice["number"]
    scene.shop.hear(payment(invoice_number=number))
    scene.shop.hear(refund(at=9))
    work.receipt(scene.context)
    assert subjects(scene) == [f"We received ₹60.00 for invoice {number}"]


def test_an_invoice_that_was_not_sent_from_here_has_no_receipts_until_it_is(context: Clockwork) -> None:
    scene = sent_invoice(context, send=False)
    number = scene.invoice["number"]
    scene.shop.hear(payment(invoice_number=number, amount_minor=4_000))
    assert work.receipt(context) == 0
    start = context.moment[0]
    context.wait(86_400)
    with scene.shop.database.session() as session:
        sending.send(session, scene.shop.seller, scene.id, customer_links(context), context.now())
    # What was paid the day before is not news to the customer.
    assert work.receipt(context) == 0
    scene.shop.hear(payment(at=90_000, id="pmt_2", invoice_number=number, amount_minor=1_000))
    assert work.receipt(context) == 1
    context.moment[0] = start


def test_a_seller_may_want_none(scene: Scene) -> None:
    with scene.shop.database.session() as session:
        store.save_settings(
            session, scene.shop.seller, reminders=True, receipts=False, rules=[], now=scene.context.now()
        )
    scene.shop.hear(payment(invoice_number=scene.invoice["number"]))
    assert work.receipt(scene.context) == 0
    assert not sweep.due(scene.context)["letters"]


def test_two_workers_write_one(scene: Scene) -> None:
    scene.shop.hear(payment(invoice_number=scene.invoice["number"]))
    at_once = threading.Barrier(4)
    found: list[int] = []

    def run() -> None:
        at_once.wait(10)
        found.append(work.receipt(scene.context))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (sum(found), len(scene.mails())) == (1, 1)


def test_the_database_refuses_a_second_receipt(scene: Scene) -> None:
    scene.shop.hear(payment(invoice_number=scene.invoice["number"]))
    work.receipt(scene.context)
    with pytest.raises(IntegrityError, match="receipts_sent_pkey"):
        scene.run(
            "INSERT INTO receipts_sent (payment_id, invoice_id, mail_id, sent_at) "
            "SELECT payment_id, invoice_id, mail_id, sent_at FROM receipts_sent WHERE invoice_id = :id"
        )
