"""GSTR-1 as a file for the portal's offline upload: JSON of one month, rupees with two decimal places.

The portal publishes no schema. Names and shapes are those of its returns API and offline tool as they are publicly
described (the GSTN sandbox pages of API providers, and the Frappe app India Compliance, which uploads them; read in
November 2026). What is not known here is left out: e-commerce operators, shipping bills, SEZ and deemed exports,
advances, cess. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from core.reports.filings import Correction, Facts
from core.reports.gstr1_documents import TAXES, listed, rate_of, rupees, section_of

_CODES: Final = (
    "BAG", "BAL", "BDL", "BKL", "BOU", "BOX", "BTL", "BUN", "CAN", "CBM", "CCM", "CMS", "CTN", "DOZ", "DRM", "GGK",
    "GMS", "GRS", "GYD", "KGS", "KLR", "KME", "LTR", "MLT", "MTR", "MTS", "NOS", "PAC", "PCS", "PRS", "QTL", "ROL",
    "SET", "SQF", "SQM", "SQY", "TBS", "TGM", "THD", "TON", "TUB", "UGS", "UNT", "YDS", "OTH",
)  # fmt: skip
# Units the portal knows (UQC) by what people write; all else is "other".
_UNITS: Final = {
    **{code: code for code in _CODES},
    "KG": "KGS", "G": "GMS", "GM": "GMS", "L": "LTR", "LITRE": "LTR", "M": "MTR", "METER": "MTR", "METRE": "MTR",
    "PC": "PCS", "PIECE": "PCS", "PIECES": "PCS", "NO": "NOS", "UNIT": "UNT", "UNITS": "UNT", "DOZEN": "DOZ",
    "T": "TON", "ML": "MLT", "PAIR": "PRS", "PAIRS": "PRS",
}  # fmt: skip


def _sign(one: Facts) -> int:
    return -1 if one["kind"] == "credit_note" else 1


def _added(documents: Iterable[Facts], key: Callable[[Facts, Mapping[str, Any]], Any]) -> dict[Any, dict[str, int]]:
    """Lines less credit notes, by what `key` says of them; None leaves a line out."""
    found: dict[Any, dict[str, int]] = {}
    for one in documents:
        for line in one["lines"]:
            named = key(one, line)
            if named is None:
                continue
            sums = found.setdefault(named, {name: 0 for _, name in TAXES})
            for _, name in TAXES:
                sums[name] += _sign(one) * line[name]
    return dict(sorted(found.items()))


def _b2cs_key(one: Facts, line: Mapping[str, Any]) -> tuple[str, str, float] | None:
    return (one["place"], one["supply"], float(line["rate"])) if line["section"] == "b2cs" else None


def _b2cs_sums(supply: str, rate: float, sums: Mapping[str, int]) -> dict[str, Any]:
    taxes = {"camt": rupees(sums["cgst"]), "samt": rupees(sums["sgst"])}
    if supply == "inter":
        taxes = {"iamt": rupees(sums["igst"])}
    return {"rt": rate_of(str(rate)), "txval": rupees(sums["taxable"]), **taxes, "csamt": 0.0}


def _b2cs(documents: Sequence[Facts]) -> list[dict[str, Any]]:
    return [
        {"sply_ty": supply.upper(), "pos": place, "typ": "OE", **_b2cs_sums(supply, rate, sums)}
        for (place, supply, rate), sums in _added(documents, _b2cs_key).items()
    ]


def _b2csa(corrections: Sequence[Correction], months: Mapping[date, Sequence[Facts]]) -> list[dict[str, Any]]:
    """Of each month and place that a correction touched: what its sums are now."""
    touched: dict[date, set[str]] = defaultdict(set)
    for each in corrections:
        # What came late was not in the sums of its month: it is in those of this one.
        for one in (each.was, each.now) if each.was is not None else ():
            for line in one["lines"] if one is not None else ():
                if one is not None and line["section"] == "b2cs":
                    touched[each.month].add(one["place"])
    found = []
    for month, places in sorted(touched.items()):
        sums = _added([one for one in months.get(month, ()) if one["place"] in places], _b2cs_key)
        by_place: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for (place, supply, rate), one in sums.items():
            by_place[place, supply].append(_b2cs_sums(supply, rate, one))
        found += [
            {"omon": f"{month:%m%Y}", "sply_ty": supply.upper(), "pos": place, "typ": "OE", "itms": items}
            for (place, supply), items in sorted(by_place.items())
        ]
    return found


_NIL: Final = (("inter", "b2b", "INTRB2B"), ("intra", "b2b", "INTRAB2B"), ("inter", "b2c", "INTRB2C"),
               ("intra", "b2c", "INTRAB2C"))  # fmt: skip


def _nil(documents: Sequence[Facts]) -> dict[str, Any]:
    sums = _added(documents, lambda one, line: (one["supply"], one["buyers"]) if line["section"] == "nil" else None)
    return {
        "inv": [
            {"sply_ty": name, "nil_amt": rupees(sums[supply, buyers]["taxable"]), "expt_amt": 0.0, "ngsup_amt": 0.0}
            for supply, buyers, name in _NIL
            if (supply, buyers) in sums
        ]
    }


def _hsn(documents: Sequence[Facts], buyers: str) -> list[dict[str, Any]]:
    def key(one: Facts, line: Mapping[str, Any]) -> tuple[str, str, float] | None:
        return (line["hsn"], unit(line["hsn"], line["unit"]), float(line["rate"])) if one["buyers"] == buyers else None

    quantities: dict[Any, float] = defaultdict(float)
    for one in documents:
        for line in one["lines"]:
            quantities[key(one, line)] += _sign(one) * float(line["quantity"])
    return [
        {
            "num": place, "hsn_sc": hsn, "uqc": code,
            "qty": 0 if code == "NA" else round(quantities[hsn, code, rate], 2),
            "rt": rate_of(str(rate)), **{name: rupees(sums[kept]) for name, kept in TAXES}, "csamt": 0.0,
        }
        for place, ((hsn, code, rate), sums) in enumerate(_added(documents, key).items(), start=1)
    ]  # fmt: skip


def unit(hsn: str, written: str) -> str:
    """The portal's code of a unit; services (SAC, chapter 99) have none."""
    return "NA" if hsn.startswith("99") else _UNITS.get(written.strip().upper().rstrip("."), "OTH")


def _issued(series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds = (("Invoices", 1, "Invoices for outward supply"), ("Credit notes", 5, "Credit Note"))
    found = []
    for kind, number, words in kinds:
        rows = [one for one in series if one["kind"] == kind]
        if rows:
            docs = [
                {
                    "num": place, "from": one["first"], "to": one["last"], "totnum": one["many"],
                    "cancel": one["cancelled"], "net_issue": one["many"] - one["cancelled"],
                }
                for place, one in enumerate(rows, start=1)
            ]  # fmt: skip
            found.append({"doc_num": number, "doc_typ": words, "docs": docs})
    return {"doc_det": found}


def uploadable(one: Correction) -> bool:
    """Whether the portal's tables can say it: a document stays in its table, and its old number and date name it.

    One that was taken back stays in it with nothing; one that came late is no correction to the portal.
    """
    if one.was is None:
        return True
    now = section_of(one.now) if one.now is not None else section_of(one.was)
    return section_of(one.was) == now and now != "nil" and (now == "b2cs" or one.now is None or _same_buyer(one))


def _same_buyer(one: Correction) -> bool:
    return one.was is not None and one.now is not None and one.was["gstin"] == one.now["gstin"]


def _emptied(one: Facts) -> Facts:
    lines = [{**line, **{name: 0 for _, name in TAXES}} for line in one["lines"]]
    return {**one, "value": 0, "lines": lines}


def upload(
    gstin: str,
    month: date,
    documents: Sequence[Facts],
    corrections: Sequence[Correction],
    months: Mapping[date, Sequence[Facts]],
    series: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The file.

    `documents` are those listed for the first time; `months` the documents of corrected months as they are now;
    `series` what was issued. Empty tables are left out, as the offline tool does.
    """
    corrected = [
        (one.now if one.now is not None else _emptied(one.was), one.was)
        for one in corrections
        if one.was is not None and uploadable(one)
    ]
    found: dict[str, Any] = {
        **listed([(one, None) for one in documents], ""),
        "b2cs": _b2cs(documents),
        **listed(corrected, "a"),
        "b2csa": _b2csa(corrections, months),
        "nil": _nil(documents),
        "hsn": {
            name: rows for name, buyers in (("hsn_b2b", "b2b"), ("hsn_b2c", "b2c")) if (rows := _hsn(documents, buyers))
        },
        "doc_issue": _issued(series),
    }
    kept = {name: value for name, value in found.items() if value and value not in ({"inv": []}, {"doc_det": []})}
    return {"gstin": gstin, "fp": f"{month:%m%Y}", **kept}
