"""Who paid: accounts that stand for one customer, and names behind the words of banks."""

from __future__ import annotations

import pytest

from core.reconciliation import words
from core.reconciliation.engine import Judgement
from core.reconciliation.features import Account
from core.reconciliation.names import without_bank_words
from tests.core.reconciliation.books import bill, contact, judge, line, numbers

OTHER = contact(2, "Verma Steel")
GIVEN = {"1112220006712324": Account(contact_id=contact().id, given=True)}
THEIRS = {"50100012345678": Account(contact_id=contact().id, given=False, bank="HDFC")}
COLLECT = {"lw.rao@icici": Account(contact_id=contact().id, given=True)}
IBAN = {"GB29NWBK60161331926819": Account(contact_id=contact().id, given=False)}


def through(narration: str, accounts: dict[str, Account], **more: object) -> Judgement:
    """What is said of a line of a stranger that holds an account of the first of two customers."""
    given = [bill(42, 118_000), bill(43, 77_000), bill(44, 55_000, owner=OTHER)]
    (found,) = judge([line(narration, **more)], given, contacts=[contact(), OTHER], accounts=accounts)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("narration", "accounts", "how"),
    [
        pytest.param("NEFT CR-KKBK0000007-S KUMAR-1112220006712324", GIVEN, "given", id="virtual account"),
        pytest.param("RTGS/1112 2200 0671 2324/S KUMAR", GIVEN, "given", id="in groups"),
        pytest.param("UPI/632112345678/COLLECT/LW.Rao@ICICI/S KUMAR", COLLECT, "given", id="collect address"),
        pytest.param("UPI-S KUMAR-lw.rao@icici-632112345678", COLLECT, "given", id="address among hyphens"),
        pytest.param("NEFT CR-HDFC0001234-50100012345678-S KUMAR", THEIRS, "account", id="account at its bank"),
        pytest.param("IMPS 50100012345678 S KUMAR", THEIRS, "account", id="account alone"),
        pytest.param("FPI GB29 NWBK 6016 1331 9268 19 S KUMAR", IBAN, "account", id="IBAN in groups"),
    ],
)
def test_an_account_of_one_customer_says_who_paid_and_the_amount_what(
    narration: str, accounts: dict[str, Account], how: str
) -> None:
    found = through(narration, accounts)
    assert (numbers(found), found.tier, found.features["payer"]) == ([42], "sure", how)
    assert any("Rao Textiles Pvt Ltd" in each for each in words.reasons(found.features))
    nobody = through(narration, {})
    assert nobody.tier == "suspense"


@pytest.mark.parametrize(
    ("narration", "accounts"),
    [
        pytest.param("NEFT CR-S KUMAR-11122200067123245", GIVEN, id="a longer number"),
        pytest.param("NEFT CR-ICIC0001234-50100012345678-S KUMAR", THEIRS, id="the number at another bank"),
        pytest.param("MAIL lw.rao@icici.com S KUMAR", COLLECT, id="an address of mail"),
        pytest.param("UPI/xlw.rao@icici/S KUMAR", COLLECT, id="a longer address"),
    ],
)
def test_what_is_only_like_an_account_says_nothing(narration: str, accounts: dict[str, Account]) -> None:
    assert through(narration, accounts).tier == "suspense"


def test_what_was_given_to_a_customer_counts_before_the_account_that_paid_and_before_a_name() -> None:
    narration = "NEFT CR-HDFC0001234-50100012345678-VERMA STEEL-9998887776665554"
    accounts = {**THEIRS, "9998887776665554": Account(contact_id=OTHER.id, given=True)}
    found = through(narration, accounts, amount=55_000)
    assert (numbers(found), found.features["payer"]) == ([44], "given")


def test_accounts_of_two_customers_in_one_text_tell_nobody() -> None:
    accounts = {**GIVEN, "9998887776665554": Account(contact_id=OTHER.id, given=True)}
    assert through("NEFT 1112220006712324 9998887776665554", accounts).tier == "suspense"


def test_an_account_is_sure_only_by_the_margin_of_the_others() -> None:
    twins = [bill(42), bill(43)]
    (tie,) = judge([line("NEFT 1112220006712324")], twins, accounts=GIVEN)
    assert (tie.tier, tie.features["stops"]) == ("suggested", ["tie"])
    (other,) = judge(
        [line("INV-2026-00044 1112220006712324", 55_000)],
        [bill(44, 55_000, owner=OTHER)],
        contacts=[contact(), OTHER],
        accounts=GIVEN,
    )
    assert (other.tier, other.features["stops"]) == ("suggested", ["payer"])


@pytest.mark.parametrize(
    "narration",
    [
        pytest.param("NEFT CR HDFCN52026112212345678 RAO TEXTILES PVT LTD", id="Kotak NEFT"),
        pytest.param("BY TRANSFER-NEFT*UTIB0000248*AXISCN0123456789*RAO TEXTILES PRIVATE L--", id="SBI NEFT"),
        pytest.param("MMT/IMPS/632112345678/BILL/RAO TEXTILES/HDFC BANK LTD", id="ICICI IMPS"),
        pytest.param("NEFT-AXISCN0123456789-RAO TEXTILES PVT LTD-/FAST-917020012345678-UTIB0000248", id="ICICI NEFT"),
        pytest.param("RTGS UTIBR52026112200312345 RAO TEXTILES PRIVATE LIMITED", id="RTGS"),
        pytest.param("UPI/632112345678/CR/RAO TEXTILES/HDFC/rt1@okhdfc/", id="UPI"),
        pytest.param("INB IMPS 632112345678 FROM RAO TEXTILES", id="from"),
        pytest.param("CMS CR RAO TEXTILES PVT LTD REF 8812", id="CMS"),
        pytest.param("FASTER PAYMENTS RECEIPT REF.RENT FROM RAO TEXTILES LTD", id="Santander UK"),
        pytest.param("FPI RAO TEXTILES LTD REF 1234", id="Faster Payments"),
        pytest.param("BACS RAO TEXTILES LIMITED", id="Bacs"),
        pytest.param("CREDIT FROM RAO TEXTILES LTD 220011 40123456", id="sort code behind"),
        pytest.param("SEPA-GUTSCHRIFT RAO TEXTILES GMBH SVWZ+DANKE", id="German"),
        pytest.param("SEPA Überweisung von Rao Textiles GmbH EREF+NOTPROVIDED", id="German, spelled out"),
        pytest.param("VIR SEPA RECU /DE RAO TEXTILES SARL /MOTIF MERCI", id="French"),
        pytest.param("BONIFICO A VOSTRO FAVORE DA RAO TEXTILES SA CAUSALE SALDO", id="Italian"),
        pytest.param("TRANSFERENCIA DE RAO TEXTILES SA CONCEPTO PAGO", id="Spanish"),
        pytest.param("SEPA OVERBOEKING VAN RAO TEXTILES BV OMSCHRIJVING BEDANKT", id="Dutch"),
    ],
)
def test_a_name_is_the_same_behind_the_words_of_a_bank(narration: str) -> None:
    (found,) = judge([line(narration)], [bill(42), bill(44, 55_000, owner=OTHER)], contacts=[contact(), OTHER])
    assert (numbers(found), found.features["payer"], found.tier) == ([42], "name", "sure")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        pytest.param("TRANSFER LOGISTICS LTD", "TRANSFER LOGISTICS LTD", id="bank's word"),
        pytest.param("DE BEERS", "DE BEERS", id="a word of another language"),
        pytest.param("ACH Foods", "ACH Foods", id="an abbreviation"),
        pytest.param("राव टेक्सटाइल्स", "राव टेक्सटाइल्स", id="another script"),
    ],
)
def test_a_company_that_is_called_like_a_bank_s_word_is_still_itself(said: str, name: str) -> None:
    (found,) = judge([line("PAYMENT", payer=said)], [bill(42)], contacts=[contact(1, name)])
    assert found.features["payer"] == "name"


@pytest.mark.parametrize("said", ["", "   ", "NEFT", "FROM", "+", "NEFT CR 632112345678", "FROM FROM"])
def test_a_text_without_a_name_has_none(said: str) -> None:
    assert without_bank_words(said) == ""
