"""What an invoice comes to, to the paisa."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.invoicing.inputs import MAX_ITEMS, check_items
from core.invoicing.totals import Basis, NewItem, compute, line, summary
from core.money import MAX_MINOR
from core.taxids.tax import TaxedLine, split
from core.taxids.tax import check as check_taxes

items = st.builds(
    NewItem,
    description=st.just("Tea"),
    quantity=st.decimals("0.000001", "99999", places=6),
    unit_price=st.integers(0, 10**9),
    tax_rate=st.decimals("0", "100", places=4),
    discount_rate=st.decimals("0", "100", places=4),
    hsn=st.sampled_from(["", "5208", "998311"]),
)
states = st.sampled_from(["27", "29", "33"])
bases = st.one_of(
    st.builds(Basis, currency=st.sampled_from(["INR", "JPY", "KWD"]), round_total=st.booleans()),
    st.builds(
        Basis,
        currency=st.just("INR"),
        regime=st.just("gst"),
        supplier_state=states,
        place_of_supply=states,
        reverse_charge=st.booleans(),
        round_total=st.booleans(),
    ),
)
INSIDE = Basis(currency="INR", regime="gst", supplier_state="27", place_of_supply="27")
ACROSS = Basis(currency="INR", regime="gst", supplier_state="27", place_of_supply="29")


def item(price: int, rate: str = "0", *, quantity: str = "1", discount: str = "0", hsn: str = "") -> NewItem:
    return NewItem(
        description="Tea",
        quantity=Decimal(quantity),
        unit_price=price,
        tax_rate=Decimal(rate),
        discount_rate=Decimal(discount),
        hsn=hsn,
    )


def half_up(value: Fraction) -> int:
    return int((value + Fraction(1, 2)).__floor__())


@given(items, bases)
def test_every_amount_of_a_line_is_rounded_half_up_once(one: NewItem, basis: Basis) -> None:
    amounts = line(one, basis)
    assert amounts.gross == half_up(Fraction(one.quantity) * one.unit_price)
    assert amounts.discount == half_up(amounts.gross * Fraction(one.discount_rate) / 100)
    assert amounts.net == amounts.gross - amounts.discount
    if basis.regime == "plain":
        assert amounts.tax == half_up(amounts.net * Fraction(one.tax_rate) / 100)
        assert (amounts.cgst, amounts.sgst, amounts.igst) == (0, 0, 0)
    elif basis.supplier_state == basis.place_of_supply:
        assert amounts.cgst == amounts.sgst == half_up(amounts.net * Fraction(one.tax_rate) / 200)
        assert (amounts.igst, amounts.tax) == (0, 2 * amounts.cgst)
    else:
        assert amounts.igst == amounts.tax == half_up(amounts.net * Fraction(one.tax_rate) / 100)
        assert (amounts.cgst, amounts.sgst) == (0, 0)


@given(st.lists(items, min_size=1, max_size=12), bases)
def test_sums_are_those_of_the_lines_to_the_paisa(lines: list[NewItem], basis: Basis) -> None:
    totals = compute(lines, basis)
    for name in ("gross", "discount", "cgst", "sgst", "igst"):
        assert getattr(totals, name) == sum(getattr(each, name) for each in totals.lines), name
    assert totals.subtotal == sum(each.net for each in totals.lines) == totals.gross - totals.discount
    assert totals.tax_shown == sum(each.tax for each in totals.lines)
    assert totals.tax == (0 if basis.reverse_charge else totals.tax_shown)
    assert totals.total == totals.subtotal + totals.tax + totals.rounding
    unit = {"INR": 100, "JPY": 1, "KWD": 1000}[basis.currency]
    assert abs(totals.rounding) * 2 <= unit
    assert totals.total % unit == 0 if basis.round_total else totals.rounding == 0
    for sums in (totals.by_rate, totals.by_hsn):
        assert sum(each.taxable for each in sums) == totals.subtotal
        assert sum(each.tax for each in sums) == totals.tax_shown
        assert sum(each.cgst + each.sgst + each.igst for each in sums) == totals.cgst + totals.sgst + totals.igst


@given(st.lists(items, min_size=1, max_size=8), states, states)
def test_the_check_of_a_document_finds_nothing_in_what_is_computed(lines: list[NewItem], mine: str, there: str) -> None:
    totals = compute(
        lines,
        Basis(currency="INR", regime="gst", supplier_state=mine, place_of_supply=there, round_total=True),
    )
    taxed = [
        TaxedLine(
            taxable=amounts.net,
            rate=one.tax_rate,
            split=split(amounts.net, one.tax_rate, same_state=mine == there),
        )
        for one, amounts in zip(lines, totals.lines, strict=True)
    ]
    assert (
        check_taxes(taxed, supplier_state=mine, place_of_supply=there, rounding=totals.rounding, total=totals.total)
        == []
    )


def test_a_lakh_at_eighteen_percent_is_worked_as_in_the_rules() -> None:
    inside, across = compute([item(1_00_000_00, "18")], INSIDE), compute([item(1_00_000_00, "18")], ACROSS)
    assert (inside.cgst, inside.sgst, inside.igst) == (9_000_00, 9_000_00, 0)
    assert (across.cgst, across.sgst, across.igst) == (0, 0, 18_000_00)
    assert inside.total == across.total == 1_18_000_00


def test_reverse_charge_shows_the_tax_and_does_not_charge_it() -> None:
    totals = compute(
        [item(1_00_000_00, "18")],
        Basis(currency="INR", regime="gst", supplier_state="27", place_of_supply="29", reverse_charge=True),
    )
    assert (totals.tax_shown, totals.igst, totals.tax, totals.total) == (18_000_00, 18_000_00, 0, 1_00_000_00)


def test_halves_go_up_and_each_half_of_a_tax_by_itself() -> None:
    assert line(item(1, "50", quantity="0.5"), Basis(currency="INR")).tax == 1
    # Five percent of 0.10 is half a paisa: a quarter for each half, which is nothing, or one for the whole.
    assert compute([item(10, "5")], INSIDE).tax == 0
    assert compute([item(10, "5")], ACROSS).tax == 1


@pytest.mark.parametrize(
    ("price", "currency", "rounding", "total"),
    [
        pytest.param(100_49, "INR", -49, 100_00, id="down below a half"),
        pytest.param(100_50, "INR", 50, 101_00, id="up from a half"),
        pytest.param(100_00, "INR", 0, 100_00, id="whole already"),
        pytest.param(100, "JPY", 0, 100, id="a currency without parts"),
        pytest.param(1_500, "KWD", 500, 2_000, id="a thousand parts"),
    ],
)
def test_a_total_is_rounded_to_whole_units_with_a_line_that_says_so(
    price: int, currency: str, rounding: int, total: int
) -> None:
    totals = compute([item(price)], Basis(currency=currency, round_total=True))
    assert (totals.rounding, totals.total) == (rounding, total)


def test_taxes_are_summed_by_rate_and_by_code() -> None:
    lines = [
        item(100_00, "5", hsn="5208"),
        item(50_00, "5.0", hsn="5208"),
        item(10_00, "18", hsn="9988"),
        item(1_00, "18"),
    ]
    totals = compute(lines, INSIDE)
    assert [(each.rate, each.taxable, each.tax) for each in totals.by_rate] == [
        ("5", 150_00, 7_50),
        ("18", 11_00, 1_98),
    ]
    assert [(each.hsn, each.rate, each.taxable) for each in totals.by_hsn] == [
        ("5208", "5", 150_00),
        ("9988", "18", 10_00),
        ("", "18", 1_00),
    ]
    assert summary([], by_hsn=True) == ()


def test_the_plain_form_is_json() -> None:
    plain = compute([item(1_00, "18", hsn="5208")], INSIDE).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["lines"][0]["cgst"] == plain["by_rate"][0]["cgst"] == 9


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"description": " "}, "description", id="no words"),
        pytest.param({"description": "x" * 501}, "description", id="too many words"),
        pytest.param({"quantity": Decimal(0)}, "quantity", id="nothing"),
        pytest.param({"quantity": Decimal("0.0000001")}, "quantity", id="seven places"),
        pytest.param({"quantity": Decimal("NaN")}, "quantity", id="no number"),
        pytest.param({"quantity": Decimal(10**12)}, "quantity", id="a million millions"),
        pytest.param({"unit_price": -1}, "unit_price", id="below nothing"),
        pytest.param({"unit_price": MAX_MINOR + 1}, "unit_price", id="above the most"),
        pytest.param({"unit_price": True}, "unit_price", id="a truth"),
        pytest.param({"tax_rate": Decimal("100.0001")}, "tax_rate", id="more tax than price"),
        pytest.param({"discount_rate": Decimal("100.0001")}, "discount_rate", id="more off than price"),
        pytest.param({"discount_rate": Decimal("0.00001")}, "discount_rate", id="five places"),
        pytest.param({"unit": "x" * 21}, "unit", id="a long unit"),
        pytest.param({"hsn": "12345"}, "hsn", id="five digits"),
        pytest.param({"hsn": "12a4"}, "hsn", id="a letter"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_its_field(change: dict[str, object], field: str) -> None:
    given = {"description": "Tea", "quantity": Decimal(1), "unit_price": 100} | change
    with pytest.raises(Invalid) as caught:
        check_items([item(100), NewItem(**given)], Basis(currency="INR"))  # type: ignore[arg-type]
    assert caught.value.field == f"items.1.{field}"


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        pytest.param([], False, id="no line"),
        pytest.param([item(0)], False, id="nothing to pay"),
        pytest.param([item(1)], True, id="the least"),
        pytest.param([item(100, discount="100")], False, id="all of it off"),
        pytest.param([item(MAX_MINOR)], True, id="the most"),
        pytest.param([item(MAX_MINOR), item(1)], False, id="above the most"),
        pytest.param([item(1)] * MAX_ITEMS, True, id="as many as may be"),
        pytest.param([item(1)] * (MAX_ITEMS + 1), False, id="one more"),
    ],
)
def test_lines_come_to_something_and_not_to_more_than_money_can(lines: list[NewItem], passes: bool) -> None:
    if passes:
        assert check_items(lines, Basis(currency="INR")).total == sum(one.unit_price for one in lines)
        return
    with pytest.raises(Invalid, match="items"):
        check_items(lines, Basis(currency="INR"))
