"""Reminders: each rule once a due date, while something is open and nobody said no."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.correspondence import answers, letters, reminders, sending, store
from core.correspondence.sending import RemindedJustNow
from core.correspondence.store import DEFAULT_DAYS, Rule
from core.errors import Conflict, Invalid
from tests.builders import Clockwork, payment, worker
from tests.core.correspondence.scene import DUE, Scene, customer_links, sent_invoice
from workers import reminders as work


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture
def scene(context: Clockwork) -> Iterator[Scene]:
    start = context.moment[0]
    yield sent_invoice(context)
    context.moment[0] = start
    with context.database.connect() as connection:
        # What one test leaves open is not the next one's to remind of.
        connection.execute(text("UPDATE invoices SET reminders = false"))


def reminded(scene: Scene) -> list[str]:
    return [mail["subject"] for mail in scene.mails()]


def walk(scene: Scene, first: date, last: date) -> list[tuple[int, str]]:
    """Let every day come, with two looks each; (days after the due date, subject) of what was written on it."""
    found, day = [], first
    while day <= last:
        scene.at(day)
        before = len(reminded(scene))
        work.remind(scene.context)
        work.remind(scene.context)
        found += [((day - DUE).days, subject) for subject in reminded(scene)[before:]]
        day += timedelta(days=1)
    return found


def test_a_customer_is_reminded_on_the_usual_days_and_on_no_other(scene: Scene) -> None:
    found = walk(scene, date(2026, 11, 25), date(2027, 1, 5))
    number = scene.invoice["number"]
    assert [days for days, _ in found] == list(DEFAULT_DAYS)
    assert [subject for _, subject in found] == [
        f"Invoice {number} is due on 1 Dec 2026",
        f"Invoice {number} is due today",
        *[f"Invoice {number} was due on 1 Dec 2026"] * 3,
    ]
    (mail, *_) = scene.mails()
    assert mail["to_address"] == "buyer@rao.test"
    assert mail["attachments"] == [{"kind": "invoice_pdf", "id": str(scene.id)}]
    assert (mail["sender_name"], mail["reply_to"]) == ("Asha", scene.shop.seller.email)


@pytest.mark.parametrize(("late", "count"), [(0, 1), (1, 1), (2, 1), (3, 0)])
def test_a_reminder_that_was_missed_is_written_late_or_not_at_all(scene: Scene, late: int, count: int) -> None:
    scene.at(DUE + timedelta(days=7 + late))
    assert work.remind(scene.context) == count


def test_of_two_rules_that_are_due_at_once_the_newer_speaks(scene: Scene) -> None:
    with scene.shop.database.session() as session:
        rules = [Rule(days=6), Rule(days=7)]
        store.save_settings(
            session, scene.shop.seller, reminders=True, receipts=True, rules=rules, now=scene.context.now()
        )
    scene.at(DUE + timedelta(days=7))
    assert (work.remind(scene.context), work.remind(scene.context)) == (1, 0)
    assert [
        row["days"] for row in scene.shop.rows("SELECT days FROM reminders_sent WHERE invoice_id = :id", id=scene.id)
    ] == [7]


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param("UPDATE invoices SET reminders = false WHERE id = :id", id="this invoice is left out"),
        pytest.param(
            "UPDATE contacts SET reminders = false WHERE id = (SELECT contact_id FROM invoices WHERE id = :id)",
            id="this customer is left out",
        ),
        pytest.param("UPDATE invoices SET status = 'void' WHERE id = :id", id="cancelled"),
        pytest.param("UPDATE invoices SET sent_at = NULL WHERE id = :id", id="never sent"),
        pytest.param("UPDATE invoices SET sent_at = '2026-12-01 08:00Z' WHERE id = :id", id="sent on that very day"),
        pytest.param(
            "INSERT INTO mail_settings (seller_id, reminders, updated_at) VALUES (:seller, false, now())",
            id="the seller reminds nobody",
        ),
        pytest.param(
            "INSERT INTO mail_settings (seller_id, updated_at) VALUES (:seller, now())", id="the seller has no rules"
        ),
    ],
)
def test_nobody_is_reminded(scene: Scene, stop: str) -> None:
    scene.run(stop)
    scene.at(DUE)
    assert work.remind(scene.context) == 0
    assert scene.mails() == []


def test_what_was_paid_is_not_reminded_of(scene: Scene) -> None:
    scene.shop.hear(payment(invoice_number=scene.invoice["number"]))
    assert scene.shop.one("SELECT status FROM invoices WHERE id = :id", id=scene.id) == {"status": "paid"}
    scene.at(DUE)
    assert work.remind(scene.context) == 0


def test_who_says_that_something_is_wrong_is_not_reminded_until_they_agree(scene: Scene) -> None:
    def answer(said: str) -> None:
        with scene.shop.database.session() as session:
            found = letters.facts(session, scene.id, lock=True)
            answers.answer(session, found, said, "torn", scene.context.now())

    answer("disputed")
    scene.at(DUE)
    assert work.remind(scene.context) == 0
    answer("agreed")
    assert work.remind(scene.context) == 1


def test_two_workers_remind_once(scene: Scene) -> None:
    scene.at(DUE)
    at_once = threading.Barrier(4)
    found: list[int] = []

    def run() -> None:
        at_once.wait(10)
        found.append(work.remind(scene.context))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [0, 0, 0, 1]
    assert len(scene.mails()) == 1


def test_who_found_it_due_and_comes_late_writes_nothing(scene: Scene) -> None:
    scene.at(DUE)
    with scene.shop.database.session() as session:
        ((invoice_id, days, due),) = reminders.due(session, scene.context.now())
    assert work.remind(scene.context) == 1
    # The other worker had read it before the first one wrote.
    with scene.shop.database.session() as session:
        assert (
            reminders.write(session, invoice_id, days, due, customer_links(scene.context), scene.context.now()) is None
        )
    assert len(scene.mails()) == 1


def test_the_database_refuses_a_second_reminder_of_one_rule(scene: Scene) -> None:
    row = (
        "INSERT INTO reminders_sent (id, invoice_id, due_date, days, mail_id, sent_at) "
        "VALUES (gen_random_uuid(), :id, '2026-12-01', 0, :id, now())"
    )
    scene.run(row)
    with pytest.raises(IntegrityError, match="reminders_sent_once"):
        scene.run(row)


def test_a_due_date_that_moved_is_reminded_of_anew(scene: Scene) -> None:
    scene.at(DUE)
    assert work.remind(scene.context) == 1
    scene.run("UPDATE invoices SET due_date = '2026-12-15' WHERE id = :id")
    assert work.remind(scene.context) == 0
    scene.at(date(2026, 12, 15))
    assert work.remind(scene.context) == 1


def test_by_hand_it_goes_at_once_and_not_twice_in_a_minute(scene: Scene) -> None:
    def remind(message: str = "") -> None:
        with scene.shop.database.session() as session:
            now = scene.context.now()
            sending.remind(session, scene.shop.seller, scene.id, customer_links(scene.context), now, message=message)

    remind("Please, {{customer}}")
    (mail,) = scene.mails()
    # A person's own words are words, and no places.
    assert mail["text"].startswith("Please, {{customer}}\n\nDear Rao Retail,")
    with pytest.raises(RemindedJustNow):
        remind()
    scene.context.wait(61)
    remind()
    assert len(scene.mails()) == 2
    scene.run("UPDATE invoices SET status = 'void' WHERE id = :id")
    scene.context.wait(61)
    with pytest.raises(Conflict):
        remind()


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([Rule(days=-91)], id="too early"),
        pytest.param([Rule(days=366)], id="too late"),
        pytest.param([Rule(days=1), Rule(days=1, enabled=False)], id="a day twice"),
        pytest.param([Rule(days=day) for day in range(13)], id="too many"),
    ],
)
def test_rules_that_make_no_sense_are_refused(scene: Scene, rules: list[Rule]) -> None:
    with scene.shop.database.session() as session, pytest.raises(Invalid):
        store.save_settings(
            session, scene.shop.seller, reminders=True, receipts=True, rules=rules, now=datetime.now(UTC)
        )


def test_rules_at_their_limits_are_kept(scene: Scene) -> None:
    rules = [Rule(days=-90), *(Rule(days=day, enabled=False) for day in range(10)), Rule(days=365)]
    with scene.shop.database.session() as session:
        kept = store.save_settings(
            session, scene.shop.seller, reminders=True, receipts=False, rules=rules, now=datetime.now(UTC)
        )
    assert (kept.rules, kept.receipts) == (tuple(rules), False)
