"""A list of invoices as a file: CSV, workbook, or an archive of UBL or PDF files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy.orm import Session

from core.documents import Column, papers, table_csv, table_xlsx, ubl_xml
from core.documents.typesetting import Paper, typeset
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role
from core.invoicing import profiles, queries
from core.invoicing.filters import Filters

Format = Literal["csv", "xlsx", "ubl", "pdf"]
MOST: Final[dict[Format, int]] = {"csv": 10_000, "xlsx": 10_000, "ubl": 500, "pdf": 100}
MOST_IDS: Final = 100
_PAGE = 100
_COLUMNS = (
    Column("Number", width=18),
    Column("Stage", width=10),
    Column("Customer", width=28),
    Column("E-mail", width=28),
    Column("Seller", width=24),
    Column("Issue date", "date", 12),
    Column("Due date", "date", 12),
    Column("Currency", width=9),
    Column("Net", "money", 16),
    Column("Tax", "money", 14),
    Column("Total", "money", 16),
    Column("Paid", "money", 16),
    Column("To pay", "money", 16),
    Column("Reference", width=18),
)
# The same file for the same invoices: an archive holds no clock.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Export:
    """What was read, and how it becomes a file; `make` takes a while and needs no database."""

    make: Callable[[], bytes]
    media_type: str
    ending: str


def _rows(session: Session, actor: Actor, asked: Filters, most: int) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    count = 0
    while True:
        page = queries.list_invoices(session, actor, limit=_PAGE, cursor=cursor, filters=asked)
        count += len(page["items"])
        if count > most:
            raise Invalid("filters", f"must leave at most {most} invoices for a file of this kind")
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _cells(invoice: dict[str, Any]) -> tuple[Any, ...]:
    def money(name: str) -> tuple[int, str]:
        return invoice[name], invoice["currency"]

    return (
        invoice["number"] or "",
        invoice["stage"],
        invoice["contact"]["name"],
        invoice["contact"]["email"] or "",
        invoice["seller"]["organisation"] or invoice["seller"]["name"],
        invoice["issue_date"],
        invoice["due_date"],
        invoice["currency"],
        *(money(name) for name in ("subtotal", "tax", "total", "amount_paid", "amount_due")),
        invoice.get("reference") or "",
    )


def export(session: Session, actor: Actor, kind: Format, asked: Filters, ids: Sequence[UUID] | None = None) -> Export:
    """The list that `asked` shows, or the invoices with `ids`, as a file.

    Raises Invalid past the limit of its kind, NotFound for an id that is not the actor's.
    """
    if actor.role is Role.INVESTOR:
        raise Forbidden("investors have their portfolio")
    if ids is not None and not 0 < len(ids) <= MOST_IDS:
        raise Invalid("ids", f"must name 1 to {MOST_IDS} invoices")
    chosen = (
        list(_rows(session, actor, asked, MOST[kind]))
        if ids is None
        else [queries.get_invoice(session, actor, identity) for identity in dict.fromkeys(ids)]
    )
    match kind:
        case "csv" | "xlsx":
            cells = [_cells(each) for each in chosen]
            if kind == "csv":
                return Export(lambda: table_csv(_COLUMNS, cells), "text/csv; charset=utf-8", "csv")
            media = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            return Export(lambda: table_xlsx(_COLUMNS, cells, title="Invoices"), media, "xlsx")
        case "ubl":
            views = _whole(session, actor, [each for each in chosen if each["number"]])
            return Export(lambda: _archive((name, ubl_xml(*view)) for name, view in _named(views, "xml")), _ZIP, "zip")
        case "pdf":
            views = _whole(session, actor, chosen)
            return Export(lambda: _papers(views), _ZIP, "zip")


_ZIP = "application/zip"
_View = tuple[dict[str, Any], dict[str, Any]]


def _whole(session: Session, actor: Actor, chosen: Sequence[dict[str, Any]]) -> list[_View]:
    """The invoices in full, each with its seller's business."""
    businesses: dict[str, dict[str, Any]] = {}
    found = []
    for each in chosen:
        seller = each["seller"]["id"]
        if seller not in businesses:
            businesses[seller] = profiles.profile(session, UUID(seller)).plain()
        found.append((queries.get_invoice(session, actor, UUID(each["id"])), businesses[seller]))
    return found


def _named(views: Sequence[_View], ending: str) -> Iterator[tuple[str, _View]]:
    """Names of files; two sellers may have the same number."""
    taken: set[str] = set()
    for view, profile in views:
        number = view["number"] or f"draft-{view['id'][-12:]}"
        safe = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number)
        name = f"{safe}.{ending}" if safe not in taken else f"{safe}-{view['id'][-12:]}.{ending}"
        taken.add(safe)
        yield name, (view, profile)


def _papers(views: Sequence[_View]) -> bytes:
    names = [name for name, _ in _named(views, "pdf")]
    made: list[Paper] = [papers.invoice_paper(view, profile) for view, profile in views]
    return _archive(zip(names, typeset(made), strict=True))


def _archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()
