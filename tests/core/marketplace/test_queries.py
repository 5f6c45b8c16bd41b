"""What may be read of the marketplace, by whom, in which order; and the one state of an invoice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from core.database import Database
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import queries as invoicing
from core.marketplace import bidding, funding, queries, shapes, states
from core.marketplace.queries import SORTS, Wanted
from core.marketplace.states import ENDED, State
from tests.builders import NOW, add_invoice
from tests.core.marketplace.builders import LAKH, RULES, Listing, funded, give, listed, person
from tests.core.marketplace.counting import counted
from tests.core.marketplace.deals import BEGUN


@pytest.fixture
def session(market: Database) -> Iterator[Session]:
    """A session whose listings are gone afterwards: what is on offer, everybody sees."""
    with market.engine.connect() as connection, connection.begin() as whole, Session(connection) as opened:
        yield opened
        whole.rollback()


@pytest.fixture
def investor(session: Session) -> Actor:
    return person(session)


def numbers(page: Any) -> list[str]:
    return [item["number"] for item in page["items"]]


def judged(session: Session, offer: Listing, band: str) -> None:
    """A judgement of an offer, as the risk module writes it."""
    reason = {
        "code": "D2",
        "title": "Near duplicate",
        "kind": "review",
        "sentence": "Another looks like it.",
        "points": 0.0,
        "values": {"number": "SECRET-1"},
        "evidence": "SECRET-2",
        "hard": False,
        "others": [{"number": "SECRET-3"}],
        "counterfactual": None,
    }
    outputs: dict[str, Any] = {
        "version": "1",
        "fraud": {"stops": [], "reviews": [reason]},
        "credit": {"score": 12.0, "band": band, "reasons": []},
        "quality": {"score": 80, "gaps": []},
        "haircut": None,
        "notes": [],
        "loss": None,
    }
    session.execute(
        text(
            "INSERT INTO risk_assessments (id, invoice_id, financing_id, version, cause, outputs, at) "
            "VALUES (:id, :invoice, :financing, '1', 'listing', CAST(:outputs AS jsonb), :now)"
        ),
        {
            "id": new_id(),
            "invoice": offer.invoice_id,
            "financing": offer.financing_id,
            "outputs": json.dumps(outputs),
            "now": NOW,
        },
    )


# The one state ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, *State])
@pytest.mark.parametrize("paid", invoicing.PAYMENT_STATUSES)
def test_a_financing_says_more_than_a_payment_state_until_it_ended(paid: str, state: State | None) -> None:
    shown = shapes.status(paid, state.value if state else None)
    if state is None:
        assert shown == paid
    elif state in ENDED:
        assert shown == (state.value if paid == "open" else paid)
    else:
        assert shown == state.value


def test_the_database_and_the_code_agree_on_the_one_state(session: Session) -> None:
    pairs = list(itertools.product(invoicing.PAYMENT_STATUSES, (None, *(state.value for state in State))))
    for paid, state in pairs:
        query = text(
            f"SELECT {shapes.STATUS} FROM (SELECT CAST(:paid AS text) AS status) AS invoices, "
            "(SELECT CAST(:state AS text) AS state) AS financing"
        )
        assert session.scalar(query, {"paid": paid, "state": state}) == shapes.status(paid, state)


def test_an_invoice_shows_both_states_and_lists_are_filtered_by_the_one(session: Session) -> None:
    offer = funded(session, face=LAKH, ask=90_000_00)
    plain = add_invoice(session, offer.seller, 5_000_00)
    shown = invoicing.get_invoice(session, offer.seller, offer.invoice_id)
    assert (shown["status"], shown["payment_status"]) == ("funded", "open")
    assert shown["financing"]["outlay"] == 90_000_00
    assert (plain["status"], plain["payment_status"], plain["financing"]) == ("open", "open", None)

    def found(**filters: str) -> set[str]:
        return {one["number"] for one in invoicing.list_invoices(session, offer.seller, **filters)["items"]}  # type: ignore[arg-type]

    assert found(status="funded") == {offer.number}
    assert found(status="open") == {plain["number"]}
    assert found(status="unpaid") == found(payment_status="open") == {offer.number, plain["number"]}
    assert found(status="repaid") == set()
    with pytest.raises(Invalid, match="status"):
        found(status="sold")


def test_a_new_submission_speaks_instead_of_the_old_one(session: Session) -> None:
    offer = listed(session, face=LAKH)
    states.move(session, states.lock(session, offer.invoice_id), State.WITHDRAWN, NOW, actor=None, reason="for a test")
    assert invoicing.get_invoice(session, offer.seller, offer.invoice_id)["status"] == "withdrawn"
    session.execute(
        text(
            "INSERT INTO financings (id, invoice_id, seller_id, buyer_email, state, currency, face, due_date, "
            "issue_date, submitted_at, confirm_by, created_at, updated_at) SELECT :id, invoice_id, seller_id, "
            "buyer_email, 'pending_buyer_confirmation', currency, face, due_date, issue_date, :now, :now, :now, :now "
            "FROM financings WHERE id = :old"
        ),
        {"id": new_id(), "old": offer.financing_id, "now": NOW},
    )
    shown = invoicing.list_invoices(session, offer.seller)["items"][0]
    assert shown["status"] == "pending_buyer_confirmation"
    assert invoicing.list_invoices(session, offer.seller, status="withdrawn")["items"] == []


# Who sees an invoice ----------------------------------------------------------------------------------------


def test_an_investor_sees_what_is_on_offer_without_what_is_private(session: Session, investor: Actor) -> None:
    offer = listed(session, face=LAKH)
    session.execute(text("UPDATE invoices SET notes = 'between us' WHERE id = :id"), {"id": offer.invoice_id})
    shown = invoicing.get_invoice(session, investor, offer.invoice_id)
    assert shown["contact"]["email"] is None
    assert (shown["notes"], shown["payments"]) == ("", [])
    assert {entry["actor"] for entry in shown["history"]} == {None}
    assert "@" not in json.dumps(shown, default=str)
    # Others' offers are listed on the marketplace, not among one's own.
    assert invoicing.list_invoices(session, investor)["items"] == []
    assert invoicing.list_invoices(session, investor, search="buyer@rao")["items"] == []


def test_what_left_the_marketplace_is_for_those_who_have_money_in_it(session: Session, investor: Actor) -> None:
    offer = funded(session, face=LAKH, ask=90_000_00)
    mine = invoicing.get_invoice(session, offer.investors[0], offer.invoice_id)
    assert (mine["status"], mine["payments"], mine["contact"]["email"]) == ("funded", [], None)
    assert numbers(invoicing.list_invoices(session, offer.investors[0])) == [offer.number]
    with pytest.raises(NotFound):
        invoicing.get_invoice(session, investor, offer.invoice_id)
    with pytest.raises(NotFound):
        queries.listing(session, investor, offer.invoice_id)
    assert queries.listing(session, offer.investors[0], offer.invoice_id)["status"] == "funded"
    with pytest.raises(NotFound):
        queries.listing(session, person(session, Role.SELLER), offer.invoice_id)


# Listings ---------------------------------------------------------------------------------------------------


def test_a_listing_says_who_what_how_much_and_at_which_four_rates(session: Session, investor: Actor) -> None:
    offer = listed(session, face=5_00_000_00, haircut="20", rate="12", fee_plan="standard", now=BEGUN)
    funding.fund(session, investor, offer.invoice_id, 1_47_041_09, NOW, rules=RULES)
    [item] = queries.listings(session, investor, Wanted(search=offer.number))["items"]
    assert item["numbers"] == {
        "discount_rate": "12",
        "simple_yield": "12.2415",
        "effective_yield": item["numbers"]["effective_yield"],
        "seller_cost": item["numbers"]["seller_cost"],
    }
    assert round(Decimal(item["numbers"]["effective_yield"]), 3) == Decimal("12.885")
    assert round(Decimal(item["numbers"]["seller_cost"]), 3) == Decimal("15.999")
    terms = item["financing"]
    assert (terms["principal"], terms["discount"], terms["outlay"]) == (4_00_000_00, 7_890_41, 3_92_109_59)
    assert (terms["placed"], terms["remaining"], terms["investors"]) == (1_47_041_09, 2_45_068_50, 1)
    assert item["progress"] == "37.5"
    assert (item["status"], item["id"], item["mine"]) == ("partially_funded", str(offer.invoice_id), False)
    assert item["seller"] == {"id": str(offer.seller.id), "organisation": offer.seller.name}
    assert item["buyer"]["organisation"] == offer.buyer.name
    assert item["risk"] is None
    assert "@" not in json.dumps(item, default=str)


def test_buyers_are_turned_away_and_full_offers_are_gone(session: Session, investor: Actor) -> None:
    offer = funded(session, face=LAKH, ask=90_000_00)
    with pytest.raises(Forbidden):
        queries.listings(session, offer.buyer)
    with pytest.raises(Forbidden):
        queries.listing(session, offer.buyer, offer.invoice_id)
    assert queries.listings(session, investor, Wanted(search=offer.number))["items"] == []


def _market(session: Session) -> list[Listing]:
    """Nine offers, several of which share what they are ordered by."""
    seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
    return [
        listed(
            session,
            face=LAKH * (1 + place % 2),
            rate=("10", "12", "14")[place % 3],
            days=(30, 60, 90)[place % 3],
            closes_in=timedelta(days=1 + place % 4),
            now=NOW - timedelta(hours=place // 2),
            mode="auction" if place == 8 else "fixed",
            seller=seller,
            buyer=buyer,
        )
        for place in range(9)
    ]


_BY: dict[str, Callable[[Any], Any]] = {
    "newest": lambda item: item["financing"]["listed_at"],
    "yield": lambda item: Decimal(item["numbers"]["simple_yield"]),
    "due": lambda item: item["financing"]["pay_date"],
    "closing": lambda item: item["financing"]["closes_at"],
    "remaining": lambda item: item["financing"]["remaining"],
}


def test_every_order_is_paged_through_with_each_offer_once(session: Session, investor: Actor) -> None:
    made = sorted(str(offer.invoice_id) for offer in _market(session))
    # One market for all of them: making it is most of the time.
    for sort, limit in itertools.product(SORTS, (1, 2, 4, 100)):
        found: list[Any] = []
        cursor = None
        while True:
            page = queries.listings(session, investor, sort=sort, limit=limit, cursor=cursor)
            assert len(page["items"]) <= limit, sort
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(item["id"] for item in found) == made, (sort, limit)
        keys = [_BY[sort](item) for item in found]
        assert keys == sorted(keys, reverse=sort in {"newest", "yield", "remaining"}), (sort, limit)


def test_a_cursor_of_another_order_and_a_made_up_one_are_refused(session: Session, investor: Actor) -> None:
    _market(session)
    cursor = queries.listings(session, investor, sort="due", limit=1)["next_cursor"]
    for sort, given in (("yield", cursor), ("due", "bm9uc2Vuc2U"), ("due", "WyJkdWUiLCAieCIsICJ4Il0")):
        with pytest.raises(Invalid, match="cursor"):
            queries.listings(session, investor, sort=sort, cursor=given)
    with pytest.raises(Invalid, match="sort"):
        queries.listings(session, investor, sort="name")


def test_filters_keep_what_fits_and_only_that(session: Session, investor: Actor) -> None:
    made = _market(session)
    judged(session, made[0], "low")
    judged(session, made[1], "high")

    def count(**filters: Any) -> int:
        return len(queries.listings(session, investor, Wanted(**filters), limit=100)["items"])

    assert count() == 9
    assert count(min_rate=Decimal(12), max_rate=Decimal(12)) == 3
    assert count(min_yield=Decimal("12.1")) == 6
    assert count(max_yield=Decimal("12.1")) == 3
    assert count(min_days=40, max_days=70) == 3
    assert count(mode="auction") == 1
    assert count(mode="fixed") == 8
    assert count(max_amount=LAKH) == 5
    assert count(min_amount=LAKH, max_amount=2 * LAKH) == 4
    assert count(band="low") == count(band="high") == 1
    assert count(band="elevated") == 0
    assert count(search=made[0].seller.name) == 9
    assert count(search=made[0].number) == 1
    assert count(search="%") == 0


def test_a_page_of_listings_costs_the_same_statements_however_many_there_are(market: Database) -> None:
    with market.session() as session:
        investor = person(session)
        offer = listed(session)
    try:
        with market.session() as session:
            for more in (0, 8):
                for _ in range(more):
                    listed(session, seller=offer.seller, buyer=offer.buyer)
                with counted(market) as sent:
                    assert len(queries.listings(session, investor, limit=100)["items"]) == 1 + more
                assert len(sent) == 2
            session.rollback()
    finally:
        with market.session() as session:
            states.move(
                session, states.lock(session, offer.invoice_id), State.WITHDRAWN, NOW, actor=None, reason="for a test"
            )


def test_the_newest_offers_are_read_from_their_index_and_gone_on_from_there(session: Session, investor: Actor) -> None:
    _market(session)
    cursor = queries.listings(session, investor, limit=2)["next_cursor"]
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "FROM financings AS financing" in statement:
            sent.append((statement, values))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    queries.listings(session, investor, limit=2, cursor=cursor)
    event.remove(connection, "before_cursor_execute", note)
    [(statement, values)] = sent
    # Over nine rows the planner would rather read them all.
    for method in ("seqscan", "bitmapscan", "sort"):
        session.execute(text(f"SET LOCAL enable_{method} = off"))
    plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
    assert "Index Scan using financings_on_offer" in plan
    assert "Sort" not in plan
    assert "listed_at" in plan.partition("Index Cond:")[2].splitlines()[0]


# One listing ------------------------------------------------------------------------------------------------


def test_slices_are_told_but_not_whose_they_are(session: Session, investor: Actor) -> None:
    offer = listed(session, face=LAKH, ask=90_000_00)
    other = person(session)
    funding.fund(session, investor, offer.invoice_id, 10_000_00, NOW, rules=RULES)
    funding.fund(session, other, offer.invoice_id, 20_000_00, NOW, rules=RULES)
    shown = queries.listing(session, investor, offer.invoice_id)
    mine, theirs = shown["slices"]
    assert (mine["mine"], mine["investor"], mine["amount"]) == (True, investor.name, 10_000_00)
    assert theirs == {
        "id": None,
        "sequence": 2,
        "investor": "Investor 2",
        "mine": False,
        "amount": 20_000_00,
        "expected_return": theirs["expected_return"],
        "status": "held",
        "created_at": NOW,
    }
    for_seller = queries.listing(session, offer.seller, offer.invoice_id)
    assert [one["investor"] for one in for_seller["slices"]] == ["Investor 1", "Investor 2"]
    assert other.name not in json.dumps(shown, default=str)


def test_bids_are_sealed_and_the_seller_hears_how_many(session: Session, investor: Actor) -> None:
    offer = listed(session, face=LAKH, rate="12", mode="auction")
    rival = person(session)
    for who, rate in ((investor, "0.11"), (rival, "0.105")):
        give(session, who, LAKH)
        bidding.bid(session, who, offer.invoice_id, Decimal(rate), LAKH // 2, NOW)
    mine = queries.listing(session, investor, offer.invoice_id)
    assert [(bid["rate"], bid["amount"], bid["state"]) for bid in mine["bids"]] == [("11", LAKH // 2, "open")]
    assert mine["bid_count"] is None
    for_seller = queries.listing(session, offer.seller, offer.invoice_id)
    assert (for_seller["bid_count"], for_seller["bids"]) == (2, [])
    assert "10.5" not in json.dumps(mine, default=str)


@pytest.mark.parametrize("pricing", ["uniform", "pay_as_bid"])
def test_where_each_pays_the_own_bid_nobody_can_work_it_out_of_a_slice(session: Session, pricing: str) -> None:
    offer = listed(session, face=LAKH, rate="12", mode="auction", bids=pricing, closes_in=timedelta(hours=1))
    bidders = [person(session) for _ in range(3)]
    for who, rate in zip(bidders, ("0.08", "0.09", "0.10"), strict=True):
        bidding.bid(session, who, offer.invoice_id, Decimal(rate), LAKH // 2, NOW)
    closing = states.lock(session, offer.invoice_id)
    bidding.close(session, closing, NOW + timedelta(hours=1), rules=RULES)
    seen = {who: queries.listing(session, who, offer.invoice_id)["slices"] for who in (bidders[0], offer.seller)}
    mine, other = seen[bidders[0]]
    assert mine["expected_return"] == LAKH // 2
    assert other["expected_return"] == (LAKH // 2 if pricing == "uniform" else None)
    assert [each["expected_return"] for each in seen[offer.seller]] == [LAKH // 2] * 2


def test_risk_is_told_in_words_and_what_it_rests_on_to_operators_alone(session: Session, investor: Actor) -> None:
    offer = listed(session)
    judged(session, offer, "low")
    operator = person(session, Role.OPERATOR)
    for who in (investor, person(session, Role.SELLER), offer.seller):
        shown = queries.listing(session, who, offer.invoice_id)["risk"]
        assert shown["fraud"]["reviews"][0]["sentence"] == "Another looks like it."
        assert "SECRET" not in json.dumps(shown, default=str)
    assert "SECRET-3" in json.dumps(queries.listing(session, operator, offer.invoice_id), default=str)


def test_a_confirmed_offer_says_that_its_buyer_accepted_and_how_much(session: Session, investor: Actor) -> None:
    offer = listed(session, face=LAKH)
    session.execute(
        text("UPDATE financings SET confirmed_at = :now WHERE id = :id"), {"now": NOW, "id": offer.financing_id}
    )
    assert queries.listing(session, investor, offer.invoice_id)["confirmation"] == {
        "present": True,
        "recorded": False,
        "amount": LAKH,
        "confirmed_at": NOW,
    }
