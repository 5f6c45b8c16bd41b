"""Each format of statement file becomes the same plain lines; what is broken is refused with its line."""

from __future__ import annotations

from datetime import date

import pytest

from core.statement_files import (
    MAX_BYTES,
    MAX_LINES,
    Mapping,
    Reading,
    StatementTooLarge,
    StatementUnreadable,
    ask,
    format_of,
    read,
)
from tests.core.statement_files.samples import a_csv, sample

Short = tuple[date, int, str, str | None, str | None]


def april(day: int) -> date:
    return date(2026, 4, day)


def shortly(reading: Reading) -> list[Short]:
    return [(line.booked_on, line.minor, line.narration, line.counterparty, line.reference) for line in reading.lines]


def by_guess(content: bytes, currency: str = "INR") -> Reading:
    return read(content, ask(content).guess, currency)


def test_a_csv_with_a_preamble_a_footer_and_indian_amounts() -> None:
    reading = by_guess(sample("hdfc.csv"))
    assert [(line.minor, line.balance, line.row) for line in reading.lines] == [
        (11000000, 31000000, 6),
        (1250050, 32250050, 7),
        (-4500000, 27750050, 8),
        (-1770, 27748280, 9),
        (9800000, 37548280, 10),
    ]
    assert [line.reference for line in reading.lines] == [
        "ICICN52026040112345678", "0000609212345678", "0000000000000123", None, "0000610312345678",
    ]  # fmt: skip
    assert (reading.opening, reading.closing, reading.gap, reading.errors) == (20000000, 37548280, 0, ())


@pytest.mark.parametrize(
    ("name", "currency", "expected"),
    [
        pytest.param("sbi_crdr.csv", "INR", [
            (april(1), 11000000, "BY TRANSFER-NEFT*HDFC0000001*N092261234567890*BINA TRADERS", None,
             "N092261234567890"),
            (april(2), -2500000, "TO TRANSFER-UPI/DR/609298765432/RENT", None, "609298765432"),
        ], id="tabs, UTF-16, CR and DR in a column"),
        pytest.param("sparkasse.csv", "EUR", [
            (april(14), 123456, "GUTSCHR. UEBERWEISUNG RECHNUNG INV-2026-00044", "Müller & Söhne GmbH", None),
            (april(13), -89000, "LASTSCHRIFT Miete April", "Hausverwaltung Groß", None),
        ], id="semicolons, Windows-1252, decimal comma"),
        pytest.param("us_card.csv", "USD", [
            (april(28), -450, 'COFFEE "CORNER" 0042', None, None),
            (april(27), 125000, "ACH CREDIT BINA TRADERS INV-2026-00045", None, None),
        ], id="month first, brackets"),
        pytest.param("headerless.csv", "INR", [
            (april(1), -1230, "GROCER 42", None, None),
            (april(2), 100000, "BINA TRADERS INV-2026-00046", None, None),
        ], id="no header"),
    ],
)  # fmt: skip
def test_csv_files_are_read_by_the_guess(name: str, currency: str, expected: list[Short]) -> None:
    assert shortly(by_guess(sample(name), currency)) == expected


def test_ofx_in_sgml() -> None:
    reading = read(sample("bank.ofx"))
    assert (reading.account_number, reading.currency, reading.closing) == ("000012345678", "USD", 1094975)
    assert [(line.row, line.minor, line.bank_id, line.narration, line.reference) for line in reading.lines] == [
        (17, 125000, "202604020001", "BINA TRADERS & CO INV-2026-00047", None),
        (25, -30025, "202604050001", "CHECK 1042", "1042"),
    ]


def test_qfx_with_its_header_on_one_line_a_decimal_comma_and_a_hold() -> None:
    reading = read(sample("odd_header.qfx"))
    assert shortly(reading) == [(april(3), -1999, "Café Zoë", "Café Zoë", None)]
    assert (reading.pending, reading.account_number) == (1, "4111********1111")


def test_ofx_in_xml_with_cdata() -> None:
    assert shortly(read(sample("bank_v2.ofx"))) == [
        (april(10), 9800000, "ACME PVT LTD INV 2026 00043 <less TDS>", "ACME PVT LTD", "610312345678")
    ]


def test_camt_of_version_2_with_a_reversal_and_a_pending_entry() -> None:
    reading = read(sample("camt053_v2.xml"))
    assert shortly(reading) == [
        (april(1), 123456, "Rechnung INV-2026-00044", "Müller & Söhne GmbH", "E2E-4711"),
        (april(3), -10000, "Rückbuchung INV-2026-00040", None, "SVCR-2"),
    ]
    assert [line.category for line in reading.lines] == [None, "reversal"]
    assert reading.lines[0].valued_on == april(2)
    assert (reading.opening, reading.closing, reading.gap, reading.pending) == (100000, 213456, 0, 1)


def test_a_batch_of_camt_is_a_line_for_each_payment_when_they_add_up_to_it() -> None:
    reading = read(sample("camt053_v8_batch.xml"))
    assert shortly(reading) == [
        (april(2), 25000, "INV-2026-00050", "Alpha SARL", "INV-2026-00050"),
        (april(2), 35000, "RF18539007547034", "Beta BV", "BATCH-1/2"),
        # The two salaries do not say how much each is.
        (april(3), -50000, "Salary 1 Salary 2", None, "BATCH-2"),
    ]
    assert reading.gap == 0


def test_a_batch_that_does_not_add_up_stays_one_line() -> None:
    reading = read(sample("camt053_v8_batch.xml").replace(b">350.00<", b">349.99<"))
    assert [line.minor for line in reading.lines] == [60000, -50000]


def test_mt940_with_structured_details_and_reversals() -> None:
    reading = read(sample("german.sta"))
    assert shortly(reading) == [
        (april(1), 123456, "RECHNUNG INV-2026-00044", "MUELLER UND SOEHNE GMBH", "E2E-4711"),
        (april(2), -89000, "MIETE APRIL", "HAUSVERWALTUNG", None),
        (april(3), -10000, "RETURNED TRANSFER INV-2026-00040", None, "INV-2026-00040"),
        (april(3), 5000, "FEE TAKEN BACK", None, "FEE-9"),
    ]
    assert [line.category for line in reading.lines] == [None, None, "reversal", "reversal"]
    assert (reading.opening, reading.closing, reading.gap, reading.account_number) == (100000, 129456, 0, "532013000")


def test_mt940_of_several_days_is_one_statement() -> None:
    reading = read(sample("swift_two_days.940"))
    assert [(line.row, line.minor, line.reference) for line in reading.lines] == [
        (6, 11000000, "ICICN52026040112"),
        (16, 1250050, "609212345678"),
    ]
    assert (reading.opening, reading.closing, reading.gap) == (20000000, 32250050, 0)


def test_balances_that_do_not_add_up_are_said() -> None:
    assert read(sample("german.sta").replace(b":62F:C260403EUR1294,56", b":62F:C260403EUR1294,57")).gap == 1
    broken = by_guess(sample("hdfc.csv").replace(b'"2,77,500.50"', b'"2,77,500.51"'))
    assert [(error.row, error.message) for error in broken.errors] == [
        (8, "from here on the balance does not follow from the lines")
    ]


def test_rows_that_cannot_be_read_are_told_one_by_one_and_the_others_are_taken() -> None:
    content = a_csv([
        ("01/04/2026", "good", "", "1.00"),
        ("31/04/2026", "no such day", "", "1.00"),
        ("", "no day", "", "1.00"),
        ("02/04/2026", "no amount", "", "12..3"),
        ("02/04/2026", "nothing moved", "", "0.00"),
        ("13/04/2026", "good too", "", "-2.00"),
    ])  # fmt: skip
    reading = by_guess(content)
    assert [line.narration for line in reading.lines] == ["good", "good too"]
    assert [(error.row, error.message.partition(" is")[0]) for error in reading.errors] == [
        (3, "'31/04/2026'"),
        (4, "has no date"),
        (5, "'12..3'"),
    ]
    assert reading.wrong == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"  \n", "empty", id="spaces"),
        pytest.param(b"PK\x03\x04xxxx", "Excel", id="a workbook"),
        pytest.param(b"%PDF-1.7", "PDF", id="a PDF"),
        pytest.param(b"Date,Amount\n\x01,2", "line 2: this is no text", id="controls"),
        pytest.param(b"hello", "no table", id="words"),
        pytest.param(b"<html></html>", "neither CAMT.053 nor OFX", id="HTML"),
        pytest.param(b"<Document><BkToCstmrStmt>\n<Stmt></Document>", "line 2: the XML is broken", id="broken XML"),
        pytest.param(b"<Document><BkToCstmrAcctRpt/></Document>", "only that is taken", id="CAMT.052"),
        pytest.param(
            b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.002.01"><BkToCstmrStmt/></Document>',
            "no version", id="another CAMT",
        ),
        pytest.param(b"<OFX><STMTTRN></OFX>", "no bank", id="no statement in OFX"),
        pytest.param(b"<OFX>\n<A>1</B>\n</OFX>", "line 2: </B> ends what", id="OFX tags out of place"),
        pytest.param(b"<OFX><![CDATA[", "does not end", id="CDATA without end"),
        pytest.param(b":20:X\n:25:1\n:60F:C260401EUR1,\n:61:26043199C,\n:62F:C260401EUR1,", "line 4: the field :61:",
                     id="a line of MT940"),
        pytest.param(b":20:X\n:25:1\n:61:260401C1,00NTRF\n", "line 3: a line stands before", id="no opening balance"),
        pytest.param(b":20:X\n:25:1\n:60F:C260401QQQ1,00\n", "line 3", id="MT940 in no currency"),
    ],
)  # fmt: skip
def test_what_is_broken_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(StatementUnreadable, match=words):
        by_guess(content) if format_of(content) == "csv" else read(content)


@pytest.mark.parametrize("kind", ["bomb", "external", "ofx"])
def test_entities_are_refused_and_nothing_is_fetched_or_blown_up(kind: str) -> None:
    doctype = {
        "bomb": '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        "external": '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        "ofx": '<!DOCTYPE OFX [<!ENTITY a "b">]>',
    }[kind]
    body = sample("bank_v2.ofx" if kind == "ofx" else "camt053_v2.xml").decode()
    head, _, rest = body.partition("?>")
    with pytest.raises(StatementUnreadable, match="entities"):
        read(f"{head}?>{doctype}{rest}".encode())


@pytest.mark.parametrize("name", ["german.sta", "camt053_v2.xml", "bank_v2.ofx"])
def test_two_accounts_in_one_file_are_refused(name: str) -> None:
    content = sample(name)
    if name == "german.sta":
        other = content + content.replace(b"532013000", b"999")
    elif name == "bank_v2.ofx":
        other = content.replace(b"</STMTRS></STMTTRNRS>", b"</STMTRS><STMTRS><CURDEF>INR</CURDEF><BANKACCTFROM>"
                                b"<ACCTID>1</ACCTID></BANKACCTFROM></STMTRS></STMTTRNRS>")  # fmt: skip
    else:
        other = content.replace(b"</Stmt>", b"</Stmt><Stmt><Acct><Id><IBAN>X</IBAN></Id></Acct></Stmt>")
    with pytest.raises(StatementUnreadable, match="2 accounts"):
        read(other)


def many(count: int) -> bytes:
    return a_csv([("13/04/2026", f"line {number}", "", "1.00") for number in range(count)])


def test_a_file_may_have_so_many_lines_and_no_more() -> None:
    mapping = Mapping(header=("Date",), date=0, narration=(1,), reference=2, amount=3)
    assert len(read(many(MAX_LINES), mapping, "INR").lines) == MAX_LINES
    with pytest.raises(StatementTooLarge, match="20,000 lines"):
        read(many(MAX_LINES + 1), mapping, "INR")


def test_a_file_may_have_so_many_bytes_and_no_more() -> None:
    content = sample("camt053_v2.xml")
    for size in (MAX_BYTES - 1, MAX_BYTES):
        assert len(read(content + b" " * (size - len(content))).lines) == 2
    with pytest.raises(StatementTooLarge, match="5 MB"):
        format_of(content + b" " * (MAX_BYTES - len(content) + 1))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(sample("german.sta").replace(b":61:260402", b":61:SECRET"), id="MT940"),
        pytest.param(sample("bank.ofx").replace(b"</STMTTRN>", b"</SECRET>"), id="OFX"),
    ],
)
def test_nothing_of_a_file_is_logged(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(StatementUnreadable):
        read(content)
    assert caplog.text == ""
