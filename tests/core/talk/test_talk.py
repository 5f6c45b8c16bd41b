"""Those with a part in an invoice talk about it, nobody else does, and what was said stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import files, talk
from core.connections.sealing import KeyRing
from core.database import Database
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.files import Cabinet
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import invoices
from core.talk import NewComment
from tests.builders import MASTER_KEYS, NOW, Clockwork, add_invoice, add_seller, worker
from tests.papers import PDF, png


@pytest.fixture
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@dataclass(frozen=True)
class Table:
    """An invoice that is half financed, and the people around it."""

    database: Database
    cabinet: Cabinet
    invoice: UUID
    number: str
    seller: Actor
    buyer: Actor
    investor: Actor
    operator: Actor
    passer_by: Actor
    stranger: Actor

    def say(self, who: Actor, body: str = "When is it due?", **more: Any) -> dict[str, Any]:
        with self.database.session() as session:
            return talk.say(session, who, self.invoice, NewComment(body=body, **more), NOW)

    def thread(self, who: Actor, **more: Any) -> dict[str, Any]:
        with self.database.session() as session:
            return talk.thread(session, who, self.invoice, **more)

    def bring(self, who: Actor, content: bytes = PDF) -> UUID:
        kept = self.cabinet.keep("Delivery note.pdf", content, files.PAPERS)
        with self.database.session() as session:
            return talk.bring(session, who, self.invoice, kept, NOW).id

    def find(self, who: Actor, file_id: UUID) -> files.StoredFile:
        with self.database.session() as session:
            return talk.find(session, who, self.invoice, file_id)

    def heard(self, room: str) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            return list(
                connection.scalars(
                    text("SELECT data FROM outbox WHERE room = :room AND name = 'comment.created' ORDER BY id"),
                    {"room": room},
                )
            )


FINANCING = """
    INSERT INTO financings (id, invoice_id, seller_id, buyer_id, buyer_email, state, currency, face, confirmed_amount,
        due_date, issue_date, submitted_at, confirm_by, confirmed_at, mode, haircut, rate, days, value_date, pay_date,
        principal, discount, min_slice, fee_plan, fee, fee_tax, recourse, late_rate, listed_at, created_at, updated_at)
    VALUES (:id, :invoice, :seller, :buyer, 'b@shop.test', :state, 'INR', 10000, 10000, '2026-12-01', '2026-11-01',
        :now, :now, :now, 'fixed', 0, 12, 28, '2026-11-03', '2026-12-01', 10000, 100, 1, 'none', 0, 0, 'none', 18,
        :now, :now, :now);
    INSERT INTO financing_moves (id, financing_id, version, after, reason, at)
    VALUES (:id, :id, 1, :state, 'test', :now);
    INSERT INTO investments (id, financing_id, investor_id, sequence, outlay, principal, status, created_at)
    VALUES (:id, :id, :investor, 1, 4950, 5000, 'held', :now);
    UPDATE financings SET placed_principal = 5000, placed_outlay = 4950, investors = 1 WHERE id = :id
"""


def set_table(context: Clockwork, folder: Path, *, state: str = "partially_funded", draft: bool = False) -> Table:
    seller, buyer = add_seller(context), add_seller(context, Role.BUYER)
    investor, passer_by = add_seller(context, Role.INVESTOR), add_seller(context, Role.INVESTOR)
    with context.database.session() as session:
        made = add_invoice(session, seller, 10_000, draft=draft)
        session.execute(
            text("UPDATE invoices SET buyer_id = :buyer WHERE id = :id"), {"buyer": buyer.id, "id": made["id"]}
        )
        values = {
            "id": new_id(),
            "invoice": made["id"],
            "seller": seller.id,
            "buyer": buyer.id,
            "investor": investor.id,
            "state": state,
            "now": NOW,
        }
        for statement in () if draft else FINANCING.split(";"):
            session.execute(text(statement), values)
    return Table(
        database=context.database,
        cabinet=Cabinet(folder, KeyRing.parse(MASTER_KEYS)),
        invoice=UUID(made["id"]),
        number=made["number"],
        seller=seller,
        buyer=buyer,
        investor=investor,
        operator=add_seller(context, Role.OPERATOR),
        passer_by=passer_by,
        stranger=add_seller(context),
    )


@pytest.fixture
def table(context: Clockwork, tmp_path: Path) -> Table:
    return set_table(context, tmp_path)


def test_every_party_says_something_and_all_of_them_read_it(table: Table) -> None:
    people = (table.seller, table.buyer, table.investor, table.operator)
    for place, person in enumerate(people):
        said = table.say(person, f"  Line one\r\nand {place}  ")
        assert said["body"] == f"Line one\nand {place}"
        assert said["author"]["id"] == str(person.id)
    for person in people:
        assert [each["body"][-1] for each in table.thread(person)["items"]] == ["3", "2", "1", "0"]


def test_who_has_no_part_in_it_neither_reads_nor_writes(table: Table) -> None:
    table.say(table.seller)
    # An investor may look at what is on offer, and has no part in it before there is money of theirs in it.
    for person, error in ((table.passer_by, Forbidden), (table.stranger, NotFound)):
        with pytest.raises(error):
            table.say(person)
        with pytest.raises(error):
            table.thread(person)
        with pytest.raises(error):
            table.bring(person)


def test_a_draft_is_not_talked_about_with_its_buyer(context: Clockwork, tmp_path: Path) -> None:
    table = set_table(context, tmp_path, draft=True)
    table.say(table.seller, "Note to self")
    with pytest.raises(NotFound):
        table.thread(table.buyer)
    assert table.heard(f"user:{table.buyer.id}") == []


def test_the_thread_comes_in_pages_without_gap_or_repeat(table: Table) -> None:
    said = [table.say(table.seller, str(place))["id"] for place in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = table.thread(table.buyer, limit=3, cursor=cursor)
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == said[::-1]


@pytest.mark.parametrize("body", ["x", "x" * talk.MAX_BODY, "é" * talk.MAX_BODY])
def test_one_to_four_thousand_characters_are_a_comment(table: Table, body: str) -> None:
    assert table.say(table.seller, body)["body"] == body


@pytest.mark.parametrize("body", ["", " \n ", "x" * (talk.MAX_BODY + 1)])
def test_none_and_more_are_not(table: Table, body: str) -> None:
    with pytest.raises(Invalid, match="body: must have 1 to 4000 characters"):
        table.say(table.seller, body)


def test_everybody_concerned_hears_of_it_and_only_they_hear_by_whom(table: Table) -> None:
    said = table.say(table.investor)
    seen = {"invoice_id": str(table.invoice), "comment_id": said["id"]}
    # Who merely looks at a listed invoice is in its room too.
    assert table.heard(f"invoice:{table.invoice}") == [seen]
    told = {**seen, "number": table.number, "author_id": str(table.investor.id), "author": table.investor.name}
    for person in (table.seller, table.buyer, table.investor):
        assert table.heard(f"user:{person.id}") == [told]
    assert told in table.heard("operators")
    for person in (table.passer_by, table.stranger):
        assert table.heard(f"user:{person.id}") == []


def test_who_is_mentioned_is_notified_once_and_oneself_never(table: Table) -> None:
    people = [table.buyer.id, table.buyer.id, table.seller.id]
    said = table.say(table.seller, "Please look", mentions=people)
    assert {each["id"] for each in said["mentions"]} == {str(table.buyer.id), str(table.seller.id)}
    with table.database.connect() as connection:
        told = connection.execute(
            text("SELECT user_id, kind, subject_kind, title, body FROM notifications WHERE subject_id = :id"),
            {"id": said["id"]},
        ).all()
    assert told == [
        (table.buyer.id, "comment.mentioned", "comment", f"Asha mentioned you on {table.number}", "Please look")
    ]


def test_only_parties_are_mentioned(table: Table) -> None:
    for person in (table.stranger.id, table.passer_by.id, new_id()):
        with pytest.raises(Invalid, match=r"mentions\.1: has no part"):
            table.say(table.seller, mentions=[table.buyer.id, person])
    with pytest.raises(Invalid, match="at most 20"):
        table.say(table.seller, mentions=[new_id() for _ in range(21)])


def test_an_investor_is_not_told_of_other_investors_who_said_nothing(context: Clockwork, table: Table) -> None:
    other = add_seller(context, Role.INVESTOR)
    with context.database.connect() as connection:
        financing = connection.scalar(text("SELECT id FROM financings WHERE invoice_id = :id"), {"id": table.invoice})
        values = {"id": new_id(), "financing": financing, "investor": other.id, "now": NOW}
        connection.execute(
            text(
                "INSERT INTO investments (id, financing_id, investor_id, sequence, outlay, principal, status, "
                "created_at) VALUES (:id, :financing, :investor, 2, 99, 100, 'held', :now)"
            ),
            values,
        )
        connection.execute(
            text(
                "UPDATE financings SET placed_principal = 5100, placed_outlay = 5049, investors = 2 "
                "WHERE id = :financing"
            ),
            values,
        )

    def known_to(who: Actor) -> set[UUID]:
        with context.database.session() as session:
            return {
                party.id for party in talk.party_list(session, who, table.invoice) if party.role is not Role.OPERATOR
            }

    assert known_to(table.seller) == {table.buyer.id, table.investor.id, other.id}
    assert known_to(table.investor) == {table.seller.id, table.buyer.id}
    table.say(other)
    assert known_to(table.investor) == {table.seller.id, table.buyer.id, other.id}


def test_a_file_is_its_bringers_until_it_hangs_on_a_comment_and_the_parties_after(table: Table) -> None:
    brought = table.bring(table.seller)
    assert table.find(table.seller, brought).name == "Delivery note.pdf"
    for person, error in ((table.buyer, NotFound), (table.stranger, NotFound), (table.passer_by, Forbidden)):
        with pytest.raises(error):
            table.find(person, brought)
    said = table.say(table.seller, attachments=[brought])
    assert [each["id"] for each in said["attachments"]] == [str(brought)]
    for person in (table.buyer, table.investor, table.operator):
        assert table.find(person, brought).sha256
    with pytest.raises(NotFound):
        table.find(table.stranger, brought)


def test_a_file_of_another_invoice_is_not_found_by_this_one(context: Clockwork, table: Table, tmp_path: Path) -> None:
    other = set_table(context, tmp_path)
    brought = other.bring(other.seller)
    other.say(other.seller, attachments=[brought])
    with pytest.raises(NotFound):
        table.find(table.operator, brought)


def test_five_files_hang_on_a_comment_in_order_and_six_do_not(table: Table) -> None:
    brought = [table.bring(table.seller, png(shade)) for shade in range(6)]
    with pytest.raises(Invalid, match="attachments: must be at most 5 files"):
        table.say(table.seller, attachments=brought)
    said = table.say(table.seller, attachments=brought[4::-1])
    assert [each["id"] for each in said["attachments"]] == [str(each) for each in brought[4::-1]]


def test_only_ones_own_files_of_this_invoice_are_attached_and_each_once(table: Table) -> None:
    mine, theirs = table.bring(table.seller), table.bring(table.buyer)
    for attached in ([theirs], [new_id()]):
        with pytest.raises(Invalid, match=r"attachments\.0: is no file that you brought"):
            table.say(table.seller, attachments=attached)
    with pytest.raises(Invalid, match="names a file twice"):
        table.say(table.seller, attachments=[mine, mine])
    table.say(table.seller, attachments=[mine])
    with pytest.raises(Conflict, match="another comment"):
        table.say(table.seller, attachments=[mine])


@pytest.mark.parametrize("name", ["comments", "comment_mentions", "comment_files"])
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_what_was_said_stays_said(table: Table, name: str, statement: str) -> None:
    table.say(table.seller, mentions=[table.buyer.id], attachments=[table.bring(table.seller)])
    column = {"comments": "body", "comment_mentions": "user_id", "comment_files": "file_id"}[name]
    with pytest.raises(DBAPIError, match="append-only"), table.database.connect() as connection:
        connection.execute(text(statement.format(name, column)))


def test_a_comment_leads_to_its_invoice_for_the_parties_alone(table: Table) -> None:
    said = UUID(table.say(table.seller)["id"])
    with table.database.session() as session:
        assert talk.comment_place(session, table.buyer, said) == table.invoice
        # Not even the invoice's id is told.
        with pytest.raises(NotFound, match=str(said)):
            talk.comment_place(session, table.stranger, said)


@pytest.mark.parametrize(
    ("state", "who", "sees"),
    [
        pytest.param("partially_funded", "passer_by", True, id="on offer: every investor"),
        pytest.param("partially_funded", "investor", True, id="on offer: whose money is in it"),
        pytest.param("partially_funded", "stranger", False, id="on offer: no other seller"),
        pytest.param("expired", "passer_by", False, id="over: no other investor"),
        pytest.param("expired", "investor", True, id="over: whose money is in it still"),
    ],
)
def test_investors_see_and_hear_what_is_on_offer_or_theirs(
    context: Clockwork, tmp_path: Path, state: str, who: str, sees: bool
) -> None:
    table = set_table(context, tmp_path, state=state)
    with context.database.session() as session:
        assert invoices.may_see(session, getattr(table, who), table.invoice) is sees
        assert invoices.may_see(session, table.seller, table.invoice)
        assert invoices.may_see(session, table.buyer, table.invoice)
        assert invoices.may_see(session, table.operator, table.invoice)
