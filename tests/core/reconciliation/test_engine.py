"""The engine's rules, one by one, on books small enough to read."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.reconciliation import generator, measuring, names
from core.reconciliation import words as explain
from core.reconciliation.assign import assign
from core.reconciliation.engine import judge as judge_book
from core.reconciliation.features import Booked
from core.reconciliation.fingerprints import reference_key
from core.reconciliation.payers import identities
from core.reconciliation.weights import CURRENT
from tests.budget import examples
from tests.core.reconciliation.books import DUE, OWNER, bill, contact, judge, line, numbers


@pytest.mark.parametrize(
    ("narration", "how"),
    [
        pytest.param("NEFT CR-INV-2026-00042-X", "exact", id="as it is spelled"),
        pytest.param("inv/2026/42", "exact", id="other marks, no zeros"),
        pytest.param("PAYMENT INV202600042", "compact", id="no marks"),
        pytest.param("BILL 2026 42 PAID", "tail", id="without the letters"),
        pytest.param("plink_Abc123XYZ", "link", id="a payment link"),
        pytest.param("IRN 23f498ee12", "irn", id="the beginning of its IRN"),
    ],
)
def test_an_invoice_is_recognised_however_it_is_named(narration: str, how: str) -> None:
    invoice = bill(42, irn="23f498ee12" + "0" * 54, links=("plink_Abc123XYZ",))
    (found,) = judge([line(narration)], [invoice, bill(43, 50_000)])
    assert (numbers(found), found.features["reference_kind"]) == ([42], how)


@pytest.mark.parametrize(
    ("kept_back", "relation", "rate"),
    [
        pytest.param(0, "exact", None, id="all"),
        pytest.param(2_000, "tds_own", "2", id="the customer's own rate of the taxable value"),
        pytest.param(2_360, "tds_own", "2", id="of the whole"),
        pytest.param(10_000, "tds", "10", id="another rate of the law"),
        pytest.param(100, "tds", "0.1", id="the rate on goods"),
        pytest.param(590, "fee", None, id="a bank's charge"),
        pytest.param(60_000, "part", None, id="a part"),
        pytest.param(-1, "over", None, id="more"),
    ],
)
def test_the_amount_is_compared_with_all_that_is_expected(kept_back: int, relation: str, rate: str | None) -> None:
    given_contact = contact(rate="2")
    (found,) = judge(
        [line("INV-2026-00042", 118_000 - kept_back)], [bill(42, taxable=100_000)], contacts=[given_contact]
    )
    assert (found.features["amount"], found.features.get("tds_rate")) == (relation, rate)


def test_tax_explains_nothing_of_an_invoice_of_which_a_part_is_paid() -> None:
    (found,) = judge([line("INV-2026-00042", 49_000)], [bill(42, 50_000, total=118_000, taxable=100_000)])
    assert found.features["amount"] == "part"


@pytest.mark.parametrize(
    ("more", "tier", "stops"),
    [
        pytest.param({}, "sure", [], id="named and exact"),
        pytest.param({"payer": "Some Holding"}, "sure", [], id="from a stranger"),
        pytest.param({"payer": "Verma Steel"}, "suggested", ["payer"], id="from another customer"),
        pytest.param({"amount": 50_000}, "suggested", ["short"], id="a part"),
        pytest.param({"amount": 119_000}, "suggested", ["over"], id="too much"),
        pytest.param({"day": DUE + timedelta(days=91)}, "suggested", [], id="a day after the window"),
        pytest.param({"day": DUE + timedelta(days=90)}, "sure", [], id="the last day of the window"),
        pytest.param({"day": DUE - timedelta(days=31)}, "suggested", [], id="before the invoice was made"),
        pytest.param({"day": DUE - timedelta(days=30)}, "sure", [], id="the day it was made"),
    ],
)
def test_what_is_sure_and_what_stops_it(more: dict[str, object], tier: str, stops: list[str]) -> None:
    others = [contact(), contact(2, "Verma Steel")]
    (found,) = judge([line("INV-2026-00042", **more)], [bill(42)], contacts=others)  # type: ignore[arg-type]
    assert (found.tier, list(found.features["stops"])) == (tier, stops)


def test_a_review_that_holds_an_invoice_stops_it() -> None:
    (found,) = judge([line("INV-2026-00042")], [bill(42, stopped=True)])
    assert (found.tier, found.features["stops"]) == ("suggested", ["review"])


def test_one_who_paid_before_is_sure_without_any_number_and_a_like_name_is_not() -> None:
    narration = "NEFT CR-HDFC0001234-50100012345678-PAYMENT"
    seen = {identities(OWNER, narration, None)[0]: {contact().id: 3}}
    (known,) = judge([line(narration)], [bill(42)], remembered=seen)
    (like,) = judge([line("NEFT PAYMENT", payer="RAO TEXTILEZ PRIVATE LTD")], [bill(42)])
    (none,) = judge([line("NEFT PAYMENT", payer="QUICK LOANS")], [bill(42)])
    assert [one.tier for one in (known, like, none)] == ["sure", "suggested", "suspense"]
    assert none.alternatives[0]["numbers"] == ["INV-2026-00042"]


def test_an_account_that_two_customers_paid_from_tells_nobody() -> None:
    narration = "NEFT CR-HDFC0001234-50100012345678-PAYMENT"
    seen = {identities(OWNER, narration, None)[0]: {contact().id: 3, contact(2).id: 1}}
    (found,) = judge([line(narration)], [bill(42)], remembered=seen)
    assert found.tier == "suspense"


def test_customers_of_one_name_are_not_told_apart_by_it() -> None:
    twins = [contact(1), contact(2)]
    invoices = [bill(1, owner=twins[0]), bill(2, 50_000, owner=twins[1])]
    (found,) = judge([line("PAYMENT", payer="Rao Textiles Pvt Ltd")], invoices, contacts=twins)
    assert (found.tier, found.features.get("payer")) == ("suspense", None)


def test_a_number_one_character_off_is_recognised_by_its_payer_and_not_mistaken_for_anothers() -> None:
    other = contact(2, "Verma Steel")
    invoices = [bill(42), bill(24, 77_000, owner=other)]
    (found,) = judge([line("INV-2026-00024", payer="Rao Textiles Pvt Ltd")], invoices, contacts=[contact(), other])
    assert (numbers(found), found.features["reference_kind"]) == ([42], "near")


def test_a_number_that_is_open_no_more_makes_the_rest_unsure() -> None:
    (found,) = judge([line("INV-2026-00977", payer="Rao Textiles Pvt Ltd")], [bill(42)])
    assert found.tier == "suggested"


def test_the_whole_statement_decides_and_not_the_first_line() -> None:
    invoices = [bill(1), bill(2)]
    lines = [line("PAYMENT", place=1, payer="Rao Textiles Pvt Ltd"), line("INV-2026-00001", place=2)]
    found = judge(lines, invoices)
    assert [numbers(one) for one in found] == [[2], [1]]


def test_equal_amounts_of_one_payer_are_a_tie() -> None:
    (found,) = judge([line("MONTHLY", payer="Rao Textiles Pvt Ltd")], [bill(1), bill(2)])
    assert (found.tier, found.features["stops"], found.margin) == ("suggested", ["tie"], 0)
    assert len(found.alternatives) == 1


def test_a_date_alone_does_not_choose_between_equal_amounts() -> None:
    invoices = [bill(1), bill(2, due_date=DUE + timedelta(days=25))]
    (found,) = judge([line("MONTHLY", payer="Rao Textiles Pvt Ltd")], invoices)
    assert (numbers(found), found.tier, found.features["stops"]) == ([1], "suggested", ["margin"])


def test_several_that_are_named_and_add_up_are_sure_and_unnamed_ones_never() -> None:
    invoices = [bill(1, 30_000), bill(2, 45_000), bill(3, 7_000)]
    (named,) = judge([line("INV-2026-00001 INV-2026-00002", 75_000)], invoices)
    (silent,) = judge([line("PAYMENT", 75_000, payer="Rao Textiles Pvt Ltd")], invoices)
    assert [(one.tier, sorted(numbers(one))) for one in (named, silent)] == [("sure", [1, 2]), ("suggested", [1, 2])]
    assert "unnamed_sum" in silent.features["stops"]


def test_sums_are_looked_for_among_eight_invoices_and_no_more() -> None:
    eight = [bill(number, 10_000 + number) for number in range(1, 8)]
    ninth = bill(9, 19_000, due_date=DUE + timedelta(days=5))
    rao = "Rao Textiles Pvt Ltd"
    (found,) = judge([line("PAYMENT", 29_001, payer=rao)], [*eight, ninth])
    assert sorted(numbers(found)) == [1, 9]
    (missed,) = judge([line("PAYMENT", 29_001, payer=rao)], [*eight, bill(8, 10_008), ninth])
    assert missed.tier == "suspense"


def test_lines_that_name_one_invoice_and_add_up_to_it_share_it() -> None:
    lines = [line("INV-2026-00001", amount, place) for place, amount in enumerate((50_000, 40_000, 28_000))]
    found = judge(lines, [bill(1)])
    assert [(one.tier, one.features["amount"]) for one in found] == [("sure", "shares")] * 3
    short = judge(lines[:2], [bill(1)])
    assert [(one.tier, one.features["stops"]) for one in short] == [("suggested", ["short"])] * 2


def test_two_lines_that_pay_one_invoice_in_full_are_both_asked_about() -> None:
    lines = [line("INV-2026-00001", place=place) for place in (1, 2)]
    found = judge(lines, [bill(1)])
    assert [one.tier for one in found] == ["suggested", "suspense"]
    assert found[0].features["stops"] == ["tie"]


def test_parts_are_proposed_only_as_far_as_they_fit() -> None:
    lines = [line("INV-2026-00001", 70_000, place) for place in (1, 2)]
    assert [one.tier for one in judge(lines, [bill(1)])] == ["suggested", "suspense"]


@pytest.mark.parametrize(
    ("second", "duplicate"),
    [
        pytest.param({"reference": "HDFCN52026110000001", "source": "file"}, True, id="the same UTR elsewhere"),
        pytest.param(
            {"reference": "UTR: hdfcn52026110000001", "source": "file", "day": DUE + timedelta(days=3)}, True,
            id="dated three days later",
        ),
        pytest.param(
            {"reference": "HDFCN52026110000001", "source": "file", "day": DUE + timedelta(days=4)}, False,
            id="four days later",
        ),
        pytest.param({"reference": "HDFCN52026110000002", "source": "file"}, False, id="another UTR"),
        pytest.param({"reference": "HDFCN52026110000001", "amount": 118_001}, False, id="another amount"),
        pytest.param({"reference": "HDFCN52026110000001", "currency": "USD"}, False, id="another currency"),
        pytest.param({"reference": "CHQ 000123", "source": "file"}, False, id="a weak reference"),
    ],
)  # fmt: skip
def test_the_same_money_is_told_once(second: dict[str, object], duplicate: bool) -> None:
    first = line("INV-2026-00042", reference="HDFCN52026110000001")
    found = judge([first, line("BY TRANSFER", place=2, **second)], [bill(42)])  # type: ignore[arg-type]
    assert (found[1].kind == "duplicate") is duplicate
    assert (found[1].subject_id == first.id) is duplicate


def test_without_a_reference_the_second_of_one_source_is_the_second_of_the_other() -> None:
    words = "SWIGGY INSTAMART SETTLEMENT"
    lines = [line(words, 500, place, source=source) for place, source in enumerate("aabbb")]
    assert [one.kind == "duplicate" for one in judge(lines, [])] == [False, False, True, True, False]
    accounts = [line(words, 500, place, source=source, number_masked=source) for place, source in enumerate("ab")]
    assert [one.kind for one in judge(accounts, [])] == ["none", "none"]


def test_a_line_that_is_decided_is_the_one_that_stays() -> None:
    open_line = line("X", reference="HDFCN52026110000001", place=1)
    known = line("INV-2026-00042", reference="HDFCN52026110000001", place=2, source="file")
    (found,) = judge([open_line], [bill(42)], known=[known])
    assert (found.kind, found.subject_id) == ("duplicate", known.id)


@pytest.mark.parametrize("told", [{"reference": "HDFCN52026110000001"}, {}], ids=["by reference", "by words"])
def test_a_banks_line_stands_before_an_uploaded_one_whichever_came_first(told: dict[str, Any]) -> None:
    uploaded = line("BY TRANSFER RAO TEXTILES", place=1, source="file", word=True, **told)
    told_by_bank = line("BY TRANSFER RAO TEXTILES", place=2, **told)
    first, second = judge([uploaded, told_by_bank], [])
    assert ((first.kind, first.subject_id), second.kind) == (("duplicate", told_by_bank.id), "none")
    # What was decided on the uploaded one is the bank's line's, and what was decided on the bank's stays there.
    (heir,) = judge([told_by_bank], [bill(42)], known=[uploaded])
    assert (heir.kind, heir.subject_id, heir.targets) == ("heir", uploaded.id, ())
    (late,) = judge([uploaded], [bill(42)], known=[told_by_bank])
    assert (late.kind, late.subject_id) == ("duplicate", told_by_bank.id)
    third = line("BY TRANSFER RAO TEXTILES", place=3, source="other", **told)
    (twice,) = judge([third], [], known=[told_by_bank, uploaded])
    assert (twice.kind, twice.subject_id) == ("duplicate", told_by_bank.id)


@pytest.mark.parametrize(
    ("room", "word", "stops"),
    [(None, True, []), (118_000, True, []), (117_999, True, ["word"]), (0, True, ["word"]), (0, False, [])],
)
def test_an_uploaded_line_is_not_sure_where_investors_leave_words_no_room(
    room: int | None, word: bool, stops: list[str]
) -> None:
    (found,) = judge([line("INV-2026-00042", word=word)], [bill(42, words=room)])
    assert (found.tier, found.features["stops"]) == ("suggested" if stops else "sure", stops)
    assert all("repays nobody" in said for said in explain.stops(found.features))


@pytest.mark.parametrize(
    ("more", "kind", "tier"),
    [
        pytest.param({"reference": "HDFCN52026110000001"}, "payment", "sure", id="by reference"),
        pytest.param({"narration": "NEFT INV-2026-00007"}, "payment", "sure", id="by what it paid"),
        pytest.param({}, "payment", "suggested", id="by amount and day alone"),
        pytest.param({"day": DUE + timedelta(days=4)}, "none", "suspense", id="four days later"),
        pytest.param({"reference": "HDFCN52026110000009"}, "none", "suspense", id="another reference"),
    ],
)
def test_what_is_booked_already_is_linked(more: dict[str, object], kind: str, tier: str) -> None:
    booked = Booked(
        id=UUID(int=7), kind="payment", amount=118_000, currency="INR", day=DUE, reference="HDFCN52026110000001",
        keys=frozenset({"INV·2026·7"}),
    )  # fmt: skip
    given_line = {"narration": "NEFT PAYMENT", **more}
    (found,) = judge([line(**given_line)], [], booked=[booked])  # type: ignore[arg-type]
    assert (found.kind, found.tier) == (kind, tier)


def test_one_booking_is_one_line_and_two_that_fit_are_asked_about() -> None:
    booked = [Booked(id=UUID(int=place), kind="payment", amount=118_000, currency="INR", day=DUE) for place in (7, 8)]
    assert judge([line("NEFT PAYMENT")], [], booked=booked)[0].tier == "suspense"
    lines = [line("NEFT PAYMENT A", place=1), line("NEFT PAYMENT B", place=2)]
    assert [one.tier for one in judge(lines, [], booked=booked[:1])] == ["suspense", "suspense"]


def test_what_a_person_rejected_is_not_answered_and_what_they_took_back_is_never_sure() -> None:
    said, invoice = line("INV-2026-00042"), bill(42)
    (rejected,) = judge([said], [invoice], rejected=frozenset({(said.id, invoice.id)}))
    (undone,) = judge([said], [invoice], undone=frozenset({(said.id, invoice.id)}))
    assert (rejected.tier, undone.tier, undone.features["stops"]) == ("suspense", "suggested", ["undone"])


@settings(max_examples=examples(15), deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 10_000))
def test_the_order_of_lines_and_invoices_decides_nothing(chance: random.Random, seed: int) -> None:
    book, _ = generator.make(seed, 60, 150)
    lines, invoices = list(book.lines), list(book.invoices)
    chance.shuffle(lines)
    chance.shuffle(invoices)
    again = replace(book, lines=lines, invoices=invoices)
    assert judge_book(again) == judge_book(book)


@settings(max_examples=examples(50), deadline=None)
@given(st.dictionaries(st.integers(0, 7), st.dictionaries(st.integers(0, 5), st.integers(1, 100)), max_size=7))
def test_the_assignment_is_the_best_there_is(edges: dict[int, dict[int, int]]) -> None:
    def best(lines: list[int], free: frozenset[int]) -> int:
        if not lines:
            return 0
        first, *rest = lines
        return max(
            [best(rest, free)]
            + [worth + best(rest, free - {one}) for one, worth in edges[first].items() if one in free]
        )

    found = assign({one: {to: float(worth) for to, worth in row.items()} for one, row in edges.items()})
    assert len(set(found.values())) == len(found)
    assert sum(edges[one][to] for one, to in found.items()) == best(list(edges), frozenset(range(6)))


def test_a_large_tangle_is_solved_as_a_sparse_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    edges = {one: {chance.randrange(40): chance.random() + 0.1 for _ in range(4)} for one in range(60)}
    dense = assign(edges)
    monkeypatch.setattr("core.reconciliation.assign._DENSE_CELLS", 0)
    sparse = assign(edges)
    worth = [sum(edges[one][to] for one, to in found.items()) for found in (dense, sparse)]
    assert worth[0] == pytest.approx(worth[1], abs=1e-3)


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("UTR: HDFCN52026110312345", "HDFCN52026110312345"),
        ("432112345678", "432112345678"),
        ("CHQ 000123", None),
        ("PAYMENTFORGOODS", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_strong_reference_is_one_of_a_kind(reference: str | None, key: str | None) -> None:
    assert reference_key(reference) == key


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("Rao Textiles Pvt. Ltd.", "RAO TEXTILES PRIVATE LIMITED", 100, 100),
        ("M/s Rao & Sons", "RAO AND SONS", 100, 100),
        ("RAO TEXTILES INDU", "Rao Textiles Industries", 86, 100),
        ("RAO", "RAO TEXTILES", 0, 85),
        ("VERMA STEEL", "RAO TEXTILES", 0, 60),
        ("", "RAO", 0, 0),
    ],
)
def test_names_are_as_like_as_they_look(one: str, other: str, least: float, most: float) -> None:
    found = names.likeness(names.normal_name(one), names.normal_name(other))
    assert least <= found <= most


@given(st.text(max_size=400), st.text(max_size=60) | st.none())
@settings(deadline=None)
def test_any_text_at_all_is_judged(narration: str, payer: str | None) -> None:
    (found,) = judge([line(narration, payer=payer)], [bill(42), bill(43, 50_000)])
    assert found.tier in ("sure", "suggested", "suspense")


def test_the_promise_holds_on_a_made_up_statement() -> None:
    report = measuring.measure(20_261_121, 1_500, 6_000)
    assert (report.precision, report.double) == (1.0, 0), report.wrong
    assert report.coverage >= measuring.LEAST_COVERAGE
    assert report.suggested_precision >= 0.65
    assert set(report.kinds) == set(generator.KINDS)
    assert report.version == CURRENT.version
