"""The engine over a seller's books: what is booked, proposed, linked or left, once and for all orders."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from core.errors import Conflict, NotFound
from core.events import TransactionStatus
from core.reconciliation import known, queries, run
from core.reconciliation.booking import Target
from core.reconciliation.weights import CURRENT
from tests.builders import NOW, Clockwork, worker
from tests.core.reconciliation.scene import DUE, Scene, open_scene, other_source, utr


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def scene(context: Clockwork) -> Iterator[Scene]:
    made = open_scene(context)
    yield made
    made.check()


def test_a_line_that_names_an_invoice_and_pays_it_exactly_is_booked_without_anybody(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    line = scene.line(118_000, f"NEFT CR-RAO RETAIL-{invoice['number']}", payer="Rao Retail", utr=utr())
    done = scene.engine()
    match = scene.match(line)
    assert (done.accepted, scene.state(line), scene.due(invoice)) == (1, "accepted", [0])
    assert (match["tier"], match["actor"], match["weights_version"]) == ("sure", "engine", CURRENT.version)
    assert match["features"]["points"]["reference"] == 0.62
    told = scene.shop.rows("SELECT data FROM outbox WHERE room = 'user:' || :user AND name = 'transaction.matched'")
    assert [(row["data"]["by"], row["data"]["invoice_ids"]) for row in told] == [("engine", [invoice["id"]])]


def test_where_the_seller_wants_to_be_asked_it_is_proposed_as_sure_and_accepted_in_one_go(scene: Scene) -> None:
    from core.reconciliation import decisions

    scene.by_hand()
    bills = [scene.bill(100_00 + one) for one in range(3)]
    lines = [scene.line(100_00 + one, bill["number"], utr=utr(one)) for one, bill in enumerate(bills)]
    vague = scene.line(77_00, "INTEREST", utr=utr(9))
    assert scene.engine().proposed == 3
    with scene.shop.database.session() as session:
        progress = queries.progress(session, scene.shop.seller, NOW)
        assert progress == {
            "open": 4, "sure": 3, "suggested": 0, "suspense": 1, "matched_today": 0, "oldest_days": 3,
        }  # fmt: skip
        assert set(decisions.accept_sure(session, scene.shop.seller.id, NOW).done) == set(lines)
        assert decisions.accept_sure(session, scene.shop.seller.id, NOW) == decisions.Batch([], {})
    assert scene.due(*bills) == [0, 0, 0]
    assert scene.state(vague) == "none"


@pytest.mark.parametrize("own", [True, False])
def test_tax_that_was_kept_back_is_recognised_and_the_rest_stays_due(scene: Scene, own: bool) -> None:
    invoice = scene.bill(118_000)
    if own:
        scene.set("UPDATE contacts SET tds_rate = 2 WHERE user_id = :user")
    line = scene.line(118_000 - 2_360, invoice["number"], utr=utr())
    scene.engine()
    match = scene.match(line)
    assert match["features"]["amount"] == ("tds_own" if own else "tds")
    # A rate that this customer is not known for is a guess until the payer is known as well.
    assert scene.state(line) == ("accepted" if own else "proposed")
    assert scene.due(invoice) == ([2_360] if own else [118_000])


def test_a_part_payment_is_proposed_and_never_booked_by_itself(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    line = scene.line(50_000, invoice["number"], payer="Rao Retail", utr=utr())
    scene.engine()
    assert scene.match(line)["features"]["stops"] == ["short"]
    assert scene.state(line) == "proposed"
    scene.accept(line, short_reason="part")
    assert (scene.due(invoice), scene.match(line)["short_reason"]) == ([68_000], "part")


def test_one_line_that_names_several_invoices_and_adds_up_pays_each(scene: Scene) -> None:
    bills = [scene.bill(one) for one in (30_000, 45_000, 25_001)]
    line = scene.line(100_001, "NEFT " + " ".join(bill["number"] for bill in bills), utr=utr())
    scene.engine()
    assert (scene.state(line), scene.due(*bills)) == ("accepted", [0, 0, 0])
    assert sorted(scene.match(line)["invoices"]) == sorted(bill["id"] for bill in bills)
    scene.decide("undo", line)
    assert (scene.state(line), scene.due(*bills)) == ("proposed", [30_000, 45_000, 25_001])


def test_several_invoices_that_nobody_named_are_only_proposed(scene: Scene) -> None:
    bills = [scene.bill(one) for one in (30_000, 45_000, 25_001)]
    line = scene.line(75_000, "NEFT CR BILL PAYMENT", payer="Rao Retail", utr=utr())
    scene.engine()
    assert scene.state(line) == "proposed"
    assert sorted(scene.match(line)["invoices"]) == sorted(bill["id"] for bill in bills[:2])
    scene.accept(line)
    assert scene.due(*bills) == [0, 0, 25_001]


def test_equal_answers_are_never_booked(scene: Scene) -> None:
    bills = [scene.bill(118_000) for _ in range(2)]
    line = scene.line(118_000, "NEFT CR MONTHLY", payer="Rao Retail", utr=utr())
    scene.engine()
    assert scene.match(line)["features"]["stops"] == ["tie"]
    assert (scene.state(line), scene.due(*bills)) == ("proposed", [118_000, 118_000])


def test_two_lines_for_one_invoice_are_both_left_to_a_person(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    lines = [scene.line(118_000, invoice["number"], utr=utr(one)) for one in range(2)]
    scene.engine()
    assert sorted(scene.state(line) for line in lines) == ["none", "proposed"]
    assert scene.due(invoice) == [118_000]


def test_what_two_sources_tell_is_matched_once_and_the_other_line_says_so(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    first = scene.line(118_000, invoice["number"], utr=utr())
    second = scene.line(118_000, f"BY TRANSFER {invoice['number']}", utr=utr(), shop=other_source(scene))
    scene.engine()
    assert (scene.state(first), scene.state(second)) == ("accepted", "duplicate")
    with pytest.raises(Conflict):
        scene.accept(second, invoice)
    # The bank takes the first one back: the other one speaks for itself again.
    scene.line(118_000, invoice["number"], utr=utr(), name="line-1", version=2, status=TransactionStatus.REMOVED)
    assert (scene.state(second), scene.due(invoice)) == ("none", [118_000])
    scene.engine()
    assert (scene.state(second), scene.due(invoice)) == ("accepted", [0])


def test_the_same_money_on_two_lines_is_refused_by_the_database_as_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scene.bill(118_000), scene.bill(118_000)
    one = scene.line(118_000, "A", utr=utr())
    other = scene.line(118_000, "B", utr=utr(), shop=other_source(scene))
    scene.accept(one, first)
    with pytest.raises(Conflict, match=r"matched already, as another line$"):
        scene.accept(other, second)
    monkeypatch.setattr(known, "told_twice", lambda _: {})
    with pytest.raises(Conflict, match="or with another payment"):
        scene.accept(other, second)
    assert (scene.due(first, second), scene.money()) == ([0, 118_000], 118_000)


# What is paid takes no payment by hand, so only a gateway can come second.
@pytest.mark.parametrize(("kind", "first"), [("typed", "payment"), ("gateway", "payment"), ("gateway", "line")])
def test_a_payment_that_is_booked_and_a_line_of_the_same_reference_are_one_whichever_comes_first(
    scene: Scene, kind: str, first: str
) -> None:
    invoice = scene.bill(118_000)

    def book() -> None:
        if kind == "typed":
            scene.typed(invoice, 118_000, reference=utr())
        else:
            scene.gateway(118_000, utr=utr(), number=invoice["number"])

    if first == "payment":
        book()
    line = scene.line(118_000, invoice["number"], utr=utr())
    scene.engine()
    if first == "line":
        assert scene.state(line) == "accepted"
        book()
        scene.engine()
    match = scene.match(line)
    assert (match["state"], match["kind"]) == ("accepted", "payment")
    assert (scene.due(invoice), scene.money()) == ([0], 118_000)
    scene.decide("undo", line)
    # The link is gone, the payment stands: it was not made by the match.
    assert (scene.due(invoice), scene.money()) == ([0], 118_000)


def test_a_payout_of_the_gateway_is_linked_and_posts_nothing(scene: Scene) -> None:
    payout = scene.payout(97_640, utr=utr(7))
    line = scene.line(97_640, "NEFT SETTLEMENT", utr=utr(7))
    scene.engine()
    assert (scene.state(line), scene.match(line)["kind"], scene.money()) == ("accepted", "payout", 0)
    assert scene.shop.one("SELECT transaction_id FROM payouts WHERE id = :id", id=payout)["transaction_id"] == line
    scene.decide("undo", line)
    assert scene.shop.one("SELECT transaction_id FROM payouts WHERE id = :id", id=payout)["transaction_id"] is None


def test_what_a_person_took_back_is_proposed_and_never_booked_by_the_engine_again(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    line = scene.line(118_000, invoice["number"], utr=utr())
    scene.engine()
    scene.decide("undo", line)
    for _ in range(2):
        scene.engine()
    assert (scene.state(line), scene.due(invoice)) == ("proposed", [118_000])
    assert "undone" in scene.match(line)["features"]["stops"]
    cases = scene.shop.rows("SELECT kind, proposed FROM reconciliation_cases WHERE user_id = :user")
    assert [row["kind"] for row in cases] == ["undone"]
    assert cases[0]["proposed"]["features"]["reference"] == invoice["number"]


def test_what_a_person_rejected_is_not_proposed_again_and_another_choice_becomes_a_case(scene: Scene) -> None:
    scene.by_hand()
    named, other = scene.bill(118_000), scene.bill(50_000)
    line = scene.line(118_000, named["number"], utr=utr())
    scene.engine()
    scene.decide("reject", line)
    scene.engine()
    assert scene.state(line) == "none"
    second = scene.line(50_000, other["number"], utr=utr(2))
    scene.engine()
    scene.accept(second, named)
    kinds = scene.shop.rows("SELECT kind, decided FROM reconciliation_cases WHERE user_id = :user ORDER BY id")
    assert [row["kind"] for row in kinds] == ["rejected", "chose_other"]
    assert kinds[1]["decided"]["targets"] == [{"invoice": named["id"], "amount": 50_000}]


def test_a_line_that_is_set_aside_waits_no_more_until_it_is_taken_up(scene: Scene) -> None:
    from core.reconciliation import decisions

    invoice = scene.bill(118_000)
    line = scene.line(50_000, invoice["number"], utr=utr())
    scene.decide("ignore", line)
    scene.engine()
    assert scene.state(line) == "ignored"
    with scene.shop.database.session() as session:
        decisions.reopen(session, scene.shop.seller.id, line, NOW)
    assert scene.state(line) == "proposed"


def test_a_line_is_split_by_hand_over_invoices_with_amounts_and_keeps_within_itself(scene: Scene) -> None:
    first, second = scene.bill(60_000), scene.bill(60_000)
    line = scene.line(100_000, "BULK", utr=utr())
    over = [Target(UUID(first["id"]), 60_000), Target(UUID(second["id"]), 60_000)]
    with pytest.raises(Exception, match="more than the transaction"):
        scene.accept(line, targets=over)
    scene.accept(line, targets=[Target(UUID(first["id"]), 60_000), Target(UUID(second["id"]), 40_000)])
    assert scene.due(first, second) == [0, 20_000]


def test_who_paid_before_is_recognised_and_forgotten_when_the_match_is_undone(scene: Scene) -> None:
    paid, due = scene.bill(100_000), scene.bill(250_000)
    first = scene.line(100_000, f"UPI/raoretail@okhdfc/{paid['number']}", payer="R R STORES", utr=utr(1))
    scene.engine()
    second = scene.line(250_000, "UPI/raoretail@okhdfc/PAYMENT", payer="R R STORES", utr=utr(2))
    scene.engine()
    assert (scene.state(second), scene.due(due)) == ("accepted", [0])
    assert scene.match(second)["features"]["payer"] == "remembered"
    for line in (second, first):
        scene.decide("undo", line)
    assert scene.shop.rows("SELECT * FROM payer_identities WHERE user_id = :user") == []


def test_a_run_that_is_repeated_or_run_by_many_changes_nothing(scene: Scene) -> None:
    bills = [scene.bill(10_000 + one) for one in range(6)]
    for place, bill in enumerate(bills):
        scene.line(10_000 + place, bill["number"], utr=utr(place))
    scene.line(5_000, bills[0]["number"], utr=utr(99))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run.work(scene.shop.database, scene.shop.seller.id, NOW), range(4)))
    assert (scene.money(), scene.due(*bills)) == (sum(10_000 + one for one in range(6)), [0] * 6)
    before = scene.shop.rows("SELECT id, state, score, tier, created_at FROM matches WHERE user_id = :user ORDER BY id")
    told = scene.shop.one("SELECT count(*) AS many FROM outbox")
    scene.engine()
    assert (
        scene.shop.rows("SELECT id, state, score, tier, created_at FROM matches WHERE user_id = :user ORDER BY id")
        == before
    )
    assert scene.shop.one("SELECT count(*) AS many FROM outbox") == told


def test_a_line_in_suspense_finds_the_invoice_that_comes_later(scene: Scene) -> None:
    line = scene.line(118_000, "NEFT CR INV-2026-00001", utr=utr())
    scene.engine()
    assert scene.state(line) == "none"
    assert scene.shop.rows("SELECT id FROM reconcile_requests WHERE user_id = :user") == []
    invoice = scene.bill(118_000)
    assert scene.shop.rows("SELECT id FROM reconcile_requests WHERE user_id = :user") != []
    scene.engine()
    assert (scene.state(line), scene.due(invoice)) == ("accepted", [0])


def test_a_proposal_is_laid_aside_when_something_else_pays_its_invoice(scene: Scene) -> None:
    scene.by_hand()
    invoice = scene.bill(118_000)
    line = scene.line(118_000, invoice["number"], utr=utr())
    scene.engine()
    scene.typed(invoice, 118_000, reference="CASH")
    assert scene.state(line) == "none"
    with pytest.raises(Conflict):
        scene.accept(line, invoice)


def test_the_worklist_says_why_and_what_else_it_could_be(scene: Scene) -> None:
    scene.by_hand()
    invoice, other = scene.bill(118_000), scene.bill(90_000)
    line = scene.line(118_000, f"{invoice['number']}", payer="Rao Retail", utr=utr(), day=DUE + timedelta(days=2))
    scene.engine()
    with scene.shop.database.session() as session:
        (item,) = queries.worklist(session, scene.shop.seller, NOW)["items"]
        assert queries.worklist(session, scene.shop.seller, NOW, tier="suggested")["items"] == []
        assert queries.line(session, scene.shop.seller, line, NOW) == item
    assert item["proposal"]["reasons"] == [
        f"The bank's text names {invoice['number']}",
        "The amount is exactly what is due",
        "The payer's name is that of Rao Retail",
        "It came 2 days after the due date",
        "No other open invoice fits this amount",
    ]
    assert [target["number"] for target in item["proposal"]["targets"]] == [invoice["number"]]
    assert (item["tier"], item["age_days"]) == ("sure", 1)
    assert other["number"] not in str(item["proposal"]["targets"])


def test_one_line_is_one_payment_by_constraint(scene: Scene) -> None:
    invoice = scene.bill(118_000)
    line = scene.line(118_000, invoice["number"], utr=utr())
    scene.engine()
    payment = scene.match(line)["payment_id"]
    for transaction, paid in ((line, "uuid7()"), ("uuid7()", payment)):
        spelled = [f"'{one}'" if isinstance(one, UUID) else one for one in (transaction, paid)]
        with pytest.raises(IntegrityError, match="transaction_payments"):
            scene.set(
                "INSERT INTO transaction_payments (transaction_id, payment_id, user_id) "
                f"VALUES ({spelled[0]}, {spelled[1]}, :user)"
            )


def test_tax_that_explains_what_is_left_is_booked_when_a_person_says_so_and_once(scene: Scene) -> None:
    from core.reconciliation import withheld

    invoice, other = scene.bill(118_000), scene.bill(118_000)
    scene.set("UPDATE contacts SET tds_rate = 2 WHERE user_id = :user")
    line = scene.line(115_640, invoice["number"], utr=utr(1))
    part = scene.line(50_000, other["number"], utr=utr(2))
    scene.engine()
    scene.accept(part)
    with scene.shop.database.session() as session:
        offered = withheld.offer(session, scene.shop.seller.id, line)
        assert [(one["number"], one["amount"], one["rate"]) for one in offered] == [(invoice["number"], 2_360, "2")]
        assert withheld.offer(session, scene.shop.seller.id, part) == []
        (made,) = withheld.book(session, scene.shop.seller, line, NOW)
    assert (made["method"], scene.due(invoice, other)) == ("tds_withheld", [0, 68_000])
    for again in (line, part):
        with scene.shop.database.session() as session, pytest.raises(Conflict):
            withheld.book(session, scene.shop.seller, again, NOW)
    with scene.shop.database.session() as session, pytest.raises(NotFound):
        withheld.book(session, scene.shop.seller, UUID(int=1), NOW)
