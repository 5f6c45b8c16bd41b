"""CAMT.053 (ISO 20022, versions 02 to 13): a small mapping of our own over defusedxml.

Checked against the message definition reports of camt.053.001.02, .04 and .08. What changed between them and matters
here: TxDtls got amount and sign of its own (04), names moved below Pty and the state into Cd (08).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from core.errors import Invalid
from core.money import Money
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

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(\d{2})")
_ENTRY = re.compile(r"<(?:[\w.-]+:)?Ntry[\s>]")
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)


def recognised(content: bytes) -> bool:
    """Whether a file is XML of ISO 20022 bank statements by its beginning."""
    # UTF-16 has a zero beside each letter.
    head = content[:4000].replace(b"\x00", b"")
    return b"camt." in head or b"BkToCstmr" in head


def read(content: bytes) -> Reading:
    """The statement in a CAMT.053 file. Raises StatementUnreadable, or StatementTooLarge."""
    root = _tree(content)
    statements = root.findall("BkToCstmrStmt/Stmt")
    if not statements:
        raise StatementUnreadable("this is no CAMT.053 statement (BkToCstmrStmt); of ISO 20022 only that is taken")
    numbers = {_number(each) for each in statements}
    if len(numbers) > 1:
        raise StatementUnreadable(f"the file holds {len(numbers)} accounts; bring one file for each")
    currency = _currency(statements)
    entries = [entry for each in statements for entry in each.findall("Ntry")]
    room(len(entries))
    rows = _rows(content)
    lines: list[Line] = []
    pending = 0
    for place, entry in enumerate(entries):
        state = _text(entry, "Sts/Cd") or _text(entry, "Sts")
        if state not in ("BOOK", ""):
            pending += 1
            continue
        lines.extend(_lines(entry, currency, rows[place] if len(rows) == len(entries) else 0))
        room(len(lines))
    return Reading(
        format="camt053",
        lines=tuple(lines),
        account_number=next(iter(numbers)) or None,
        currency=currency,
        opening=_balance(statements[0], _OPENING, currency),
        closing=_balance(statements[-1], _CLOSING, currency),
        pending=pending,
    )


def _tree(content: bytes) -> Element:
    from defusedxml import ElementTree  # noqa: PLC0415 - web loads it with the first such file.
    from defusedxml.common import DefusedXmlException  # noqa: PLC0415

    try:
        root: Element = ElementTree.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise StatementUnreadable("document types and entities are not taken") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        row = getattr(error, "position", (0, 0))[0]
        raise StatementUnreadable("the XML is broken", row) from error
    for element in root.iter():
        space, _, name = element.tag.rpartition("}")
        if name == "BkToCstmrStmt" and space and _SPACE.fullmatch(space[1:]) is None:
            raise StatementUnreadable(f"{space[1:80]} is no version of CAMT.053 that we know")
        element.tag = name
    return root


def _rows(content: bytes) -> list[int]:
    """The line at which each entry begins, as far as the file is text that can be searched."""
    text = content.decode("utf-8", "replace")
    rows, row, at = [], 1, 0
    for found in _ENTRY.finditer(text):
        row += text.count("\n", at, found.start())
        at = found.start()
        rows.append(row)
    return rows


def _text(element: Element | None, path: str) -> str:
    found = None if element is None else element.findtext(path)
    return " ".join((found or "").split())


def _number(statement: Element) -> str:
    return _text(statement, "Acct/Id/IBAN") or _text(statement, "Acct/Id/Othr/Id")


def _currency(statements: Sequence[Element]) -> str:
    found = {_text(each, "Acct/Ccy") for each in statements} - {""}
    if not found:
        found = {amount.get("Ccy", "") for each in statements for amount in each.findall("Bal/Amt")}
    if not found:
        found = {amount.get("Ccy", "") for each in statements for amount in each.findall("Ntry/Amt")}
    if len(found) != 1:
        raise StatementUnreadable("the currency of the account is not said" if not found else "several currencies")
    currency = next(iter(found))
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise StatementUnreadable(f"{currency[:10]!r} is no currency")
    return currency


def _amount(element: Element | None, row: int) -> tuple[int, str]:
    """Minor units without a sign, and the currency. Raises StatementUnreadable."""
    text, currency = ("", "") if element is None else ((element.text or "").strip(), element.get("Ccy", ""))
    try:
        # Zeros behind the cents say nothing, and ISO 20022 allows five places.
        whole, _, places = text.partition(".")
        money = Money.from_decimal(f"{whole or '0'}.{places.rstrip('0') or '0'}" if text else "", currency)
    except Invalid as error:
        raise StatementUnreadable(error.message, row) from error
    if money.minor < 0:
        raise StatementUnreadable("an amount has a sign, which CAMT.053 says apart", row)
    return money.minor, currency


def _sign(element: Element, row: int) -> int:
    mark = _text(element, "CdtDbtInd")
    if mark not in ("CRDT", "DBIT"):
        raise StatementUnreadable("is neither credit nor debit (CdtDbtInd)", row)
    return 1 if mark == "CRDT" else -1


def _balance(statement: Element, kinds: Sequence[str], currency: str) -> int | None:
    for kind in kinds:
        for each in statement.findall("Bal"):
            if _text(each, "Tp/CdOrPrtry/Cd") == kind:
                minor, said = _amount(each.find("Amt"), 0)
                return minor * _sign(each, 0) if said == currency else None
    return None


def _day(element: Element | None, row: int) -> date | None:
    text = _text(element, "Dt") or _text(element, "DtTm")
    if not text:
        return None
    try:
        # The day that the bank writes, whatever the zone: that is its calendar.
        return in_time(datetime.fromisoformat(text[:10]).date(), row)
    except ValueError as error:
        raise StatementUnreadable(f"{text[:20]!r} is no date", row) from error


def _lines(entry: Element, currency: str, row: int) -> list[Line]:
    """One line, or one for each payment of a batch when they add up to it.

    An entry that takes an earlier one back (RvslInd) has its own sign already.
    """
    minor, said = _amount(entry.find("Amt"), row)
    if said != currency:
        raise StatementUnreadable(f"is in {said}, and the account in {currency}", row)
    minor *= _sign(entry, row)
    details = entry.findall("NtryDtls/TxDtls")
    parts = [_part(each, entry, currency, row) for each in details]
    if len(details) > 1 and all(parts) and sum(part or 0 for part in parts) == minor:
        return [
            _line(entry, [each], part or 0, currency, row, place)
            for place, (each, part) in enumerate(zip(details, parts, strict=True), start=1)
        ]
    return [_line(entry, details, minor, currency, row, 0)] if minor else []


def _part(details: Element, entry: Element, currency: str, row: int) -> int | None:
    """What one payment of a batch moved, with its sign; None where that is not said in the account's currency."""
    found = details.find("Amt")
    if found is None:
        found = details.find("AmtDtls/TxAmt/Amt")
    if found is None:
        found = details.find("AmtDtls/InstdAmt/Amt")
    if found is None or found.get("Ccy") != currency:
        return None
    minor, _ = _amount(found, row)
    return minor * _sign(details if details.find("CdtDbtInd") is not None else entry, row)


def _line(entry: Element, details: Sequence[Element], minor: int, currency: str, row: int, place: int) -> Line:
    booked = _day(entry.find("BookgDt"), row) or _day(entry.find("ValDt"), row)
    if booked is None:
        raise StatementUnreadable("has no date (BookgDt)", row)
    only = details[0] if len(details) == 1 else None
    bank_id = _text(only, "Refs/AcctSvcrRef") or _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef")
    reference = None
    for path in ("Refs/EndToEndId", "Refs/TxId", "Refs/UETR", "Refs/InstrId"):
        reference = reference or named(_text(only, path), MAX_REFERENCE)
    bank_id = f"{bank_id}/{place}" if bank_id and place else bank_id
    words = _words(entry, details)
    return Line(
        row=row,
        booked_on=booked,
        valued_on=_day(entry.find("ValDt"), row) or booked,
        minor=minor,
        currency=currency,
        narration=words or reference or bank_id,
        counterparty=_counterparty(only, minor),
        reference=reference or named(bank_id, MAX_REFERENCE),
        bank_id=named(bank_id, MAX_REFERENCE),
        category="reversal" if _text(entry, "RvslInd") in ("true", "1") else None,
    )


def _counterparty(details: Element | None, minor: int) -> str | None:
    """Who is on the other side: the debtor of what came, the creditor of what left."""
    side = "Dbtr" if minor > 0 else "Cdtr"
    for path in (f"{side}/Nm", f"{side}/Pty/Nm", f"Ultmt{side}/Nm", f"Ultmt{side}/Pty/Nm"):
        if found := named(_text(details, f"RltdPties/{path}"), MAX_NAME):
            return found
    return None


def _words(entry: Element, details: Sequence[Element]) -> str:
    paths = ("RmtInf/Ustrd", "RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/RfrdDocInf/Nb", "RmtInf/Strd/AddtlRmtInf")
    said = [found.text or "" for each in details for path in paths for found in each.findall(path)]
    said += [_text(each, "AddtlTxInf") for each in details]
    said.append(_text(entry, "AddtlNtryInf"))
    return squeezed(" ".join(dict.fromkeys(filter(None, said))))
