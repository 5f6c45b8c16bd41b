"""Funding at a fixed price: what is quoted, what is posted, what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import kyc, ledger
from core.database import Database
from core.errors import Forbidden, Invalid, NotFound, PlatformError
from core.identity import Actor, Role
from core.marketplace import funding, limits, reviewing
from core.marketplace.limits import Limits
from core.marketplace.refusals import (
    BelowMinimumSlice,
    CapExceeded,
    MoreThanRemaining,
    NotOnOffer,
    OwnInvoice,
)
from core.marketplace.states import State
from core.money import MAX_MINOR
from tests.budget import examples
from tests.builders import NOW
from tests.core.marketplace.builders import (
    LAKH,
    NEXT_DAY,
    RULES,
    WELCOME,
    Listing,
    check_books,
    dump,
    entries,
    funded,
    give,
    listed,
    money,
    person,
    slices,
    spendable,
    standing,
    verified,
)

# Sixty days after it is a Monday.
THURSDAY = datetime(2026, 11, 5, 6, 0, tzinfo=NOW.tzinfo)
# The worked example of marketplace rules 2.3: 5,00,000 with a haircut of 20 % at 12 % for 60 days.
WORKED: dict[str, Any] = {"face": 5 * LAKH, "haircut": "20", "rate": "12", "days": 60, "fee_plan": "standard"}


def fund(market: Database, who: Actor, offer: Listing, amount: int, **more: Any) -> dict[str, Any]:
    with market.session() as session:
        return funding.fund(session, who, offer.invoice_id, amount, **{"now": NOW, "rules": RULES, **more})


def told(session: Session, who: Actor) -> list[tuple[str, dict[str, Any]]]:
    """What a person has heard, oldest first."""
    rows = session.execute(
        text("SELECT name, data FROM outbox WHERE room = :room ORDER BY id"), {"room": f"user:{who.id}"}
    )
    return [(row.name, row.data) for row in rows]


def test_the_numbers_the_first_users_know(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00, fee_plan="none")
        investor = person(session)
    with market.session() as session:
        quoted = funding.quote(session, investor, offer.invoice_id, None, NOW)
        answer = funding.fund(session, investor, offer.invoice_id, 90_000_00, NOW, rules=RULES)
        assert money(session, investor, offer.seller) == [9_10_000_00, 10_90_000_00]
        assert standing(session, offer).state is State.FUNDED
    assert (quoted["amount"], quoted["expected_return"], quoted["profit"]) == (90_000_00, LAKH, 10_000_00)
    made = answer["investment"]
    assert (made["amount"], made["expected_return"], made["profit"]) == (90_000_00, LAKH, 10_000_00)
    assert made["status"] == "settled"
    assert answer["wallet"] == {"balance": 9_10_000_00, "available": 9_10_000_00, "held": 0, "currency": "INR"}
    check_books(market)


def test_the_journal_of_the_worked_example_is_right_to_the_paisa(market: Database) -> None:
    with market.session() as session:
        offer = funded(session, **WORKED, slices=[1_47_041_09, 1_47_041_10, 98_027_40], now=THURSDAY)
    seller, (one, two, three) = offer.seller, offer.investors
    with market.session() as session:
        assert slices(session, offer) == [
            (1_47_041_09, 1_50_000_00, "settled"),
            (1_47_041_10, 1_50_000_00, "settled"),
            (98_027_40, 1_00_000_00, "settled"),
        ]
        escrow = f"financing:{offer.financing_id}"
        assert entries(session, offer) == [
            (f"user:{one.id}", "wallet", -1_47_041_09),
            (f"user:{two.id}", "wallet", -1_47_041_10),
            (f"user:{three.id}", "wallet", -98_027_40),
            (escrow, "escrow", 3_92_109_59),
            (escrow, "escrow", -3_89_749_59),
            (f"user:{seller.id}", "wallet", 3_89_749_59),
            (escrow, "escrow", -2_000_00),
            ("platform", "fees", 2_000_00),
            (escrow, "escrow", -360_00),
            ("platform", "gst", 360_00),
        ]
        assert money(session, seller, one) == [WELCOME + 3_89_749_59, WELCOME - 1_47_041_09]
    check_books(market)


def test_a_quote_shows_the_four_numbers_each_fee_line_and_the_day_count(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, **WORKED, now=THURSDAY)
        investor = person(session)
        whole = funding.quote(session, investor, offer.invoice_id, None, THURSDAY)
        part = funding.quote(session, investor, offer.invoice_id, 98_027_40, THURSDAY)
    assert {name: whole[name] for name in ("discount_rate", "simple_yield", "effective_yield", "seller_cost")} == {
        "discount_rate": "12.0000",
        "simple_yield": "12.2415",
        "effective_yield": "12.8850",
        "seller_cost": "15.9992",
    }
    assert [(line["code"], line["share"], line["total"]) for line in whole["fees"]] == [
        ("platform_fee", 2_000_00, 2_000_00),
        ("gst", 360_00, 360_00),
    ]
    assert (whole["amount"], whole["expected_return"], whole["seller_receives"]) == (3_92_109_59, 4 * LAKH, 3_89_749_59)
    assert whole["day_count"] == "60 days, actual/365: value date not counted, due date counted"
    assert (whole["basis"], whole["reserve"], whole["remaining"]) == (365, LAKH, 3_92_109_59)
    assert (part["amount"], part["expected_return"]) == (98_027_40, LAKH + 1)
    assert [line["share"] for line in part["fees"]] == [500_00, 90_00]
    # Marketplace rules 2.7: 15 days late at 18 % brings 2,958.90 of interest, a quarter of it to this slice.
    late = {row["case"]: row for row in whole["what_if"]}["late_15"]
    assert (late["late_interest"], late["effective_yield"]) == (2_958_90, "14.2052")


def test_a_slice_is_a_hold_until_the_last_one_fills_the_listing(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        one, two = person(session), person(session)
    first = fund(market, one, offer, 30_000_00)
    assert first["investment"]["status"] == "held"
    assert first["wallet"] == {
        "balance": WELCOME,
        "available": WELCOME - 30_000_00,
        "held": 30_000_00,
        "currency": "INR",
    }
    assert (first["invoice"]["status"], first["invoice"]["remaining"]) == ("partially_funded", 60_000_00)
    with market.session() as session:
        assert entries(session, offer) == []
        assert money(session, one, offer.seller) == [WELCOME, WELCOME]
    last = fund(market, two, offer, 60_000_00)
    assert (last["invoice"]["status"], last["invoice"]["remaining"]) == ("funded", 0)
    with market.session() as session:
        assert money(session, one, two, offer.seller) == [WELCOME - 30_000_00, WELCOME - 60_000_00, WELCOME + 90_000_00]
        assert [status for *_, status in slices(session, offer)] == ["settled", "settled"]
    check_books(market)


def test_the_claims_of_many_slices_add_up_to_the_principal(market: Database) -> None:
    with market.session() as session:
        offer = funded(
            session,
            face=LAKH,
            ask=90_000_00,
            slices=[33_333_33, 33_333_34, 23_333_32, 1],
            min_slice=1,
        )
        bought = slices(session, offer)
    assert sum(outlay for outlay, *_ in bought) == 90_000_00
    assert sum(claim for _, claim, _ in bought) == LAKH
    check_books(market)


def own_by_account(session: Session, offer: Listing, investor: Actor) -> None:
    session.execute(
        text("UPDATE financings SET buyer_email = :email WHERE id = :id"),
        {"email": investor.email, "id": offer.financing_id},
    )


def own_by_pan_of(party: str) -> Callable[[Session, Listing, Actor], None]:
    def share(session: Session, offer: Listing, investor: Actor) -> None:
        pan = f"ABCP{'SB'[party == 'buyer']}{offer.invoice_id.int % 10_000:04d}Z"
        verified(session, investor, pan)
        verified(session, getattr(offer, party), pan)

    return share


def own_by_papers(session: Session, offer: Listing, investor: Actor) -> None:
    verified(session, investor, "AAPFU0939F")
    session.execute(
        text("UPDATE financings SET document = CAST(:papers AS jsonb) WHERE id = :id"),
        {"papers": '{"buyer_gstin": "27AAPFU0939F1ZV"}', "id": offer.financing_id},
    )


def set_terms(**columns: object) -> Callable[[Session, Listing, Actor], None]:
    def change(session: Session, offer: Listing, investor: Actor) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in columns)
        session.execute(text(f"UPDATE financings SET {sets} WHERE id = :id"), {**columns, "id": offer.financing_id})

    return change


def invoice_is(status: str) -> Callable[[Session, Listing, Actor], None]:
    def change(session: Session, offer: Listing, investor: Actor) -> None:
        session.execute(text("UPDATE invoices SET status = :s WHERE id = :id"), {"s": status, "id": offer.invoice_id})

    return change


def refuse_identity(session: Session, offer: Listing, investor: Actor) -> None:
    operator = person(session, Role.OPERATOR)
    kyc.decide(session, operator, investor.id, "expire", "too old", NOW)


def refuse_the_seller(session: Session, offer: Listing, investor: Actor) -> None:
    kyc.decide(session, person(session, Role.OPERATOR), offer.seller.id, "reject", "forged papers", NOW)


def spend_all(session: Session, offer: Listing, investor: Actor) -> None:
    give(session, investor, -(WELCOME - 100_00))


def cap(**own: Any) -> Callable[[Session, Listing, Actor], None]:
    def put(session: Session, offer: Listing, investor: Actor) -> None:
        limits.put(session, investor, Limits(**own), NOW)

    return put


def nothing(session: Session, offer: Listing, investor: Actor) -> None:
    pass


REFUSALS = [
    pytest.param(nothing, 0, Invalid, "invalid", id="nothing"),
    pytest.param(nothing, -1, Invalid, "invalid", id="less than nothing"),
    pytest.param(nothing, True, Invalid, "invalid", id="a truth"),
    pytest.param(nothing, 1.5, Invalid, "invalid", id="a float"),
    pytest.param(nothing, "9000000", Invalid, "invalid", id="text"),
    pytest.param(nothing, MAX_MINOR + 1, Invalid, "invalid", id="more than there is"),
    pytest.param(nothing, 90_000_01, MoreThanRemaining, "more_than_remaining", id="one paisa too much"),
    pytest.param(nothing, 99, BelowMinimumSlice, "below_minimum_slice", id="a slice too small"),
    pytest.param(set_terms(closes_at=NOW), 100_00, NotOnOffer, "not_on_offer", id="closed at this very moment"),
    pytest.param(set_terms(mode="auction"), 100_00, NotOnOffer, "not_on_offer", id="an auction"),
    pytest.param(invoice_is("void"), 100_00, NotOnOffer, "not_on_offer", id="a void invoice"),
    pytest.param(own_by_account, 100_00, OwnInvoice, "own_invoice", id="addressed to the investor"),
    pytest.param(own_by_pan_of("seller"), 100_00, OwnInvoice, "own_invoice", id="the seller's PAN"),
    pytest.param(own_by_pan_of("buyer"), 100_00, OwnInvoice, "own_invoice", id="the buyer's PAN"),
    pytest.param(own_by_papers, 100_00, OwnInvoice, "own_invoice", id="a PAN that the papers name"),
    pytest.param(refuse_identity, 100_00, kyc.KycRequired, "kyc_required", id="an identity that expired"),
    pytest.param(
        refuse_the_seller, 100_00, reviewing.FraudStop, "fraud_stop", id="a seller whose identity was refused"
    ),
    pytest.param(spend_all, 100_01, ledger.InsufficientFunds, "insufficient_funds", id="too little for a slice"),
    pytest.param(spend_all, 90_000_00, ledger.InsufficientFunds, "insufficient_funds", id="too little for the whole"),
    pytest.param(cap(per_invoice=Decimal(2)), 20_000_01, CapExceeded, "cap_exceeded", id="over the own cap an invoice"),
    pytest.param(cap(per_buyer=Decimal(3)), 30_000_01, CapExceeded, "cap_exceeded", id="over the own cap a buyer"),
    pytest.param(cap(max_days=59), 100_00, CapExceeded, "cap_exceeded", id="out for too long"),
]


@pytest.mark.parametrize(("prepare", "amount", "refusal", "code"), REFUSALS)
def test_a_refusal_has_a_name_and_moves_nothing(
    market: Database,
    prepare: Callable[[Session, Listing, Actor], None],
    amount: Any,
    refusal: type[PlatformError],
    code: str,
) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        investor = person(session)
        prepare(session, offer, investor)
    before = dump(market)
    with pytest.raises(refusal) as caught:
        fund(market, investor, offer, amount)
    assert caught.value.code == code
    assert dump(market) == before


@pytest.mark.parametrize("role", [Role.SELLER, Role.BUYER, Role.OPERATOR])
def test_only_investors_fund(market: Database, role: Role) -> None:
    with market.session() as session:
        offer = listed(session)
        who = person(session, role)
    before = dump(market)
    for person_ in (who, offer.seller, offer.buyer):
        with pytest.raises(Forbidden):
            fund(market, person_, offer, 100_00)
    assert dump(market) == before


def test_an_invoice_that_nobody_knows_is_not_found(market: Database) -> None:
    with market.session() as session:
        investor = person(session)
        with pytest.raises(NotFound):
            funding.fund(session, investor, UUID(int=1), 100_00, NOW, rules=RULES)
        with pytest.raises(NotFound):
            funding.quote(session, investor, UUID(int=1), 100_00, NOW)


def test_a_full_listing_takes_no_more(market: Database) -> None:
    with market.session() as session:
        offer = funded(session, face=LAKH, ask=90_000_00)
        late = person(session)
    before = dump(market)
    with pytest.raises(NotOnOffer):
        fund(market, late, offer, 1)
    assert dump(market) == before


def test_a_fraud_stop_keeps_money_out(market: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.risk.open_stops", lambda session, financing_id: ["it looks invented"])
    with market.session() as session:
        offer = listed(session)
        investor = person(session)
    before = dump(market)
    with pytest.raises(reviewing.FraudStop, match="it looks invented"):
        fund(market, investor, offer, 100_00)
    assert dump(market) == before


def test_the_last_remainder_may_be_smaller_than_a_slice(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00, min_slice=50_000_00)
        one, two = person(session), person(session)
    fund(market, one, offer, 50_000_00)
    with pytest.raises(BelowMinimumSlice):
        fund(market, two, offer, 39_999_99)
    assert fund(market, two, offer, 40_000_00)["invoice"]["status"] == "funded"


def test_an_own_cap_gives_way_to_a_word_and_says_the_share(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=5 * LAKH, ask=4 * LAKH)
        investor = person(session)
        limits.put(session, investor, Limits(per_invoice=Decimal("12.5")), NOW)
    with pytest.raises(CapExceeded, match=r"40\.0 % of your money .* your own cap is 12\.5 %"):
        fund(market, investor, offer, 4 * LAKH)
    answer = fund(market, investor, offer, 4 * LAKH, override=True)
    assert answer["warnings"] == [
        "40.0 % of your money would stand with this buyer; the suggested cap is 20 %.",
        "40.0 % of your money would stand with this invoice; your own cap is 12.5 %.",
    ]


def test_the_suggested_caps_only_warn_and_count_what_is_out_already(market: Database) -> None:
    with market.session() as session:
        seller, buyer, investor = person(session, Role.SELLER), person(session, Role.BUYER), person(session)
        first = listed(session, face=2 * LAKH, ask=1_50_000_00, seller=seller, buyer=buyer)
        second = listed(session, face=2 * LAKH, ask=LAKH, seller=seller, buyer=buyer)
        assert funding.quote(session, investor, second.invoice_id, LAKH, NOW)["warnings"] == []
    fund(market, investor, first, 1_50_000_00)
    with market.session() as session:
        quoted = funding.quote(session, investor, second.invoice_id, LAKH, NOW)
    # 8,50,000 in the wallet and 1,50,000 out make 10,00,000; 2,50,000 of it with one buyer.
    assert quoted["warnings"] == ["25.0 % of your money would stand with this buyer; the suggested cap is 20 %."]
    assert fund(market, investor, second, LAKH)["investment"]["status"] == "settled"


def test_with_full_recourse_exposure_counts_against_the_seller(market: Database) -> None:
    with market.session() as session:
        seller, investor = person(session, Role.SELLER), person(session)
        first = listed(session, face=2 * LAKH, ask=1_50_000_00, seller=seller, recourse="full")
        second = listed(session, face=2 * LAKH, ask=90_000_00, seller=seller, recourse="full")
        third = listed(session, face=2 * LAKH, ask=90_000_00, seller=seller, buyer=first.buyer, recourse="none")
    fund(market, investor, first, 1_50_000_00)
    with market.session() as session:
        [warning] = funding.quote(session, investor, second.invoice_id, None, NOW)["warnings"]
        assert warning.startswith("24.0 % of your money would stand with this seller")
        assert funding.quote(session, investor, third.invoice_id, None, NOW)["warnings"] == []


def test_what_is_missing_is_said_in_amounts_that_people_read(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        poor = person(session)
        give(session, poor, -(WELCOME - 1_250_00))
    for amount, needed in ((30_000_00, "30,000"), (90_000_00, "90,000")):
        words = rf"^you have ₹1,250\.00 to spend, and ₹{needed}\.00 are needed$"
        with pytest.raises(ledger.InsufficientFunds, match=words):
            fund(market, poor, offer, amount)


def test_a_quote_says_when_the_wallet_does_not_reach(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        poor = person(session)
        give(session, poor, -(WELCOME - 1_250_00))
        assert "You have ₹1,250.00 to spend." in funding.quote(session, poor, offer.invoice_id, None, NOW)["warnings"]


def test_the_parties_may_see_a_quote_and_strangers_may_not(market: Database) -> None:
    with market.session() as session:
        offer = listed(session)
        for who in (offer.seller, offer.buyer, person(session, Role.OPERATOR)):
            assert funding.quote(session, who, offer.invoice_id, None, NOW)["number"] == offer.number
        for who in (person(session, Role.SELLER), person(session, Role.BUYER)):
            with pytest.raises(NotFound):
                funding.quote(session, who, offer.invoice_id, None, NOW)


@pytest.mark.parametrize("amount", [0, -5, 90_000_01, 99])
def test_a_quote_refuses_what_funding_refuses(market: Database, amount: int) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        investor = person(session)
        with pytest.raises((Invalid, MoreThanRemaining)):
            funding.quote(session, investor, offer.invoice_id, amount, NOW)


def test_those_concerned_hear_of_it_in_the_same_transaction(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        one, two = person(session), person(session)
    fund(market, one, offer, 40_000_00)
    fund(market, two, offer, 50_000_00)
    with market.session() as session:
        [first, second] = [data for name, data in told(session, offer.seller) if name == "invoice.funded"]
        assert (first["amount"], first["remaining"], first["balance"]) == (40_000_00, 50_000_00, WELCOME)
        assert first["investor"] == {"id": str(one.id), "name": one.name}
        assert (second["amount"], second["remaining"], second["balance"]) == (50_000_00, 0, WELCOME + 90_000_00)
        made = [data for name, data in told(session, two) if name == "investment.made"]
        assert [(data["amount"], data["profit"], data["balance"]) for data in made] == [
            (50_000_00, 5_555_55, WELCOME - 50_000_00)
        ]
        # The first investor's wallet moved twice: held, then posted.
        moved = [data["balance"] for name, data in told(session, one) if name == "wallet.updated"]
        assert moved == [WELCOME, WELCOME - 40_000_00]
        assert [name for name, _ in told(session, one)].count("portfolio.updated") == 2
        offers = [
            (row.data["status"], row.data["remaining"])
            for row in session.execute(
                text("SELECT data FROM outbox WHERE room = 'marketplace' AND data->>'invoice_id' = :id ORDER BY id"),
                {"id": str(offer.invoice_id)},
            )
        ]
        assert offers == [("partially_funded", 50_000_00), ("settlement_pending", 0), ("funded", 0)]
        assert [name for name, _ in told(session, offer.seller)].count("notification.created") == 1


def test_every_move_is_recorded_with_who_made_it_and_what_was_posted(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        investor = person(session)
    fund(market, investor, offer, 90_000_00)
    with market.session() as session:
        rows = session.execute(
            text(
                "SELECT after, actor_id, transfer_id, kind FROM financing_moves LEFT JOIN ledger_transfers "
                "ON ledger_transfers.id = transfer_id WHERE financing_id = :id ORDER BY financing_moves.version"
            ),
            {"id": offer.financing_id},
        ).all()
        assert [(row.after, row.actor_id, row.kind) for row in rows] == [
            ("listed", offer.seller.id, None),
            ("settlement_pending", investor.id, None),
            ("funded", investor.id, "financing.settled"),
        ]
        noted = session.scalar(
            text("SELECT count(*) FROM audit_log WHERE action = 'investment.made' AND actor_id = :actor"),
            {"actor": investor.id},
        )
        assert noted == 1
        assert standing(session, offer).due_at is not None


def test_what_is_released_goes_back_whole(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        one, two = person(session), person(session)
    fund(market, one, offer, 30_000_00)
    fund(market, two, offer, 20_000_00)
    with market.session() as session:
        locked = standing(session, offer)
        emptied = funding.release(session, locked, NOW, reason="time is over")
        assert (emptied.state, emptied.placed_outlay, emptied.investors) == (State.PARTIALLY_FUNDED, 0, 0)
        again = funding.release(session, emptied, NOW, reason="time is over", to=State.EXPIRED, due_at=None)
        assert (again.state, again.placed_principal) == (State.EXPIRED, 0)
    with market.session() as session:
        assert spendable(session, one, two) == [WELCOME, WELCOME]
        assert [status for *_, status in slices(session, offer)] == ["voided", "voided"]
        assert any(name == "notification.created" for name, _ in told(session, one))
    check_books(market)


def test_what_waits_for_its_settlement_is_not_emptied_in_place(market: Database) -> None:
    with market.session() as session:
        offer = funded(session, rules=NEXT_DAY)
        waiting = standing(session, offer)
        with pytest.raises(ValueError, match="moved by the step"):
            funding.release(session, waiting, NOW, reason="no")


def one_deal(market: Database, face: int, rate: str, haircut: str, days: int, cuts: list[int], plan: str) -> int:
    """Quote and fund a listing in slices cut by weight; every line must be what was quoted. Returns the slices."""
    with market.session() as session:
        offer = listed(session, face=face, rate=rate, haircut=haircut, days=days, fee_plan=plan, min_slice=1)
        whole = standing(session, offer)
        assert whole.outlay is not None
        assert whole.principal is not None
        parts = [max(1, whole.outlay * cut // sum(cuts)) for cut in cuts[:-1]]
        parts.append(whole.outlay - sum(parts))
        if parts[-1] < 1:
            parts = [whole.outlay]
        investor = person(session)
        terms = funding.quote(session, investor, offer.invoice_id, None, NOW)
        shares: dict[str, int] = {"platform_fee": 0, "gst": 0}
        for place, part in enumerate(parts):
            quoted = funding.quote(session, investor, offer.invoice_id, part, NOW)
            made = funding.fund(session, investor, offer.invoice_id, part, NOW, rules=RULES)["investment"]
            assert (quoted["amount"], quoted["expected_return"], quoted["profit"]) == (
                made["amount"],
                made["expected_return"],
                made["profit"],
            )
            assert slices(session, offer)[place][:2] == (quoted["amount"], quoted["expected_return"])
            for line in quoted["fees"]:
                shares[line["code"]] += line["share"]
        posted = entries(session, offer)
        of = {(owner, purpose): 0 for owner, purpose, _ in posted}
        for owner, purpose, amount in posted:
            of[owner, purpose] += amount
        assert [amount for owner, _, amount in posted if owner == f"user:{investor.id}"] == [-part for part in parts]
        assert of[f"user:{offer.seller.id}", "wallet"] == terms["seller_receives"]
        assert of.get(("platform", "fees"), 0) == shares["platform_fee"] == whole.fee
        assert of.get(("platform", "gst"), 0) == shares["gst"] == whole.fee_tax
        assert of[f"financing:{offer.financing_id}", "escrow"] == 0
        assert sum(claim for _, claim, _ in slices(session, offer)) == whole.principal
    return len(parts)


@settings(max_examples=examples(15), deadline=None)
@given(
    face=st.integers(min_value=10_000, max_value=5 * LAKH),
    rate=st.decimals(min_value=0, max_value=60, places=4).map(lambda value: f"{value:f}"),
    haircut=st.decimals(min_value=0, max_value=60, places=2).map(lambda value: f"{value:f}"),
    days=st.integers(min_value=1, max_value=180),
    cuts=st.lists(st.integers(min_value=1, max_value=1000), min_size=1, max_size=5),
    plan=st.sampled_from(["none", "standard"]),
)
def test_what_is_quoted_is_what_is_written_and_posted(
    market: Database, face: int, rate: str, haircut: str, days: int, cuts: list[int], plan: str
) -> None:
    one_deal(market, face, rate, haircut, days, cuts, plan)


@pytest.mark.long
def test_what_is_quoted_is_what_is_posted_in_a_hundred_thousand_random_deals(market: Database) -> None:
    chance = random.Random(2_609)
    done = 0
    while done < 100_000:
        # Each slice is a deal of its own: quoted, written, and posted.
        done += one_deal(
            market,
            face=chance.randint(10_000, 9 * LAKH),
            rate=f"{chance.randint(0, 600_000) / 10_000:.4f}",
            haircut=f"{chance.randint(0, 60)}",
            days=chance.randint(1, 180),
            cuts=[chance.randint(1, 1000) for _ in range(chance.randint(1, 60))],
            plan=chance.choice(["none", "standard"]),
        )
    check_books(market)
