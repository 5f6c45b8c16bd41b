"""From bytes to text: which encoding, and whether it is text at all."""

from __future__ import annotations

import codecs
import re

from core.statement_files.lines import StatementUnreadable

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# Everything below a space that a text has no use for.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes) -> str:
    """The text of a file: UTF-8, UTF-16 or, for what is neither, Windows-1252; lines end with a line feed.

    Raises StatementUnreadable for what is empty or no text.
    """
    if not content.strip():
        raise StatementUnreadable("the file is empty")
    if content.startswith(_WORKBOOKS):
        raise StatementUnreadable("this is an Excel workbook; save it as CSV and bring that")
    if content.startswith(b"%PDF"):
        raise StatementUnreadable("this is a PDF; ask the bank for CSV, OFX, CAMT.053 or MT940")
    text = _decoded(content).replace("\r\n", "\n").replace("\r", "\n")
    if (found := _CONTROLS.search(text)) is not None:
        raise StatementUnreadable("this is no text", text.count("\n", 0, found.start()) + 1)
    return text


def _decoded(content: bytes) -> str:
    for mark, name in _BOMS:
        if content.startswith(mark):
            return _strictly(content, name)
    # UTF-16 without its mark: every other byte of mostly Latin text is zero.
    head = content[:4096]
    if len(head) % 2 == 0 and head.count(0) > len(head) // 4:
        low = head[1::2].count(0) > head[::2].count(0)
        return _strictly(content, "utf-16-le" if low else "utf-16-be")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # The five bytes that Windows-1252 leaves out stand for the mark of what is not known.
        return content.decode("cp1252", "replace")


def _strictly(content: bytes, name: str) -> str:
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        raise StatementUnreadable(f"this is no text in {name.upper()}") from error
