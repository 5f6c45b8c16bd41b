"""Tests have teeth: one line of the marketplace at a time is spoiled, and the test that is named for it must fail.

They run on a database without the marketplace's own guards, so that nothing but the test can notice.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.errors import Invalid, PlatformError
from core.marketplace import (
    admission,
    auction,
    bidding,
    closing,
    funding,
    limits,
    pricing,
    promises,
    quotes,
    settlement,
    states,
)
from core.marketplace.refusals import MoreThanRemaining, NotOnOffer, OwnInvoice
from core.marketplace.rounding import half_up
from core.marketplace.states import State
from tests.budget import left_to_long
from tests.builders import NOW
from tests.conftest import Servers
from tests.core.marketplace import test_bidding, test_funding, test_races, test_settlement
from tests.core.marketplace.builders import faults
from tests.standing import standing_database

Patch = pytest.MonkeyPatch
Caught = Callable[[Database, Patch], None]
# What a test that fails raises: pytest's own "did not raise" is no Exception.
CAUGHT = (AssertionError, pytest.fail.Exception, DBAPIError, PlatformError)

_OPENED = """
    ALTER TABLE financings DISABLE TRIGGER financings_are_sum;
    ALTER TABLE financings DISABLE TRIGGER financings_escrow;
    ALTER TABLE financings DISABLE TRIGGER financings_move;
    ALTER TABLE financings DROP CONSTRAINT financings_placed_within_principal;
    ALTER TABLE financings DROP CONSTRAINT financings_funded_in_full;
    ALTER TABLE investments DISABLE TRIGGER investments_fit;
    ALTER TABLE investments DROP CONSTRAINT investments_financing_id_sequence_key;
    ALTER TABLE bids DROP CONSTRAINT bids_financing_id_sequence_key;
"""


@pytest.fixture(scope="module")
def believing(servers: Servers, template_database: str) -> Iterator[Database]:
    """A database in which the marketplace guards nothing; the ledger's guards stand."""
    with standing_database(servers, template_database) as address:
        made = Database("postgresql+psycopg://" + address.split("://", 1)[1], pool_size=24)
        with made.connect() as connection:
            connection.exec_driver_sql(_OPENED)
        yield made
        made.dispose()


@dataclass(frozen=True, slots=True)
class Defect:
    """A line, spoiled, and the test that catches it."""

    name: str
    plant: Callable[[Patch], None]
    caught_by: Caught


def spoil(function: Callable[..., Any], old: str, new: str) -> Callable[[Patch], None]:
    """Put `new` in the place of `old` in a function, for everybody who calls it."""

    def plant(patch: Patch) -> None:
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        assert old in source, f"{function.__name__} has changed: {old!r}"
        made: dict[str, Any] = {}
        # With annotations as text, as the module has them.
        code = compile("from __future__ import annotations\n" + source.replace(old, new), function.__name__, "exec")
        exec(code, function.__globals__, made)
        patch.setattr(function, "__code__", made[function.__name__].__code__)

    return plant


def _rounded_twice(patch: Patch) -> None:
    def claim(self: pricing.Slices, outlay: int) -> int:
        if outlay > self.outlay_left:
            raise Invalid("amount", "is too much")
        return half_up(Fraction(outlay * self.principal, self.principal - self.discount))

    patch.setattr(pricing.Slices, "claim_for", claim)


def refused(prepare: Any, amount: int, refusal: type[PlatformError]) -> Caught:
    return lambda market, _: test_funding.test_a_refusal_has_a_name_and_moves_nothing(
        market, prepare, amount, refusal, refusal.code
    )


def alone(test: Callable[[Database], None]) -> Caught:
    return lambda market, _: test(market)


DEFECTS = [
    Defect(
        "the invoice and its financing are not locked",
        spoil(states.lock_many, " FOR UPDATE", ""),
        alone(test_races.test_slices_of_every_size_at_once_fill_a_listing_exactly),
    ),
    Defect(
        "an investor's caps are read without a lock",
        spoil(limits.of, '" FOR UPDATE"', '""'),
        alone(test_races.test_an_own_cap_holds_against_two_amounts_at_once),
    ),
    Defect(
        "what is left is not looked at",
        spoil(quotes.check_slice, "if amount > remaining:", "if False:"),
        refused(test_funding.nothing, 90_000_01, MoreThanRemaining),
    ),
    Defect(
        "the parties may fund their own invoice",
        spoil(admission.check_parties, "if actor.id in parties or", "if False and"),
        refused(test_funding.own_by_account, 100_00, OwnInvoice),
    ),
    Defect(
        "a shared PAN is not noticed",
        spoil(admission.check_parties, "shared = any(kyc", "shared = False and any(kyc"),
        refused(test_funding.own_by_pan_of("buyer"), 100_00, OwnInvoice),
    ),
    Defect(
        "an offer that has closed is open",
        spoil(admission._open, "now >= financing.closes_at", "now < financing.closes_at"),
        refused(test_funding.set_terms(closes_at=NOW), 100_00, NotOnOffer),
    ),
    Defect(
        "half of a slice is held",
        spoil(promises.hold, "amount=amount", "amount=amount // 2"),
        alone(test_funding.test_a_slice_is_a_hold_until_the_last_one_fills_the_listing),
    ),
    Defect(
        "each claim is rounded by itself",
        _rounded_twice,
        alone(test_funding.test_the_claims_of_many_slices_add_up_to_the_principal),
    ),
    Defect(
        "the seller is paid without the fee's tax being taken",
        spoil(settlement.transfer, "price.fee_tax),", "0),"),
        alone(test_funding.test_the_journal_of_the_worked_example_is_right_to_the_paisa),
    ),
    Defect(
        "duplicates are not looked for when the target is met",
        spoil(funding._place, "if full:", "if False:"),
        test_settlement.test_a_duplicate_is_found_at_the_instant_the_last_slice_is_bought,
    ),
    Defect(
        "nothing is looked at again when it settles",
        spoil(settlement.settle, "        check_again(session, financing, rules)", "        pass"),
        lambda market, patch: test_settlement.test_what_must_not_settle_goes_back_whole(
            market, test_settlement.stopped, State.LISTED, patch
        ),
    ),
    Defect(
        "it settles before its day",
        spoil(settlement.settle, "if financing.settle_on > today(now):", "if False:"),
        alone(test_settlement.test_it_settles_on_its_day_and_not_a_second_before),
    ),
    Defect(
        "it settles twice",
        spoil(settlement.settle, "if financing.state is not State.SETTLEMENT_PENDING or", "if"),
        alone(test_settlement.test_it_settles_once_however_often_the_clock_rings),
    ),
    Defect(
        "losers keep their holds",
        spoil(closing._award, "work += [Release(row.hold_id) for row in lost]", "work += []"),
        alone(test_bidding.test_a_loser_has_everything_back_and_hears_of_it),
    ),
    Defect(
        "of equal rates the later wins",
        spoil(auction._filled, "(each.rate, each.sequence)", "(each.rate, -each.sequence)"),
        alone(test_bidding.test_of_equal_rates_the_earlier_bid_wins),
    ),
    Defect(
        "a bid that leads may go to the last",
        spoil(bidding.withdraw_bid, "now >= financing.closes_at - FIRM and", "False and"),
        alone(test_bidding.test_in_the_last_ten_minutes_a_bid_that_leads_stays_and_others_may_go),
    ),
    Defect(
        "an auction without enough bids is awarded",
        spoil(closing._why_not, "if clearing.shortfall:", "if False:"),
        alone(test_bidding.test_bids_that_do_not_reach_the_target_finance_nothing),
    ),
    Defect(
        "what is released forgets the bids",
        spoil(promises.release, "*(bid.hold_id for bid in bids)", ""),
        alone(test_bidding.test_bids_that_do_not_reach_the_target_finance_nothing),
    ),
    Defect(
        "what is released keeps its sums",
        spoil(promises.release, "elif slices:", "elif False:"),
        alone(test_funding.test_what_is_released_goes_back_whole),
    ),
]
EACH = left_to_long([pytest.param(defect, id=defect.name) for defect in DEFECTS], 7)


@pytest.mark.parametrize("defect", EACH)
def test_the_test_that_is_named_for_a_defect_catches_it(
    defect: Defect, believing: Database, monkeypatch: Patch
) -> None:
    # What another defect left behind is no news.
    before = faults(believing)

    def look(database: Database) -> None:
        assert faults(database) == before

    for module in (test_bidding, test_funding, test_settlement):
        monkeypatch.setattr(module, "check_books", look)
    with monkeypatch.context() as patch:
        defect.caught_by(believing, patch)
    with monkeypatch.context() as patch:
        defect.plant(patch)
        with pytest.raises(CAUGHT):
            defect.caught_by(believing, patch)
