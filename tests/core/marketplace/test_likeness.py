"""Fingerprints and likeness of invoices (marketplace rules 2.9), with the rule book's examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import new_id
from core.invoicing.references import number_key
from core.marketplace import duplicate_cases, fingerprints, likeness
from core.marketplace.fingerprints import Document
from core.marketplace.likeness import Sighting
from core.marketplace.series import Series
from core.taxids import DocumentKind, Party, gstin

KEY = fingerprints.key("planted-secret-key-0123456789abcdefghij")
SELLER = UUID(int=7)
ISSUED = date(2026, 11, 3)


def registered(state: str, pan: str) -> str:
    first = f"{state}{pan}1Z"
    return first + gstin.check_character(first)


ROYAL, DELHI = registered("27", "AAPFU0939F"), registered("07", "AAPFU0939F")
BUYER = registered("29", "AAFCC9980M")
ORIGINAL = Document(
    seller_id=SELLER,
    buyer_email="accounts@buyer.test",
    number="INV-0042",
    issued=ISSUED,
    amount=1_00_000_00,
    currency="INR",
    seller=Party(gstin=ROYAL),
    buyer=Party(gstin=BUYER),
    file_hashes=("AB" * 32,),
    references=("1234 5678 9012", "PO/77"),
)
# Nothing but the parties in common with the original.
OTHER = replace(
    ORIGINAL, number="INV-3177", issued=ISSUED + timedelta(days=3), amount=5_00_000_00, file_hashes=(), references=()
)


def seen(document: Document) -> Sighting:
    return Sighting(
        prints=fingerprints.of(document, KEY),
        amount=document.amount,
        currency=document.currency,
        issued=document.issued,
        id=new_id(),
    )


def levels(one: Document, two: Document) -> list[str]:
    found = likeness.compare(seen(one), seen(two))
    assert [hit.level for hit in likeness.compare(seen(two), seen(one))] == [hit.level for hit in found]
    return [hit.level for hit in found]


def test_the_rule_books_numbers_come_out() -> None:
    assert number_key("INV-0042") == number_key("inv/42") == "INV·42"
    assert number_key("INV 0042A") == "INV·42·A"
    assert likeness.number_distance("INV·42", "INV·42·A") == 1
    assert number_key("2026-27/42") != number_key("2026-2/742")
    assert likeness.number_distance(number_key("2026-27/42"), number_key("2026-2/742")) == 2


@pytest.mark.parametrize(
    ("one", "two", "changes"),
    [
        ("INV-42", "INV-43", 1),
        ("INV-42", "INV-24", 1),
        ("INV-42", "INV-142", 1),
        ("INV-42", "INV-42-COPY", 1),
        ("INV-42", "42", 1),
        ("INV-2026-42", "INV-42", 1),
        ("INV-1042", "INV-1O42", 0),
        ("INV-1242", "INV-I242", 0),
        ("INV-1242", "INV-I243", 1),
        ("INV-0042", "INV-OO42", 1),
        ("INV-42", "BILL-42", 2),
        ("INV-42", "INV-57", 2),
        ("INV-42", "INV-4711", 2),
        ("SI-42", "SI-57", 2),
    ],
)
def test_numbers_are_as_far_apart_as_people_would_say(one: str, two: str, changes: int) -> None:
    assert likeness.number_distance(number_key(one), number_key(two)) == changes
    assert likeness.number_distance(number_key(two), number_key(one)) == changes


@given(st.text("INVO01 -/29", max_size=12), st.text("INVO01 -/29", max_size=12))
def test_the_distance_is_none_of_equal_numbers_and_the_same_both_ways(one: str, two: str) -> None:
    left, right = number_key(one), number_key(two)
    assert likeness.number_distance(left, left) == 0
    assert likeness.number_distance(left, right) == likeness.number_distance(right, left) <= 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, ["E1", "E2"], id="again"),
        pytest.param({"number": "inv/42"}, ["E2"], id="the number written in another way"),
        pytest.param({"seller": Party(gstin=DELHI)}, ["E2"], id="from another state's registration"),
        pytest.param({"buyer": Party()}, ["E1", "E2"], id="to a buyer known by address alone"),
        pytest.param(
            {"seller": Party(pan="AAPFU0939F"), "seller_id": UUID(int=8)}, ["E2"], id="from another account of the PAN"
        ),
        pytest.param({"kind": DocumentKind.DEBIT_NOTE}, ["E2"], id="as a debit note"),
        pytest.param(
            {"amount": 2_00_000_00, "issued": ISSUED + timedelta(days=90)},
            ["E1", "E2"],
            id="with another amount and date",
        ),
    ],
)
def test_the_same_invoice_is_an_exact_duplicate_however_it_is_dressed(
    change: dict[str, Any], expected: list[str]
) -> None:
    hits = likeness.compare(seen(replace(ORIGINAL, **change)), seen(ORIGINAL))
    assert [hit.level for hit in hits] == expected
    assert {(hit.kind, hit.code) for hit in hits} == {("stop", "D1")}


def test_a_series_restarts_in_april() -> None:
    assert levels(replace(ORIGINAL, issued=date(2027, 4, 1), file_hashes=(), references=()), ORIGINAL) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, [], id="another invoice"),
        pytest.param({"amount": ORIGINAL.amount, "issued": ISSUED}, ["N1"], id="same amount and date"),
        pytest.param({"amount": ORIGINAL.amount, "number": "INV-0042A"}, ["N2"], id="a letter more"),
        pytest.param({"amount": 1_01_000_00, "number": "INV-0042A"}, ["N2"], id="a letter more, not quite 1 % more"),
        pytest.param({"amount": 1_01_010_11, "number": "INV-0042A"}, [], id="more than 1 %"),
        pytest.param(
            {"amount": ORIGINAL.amount, "number": "INV-0042A", "issued": ISSUED + timedelta(days=30)},
            ["N2"],
            id="day 30",
        ),
        pytest.param(
            {"amount": ORIGINAL.amount, "number": "INV-0042A", "issued": ISSUED + timedelta(days=31)}, [], id="day 31"
        ),
        pytest.param({"amount": ORIGINAL.amount, "number": "INV-0042A", "currency": "USD"}, [], id="another currency"),
        pytest.param({"file_hashes": ("ab" * 32,)}, ["N3"], id="the same file"),
        pytest.param({"references": ("123456789012",)}, ["N4"], id="the same e-way bill"),
        pytest.param({"references": ("po 077",)}, [], id="another part of the same order"),
        pytest.param({"references": ("po 077",), "amount": ORIGINAL.amount}, ["N4"], id="the same order and amount"),
        pytest.param({"amount": ORIGINAL.amount, "number": "INV-0041"}, ["N2"], id="numbers fall while dates rise"),
        pytest.param({"amount": ORIGINAL.amount, "number": "INV-0043"}, ["N2"], id="the next number, days later"),
        pytest.param(
            {"amount": ORIGINAL.amount, "number": "INV-0043", "issued": ISSUED + timedelta(days=7)},
            [],
            id="the next number, a week later: a standing order",
        ),
        pytest.param(
            {"amount": ORIGINAL.amount, "number": "INV-0142", "issued": ISSUED + timedelta(days=7)},
            ["N2"],
            id="a hundred numbers in a week are no standing order",
        ),
    ],
)
def test_a_near_duplicate_is_reviewed_and_an_honest_habit_is_not(
    change: dict[str, Any], expected: Sequence[str]
) -> None:
    found = replace(OTHER, **change)
    assert levels(found, ORIGINAL) == expected
    assert {hit.kind for hit in likeness.compare(seen(found), seen(ORIGINAL))} <= {"review"}


def test_another_buyer_is_another_invoice() -> None:
    elsewhere = replace(
        ORIGINAL,
        buyer=Party(gstin=registered("33", "AAFCB1111M")),
        buyer_email="till@other.test",
        file_hashes=(),
        references=("PO/77",),
    )
    # The supplier's own number stays taken, and that is all.
    assert levels(elsewhere, ORIGINAL) == ["E1"]
    assert levels(replace(elsewhere, number="INV-0042A"), ORIGINAL) == []


def test_without_tax_numbers_the_accounts_stand_for_the_parties() -> None:
    plain = replace(ORIGINAL, seller=Party(), buyer=Party())
    assert levels(plain, plain) == ["E1", "E2"]
    assert levels(plain, replace(plain, seller_id=UUID(int=8), file_hashes=(), references=())) == []


def test_a_pan_that_becomes_known_later_does_not_hide_what_came_before() -> None:
    before = replace(ORIGINAL, seller=Party(), buyer=Party())
    assert levels(ORIGINAL, before) == ["E1", "E2"]
    assert levels(replace(OTHER, amount=ORIGINAL.amount, issued=ISSUED), before) == ["N1"]


def test_another_secret_makes_other_tokens_and_none_is_readable() -> None:
    mine, theirs = fingerprints.of(ORIGINAL, KEY), fingerprints.of(ORIGINAL, fingerprints.key("another" * 8))
    assert not mine.tokens & theirs.tokens
    assert not set(mine.references) & set(theirs.references)
    assert b"AAPFU0939F" not in b"".join(mine.tokens)
    assert "12345678" not in "".join(mine.references)
    assert fingerprints.key("a") != fingerprints.key("b")
    assert len(fingerprints.key("a")) == 32


def test_fields_do_not_run_into_each_other() -> None:
    one = replace(ORIGINAL, seller=Party(), buyer=Party(), buyer_email="a@b", number="1")
    two = replace(one, buyer_email="a@b1", number="")
    assert not fingerprints.of(one, KEY).tokens & fingerprints.of(two, KEY).tokens - {fingerprints.of(one, KEY).e1}
    assert fingerprints.of(one, KEY).e2 != fingerprints.of(two, KEY).e2


def _known(*points: tuple[str, int]) -> Series:
    return Series([(number_key(number), ISSUED + timedelta(days=days)) for number, days in points])


# A supplier with many customers: ten numbers a week.
BUSY = _known(*((f"INV-{40 + 10 * week:04d}", 7 * week) for week in range(-3, 5)))


@pytest.mark.parametrize(
    ("number", "days", "expected"),
    [
        pytest.param("INV-0052", 8, [], id="where the series would have it"),
        pytest.param("INV-0052", 1, ["N2"], id="ahead of its series"),
        pytest.param("INV-0052", 25, ["N2"], id="behind its series"),
        pytest.param("INV-0142", 30, ["N2"], id="further than the supplier ever came"),
    ],
)
def test_a_series_tells_the_next_invoice_from_a_mistyped_one(number: str, days: int, expected: list[str]) -> None:
    later = replace(OTHER, number=number, amount=ORIGINAL.amount, issued=ISSUED + timedelta(days=days))
    assert [hit.level for hit in likeness.compare(seen(later), seen(ORIGINAL), BUSY)] == expected


def test_a_number_that_is_given_out_is_nobodys_next() -> None:
    assert BUSY.expects("INV·51", 1, ISSUED + timedelta(days=8))
    assert not BUSY.expects("INV·50", 1, ISSUED + timedelta(days=8))


def test_a_series_of_which_little_is_known_says_nothing() -> None:
    few = _known(("INV-0010", -9), ("INV-0020", -6), ("INV-0030", -3), ("BILL-0035", -2))
    assert few.expects("INV·42", 1, ISSUED) is None
    assert _known(("INV-0010", -9), ("INV-0020", -6), ("INV-0030", -3), ("INV-0035", -2)).expects("INV·42", 1, ISSUED)


def test_the_labelled_cases_keep_the_promise() -> None:
    """Exact 100 %, near at least 95 % with at most 1 % of honest invoices reviewed and none refused."""
    found = duplicate_cases.measure(seed=1, suppliers=4, copies=40)
    assert found.clean > 1000
    assert found.share(duplicate_cases.EXACT) == 1
    assert found.share(duplicate_cases.NEAR) >= 0.95
    assert found.alarms_per_thousand <= 10
    assert found.stops == 0
    # Each level found something: a level that is never needed would be no level.
    assert set(found.by_level) == {"E1", "E2", "N1", "N2", "N3", "N4"}
    # What is known not to be told apart is measured as well, and not counted in.
    assert set(found.planted) == set(duplicate_cases.EXACT | duplicate_cases.NEAR | duplicate_cases.BEYOND)


def test_the_same_seed_gives_the_same_cases() -> None:
    assert duplicate_cases.measure(seed=5, suppliers=1, copies=3) == duplicate_cases.measure(
        seed=5, suppliers=1, copies=3
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 7))
def test_the_labelled_cases_of_other_seeds_keep_it_too(seed: int) -> None:
    found = duplicate_cases.measure(seed=seed)
    assert (found.share(duplicate_cases.EXACT), found.stops) == (1, 0)
    assert found.share(duplicate_cases.NEAR) >= 0.95
    assert found.alarms_per_thousand <= 10
