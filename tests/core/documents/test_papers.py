"""PDFs as people and programs read them: their text, their pages, and that nothing hangs over the edge."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pypdfium2
import pytest

from core.documents import credit_note_pdf, invoice_pdf, papers, parts, receipt_pdf, statement_pdf, typesetting
from core.documents.typesetting import TypesettingFailed, typeset
from tests.core.documents.samples import CONTACT, PROFILE, SELLER, credit_note, invoice, item, payment, statement

_PAGE = "https://ledgerwire.example/i/abc"
_MARGIN = 40
_WIDTH = 595.3


class Read:
    """A PDF, looked into."""

    def __init__(self, content: bytes) -> None:
        assert content.startswith(b"%PDF-")
        self.document = pypdfium2.PdfDocument(content)
        # U+FFFE is how the reader says that a line goes on; addresses and long words may be broken.
        self.pages = [
            page.get_textpage().get_text_range().replace("\r\n", "\n").replace("\u200b", "").replace("\ufffe", "")
            for page in self.document
        ]
        self.text = "\n".join(self.pages)

    def over_the_edge(self) -> list[str]:
        """Every character whose box leaves the text area, with its page."""
        found = []
        for number, page in enumerate(self.document):
            letters = page.get_textpage()
            for place in range(letters.count_chars()):
                left, _, right, _ = letters.get_charbox(place, loose=False)
                if right > left and (left < _MARGIN or right > _WIDTH - _MARGIN):
                    found.append(f"{number}: {letters.get_text_range(place, 1)!r} at {left:.0f} to {right:.0f}")
        return found

    def fonts(self, letters: str) -> set[str]:
        """The fonts in which the first page shows any of the letters."""
        page = self.document[0].get_textpage()
        found = set()
        for place in range(page.count_chars()):
            if (letter := page.get_text_range(place, 1)) and letter in letters:
                name = ctypes.create_string_buffer(200)
                pypdfium2.raw.FPDFText_GetFontInfo(page.raw, place, name, len(name), None)
                found.add(name.value.decode().partition("+")[2])
        return found


def read(view: dict[str, Any], profile: dict[str, Any] | None = None, pay_url: str | None = None) -> Read:
    return Read(invoice_pdf(view, PROFILE if profile is None else profile, pay_url=pay_url))


@pytest.fixture(scope="module")
def gst() -> Read:
    return read(invoice(), pay_url=_PAGE)


@pytest.mark.parametrize(
    "said",
    [
        "Tax invoice",
        "INV/26-27/0001",
        "3 Nov 2026",
        "Asha Textiles Private Limited",
        "14 Mill Road",
        "29AAFCC9980M1ZR",
        "Karnataka (29)",
        "Bharat Stores LLP",
        "Market Yard",
        "27AAPFU0939F1ZV",
        "Place of supply",
        "Reverse charge",
        "Tea",
        "0902",
        "kg",
        "1,000.00",
        "CGST",
        "SGST",
        "9%",
        "₹90.00",
        "₹1,180.00",
        "Rupees one thousand one hundred and eighty only",
        "001234567890",
        "asha@okbank",
        _PAGE,
        "Within 30 days.",
        "Thank you.",
        "Authorised signatory",
        "Page 1 of 1",
    ],
)
def test_a_gst_invoice_has_every_field_of_rule_46(gst: Read, said: str) -> None:
    assert said in gst.text


def test_a_supply_to_another_state_bears_igst_with_a_rounding_line() -> None:
    found = read(
        invoice(item(), item(description="Rice", tax_rate="5"), place="27", rounding=-30, delivery_address="Godown 7")
    )
    assert "IGST" in found.text
    assert "CGST" not in found.text
    assert "Maharashtra (27)" in found.text
    assert "Godown 7" in found.text
    assert "\N{MINUS SIGN}₹0.30" in found.text
    assert "₹2,229.70" in found.text


def test_both_sides_are_those_that_were_written_down_when_it_was_issued() -> None:
    frozen = {"name": "Old Name", "address": "Old Road", "gstin": "29AAFCC9980M1ZR", "state_code": "29"}
    found = read(invoice(supplier=frozen, customer={"name": "Old Customer", "legal_name": "", "address": "Old Yard"}))
    for said in ("Old Name", "Old Road", "Old Customer", "Old Yard"):
        assert said in found.text
    for said in ("Asha Textiles", "14 Mill Road", "Bharat Stores", "Market Yard"):
        assert said not in found.text


def test_on_reverse_charge_the_tax_is_shown_and_not_charged() -> None:
    found = read(invoice(reverse_charge=True))
    assert "Tax is payable on reverse charge by the recipient." in found.text
    assert "CGST (paid by the recipient)" in found.text
    assert "₹1,000.00" in found.text
    assert "1,180.00" not in found.text


@pytest.mark.parametrize(
    ("state", "stamp"), [("draft", "DRAFT"), ("void", "VOID"), ("paid", "PAID")], ids=["draft", "void", "paid"]
)
def test_a_paper_that_nobody_should_pay_says_so_and_offers_no_way_to_pay(state: str, stamp: str) -> None:
    view = invoice(payment_status=state, amount_paid=1_180_00 if state == "paid" else 0)
    found = read(view, pay_url=_PAGE)
    assert stamp in found.text
    assert "HOW TO PAY" not in found.text
    assert _PAGE not in found.text


def test_a_draft_has_no_number() -> None:
    assert "Draft" in read(invoice(number=None, payment_status="draft")).text


def test_under_another_regime_there_is_one_tax_and_the_currency_is_named() -> None:
    found = read(invoice(item(unit_price=1_250), regime="plain", currency="KWD"), {})
    assert "Invoice" in found.text
    assert "Tax invoice" not in found.text
    assert "HSN" not in found.text
    assert "KWD\u00a014.750" in found.text.replace("KWD 14", "KWD\u00a014")
    assert "Fourteen Kuwaiti dinars and 750/1000 only" in found.text


SCRIPTS = {
    "devanagari": "आशा देवी",
    "tamil": "தமிழ் நாடு",
    "bengali": "বাংলা",
    "gujarati": "ગુજરાત",
    "telugu": "తెలుగు",
    "kannada": "ಕನ್ನಡ",
    "malayalam": "മലയാളം",
    "cyrillic": "Привет",
    "greek": "Ελλάδα",
    "chinese": "中文测试",
    "japanese": "日本語のテスト",
    "korean": "한국어",
    "thai": "ภาษาไทย",
    "hebrew": "שלום",
    "arabic": "مرحبا",
}


def test_names_in_every_script_stand_in_the_text_and_are_drawn() -> None:
    found = read(invoice(*(item(description=name) for name in SCRIPTS.values())))
    # How a reader of PDFs puts clusters and right-to-left words together is its own affair; the letters are there.
    missing = {
        script: letters for script, name in SCRIPTS.items() if (letters := set(name) - set(found.text) - {"\u200d"})
    }
    assert missing == {}


FONTS = {
    "अ": "NotoSansDevanagari",
    "அ": "NotoSansTamil",
    "ب": "NotoSansArabic",
    "中": "NotoSansCJK",
    "한": "NotoSansCJK",
    "ж": "NotoSans",
    "₹": "NotoSans",
}


def test_each_script_is_drawn_with_a_font_that_has_it() -> None:
    found = read(invoice(item(description=" ".join(FONTS))))
    for letter, family in FONTS.items():
        assert [name.startswith(family) for name in found.fonts(letter)] == [True], (letter, found.fonts(letter))


NASTY = (
    '#import "secret.typ": *',
    "$x^2$ *bold* _it_ <label> @ref \\ // `raw`",
    '#read("/etc/passwd") #sys.inputs #(1+1)',
    "]})[(\"'",
    "A" * 500,
    "😀🎉" * 250,
    "مرحبا بالعالم " * 35,
    "first\nsecond\tthird\x07\x00",
)


def test_what_looks_like_markup_comes_out_as_text() -> None:
    found = read(invoice(*(item(description=words) for words in NASTY[:4]), notes=NASTY[2]))
    for words in NASTY[:4]:
        assert words in found.text
    assert found.text.count(NASTY[2]) == 2
    assert "root:" not in found.text


def test_two_hundred_long_lines_fill_pages_with_the_head_on_each_and_nothing_over_the_edge() -> None:
    lines = [item(description=NASTY[place % len(NASTY)][:500], unit_price=10**13) for place in range(20)]
    lines += [item(description=NASTY[place % len(NASTY)][:500]) for place in range(180)]
    long = {"name": "W" * 200, "email": f"{'e' * 200}@example.com", "address": "B" * 1000}
    found = read(invoice(*lines, contact=long, reference="R" * 100, notes="N" * 5000), pay_url=_PAGE)
    assert len(found.pages) > 5
    assert found.over_the_edge() == []
    with_rows = [page for page in found.pages if "0902" in page]
    assert all("HSN/SAC" in page for page in with_rows)
    for number, page in enumerate(found.pages, start=1):
        assert f"Page {number} of {len(found.pages)}" in page


def test_the_largest_amounts_fit_with_every_column_there_is() -> None:
    most = item(
        quantity="999999999999.123456", unit_price=9, net=10**15 - 10**12, discount=10**12, discount_rate="0.1234"
    )
    found = read(invoice(most, most, item(tax_rate="0.0001")))
    assert found.over_the_edge() == []
    assert "99,90,00,00,00,000.00" in found.text


def test_a_credit_note_names_the_invoice_and_why() -> None:
    found = Read(credit_note_pdf(credit_note(), PROFILE))
    for said in ("Credit note", "CN/26-27/0001", "For invoice", "INV/26-27/0001", "One bale was torn", "₹1,180.00"):
        assert said in found.text
    assert "HOW TO PAY" not in found.text
    assert "VOID" in Read(credit_note_pdf(credit_note(status="void"), PROFILE)).text


def test_a_receipt_says_what_was_received_and_what_of_it_stays_as_credit() -> None:
    found = Read(receipt_pdf(payment(), PROFILE, seller=SELLER, payer=CONTACT))
    for said in ("Receipt", "Bharat Stores LLP", "Bank transfer", "UTR123456", "INV/26-27/0001", "1,180.00", "₹320.00"):
        assert said in found.text
    assert "Rupees one thousand five hundred only" in found.text


def test_a_receipt_of_money_that_went_back_is_not_valid() -> None:
    found = Read(receipt_pdf(payment(net=0, allocations=[]), PROFILE, seller=SELLER))
    assert "NOT RECEIVED" in found.text
    assert "NOT VALID" in found.text


def test_a_statement_runs_from_opening_to_closing() -> None:
    found = Read(statement_pdf(statement(), PROFILE))
    for said in (
        "Opening balance",
        "Invoice INV/26-27/0001",
        "due 3 Dec 2026",
        "Payment UTR123456",
        "Credit held",
        "₹70.00",
    ):
        assert said in found.text


def test_the_same_input_gives_the_same_bytes() -> None:
    made = typeset([papers.invoice_paper(invoice(), PROFILE, pay_url=_PAGE)] * 2)
    assert made[0] == made[1] == invoice_pdf(invoice(), PROFILE, pay_url=_PAGE)


def test_a_upi_address_asks_for_what_is_due_and_names_the_invoice() -> None:
    view = invoice(amount_paid=180_05)
    assert parts.upi_address(view, PROFILE) == (
        "upi://pay?pa=asha@okbank&pn=Asha%20Textiles%20Private%20Limited&am=999.95&cu=INR"
        "&tn=INV%2F26-27%2F0001&tr=INV%2F26-27%2F0001"
    )


@pytest.mark.parametrize(
    ("view", "profile", "asked"),
    [
        pytest.param(invoice(), PROFILE, "upi://pay", id="rupees by upi"),
        pytest.param(invoice(currency="USD"), PROFILE, _PAGE, id="other currencies by the page"),
        pytest.param(invoice(), {}, _PAGE, id="without a upi id by the page"),
    ],
)
def test_the_qr_code_is_of_upi_where_that_is_possible(
    view: dict[str, Any], profile: dict[str, Any], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "qr", lambda text: text)
    offered = parts.payment(view, profile, _PAGE)
    assert offered is not None
    assert offered["qr"].startswith(asked)


def test_a_document_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "_SECONDS", 0)
    monkeypatch.setattr(typesetting, "_SECONDS_EACH", 0)
    with pytest.raises(TypesettingFailed, match="not ready after 0 seconds"):
        invoice_pdf(invoice(), PROFILE)


def test_when_too_many_are_set_at_once_the_next_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "_WAIT_SECONDS", 0)
    for _ in range(2):
        assert typesetting._AT_ONCE.acquire(blocking=False)
    try:
        with pytest.raises(TypesettingFailed, match="too many"):
            invoice_pdf(invoice(), PROFILE)
    finally:
        typesetting._AT_ONCE.release(2)


def test_asking_for_documents_loads_neither_the_typesetter_nor_spreadsheets() -> None:
    heavy = "typst segno xlsxwriter manimgx_fonts"
    code = f"import sys, core.documents; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
