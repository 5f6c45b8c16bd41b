"""OFX and QFX, SGML and XML. Headers are read here, loosely, for banks write them oddly; ofxtools makes the tree."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, unescape

from core.errors import Invalid
from core.statement_files.amounts import parse_amount
from core.statement_files.lines import (
    MAX_NAME,
    MAX_REFERENCE,
    Line,
    Reading,
    StatementUnreadable,
    in_time,
    named,
    room,
    squeezed,
)
from core.statement_files.text import decode

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CHARSET = re.compile(rb"^\s*(?:CHARSET\s*:\s*(\S+)|<\?xml[^>]*encoding\s*=\s*[\"']([\w-]+))", re.MULTILINE)
_ENTITIES = {"&quot;": '"', "&apos;": "'", "&nbsp;": " ", "&#39;": "'"}
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")
# Far more than any bank's nesting, and far less than what exhausts a stack.
_DEEPEST = 100


def recognised(content: bytes) -> bool:
    """Whether a file is OFX by its beginning."""
    head = content[:4000].upper()
    return b"<OFX>" in head or head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"OFXHEADER")


def _text(content: bytes) -> str:
    found = _CHARSET.search(content[:2000])
    name = next((each for each in found.groups() if each), b"").decode("ascii", "replace").lower() if found else ""
    if name in ("1252", "windows-1252", "cp1252", "iso-8859-1", "8859-1"):
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return decode(content.decode("cp1252", "replace").encode())
    return decode(content)


def _without_cdata(body: str) -> str:
    """CDATA as escaped text: the library's pattern for it takes quadratic time on what never ends."""
    pieces, at = [], 0
    while (start := body.find("<![CDATA[", at)) >= 0:
        end = body.find("]]>", start)
        if end < 0:
            raise StatementUnreadable("a CDATA section does not end", body.count("\n", 0, start) + 1)
        pieces += [body[at:start], escape(body[start + 9 : end])]
        at = end + 3
    return "".join([*pieces, body[at:]])


def _tree(text: str) -> tuple[Element, list[int]]:
    """The tree, and the line at which each STMTTRN begins."""
    start = text.upper().find("<OFX>")
    if start < 0:
        raise StatementUnreadable("there is no <OFX> in it")
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise StatementUnreadable("document types and entities are not taken")
    # Names in small letters are none to the library.
    body = re.sub(r"</?[A-Za-z0-9._ ]{1,64}>", lambda tag: tag.group().upper(), _without_cdata(text[start:]))
    return _fed(body, text.count("\n", 0, start) + 1)


def _fed(body: str, row: int) -> tuple[Element, list[int]]:
    """The tree that the library's builder makes, fed a tag at a time so that an error names its line."""
    from ofxtools.Parser import TreeBuilder  # noqa: PLC0415 - web loads it with the first such file.

    # It logs what it reads, which is somebody's bank statement.
    logging.getLogger("ofxtools").setLevel(logging.CRITICAL + 1)
    builder = TreeBuilder()
    closed = frozenset(re.findall(r"</([A-Z0-9._ ]{1,64})>", body))
    open_tags: list[str] = []
    rows: list[int] = []
    at = 0
    try:
        for match in TreeBuilder.regex.finditer(body):
            row += body.count("\n", at, match.start())
            at = match.start()
            tag = match["tag"]
            leaf = bool((match["text"] or "").strip()) or match["closetag"] is not None
            if tag.startswith("/"):
                # SGML needs no end of an element without text: what is open inside ends with what is around it.
                while open_tags and open_tags[-1] != tag[1:] and tag[1:] in open_tags:
                    builder.feed(f"</{open_tags.pop()}>")
                if not open_tags or open_tags.pop() != tag[1:]:
                    raise StatementUnreadable(f"</{tag[1:41]}> ends what has not begun", row)
            elif not leaf:
                if tag not in closed:
                    continue
                open_tags.append(tag)
            if tag == "STMTTRN":
                rows.append(row)
            if len(open_tags) > _DEEPEST:
                raise StatementUnreadable("the tags are nested too deep", row)
            builder.feed(match.group())
        return builder.close(), rows
    # ParseErrors of the library and of the standard library are SyntaxErrors; the others come of tags out of place.
    except (SyntaxError, AssertionError, IndexError, ValueError, TypeError) as error:
        raise StatementUnreadable("the tags of this OFX file do not fit together", row) from error


def _said(element: Element | None, name: str) -> str:
    found = None if element is None else element.find(name)
    return unescape((found.text or "").strip(), _ENTITIES) if found is not None else ""


def _day(text: str, row: int) -> date:
    """The calendar day of an OFX moment, as the bank's own clock has it."""
    found = _DAY.match(text)
    try:
        return in_time(date(*map(int, found.groups())), row) if found else _refuse_day(text, row)
    except ValueError:
        return _refuse_day(text, row)


def _refuse_day(text: str, row: int) -> date:
    raise StatementUnreadable(f"{text[:20]!r} is no OFX date", row)


def _amount(text: str, currency: str, row: int) -> int:
    decimal = "," if "," in text and "." not in text and re.search(r",\d{1,2}$", text) else "."
    try:
        return parse_amount(text, currency, decimal)
    except Invalid as error:
        raise StatementUnreadable(error.message, row) from error


def _one(values: Iterable[str], what: str) -> str | None:
    found = {value for value in values if value}
    if len(found) > 1:
        raise StatementUnreadable(f"the file holds {len(found)} {what}; bring one file for each")
    return next(iter(found), None)


def read(content: bytes) -> Reading:
    """The statement in an OFX file. Raises StatementUnreadable, or StatementTooLarge."""
    root, rows = _tree(_text(content))
    # None where nothing was fed.
    if getattr(root, "tag", None) != "OFX":
        raise StatementUnreadable("the file is not complete: <OFX> does not end")
    statements = [*root.iter("STMTRS"), *root.iter("CCSTMTRS")]
    if not statements:
        raise StatementUnreadable("there is no bank or card statement in it")
    number = _one((_said(element, "ACCTID") for name in ("BANKACCTFROM", "CCACCTFROM") for s in statements
                   for element in s.iter(name)), "accounts")  # fmt: skip
    currency = (_one((_said(each, "CURDEF").upper() for each in statements), "currencies") or "").strip()
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise StatementUnreadable("the currency (CURDEF) is missing")
    lines: list[Line] = []
    pending = 0
    moves = [element for each in statements for element in each.iter("STMTTRN")]
    room(len(moves))
    for place, element in enumerate(moves):
        row = rows[place] if len(rows) == len(moves) else 0
        if _said(element, "TRNTYPE").upper() == "HOLD":
            pending += 1
            continue
        lines.append(_line(element, currency, row))
    closing = next((_said(each, "BALAMT") for each in root.iter("LEDGERBAL")), "")
    return Reading(
        format="ofx",
        lines=tuple(line for line in lines if line.minor),
        account_number=number,
        currency=currency,
        closing=_amount(closing, currency, 0) if closing else None,
        pending=pending,
    )


def _line(element: Element, currency: str, row: int) -> Line:
    said = _said(element.find("CURRENCY"), "CURSYM").upper()
    if said and said != currency:
        raise StatementUnreadable(f"is in {said[:10]}, and the account in {currency}", row)
    minor = _amount(_said(element, "TRNAMT"), currency, row)
    booked = _day(_said(element, "DTPOSTED"), row)
    available = _said(element, "DTAVAIL")
    payee = named(_said(element, "NAME") or _said(element.find("PAYEE"), "NAME"), MAX_NAME)
    memo = squeezed(_said(element, "MEMO"))
    words = memo if not payee or payee.lower() in memo.lower() else f"{payee} {memo}"
    reference = named(_said(element, "REFNUM"), MAX_REFERENCE) or named(_said(element, "CHECKNUM"), MAX_REFERENCE)
    kind = _said(element, "TRNTYPE").lower()
    return Line(
        row=row,
        booked_on=booked,
        valued_on=_day(available, row) if available else booked,
        minor=minor,
        currency=currency,
        narration=squeezed(words) or reference or kind,
        counterparty=payee,
        reference=reference,
        bank_id=named(_said(element, "FITID"), MAX_REFERENCE),
        category=kind if kind in ("fee", "srvchg", "int", "check", "atm", "pos") else None,
    )
