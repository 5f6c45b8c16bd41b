"""Tests of repayment have teeth: one line at a time is spoiled, and the test that is named for it must fail.

They run on a database without the marketplace's own guards, so that nothing but the test can notice. Without a defect
they pass there too: the code alone keeps the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from core import intake
from core.marketplace import receipts, repayment_posting, repayment_rows, repayments, watch
from core.marketplace.states import State
from core.marketplace.waterfall import Recourse
from core.payments import adopt
from core.payments import apply as payments
from core.reconciliation import decisions
from tests.budget import left_to_long
from tests.builders import NOW, Clockwork, worker
from tests.core.marketplace import deals, test_clock, test_repayments
from tests.core.marketplace.test_planted_defects import CAUGHT, spoil

Patch = pytest.MonkeyPatch
Caught = Callable[[Clockwork], None]

_OPENED = """
    ALTER TABLE financings DISABLE TRIGGER financings_are_sum;
    ALTER TABLE financings DISABLE TRIGGER financings_escrow;
    ALTER TABLE financings DISABLE TRIGGER financings_move;
    ALTER TABLE financings DISABLE TRIGGER financings_repaid_is_sum;
    ALTER TABLE financings DROP CONSTRAINT financings_repaid_in_full;
    ALTER TABLE investments DISABLE TRIGGER investments_fit;
    ALTER TABLE investments DROP CONSTRAINT investments_repaid_in_full;
    ALTER TABLE repayments DISABLE TRIGGER repayments_fit;
    ALTER TABLE repayments DISABLE TRIGGER repayments_keep;
    DROP INDEX repayments_once;
"""


@pytest.fixture(scope="module")
def believing(file_database_url: str) -> Iterator[Clockwork]:
    """A worker whose database guards nothing of the marketplace; the ledger's guards stand."""
    with worker(file_database_url) as parts:
        with parts.database.connect() as connection:
            connection.exec_driver_sql(_OPENED)
        yield parts


def of_deal(test: Callable[..., None], *given: Any) -> Caught:
    """A test of the worked example's deal."""
    return lambda context: test(deals.make(context), *given)


def of_clock(test: Callable[[Clockwork], None]) -> Caught:
    """A test of the clock, for which nothing else is due."""

    def run(context: Clockwork) -> None:
        deals.run(context, "UPDATE financings SET due_at = NULL")
        try:
            test(context)
        finally:
            context.moment[0] = NOW

    return run


def _a_hint_counts(patch: Patch) -> None:
    patch.setattr(repayments, "_MONEY", text(str(repayments._MONEY).replace("AND trust <> 'hint'", "")))


def _a_repurchase_is_collected(patch: Patch) -> None:
    sums = repayment_rows.Desk.sums

    def spoiled(desk: repayment_rows.Desk) -> dict[str, Any]:
        found: dict[str, Any] = sums.__get__(desk)
        return {**found, "collected": sum(row.amount for row in desk.wanted)}

    patch.setattr(repayment_rows.Desk, "sums", property(spoiled))


LATE = test_repayments.test_the_worked_rows_to_the_paisa
DEFECTS: list[tuple[str, Callable[[Patch], None], Caught]] = [
    (
        "lateness costs nothing",
        spoil(receipts.divide, "day = today(receipt.paid_at)", "day = terms.due"),
        of_deal(LATE, 5_00_000_00, 15, 2_958_90, 4_00_000_00, 97_041_10, State.REPAID),
    ),
    (
        "the seller comes before the investors",
        spoil(receipts._receive, "principal=owed.principal, seller=reserve", "principal=0, seller=reserve"),
        of_deal(LATE, 3_50_000_00, 15, 2_958_90, 3_47_041_10, 0, State.PART_PAID),
    ),
    (
        "receipts are divided in the order of their news",
        spoil(receipts.divide, "sorted(receipts, key=lambda one: (one.paid_at, one.name, one.payment_id))", "receipts"),
        of_deal(test_repayments.test_a_payment_told_late_goes_first_when_it_was_paid_first),
    ),
    (
        "a surplus is the platform's",
        spoil(
            repayment_posting.receive,
            "ledger.unapplied(case.payer, case.currency)",
            "ledger.platform(Purpose.FEES, case.currency)",
        ),
        of_deal(test_repayments.test_what_is_paid_above_all_that_is_owed_is_the_payers_and_never_income),
    ),
    (
        "what is paid above the face leaves the reserve to bear the lateness",
        spoil(receipts._receive, "max(0, sums.received - terms.total)", "0"),
        of_deal(test_repayments.test_what_is_paid_above_the_invoice_bears_the_lateness_before_the_reserve_does),
    ),
    (
        "the reserve bears lateness whatever was agreed",
        lambda patch: patch.setattr(Recourse, "reserve_bears_lateness", property(lambda _: True)),
        test_repayments.test_without_recourse_the_reserve_bears_no_lateness,
    ),
    (
        "another currency repays",
        spoil(repayments._receipts, "if row.currency == financing.currency:", "if True:"),
        of_deal(test_repayments.test_another_currency_and_a_hint_repay_nothing),
    ),
    (
        "a hint repays",
        _a_hint_counts,
        of_deal(test_repayments.test_another_currency_and_a_hint_repay_nothing),
    ),
    (
        "what went back stays with the investors",
        spoil(repayments.repay, "for row in desk.undone:", "for row in ():"),
        of_deal(test_repayments.test_money_that_goes_back_is_taken_back_once_and_what_is_left_divided_again),
    ),
    (
        "what was repaid stays repaid",
        spoil(repayments.standing, "== financing.principal:", "== financing.principal or financing.repaid_principal:"),
        of_deal(test_repayments.test_money_that_goes_back_is_taken_back_once_and_what_is_left_divided_again),
    ),
    (
        "a claim of the platform is not paid off first",
        spoil(repayment_posting._credit, "max(0, -till.balance(claim))", "0"),
        test_repayments.test_what_was_spent_in_between_is_claimed_and_paid_off_by_what_comes_next,
    ),
    (
        "held money counts as there",
        spoil(repayment_posting.Till.available, " - self.held.get(account.id, 0)", ""),
        test_repayments.test_money_held_for_something_else_is_not_taken,
    ),
    (
        "an invoice that is paid stays on offer",
        spoil(repayments.collect, "and money[financing.id]:", "and False:"),
        lambda context: (
            test_repayments.test_money_that_comes_before_investors_paid_takes_the_invoice_off_the_marketplace(
                context, State.LISTED
            )
        ),
    ),
    (
        "webhooks repay nobody",
        spoil(intake.apply, "repayments.collect(connection, outcome, now, calendar)", "pass"),
        of_deal(LATE, 5_00_000_00, 0, 0, 4_00_000_00, 1_00_000_00, State.REPAID),
    ),
    (
        "a match repays nobody",
        spoil(decisions._finish, "repayments.collect(connection, outcome, now, calendar)", "pass"),
        of_deal(test_repayments.test_a_bank_transaction_that_is_matched_repays_and_unmatching_takes_it_back),
    ),
    (
        "an undone match takes nothing back",
        spoil(decisions._finish, "repayments.collect(connection, outcome, now, calendar)", "pass"),
        of_deal(test_repayments.test_a_bank_transaction_that_is_matched_repays_and_unmatching_takes_it_back),
    ),
    (
        "a payment that waited repays nobody",
        spoil(adopt._settle, "repayments.collect(connection, outcome, now, calendar)", "pass"),
        of_deal(test_repayments.test_a_payment_that_waited_for_its_invoice_repays_when_they_meet),
    ),
    (
        "an invoice that a payment leaves is forgotten",
        spoil(payments.settle, "in before[identity].union(state.names):", "in state.names:"),
        of_deal(test_repayments.test_a_payment_that_turns_out_to_pay_another_invoice_leaves_this_one),
    ),
    (
        "money counts from when it was told",
        spoil(repayment_posting.receive, "effective_at=row.receipt.paid_at", "effective_at=None"),
        of_deal(test_repayments.test_every_row_of_the_books_says_where_the_money_came_from_and_from_when_it_counts),
    ),
    (
        "a posting does not say which event it came from",
        spoil(repayment_posting.receive, "event_id=event_id", "event_id=None"),
        of_deal(test_repayments.test_every_row_of_the_books_says_where_the_money_came_from_and_from_when_it_counts),
    ),
    (
        "a repurchase counts as the buyer's",
        _a_repurchase_is_collected,
        of_clock(test_clock.test_full_recourse_takes_what_the_seller_has_and_claims_the_rest),
    ),
    (
        "a seller with full recourse buys nothing back",
        spoil(watch._default, "if full else moved", "if False else moved"),
        of_clock(test_clock.test_full_recourse_takes_what_the_seller_has_and_claims_the_rest),
    ),
    (
        "the clock does not look again under the lock",
        spoil(watch.look, "financing.due_at is None or financing.due_at > now", "False"),
        of_clock(test_clock.test_a_worker_that_comes_late_to_what_was_due_finds_it_done),
    ),
    (
        "holidays are not kept",
        spoil(watch._look, "wanted is None or wanted > now", "wanted is None"),
        of_clock(test_clock.test_holidays_of_the_installation_lengthen_the_grace),
    ),
]
EACH = left_to_long([pytest.param(plant, caught_by, id=name) for name, plant, caught_by in DEFECTS], 8)


@pytest.mark.parametrize(("plant", "caught_by"), EACH)
def test_the_test_that_is_named_for_a_defect_catches_it(
    believing: Clockwork, monkeypatch: Patch, plant: Callable[[Patch], None], caught_by: Caught
) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        # A row too many or too few is a ValueError where a test takes them apart.
        with pytest.raises((*CAUGHT, ValueError)):
            caught_by(believing)
    deals.run(believing, "DELETE FROM event_queue")


@pytest.mark.long
def test_the_code_alone_passes_them_all(believing: Clockwork) -> None:
    for _, _, test in DEFECTS:
        test(believing)
    test_repayments.test_any_order_of_arrival_and_any_repetition_ends_as_the_order_of_the_money(believing)
    test_repayments.test_many_workers_at_once_take_a_payment_and_its_refund_in_once(believing)
