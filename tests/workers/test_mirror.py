"""Mirrors over HTTP, against simulated books: made there once, kept in step, never over what somebody changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from connectors import registry
from connectors.base import Credentials, Talk
from connectors.quickbooks.asking import fetch as of_quickbooks
from connectors.quickbooks.records import ENTITIES
from connectors.xero.records import invoice_of
from connectors.xero.writing import get
from core import intake
from core.errors import Conflict
from core.events import MirroredInvoice, Payment, PaymentStatus, Record, Reference, Trust
from core.invoicing import credit_notes, invoices
from core.invoicing.inputs import InvoiceChanges
from core.invoicing.totals import NewItem
from core.mirroring import deeds, queries
from core.mirroring.deeds import Deed
from core.money import Money
from core.payments import manual
from core.payments.hand import NewTarget
from tests.budget import examples
from tests.builders import Clockwork, Json, Shop, open_shop, payment, worker
from workers import mirror, sweep
from workers.simulators.api import Answer
from workers.simulators.ledgers import Entry, Ledger
from workers.simulators.server import Server
from workers.transport import Limits, Transport

SECRETS = {"xero": {"client_secret": "s"}, "quickbooks": {"client_secret": "s", "refresh_token": "r"}}
SETTINGS = {
    "xero": {"client_id": "c", "sales_account": "200", "bank_account": "090", "tax_types": "18=OUTPUT18"},
    "quickbooks": {"client_id": "c", "sales_item": "7", "bank_account": "35", "tax_types": "18=18 0=0"},
}
COMPANY = "310687"
KEEPS: tuple[deeds.Keep, ...] = ("ours", "theirs")


@dataclass(slots=True)
class Books:
    """Simulated books over HTTP that can be told to fail."""

    ledger: Ledger
    faults: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    # The write is done, and its answer does not come back.
    lost: int = 0

    @property
    def slug(self) -> str:
        return self.ledger.slug

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        is_token = target.partition("?")[0].endswith(("token", "bearer"))
        if self.faults and not is_token:
            return Answer.error(self.faults.pop(0), "a failure that was asked for", self.headers)
        said = self.ledger.answer(method, target, headers, body)
        if method == "POST" and not is_token and self.lost:
            self.lost -= 1
            return Answer.error(502, "lost")
        return said


@dataclass(frozen=True, slots=True)
class Scene:
    """A shop whose invoices are written to other books."""

    shop: Shop
    books: Books
    context: Clockwork

    def work(self) -> int:
        done = 0
        while count := mirror.drain(self.context):
            done += count
            assert done < 200, "it goes on for ever"
        return done

    def later(self, hours: float = 2) -> None:
        self.context.moment[0] += timedelta(hours=hours)

    def deed(self) -> Deed:
        titles = {slug: connector.title for slug, connector in registry.all().items()}
        return Deed(actor=self.shop.seller, now=self.context.now(), able=mirror.able(), titles=titles)

    def issue(self, total: int = 10_000) -> Json:
        made = self.shop.invoice(total)
        self.work()
        return made

    def there(self, invoice: Json) -> Entry:
        (entry,) = (one for one in self.books.ledger.invoices.values() if one.number == invoice["number"])
        return entry

    def edit(self, invoice: Json, **changes: Any) -> None:
        with self.shop.database.session() as session:
            invoices.update(
                session, self.shop.seller, UUID(invoice["id"]), InvoiceChanges(**changes), self.context.now()
            )

    def pay(self, invoice: Json, minor: int, method: str = "bank_transfer") -> None:
        new = manual.NewPayment(
            amount=minor,
            currency="INR",
            method=method,
            date=self.context.now().date(),
            targets=(NewTarget(UUID(invoice["id"]), minor),),
        )
        with self.shop.database.session() as session:
            manual.record(session, self.shop.seller, new, self.context.now())

    def news(self) -> list[Record]:
        """Everything that the other books would tell, payments too."""
        connector = registry.get(self.shop.connector)
        credentials = Credentials(
            secrets=SECRETS[self.shop.connector],
            settings=SETTINGS[self.shop.connector] | {"api_base": self.base()},
            external_id=COMPANY,
        )
        found: list[Record] = []
        for entry in list(self.books.ledger.invoices.values()):
            found += self.context.transport.run(connector, credentials, partial(_fetch, entry=entry))
        return found

    def base(self) -> str:
        return str(self.shop.one("SELECT settings ->> 'api_base' AS base FROM connections WHERE id = :id",
                                 id=self.shop.connection_id)["base"])  # fmt: skip

    def echo(self) -> None:
        """The other books tell of all that they have, and it is worked off."""
        with self.shop.database.connect() as connection:
            intake.apply(connection, self.shop.state(*self.news(), trust=Trust.FETCHED))
        self.work()

    def link(self, invoice: Json) -> Json:
        return self.shop.one("SELECT state, mirrored_id FROM mirror_links WHERE invoice_id = :id", id=invoice["id"])

    def moved(self, invoice: Json) -> dict[str, tuple[str, Any, Any]]:
        rows = self.shop.rows(
            "SELECT field, moved, ours, theirs FROM mirror_differences JOIN mirror_links ON id = link_id "
            "WHERE invoice_id = :id", id=invoice["id"])  # fmt: skip
        return {row["field"]: (row["moved"], row["ours"], row["theirs"]) for row in rows}

    def pushes(self, invoice: Json) -> list[tuple[str, str]]:
        rows = self.shop.rows(
            "SELECT kind, state FROM mirror_pushes WHERE invoice_id = :id ORDER BY id", id=invoice["id"]
        )
        return [(row["kind"], row["state"]) for row in rows]

    def ours(self, invoice: Json) -> Json:
        return self.shop.one("SELECT status, total, amount_paid, due_date FROM invoices WHERE id = :id",
                             id=invoice["id"])  # fmt: skip

    def resolve(self, invoice: Json, name: str, keep: deeds.Keep) -> None:
        with self.shop.database.session() as session:
            deeds.resolve(session, self.deed(), self.link(invoice)["mirrored_id"], name, keep)
        self.work()


def _fetch(known: Credentials, entry: Entry) -> Talk:
    if "sales_account" in known.settings:
        return invoice_of((yield from get(known, entry.id)))
    found = yield from of_quickbooks(ENTITIES["invoice"], COMPANY, entry.id, known, void=entry.status == "void")
    return found


@pytest.fixture(scope="module")
def base(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture(params=["xero", "quickbooks"])
def scene(base: Clockwork, request: pytest.FixtureRequest) -> Iterator[Scene]:
    yield from _scene(base, request.param)


def _scene(base: Clockwork, slug: str) -> Iterator[Scene]:
    with base.database.connect() as connection:
        connection.execute(text("UPDATE mirror_pushes SET state = 'stopped' WHERE state = 'wanted'"))
        connection.execute(text("DELETE FROM mirror_due"))
        connection.execute(text("UPDATE connections SET deleted_at = now() WHERE connector IN ('xero', 'quickbooks')"))
    shop = open_shop(base, slug, external_id=COMPANY, secrets=SECRETS[slug])
    books = Books(Ledger(slug, company=COMPANY, at=datetime(2026, 11, 3, tzinfo=UTC)))
    # Whoever keeps books allows a request a second: here waiting takes no time.
    clock = [0.0]
    transport = Transport(
        allow_local=True,
        limits=Limits(attempts=1, failures=1000),
        clock=lambda: clock[0],
        sleep=lambda seconds: clock.__setitem__(0, clock[0] + seconds),
    )
    with Server(books) as server:
        with base.database.connect() as connection:
            connection.execute(
                text(
                    "UPDATE connections SET settings = CAST(:settings AS jsonb) || "
                    "jsonb_build_object('api_base', CAST(:base AS text)), write_since = '2026-01-01' WHERE id = :id"
                ),
                {
                    "base": server.address(slug),
                    "id": shop.connection_id,
                    "settings": json.dumps(SETTINGS[slug]),
                },
            )
        yield Scene(shop, books, replace(base, transport=transport))
    transport.close()


def test_what_is_issued_is_made_there_once_and_linked(scene: Scene) -> None:
    made = scene.shop.invoice(10_000)
    assert sweep.due(scene.context)["mirror"]
    scene.work()
    entry = scene.there(made)
    assert (entry.total, entry.currency, entry.customer) == (Decimal(100), "INR", "Rao Retail")
    assert (entry.issued_on, entry.due_on) == ("2026-11-01", "2026-12-01")
    assert scene.link(made)["state"] == "agreed"
    assert scene.pushes(made) == [("create", "done")]
    wrote = list(scene.books.ledger.written)
    scene.echo()
    scene.echo()
    assert scene.books.ledger.written == wrote
    assert not sweep.due(scene.context)["mirror"]


def test_a_draft_is_not_made_there_and_nothing_is_while_it_is_switched_off(scene: Scene) -> None:
    scene.shop.invoice(10_000, draft=True)
    with scene.shop.database.connect() as connection:
        connection.execute(
            text("UPDATE connections SET write_since = NULL WHERE id = :id"), {"id": scene.shop.connection_id}
        )
    made = scene.issue()
    assert (scene.books.ledger.invoices, scene.pushes(made)) == ({}, [])


def test_edits_and_voiding_follow(scene: Scene) -> None:
    made = scene.issue()
    scene.edit(made, due_date=date(2027, 1, 5), items=[NewItem(description="Silk", quantity=Decimal(3), unit_price=111,
                                                                tax_rate=Decimal(18))])  # fmt: skip
    scene.work()
    # 333 and 18 % of it.
    assert (scene.there(made).total, scene.there(made).due_on) == (Decimal("3.93"), "2027-01-05")
    scene.echo()
    assert scene.link(made)["state"] == "agreed"
    with scene.shop.database.session() as session:
        invoices.void(session, scene.shop.seller, UUID(made["id"]), scene.context.now())
    scene.work()
    assert scene.there(made).status == "void"
    assert scene.pushes(made) == [("create", "done"), ("update", "done"), ("void", "done")]
    scene.echo()
    assert (scene.link(made)["state"], len(scene.pushes(made))) == ("agreed", 3)


def test_payments_follow_and_their_echo_is_no_second_payment(scene: Scene) -> None:
    made = scene.issue()
    other = open_shop(scene.context, seller=scene.shop.seller)
    other.hear(payment(invoice_number=made["number"], amount_minor=2_500, id="pmt_1"))
    scene.work()
    scene.pay(made, 3_000)
    scene.work()
    assert [one["amount"] for one in scene.there(made).payments] == [Decimal(25), Decimal(30)]
    assert all(one["reference"].startswith("LW-") for one in scene.there(made).payments)
    for _ in range(2):
        scene.echo()
        assert scene.ours(made)["amount_paid"] == 5_500
    assert len(scene.shop.rows("SELECT id FROM payments WHERE user_id = :user")) == 2
    assert scene.link(made)["state"] == "agreed"


def test_a_payment_that_came_from_there_is_not_written_back(scene: Scene) -> None:
    made = scene.issue()
    scene.books.ledger.receive(made["number"], Decimal(40))
    scene.echo()
    theirs = scene.shop.connector == "xero"
    if theirs:
        # Xero tells of payments with the invoice.
        assert scene.ours(made)["amount_paid"] == 4_000
    else:
        assert scene.moved(made) == {"paid": ("theirs", 0, 4_000)}
        scene.resolve(made, "paid", "theirs")
        assert scene.ours(made)["amount_paid"] == 4_000
    assert len(scene.there(made).payments) == 1
    assert scene.link(made)["state"] == "agreed"


def test_credit_goes_to_its_own_account_or_waits_for_one(scene: Scene) -> None:
    made = scene.issue()
    new = credit_notes.NewCreditNote(
        invoice_id=UUID(made["id"]), reason="Torn", issue_date=date(2026, 11, 3),
        items=[NewItem(description="Torn cloth", quantity=Decimal(1), unit_price=1_000)],
    )  # fmt: skip
    with scene.shop.database.session() as session:
        credit_notes.create(session, scene.shop.seller, new, scene.context.now())
    scene.work()
    row = scene.shop.one("SELECT error FROM mirror_pushes WHERE invoice_id = :id AND state = 'failed'", id=made["id"])
    assert "no account" in row["error"]
    with scene.shop.database.connect() as connection:
        connection.execute(
            text('UPDATE connections SET settings = settings || \'{"credit_account": "610"}\' WHERE id = :id'),
            {"id": scene.shop.connection_id},
        )
    with scene.shop.database.session() as session:
        deeds.write_now(session, scene.deed(), UUID(made["id"]), scene.shop.connection_id)
    scene.work()
    assert [one["amount"] for one in scene.there(made).payments] == [Decimal(10)]


@pytest.mark.parametrize("what", ["create", "update", "payment", "void"])
def test_a_lost_answer_is_not_written_twice(scene: Scene, what: str) -> None:
    if what != "create":
        made = scene.issue()
        scene.books.lost = 1
        if what == "update":
            scene.edit(made, due_date=date(2027, 1, 5))
        elif what == "payment":
            scene.pay(made, 3_000)
        else:
            with scene.shop.database.session() as session:
                invoices.void(session, scene.shop.seller, UUID(made["id"]), scene.context.now())
    else:
        # For QuickBooks the customer is made first; its answer comes.
        scene.books.ledger.customers["Rao Retail"] = "1"
        scene.books.lost = 1
        made = scene.shop.invoice(10_000)
    scene.work()
    assert scene.books.lost == 0
    (waiting,) = scene.shop.rows(
        "SELECT attempts, error FROM mirror_pushes WHERE invoice_id = :id AND state = 'wanted'", id=made["id"]
    )
    assert (waiting["attempts"], "502" in waiting["error"]) == (1, True)
    scene.later()
    scene.work()
    assert len(scene.books.ledger.invoices) == 1
    assert len(scene.there(made).payments) == (1 if what == "payment" else 0)
    assert scene.link(made)["state"] == "agreed"
    scene.later()
    scene.echo()
    assert len(scene.shop.rows("SELECT id FROM payments WHERE user_id = :user")) == (1 if what == "payment" else 0)
    if what == "payment":
        # What was found there is known by its id: the next payment is another one.
        scene.pay(made, 2_000)
        scene.work()
        references = [one["reference"] for one in scene.there(made).payments]
        assert [one["amount"] for one in scene.there(made).payments] == [Decimal(30), Decimal(20)]
        assert len(set(references)) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_there_is_waited_out(scene: Scene, status: int) -> None:
    scene.books.headers = {"Retry-After": "30"}
    scene.books.faults = [status]
    made = scene.issue()
    assert scene.pushes(made) == [("create", "wanted")]
    scene.later()
    scene.work()
    assert scene.pushes(made) == [("create", "done")]
    assert len(scene.books.ledger.invoices) == 1


def test_who_is_not_let_in_is_told_and_not_tried_again(scene: Scene) -> None:
    scene.books.faults = [401] * 4
    made = scene.issue()
    assert scene.pushes(made) == [("create", "failed")]
    (notice,) = scene.shop.rows("SELECT kind, body FROM notifications WHERE user_id = :user AND cleared_at IS NULL")
    assert notice["kind"] == "mirror.failed"
    assert "credentials" in notice["body"]
    scene.books.faults = []
    scene.later(24)
    scene.work()
    assert scene.pushes(made) == [("create", "failed")]
    with scene.shop.database.session() as session:
        deeds.write_now(session, scene.deed(), UUID(made["id"]), scene.shop.connection_id)
    scene.work()
    assert scene.link(made)["state"] == "agreed"
    assert not scene.shop.rows("SELECT 1 FROM notifications WHERE user_id = :user AND cleared_at IS NULL")


def test_a_refusal_is_told_in_the_providers_words(scene: Scene) -> None:
    made = scene.issue()
    scene.books.ledger.receive(made["number"], Decimal(1))
    # Nobody told us of that payment, so ours says nothing else than before but the total.
    scene.edit(made, items=[NewItem(description="Silk", quantity=Decimal(1), unit_price=500)])
    scene.work()
    # It had moved: nothing was written, and now the total is the seller's to decide.
    assert scene.pushes(made)[1] == ("update", "stopped")
    assert scene.there(made).total == Decimal(100)
    failed = scene.shop.rows("SELECT error FROM mirror_pushes WHERE invoice_id = :id AND state = 'failed'",
                             id=made["id"])  # fmt: skip
    assert [("cannot be edited" in one["error"]) for one in failed] == [True]


def test_settings_that_are_missing_are_named(scene: Scene) -> None:
    with scene.shop.database.connect() as connection:
        connection.execute(
            text("UPDATE connections SET settings = settings - 'bank_account' WHERE id = :id"),
            {"id": scene.shop.connection_id},
        )
    made = scene.issue()
    row = scene.shop.one("SELECT state, error FROM mirror_pushes WHERE invoice_id = :id", id=made["id"])
    assert (row["state"], "Bank account" in row["error"]) == ("failed", True)


def test_what_changed_there_is_shown_and_taken_on_a_click(scene: Scene) -> None:
    made = scene.issue()
    scene.books.ledger.edit(made["number"], due_on="2027-02-01")
    scene.echo()
    assert scene.moved(made) == {"due_date": ("theirs", "2026-12-01", "2027-02-01")}
    assert scene.link(made)["state"] == "differs"
    assert scene.ours(made)["due_date"] == date(2026, 12, 1)
    scene.resolve(made, "due_date", "theirs")
    assert scene.ours(made)["due_date"] == date(2027, 2, 1)
    assert scene.link(made)["state"] == "agreed"
    assert scene.pushes(made) == [("create", "done")]


def test_void_there_is_void_here_on_a_click(scene: Scene) -> None:
    made = scene.issue()
    scene.books.ledger.edit(made["number"], status="void")
    scene.echo()
    assert scene.moved(made) == {"void": ("theirs", False, True)}
    scene.resolve(made, "void", "theirs")
    assert scene.ours(made)["status"] == "void"
    assert scene.link(made)["state"] == "agreed"


def test_both_changed_is_a_conflict_that_either_side_can_win(scene: Scene) -> None:
    for keep in KEEPS:
        made = scene.issue()
        scene.books.ledger.edit(made["number"], due_on="2027-02-01")
        scene.edit(made, due_date=date(2027, 3, 1))
        # The push looks first, sees what somebody did there, and leaves it.
        scene.work()
        assert scene.there(made).due_on == "2027-02-01"
        assert scene.pushes(made)[-1] == ("update", "stopped")
        assert scene.moved(made) == {"due_date": ("both", "2027-03-01", "2027-02-01")}
        assert scene.link(made)["state"] == "conflict"
        (notice,) = scene.shop.rows("SELECT kind FROM notifications WHERE user_id = :user AND cleared_at IS NULL")
        assert notice["kind"] == "mirror.conflict"
        scene.resolve(made, "due_date", keep)
        wins = "2027-03-01" if keep == "ours" else "2027-02-01"
        assert (scene.there(made).due_on, scene.ours(made)["due_date"].isoformat()) == (wins, wins)
        assert scene.link(made)["state"] == "agreed"
        assert not scene.shop.rows("SELECT 1 FROM notifications WHERE user_id = :user AND cleared_at IS NULL")
        with pytest.raises(Conflict, match="the same"):
            scene.resolve(made, "due_date", keep)


def test_an_invoice_that_is_there_already_is_found_and_not_made_again(scene: Scene) -> None:
    scene.books.ledger.customers["Rao Retail"] = "1"
    scene.books.ledger.make("INV-2026-00001", "INR", "Rao Retail", "", ("2026-11-01", "2026-12-01"), Decimal(90))
    made = scene.issue()
    assert scene.pushes(made) == [("create", "stopped")]
    assert scene.moved(made) == {"total": ("both", 10_000, 9_000)}
    assert len(scene.books.ledger.invoices) == 1


def test_what_was_issued_before_writing_began_is_written_when_its_seller_asks(scene: Scene) -> None:
    made = scene.shop.invoice(10_000)
    with scene.shop.database.connect() as connection:
        connection.execute(
            text("UPDATE connections SET write_since = '2027-01-01' WHERE id = :id"), {"id": scene.shop.connection_id}
        )
    scene.work()
    assert scene.books.ledger.invoices == {}
    with scene.shop.database.session() as session:
        deeds.write_now(session, scene.deed(), UUID(made["id"]), scene.shop.connection_id)
    scene.work()
    assert scene.link(made)["state"] == "agreed"
    with scene.shop.database.session() as session:
        (shown,) = queries.of_invoice(session, scene.shop.seller, UUID(made["id"]))
    assert (shown["mirrored"]["link"]["state"], shown["push"]["state"]) == ("agreed", "done")


def test_what_a_seller_noted_is_not_booked_again_when_it_comes(scene: Scene) -> None:
    """The invoice told that it is paid; the payment itself is told later."""
    made = scene.issue()
    scene.books.ledger.receive(made["number"], Decimal(40))
    said = [one for one in scene.news() if isinstance(one, MirroredInvoice)]
    with scene.shop.database.connect() as connection:
        intake.apply(connection, scene.shop.state(*said, trust=Trust.FETCHED))
    scene.work()
    scene.resolve(made, "paid", "theirs")
    came = Payment(
        object_id="payment:77",
        version=1,
        status=PaymentStatus.SUCCEEDED,
        money=Money(4_000, "INR"),
        occurred_at=scene.context.now(),
        references=(Reference(0, made["number"]),),
    )
    for record in (came, replace(came, version=2), replace(came, object_id="payment:78")):
        with scene.shop.database.connect() as connection:
            intake.apply(connection, scene.shop.state(record, trust=Trust.FETCHED))
    # The second one of the same amount is another payment.
    assert scene.ours(made)["amount_paid"] == 8_000


STEPS = st.lists(
    st.sampled_from(["ours", "theirs", "pay", "work", "echo", "lose the next answer", "old news"]), max_size=9
)


class Story:
    """What happens to one invoice on both sides."""

    def __init__(self, scene: Scene) -> None:
        scene.books.lost = 0
        scene.books.ledger.invoices.clear()
        self.scene, self.invoice = scene, scene.issue()
        self.before = len(scene.books.ledger.written)
        self.edits, self.theirs, self.paid = 0, 0, 0
        self.old = scene.news()

    def step(self, name: str) -> None:
        scene, made = self.scene, self.invoice
        match name:
            case "ours":
                self.edits += 1
                scene.edit(made, due_date=date(2027, 1, self.edits))
            case "theirs":
                self.theirs += 1
                scene.books.ledger.edit(made["number"], due_on=f"2027-06-{self.theirs:02}")
            case "pay":
                self.paid += 1
                scene.pay(made, 100)
            case "work":
                scene.later()
                scene.work()
            case "echo":
                scene.echo()
            case "old news":
                with scene.shop.database.connect() as connection:
                    intake.apply(connection, scene.shop.state(*self.old, trust=Trust.FETCHED))
            case _:
                scene.books.lost = 1

    def rest(self) -> int:
        for _ in range(4):
            self.step("work")
            self.step("echo")
        return len(self.scene.books.ledger.written)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_order_of_answers_and_echoes_makes_a_ping_pong(scene: Scene, steps: list[str]) -> None:
    """It comes to rest; nothing is paid twice; and what somebody changed there is never written over."""
    story = Story(scene)
    for step in steps:
        story.step(step)
    wrote, made = story.rest(), story.invoice
    assert wrote - story.before <= 2 * (story.edits + story.paid + 1)
    scene.later(50)
    assert story.rest() == wrote
    there, ours = scene.there(made), scene.ours(made)
    assert ours["amount_paid"] == 100 * story.paid
    # A conflict holds everything back, payments too.
    assert there.paid <= Decimal(story.paid)
    assert len(there.payments) == len({one["reference"] for one in there.payments})
    if not story.theirs:
        assert scene.link(made)["state"] == "agreed"
        assert there.paid == Decimal(story.paid)
        assert there.due_on == ours["due_date"].isoformat()
    elif scene.moved(made):
        assert there.due_on == f"2027-06-{story.theirs:02}"
