"""Whatever bytes come: lines, or an error in words."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import PlatformError
from core.statement_files import MAX_LINES, Mapping, ask, format_of, read
from tests.budget import examples
from tests.core.statement_files.samples import FOLDER

_PIECES = st.sampled_from([
    b"<OFX>", b"</OFX>", b"<STMTRS>", b"<STMTTRN>", b"</STMTTRN>", b"<CURDEF>INR", b"<TRNAMT>-1,5", b"<DTPOSTED>2026",
    b"<![CDATA[", b"]]>", b"<A ", b"&#x0;", b"&amp;", b"OFXHEADER:100\n", b"CHARSET:1252\n", b":20:X\n", b":25:1\n",
    b":60F:C260401INR1,00\n", b":61:2604010401C1,00NTRFX//Y\n", b":86:166?00A?20EREF+B?32C\n", b":62F:D260401INR1,00\n",
    b"{4:", b"-}", b"<Document>", b"<BkToCstmrStmt>", b"<Stmt>", b"<Ntry>", b'<Amt Ccy="INR">1.00</Amt>', b"</Ntry>",
    b"</Stmt>", b"</BkToCstmrStmt>", b"</Document>", b"Date,Amount,Balance\n", b"01/04/2026,", b'"1,10,000.00"', b";",
    b"\n", b"\t", b'"', b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"1" * 50,
])  # fmt: skip
_SAMPLES = sorted(path.read_bytes() for path in FOLDER.iterdir())


def understood(content: bytes) -> None:
    words = ""
    try:
        if format_of(content) == "csv":
            table = ask(content)
            found = read(content, table.guess or Mapping(date=0, amount=1), "INR")
        else:
            found = read(content)
    except PlatformError as refused:
        words = str(refused)
        found = None
    if found is None:
        assert 0 < len(words) < 400
        return
    assert len(found.lines) <= MAX_LINES
    assert all(line.minor and len(line.currency) == 3 and "\x00" not in line.narration for line in found.lines)


@given(st.lists(_PIECES | st.binary(max_size=12), max_size=30).map(b"".join))
@example(b"<OFX>" + b"<A>" * 5000)
@example(b"<Document>" + b"<BkToCstmrStmt>" * 5000)
@example(b":20:\n:25:\n:60F:\n")
@settings(max_examples=examples(400), deadline=None)
def test_made_up_files_are_read_or_refused(content: bytes) -> None:
    understood(content)


@pytest.mark.parametrize("whole", range(len(_SAMPLES)))
@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_spoiled_files_are_read_or_refused(whole: int, data: st.DataObject) -> None:
    content = _SAMPLES[whole]
    at = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 40))
    understood(content[:at] + data.draw(st.binary(max_size=6)) + content[at + length :])
