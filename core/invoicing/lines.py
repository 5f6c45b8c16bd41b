"""The lines of an invoice or a credit note: written, and read with what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import Rows
from core.decimals import spelled
from core.invoicing import totals

Kind: TypeAlias = Literal["invoice", "credit_note"]
_STORED: Final = ("discount", "net", "tax", "cgst", "sgst", "igst")
# Of a line, without the document that it stands on.
COLUMNS: Final = {
    "position": "integer",
    "description": "text",
    "unit": "text",
    "hsn": "text",
    "quantity": "numeric",
    "unit_price": "bigint",
    "discount_rate": "numeric",
    "tax_rate": "numeric",
    **dict.fromkeys(_STORED, "bigint"),
}
_KINDS: Final[tuple[Kind, ...]] = ("invoice", "credit_note")
_ROWS: Final = {kind: Rows(**{f"{kind}_id": "uuid"}, **COLUMNS) for kind in _KINDS}
_ITEM: Final = ("description", "unit", "hsn", "quantity", "unit_price", "discount_rate", "tax_rate")
_AMOUNTS: Final = ("gross", "discount", "net", "tax", "cgst", "sgst", "igst")
_DECIMALS: Final = ("quantity", "discount_rate", "tax_rate")
_SHOWN: Final = (
    "description, unit, hsn, quantity, unit_price, discount_rate, tax_rate, net + discount AS gross, "
    "discount, net, tax, cgst, sgst, igst"
)
_READ: Final = {
    kind: text(f"SELECT {_SHOWN} FROM {kind}_items WHERE {kind}_id = :id ORDER BY position") for kind in _KINDS
}


def write(
    session: Session, kind: Kind, identity: UUID, items: Sequence[totals.NewItem], amounts: Sequence[totals.Line]
) -> None:
    """Write the lines of a document."""
    session.execute(
        text(_ROWS[kind].insert(f"{kind}_items")),
        _ROWS[kind].parameters(
            {
                f"{kind}_id": identity,
                "position": place,
                "description": item.description.strip(),
                "unit": item.unit.strip(),
                "hsn": item.hsn,
                "quantity": item.quantity,
                "unit_price": item.unit_price,
                "discount_rate": item.discount_rate,
                "tax_rate": item.tax_rate,
                **{name: getattr(line, name) for name in _STORED},
            }
            for place, (item, line) in enumerate(zip(items, amounts, strict=True))
        ),
    )


def read(session: Session, kind: Kind, identity: UUID) -> dict[str, Any]:
    """The lines as JSON, and their tax by rate and by HSN code: {items, tax_shown, tax_by_rate, tax_by_hsn}."""
    rows = session.execute(_READ[kind], {"id": identity}).all()
    pairs = []
    for row in rows:
        values = row._asdict()
        item = totals.NewItem(**{name: values[name] for name in _ITEM})
        pairs.append((item, totals.Line(**{name: values[name] for name in _AMOUNTS})))
    return {
        "items": [{**row._asdict(), **{name: spelled(getattr(row, name)) for name in _DECIMALS}} for row in rows],
        "tax_shown": sum(line.tax for _, line in pairs),
        "tax_by_rate": [asdict(one) for one in totals.summary(pairs, by_hsn=False)],
        "tax_by_hsn": [asdict(one) for one in totals.summary(pairs, by_hsn=True)],
    }
