"""Documents as GSTR-1's file lists them one by one. Pure; where the shapes come from is in core.reports.gstr1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Final

from core.reports.filings import Facts
from core.reports.gst import ABROAD

TAXES: Final = (("txval", "taxable"), ("iamt", "igst"), ("camt", "cgst"), ("samt", "sgst"))


def rupees(minor: int) -> float:
    """Paise as the number JSON has for it; exact to the paisa up to ninety lakh crore."""
    return minor / 100


def _date(spelled: str) -> str:
    return f"{date.fromisoformat(spelled):%d-%m-%Y}"


def rate_of(spelled: str) -> float | int:
    """A rate as JSON has it: 18, or 7.5."""
    rate = float(spelled)
    return int(rate) if rate == int(rate) else rate


def _items(one: Facts, *, flat: bool = False, only_igst: bool = False) -> list[dict[str, Any]]:
    """The lines of a document by rate, without those at nil, which are in a table of their own."""
    by_rate: dict[str, dict[str, int]] = {}
    for line in one["lines"]:
        if line["section"] == "nil":
            continue
        sums = by_rate.setdefault(line["rate"], {name: 0 for _, name in TAXES})
        for _, name in TAXES:
            sums[name] += line[name]
    shown = [pair for pair in TAXES if not only_igst or pair[1] in {"taxable", "igst"}]
    found = []
    for place, (rate, sums) in enumerate(sorted(by_rate.items(), key=lambda each: float(each[0])), start=1):
        detail = {"rt": rate_of(rate), **{name: rupees(sums[kept]) for name, kept in shown}, "csamt": 0.0}
        found.append(detail if flat else {"num": place, "itm_det": detail})
    return found


def _invoice(one: Facts, was: Facts | None) -> dict[str, Any]:
    original = {} if was is None else {"oinum": was["number"], "oidt": _date(was["day"])}
    return {**original, "inum": one["number"], "idt": _date(one["day"]), "val": rupees(one["value"])}


def _note(one: Facts, was: Facts | None) -> dict[str, Any]:
    original = {} if was is None else {"ont_num": was["number"], "ont_dt": _date(was["day"])}
    return {
        **original,
        "ntty": "C",
        "nt_num": one["number"],
        "nt_dt": _date(one["day"]),
        "val": rupees(one["value"]),
    }


Pair = tuple[Facts, Facts | None]


def _grouped(pairs: Iterable[Pair], key: Callable[[Facts], str], name: str, inner: str, shape: Any) -> list[Any]:
    found: dict[str, list[Any]] = defaultdict(list)
    for one, was in pairs:
        found[key(one)].append(shape(one, was))
    return [{name: value, inner: shaped} for value, shaped in sorted(found.items())]


def _charge(one: Facts) -> str:
    return "Y" if one["reverse_charge"] else "N"


def _b2b(one: Facts, was: Facts | None) -> dict[str, Any]:
    more = {"pos": one["place"], "rchrg": _charge(one), "inv_typ": "R"}
    return {**_invoice(one, was), **more, "itms": _items(one)}


def _b2cl(one: Facts, was: Facts | None) -> dict[str, Any]:
    return {**_invoice(one, was), "itms": _items(one, only_igst=True)}


def _export(one: Facts, was: Facts | None) -> dict[str, Any]:
    return {**_invoice(one, was), "itms": _items(one, flat=True, only_igst=True)}


def _cdnr(one: Facts, was: Facts | None) -> dict[str, Any]:
    more = {"pos": one["place"], "rchrg": _charge(one), "inv_typ": "R"}
    return {**_note(one, was), **more, "itms": _items(one)}


def _cdnur(one: Facts, was: Facts | None) -> dict[str, Any]:
    kind = "B2CL" if one["belongs"] == "b2cl" else "EXPWP" if one["charged"] else "EXPWOP"
    # Exports are everywhere and nowhere: their place is not asked for.
    more = {"pos": one["place"]} if one["place"] != ABROAD else {}
    return {"typ": kind, **_note(one, was), **more, "itms": _items(one, only_igst=True)}


def section_of(one: Facts) -> str:
    """The table a document stands in by itself: b2b, b2cl, exp, cdnr or cdnur; b2cs, nil for those that do not."""
    found = {line["section"].removesuffix("_rc") for line in one["lines"]} - {"nil"}
    return found.pop() if found else "nil"


def listed(pairs: Sequence[Pair], suffix: str) -> dict[str, list[Any]]:
    """The tables that list documents one by one; `suffix` a for those that correct."""
    by: dict[str, list[Pair]] = defaultdict(list)
    for one, was in pairs:
        by[section_of(one)].append((one, was))
    return {
        f"b2b{suffix}": _grouped(by["b2b"], lambda one: one["gstin"], "ctin", "inv", _b2b),
        f"b2cl{suffix}": _grouped(by["b2cl"], lambda one: one["place"], "pos", "inv", _b2cl),
        f"exp{suffix}": _grouped(
            by["exp"], lambda one: "WPAY" if one["charged"] else "WOPAY", "exp_typ", "inv", _export
        ),
        f"cdnr{suffix}": _grouped(by["cdnr"], lambda one: one["gstin"], "ctin", "nt", _cdnr),
        f"cdnur{suffix}": [_cdnur(one, was) for one, was in by["cdnur"]],
    }
