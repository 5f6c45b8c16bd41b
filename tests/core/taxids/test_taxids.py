"""India's tax numbers: published and worked examples, shapes, and what cannot be true together."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.taxids import DocumentKind, Party, cross, financial_year, gstin, irn, pan, tax, udyam
from core.taxids.tax import Split, TaxedLine

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ISSUED = date(2019, 11, 5)


def with_check(first: str) -> str:
    return first + gstin.check_character(first)


def _total(first: str) -> int:
    """The sum T of the rule book, computed in another way."""
    return sum(sum(divmod(_ALPHABET.index(each) * (2 if place % 2 else 1), 36)) for place, each in enumerate(first))


@pytest.mark.parametrize(
    ("first", "total", "check"),
    [("27AAPFU0939F1Z", 221, "V"), ("29AAFCC9980M1Z", 189, "R"), ("24AAAAA0000A1Z", 136, "8")],
)
def test_the_worked_check_characters_come_out(first: str, total: int, check: str) -> None:
    assert (_total(first), gstin.check_character(first)) == (total, check)
    assert gstin.parse(f" {first.lower()}{check.lower()} ").text == first + check


def test_a_sum_that_36_divides_has_the_check_character_0() -> None:
    # Without the outer remainder this would be character 36, which there is not.
    first = next(candidate for number in range(10_000) if _total(candidate := f"27AAPFU{number:04d}F1Z") % 36 == 0)
    assert gstin.parse(f"{first}0").text.endswith("0")


@pytest.mark.parametrize(
    ("text", "kind", "inside"),
    [
        pytest.param("27AAPFU0939F1ZV", gstin.Kind.REGULAR, "AAPFU0939F", id="regular"),
        pytest.param("0717UNO00157UNO", gstin.Kind.UN_BODY, None, id="a body of the United Nations"),
        pytest.param("9917SGP29001OST", gstin.Kind.OIDAR, None, id="a service from abroad"),
        pytest.param(with_check("2917USA00012NR"), gstin.Kind.NON_RESIDENT, None, id="a non-resident"),
        pytest.param(with_check("07DELP01234A1D"), gstin.Kind.TDS, None, id="a deductor under its TAN"),
        pytest.param(with_check("07AAGCA1234A1D"), gstin.Kind.TDS, "AAGCA1234A", id="a deductor under its PAN"),
        pytest.param(with_check("29AAGCA1234A1C"), gstin.Kind.TCS, "AAGCA1234A", id="a collector"),
        pytest.param(with_check("07DELP12345A1Z"), gstin.Kind.GOVERNMENT, None, id="a government department"),
    ],
)
def test_every_kind_of_registration_is_a_party(text: str, kind: gstin.Kind, inside: str | None) -> None:
    found = gstin.parse(text)
    assert (found.kind, found.pan) == (kind, inside)
    assert found.state == gstin.STATES[text[:2]]


@given(st.integers(0, 13), st.sampled_from(_ALPHABET))
def test_one_mistyped_character_is_noticed(place: int, other: str) -> None:
    right = "27AAPFU0939F1ZV"
    spoiled = right[:place] + other + right[place + 1 :]
    if spoiled != right:
        with pytest.raises(Invalid):
            gstin.parse(spoiled)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("27AAPFU0939F1ZW", "check character"),
        (with_check("40AAPFU0939F1Z"), "no state code"),
        ("27AAPFU0939F1Z", "15 characters"),
        ("27AAPFU0939F0ZV", "15 characters"),
        ("२७AAPFU0939F1ZV", "15 characters"),
        ("", "15 characters"),
    ],
)
def test_what_is_no_gstin_is_said_in_words(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        gstin.parse(text)


def test_a_pan_has_a_shape_and_a_known_holder() -> None:
    assert pan.parse("aapfu 0939f") == "AAPFU0939F"
    for wrong in ("AAPXU0939F", "AAPFU0939", "AAPFU09390", "AAPFU0939FF", "1APFU0939F"):
        with pytest.raises(Invalid, match="is not a PAN"):
            pan.parse(wrong)


def test_the_fourth_letter_is_the_holder() -> None:
    assert pan.fits_constitution("AAPFU0939F", "llp")
    assert pan.fits_constitution("ABCPK1234L", "proprietorship")
    assert not pan.fits_constitution("AAPFU0939F", "company")
    assert not pan.fits_constitution("AAPFU0939F", "something else")
    assert set(pan.CONSTITUTIONS.values()) == set(pan.HOLDERS)


@pytest.mark.parametrize(
    ("number", "name", "fits"),
    [
        ("AAFCC9980M", "Cloth Company Pvt Ltd", True),
        ("AAFCC9980M", "M/s Cloth Company", True),
        ("AAFCC9980M", "Big Cloth Company", False),
        ("ABCPK1234L", "Asha Kumar", True),
        ("ABCPK1234L", "Kumar Asha", True),
        ("ABCPK1234L", "Asha Rao", False),
        ("ABCPK1234L", "  . ", False),
    ],
)
def test_the_fifth_letter_is_of_the_surname_or_of_the_name(number: str, name: str, fits: bool) -> None:
    assert pan.fits_name(number, name) is fits


def test_a_masked_pan_tells_nobody_whose_it_is() -> None:
    assert pan.masked("AAPFU0939F") == "•••F•••••F"


def test_the_published_irn_comes_out() -> None:
    made = irn.irn("29AAFCC9980M1ZR", ISSUED, DocumentKind.INVOICE, "2019-20/KA/1")
    assert made == "23f498ee41441ecad30f72ba5b9907506c3df70a17b0e0dff46b76a786400662"
    assert irn.irn_fits(made.upper(), "29AAFCC9980M1ZR", ISSUED, DocumentKind.INVOICE, "2019-20/KA/1")
    assert not irn.irn_fits(made, "29AAFCC9980M1ZR", ISSUED, DocumentKind.INVOICE, "2019-20/KA/2")
    assert not irn.irn_fits(made, "29AAFCC9980M1ZR", date(2020, 4, 1), DocumentKind.INVOICE, "2019-20/KA/1")
    assert not irn.irn_fits(made, "29AAFCC9980M1ZR", ISSUED, DocumentKind.CREDIT_NOTE, "2019-20/KA/1")


def test_an_irn_of_a_number_in_capitals_fits_as_well() -> None:
    made = irn.irn("29AAFCC9980M1ZR", ISSUED, DocumentKind.INVOICE, "KA/A1")
    assert irn.irn_fits(made, "29AAFCC9980M1ZR", ISSUED, DocumentKind.INVOICE, "ka/a1")


@pytest.mark.parametrize(
    ("number", "fits"),
    [
        ("A", True),
        ("2026-27/KA/00042", True),
        ("2026-27/KA/000421", False),
        ("", False),
        ("A 1", False),
        ("A_1", False),
    ],
)
def test_rule_46_gives_a_number_16_characters(number: str, fits: bool) -> None:
    assert irn.fits_rule_46(number) is fits


def test_the_financial_year_begins_in_april() -> None:
    assert [financial_year(day) for day in (date(2027, 3, 31), date(2027, 4, 1), date(1999, 12, 1))] == [
        "2026-27", "2027-28", "1999-00",
    ]  # fmt: skip


def test_a_udyam_number_has_its_shape() -> None:
    assert udyam.parse("udyam-mh-12-0012345") == "UDYAM-MH-12-0012345"
    for wrong in ("UDYAM-MH-12-001234", "UDYAM-M-12-0012345", "MH-12-0012345"):
        with pytest.raises(Invalid, match="Udyam"):
            udyam.parse(wrong)


def _line(taxable: int, rate: int, **taxes: int) -> TaxedLine:
    return TaxedLine(taxable=taxable, rate=Decimal(rate), split=Split(**taxes))


LAKH = 1_00_000_00
INSIDE, ACROSS = ("27", "27"), ("27", "29")


def _check(line: TaxedLine, states: tuple[str, str], total: int, rounding: int = 0) -> list[str]:
    return tax.check([line], supplier_state=states[0], place_of_supply=states[1], rounding=rounding, total=total)


def test_a_lakh_at_18_percent_bears_9000_and_9000_or_18000() -> None:
    assert tax.split(LAKH, Decimal(18), same_state=True) == Split(cgst=9_000_00, sgst=9_000_00)
    assert tax.split(LAKH, Decimal(18), same_state=False) == Split(igst=18_000_00)
    assert _check(_line(LAKH, 18, cgst=9_000_00, sgst=9_000_00), INSIDE, 1_18_000_00) == []
    assert _check(_line(LAKH, 18, igst=18_000_00), ACROSS, 1_18_000_00) == []


def test_a_wrong_tax_is_named() -> None:
    assert "CGST and SGST" in _check(_line(LAKH, 18, igst=18_000_00), INSIDE, 1_18_000_00)[0]
    assert "IGST" in _check(_line(LAKH, 18, cgst=9_000_00, sgst=9_000_00), ACROSS, 1_18_000_00)[0]
    assert "1800000 is right" in _check(_line(LAKH, 18, igst=18_000_01), ACROSS, 1_18_000_01)[0]
    assert "0 minor units" in _check(_line(LAKH, 18), ACROSS, LAKH)[0]


@pytest.mark.parametrize(("rounding", "wrong"), [(99_00, 0), (-99_00, 0), (99_01, 1), (-99_01, 1)])
def test_a_rounding_line_stays_within_99_rupees(rounding: int, wrong: int) -> None:
    assert len(_check(_line(LAKH, 0), INSIDE, LAKH + rounding, rounding)) == wrong


def test_a_total_that_does_not_add_up_is_named() -> None:
    [found] = _check(_line(LAKH, 0), INSIDE, LAKH + 1)
    assert str(LAKH + 1) in found


@given(st.integers(0, 10**12), st.sampled_from(["0", "0.25", "3", "5", "12", "18", "28", "0.1"]))
def test_halves_differ_from_the_whole_by_a_paisa_at_most(taxable: int, rate: str) -> None:
    halves = tax.split(taxable, Decimal(rate), same_state=True)
    assert abs(halves.total - tax.split(taxable, Decimal(rate), same_state=False).total) <= 1


def test_hsn_codes_are_longer_above_five_crore() -> None:
    crore = 1_00_00_000_00
    assert [tax.hsn_digits(amount) for amount in (5 * crore - 1, 5 * crore)] == [4, 6]
    assert tax.hsn_fits("5208", 4 * crore)
    assert not tax.hsn_fits("5208", 5 * crore)
    assert tax.hsn_fits("520811", 5 * crore)
    assert not tax.hsn_fits("52081", crore)


ROYAL = "27AAPFU0939F1ZV"
OTHER = "29AAFCC9980M1ZR"


def codes(seller: Party, buyer: Party) -> list[str]:
    return [finding.code for finding in cross.check(seller, buyer)]


def test_parties_that_fit_are_left_alone() -> None:
    assert codes(Party(gstin=ROYAL, pan="AAPFU0939F", state_code="27"), Party(gstin=OTHER)) == []
    assert codes(Party(), Party()) == []
    assert codes(Party(pan="AAPFU0939F"), Party(gstin="0717UNO00157UNO")) == []


def test_the_pan_inside_must_be_the_one_of_the_kyc() -> None:
    assert codes(Party(gstin=ROYAL, pan="AAFCC9980M"), Party()) == ["pan_differs"]


def test_one_taxpayer_cannot_sell_to_itself() -> None:
    delhi = with_check("07AAPFU0939F1Z")
    assert codes(Party(gstin=ROYAL), Party(gstin=delhi)) == ["same_pan"]
    assert codes(Party(pan="AAPFU0939F"), Party(gstin=delhi)) == ["same_pan"]


def test_a_state_that_is_not_the_addresss_is_named() -> None:
    [found] = cross.check(Party(gstin=ROYAL, state_code="29"), Party())
    assert found.code == "state_differs"
    assert "Maharashtra" in found.sentence
    assert "Karnataka" in found.sentence


def test_a_gstin_that_is_none_is_named_and_proves_no_identity() -> None:
    assert codes(Party(), Party(gstin="27AAPFU0939F1ZW")) == ["gstin_invalid"]
    assert cross.identity(Party(gstin="27AAPFU0939F1ZW")) is None
    assert cross.identity(Party(gstin=ROYAL)) == "AAPFU0939F"
