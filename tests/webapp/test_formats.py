"""Codes of the books as people read them."""

from __future__ import annotations

import pytest

from webapp.pages.format import changed_value, exchange_rate, field_words, method
from webapp.pages.payments import METHODS


@pytest.mark.parametrize(
    ("code", "said"), [*METHODS.items(), ("sepa_debit", "SEPA debit"), ("netbanking", "Netbanking")]
)
def test_a_way_to_pay_is_spelled_alike_wherever_it_stands(code: str, said: str) -> None:
    assert method(code) == said


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("84.050000000000", "84.05"),
        ("57.255761074430", "57.255761"),
        ("0.061400175300", "0.0614002"),
        ("100", "100"),
        ("0.000012345678", "0.0000123457"),
    ],
)
def test_an_exchange_rate_is_shown_to_six_digits_at_least(kept: str, said: str) -> None:
    assert exchange_rate(kept) == said


def test_a_field_that_somebody_else_changed_is_named_as_the_form_names_it() -> None:
    assert [field_words(name) for name in ("payment_days", "tds_rate", "gstin", "due_date")] == [
        "Days to pay",
        "Tax they keep back",
        "GSTIN",
        "Due date",
    ]


def test_a_stage_that_changed_is_named_as_its_badge_is() -> None:
    assert [changed_value(stage, "stage", "INR") for stage in ("draft", "partial", None)] == [
        "Draft",
        "Part paid",
        "nothing",
    ]
