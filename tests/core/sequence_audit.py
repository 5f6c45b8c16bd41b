"""Works out what a seller's rows must say, from what was said and decided (amounts, refunds, targets, totals) alone.

How invoices are filled is ADR 0008, what the books hold ADR 0015, what repays investors marketplace rules 2.7. It
shares no function with `core` but the verifier of the ledger, which it asks as well.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from core import books
from core.ledger.verify import verify
from tests.builders import Shop

# What was said and decided, as rows; everything else is worked out of it.
FACTS = {
    "invoices": "SELECT id, number, currency, total, subtotal, tax, rounding, status, amount_paid, amount_due, "
    "contact_id FROM invoices WHERE seller_id = :user",
    "notes": "SELECT * FROM credit_notes WHERE seller_id = :user",
    "payments": "SELECT id, source, connection_id, coalesce(object_id, '') AS object_id, status, amount, currency, "
    "fee, trust, method, decided, invoice_id, occurred_at, refunded, deducted, net, allocated, given_back, contact_id, "
    "deleted_at FROM payments WHERE user_id = :user",
    "targets": "SELECT payment_targets.* FROM payment_targets JOIN payments ON payments.id = payment_id "
    "WHERE user_id = :user ORDER BY payment_id, position",
    "returns": "SELECT payments.id, kind, taken, back.currency FROM payment_adjustments AS back JOIN payments "
    "ON payments.connection_id = back.connection_id AND payments.object_id = back.payment_object_id "
    "WHERE user_id = :user",
    "given_back": "SELECT payment_id, sum(manual_refunds.amount)::bigint AS amount FROM manual_refunds "
    "JOIN payments ON payments.id = payment_id WHERE user_id = :user GROUP BY 1",
    "allocations": "SELECT payment_id, allocations.invoice_id, sum(allocations.amount)::bigint AS amount "
    "FROM allocations JOIN payments ON payments.id = payment_id WHERE user_id = :user GROUP BY 1, 2 "
    "HAVING sum(allocations.amount) <> 0",
    "payouts": "SELECT * FROM payouts WHERE user_id = :user AND status = 'paid' AND NOT to_third_party",
    "financings": "SELECT * FROM financings WHERE seller_id = :user",
    "repayments": "SELECT repayments.* FROM repayments JOIN financings ON financings.id = financing_id "
    "WHERE seller_id = :user AND reversed_by IS NULL",
    "books": "SELECT purpose, currency, sum(balance)::bigint AS balance FROM ledger_accounts "
    "WHERE owner = 'books:' || :user OR purpose = 'clearing' AND owner IN "
    "(SELECT 'connection:' || id FROM connections WHERE user_id = :user) GROUP BY 1, 2 HAVING sum(balance) <> 0",
    "links": "SELECT transaction_payments.*, payments.status, payments.source, payments.deleted_at "
    "FROM transaction_payments JOIN payments ON payments.id = payment_id WHERE transaction_payments.user_id = :user",
    "accepted": "SELECT matches.* FROM matches WHERE user_id = :user AND state = 'accepted'",
    "lines": "SELECT id, match_state, amount FROM transactions WHERE user_id = :user",
}
SETTLED = ("funded", "part_paid", "overdue", "defaulted", "repaid", "written_off")


def audit(shop: Shop) -> None:
    """Everything that follows from the facts is as it follows from them."""
    found = {name: shop.rows(query) for name, query in FACTS.items()}
    net = {one["id"]: _net(one, found) for one in found["payments"]}
    assert {one["id"]: one["net"] for one in found["payments"]} == net
    brings = _brings(found, net)
    paid = _filled(found, brings)
    assert {(one["payment_id"], one["invoice_id"]): one["amount"] for one in found["allocations"]} == paid
    assert {
        (one["payment_id"], one["invoice_id"]): one["allocated"] for one in found["targets"] if one["allocated"]
    } == {pair: amount for pair, amount in paid.items() if any(_same(pair, one) for one in found["targets"])}
    for one in found["invoices"]:
        got = sum(amount for (_, invoice), amount in paid.items() if invoice == one["id"])
        assert (one["amount_paid"], one["amount_due"]) == (got, one["total"] - got)
        wanted = "open" if got == 0 else "paid" if got == one["total"] else "partial"
        assert one["status"] in ({"draft", "void"} if got == 0 else set()) | {wanted}
        noted = [
            note["total"] for note in found["notes"] if note["invoice_id"] == one["id"] and note["status"] != "void"
        ]
        assert sum(noted) <= one["total"]
    for one in found["payments"]:
        assert one["allocated"] == sum(amount for (payment, _), amount in paid.items() if payment == one["id"])
    repaid = _repaid(found, brings)
    assert {(one["payment_id"], one["financing_id"]): one["amount"] for one in found["repayments"]} == repaid
    for one in found["financings"]:
        got = sum(amount for (_, financing), amount in repaid.items() if financing == one["id"])
        assert one["collected"] == got
    assert {(one["purpose"], one["currency"]): one["balance"] for one in found["books"]} == _books(
        found, net, paid, repaid
    )
    _lines(found)
    with shop.database.connect() as connection:
        assert books.waiting(connection) == 0
        assert verify(connection).problems == []


def _same(pair: tuple[UUID, UUID], target: Any) -> bool:
    return pair == (target["payment_id"], target["invoice_id"])


def _net(one: Any, found: Any) -> int:
    if one["status"] != "succeeded":
        return 0
    back = sum(row["amount"] for row in found["given_back"] if row["payment_id"] == one["id"])
    taken: Counter[str] = Counter()
    for row in found["returns"]:
        if row["id"] == one["id"] and row["currency"] == one["currency"]:
            taken[row["kind"]] += row["taken"]
    left = max(0, one["amount"] - back - taken["refund"])
    return int(max(0, left - taken["dispute"]))


def _brings(found: Any, net: dict[UUID, int]) -> dict[tuple[UUID, UUID], int]:
    """What each payment may give each invoice that it names."""
    brings = {}
    for one in found["payments"]:
        left = 0 if one["trust"] == "hint" else net[one["id"]]
        if not one["decided"]:
            if one["invoice_id"] is not None:
                brings[one["id"], one["invoice_id"]] = left
            continue
        for target in found["targets"]:
            if target["payment_id"] == one["id"]:
                brings[one["id"], target["invoice_id"]] = min(target["amount"], left)
                left -= min(target["amount"], left)
    return brings


def _filled(found: Any, brings: dict[tuple[UUID, UUID], int]) -> dict[tuple[UUID, UUID], int]:
    """The earliest money first; of a financed invoice words last, and no more of them than investors leave."""
    financed = {one["invoice_id"]: one for one in found["financings"] if one["state"] in SETTLED}
    paid = {}
    for invoice in found["invoices"]:
        if invoice["status"] in ("draft", "void"):
            continue
        left = invoice["total"]
        investors = financed.get(invoice["id"])
        words = left
        if investors and investors["repaid_principal"] < investors["principal"]:
            words = investors["face"] - investors["confirmed_amount"]
        for one in sorted(
            found["payments"],
            key=lambda one: (
                bool(investors and one["trust"] == "manual"), one["occurred_at"], one["object_id"], one["id"]
            ),
        ):  # fmt: skip
            part = min(left, brings.get((one["id"], invoice["id"]), 0))
            if investors and one["trust"] == "manual":
                part = min(part, words)
                words -= part
            if part and one["currency"] == invoice["currency"]:
                paid[one["id"], invoice["id"]] = part
                left -= part
    return paid


def _repaid(found: Any, brings: dict[tuple[UUID, UUID], int]) -> dict[tuple[UUID, UUID], int]:
    """What a bank or a gateway says came for a financed invoice is its investors'; a seller's word is nothing."""
    financed = {one["invoice_id"]: one for one in found["financings"] if one["state"] in SETTLED}
    known = {one["id"]: one for one in found["payments"]}
    return {
        (payment, financed[invoice]["id"]): amount
        for (payment, invoice), amount in brings.items()
        if amount and invoice in financed and known[payment]["trust"] not in ("manual", "hint")
        and known[payment]["currency"] == financed[invoice]["currency"]
    }  # fmt: skip


def _books(
    found: Any, net: dict[UUID, int], paid: dict[tuple[UUID, UUID], int], repaid: dict[tuple[UUID, UUID], int]
) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()

    def add(currency: str, **amounts: int) -> None:
        for purpose, amount in amounts.items():
            sums[purpose, currency] += amount

    for one in found["invoices"]:
        if one["status"] not in ("draft", "void"):
            add(one["currency"], receivable=-one["total"], sales=one["subtotal"], tax_due=one["tax"])
            add(one["currency"], rounding=one["rounding"])
    for one in found["notes"]:
        if one["status"] != "void":
            add(one["currency"], sales=-one["subtotal"], tax_due=-one["tax"], rounding=-one["rounding"])
            add(one["currency"], credit_notes=one["total"])
    for one in found["payments"]:
        for purpose, amount in _position(one, found, net[one["id"]], paid, repaid).items():
            sums[purpose, one["currency"]] += amount
    for one in found["payouts"]:
        add(one["currency"], clearing=one["amount"], bank=-one["amount"])
    return {key: amount for key, amount in sums.items() if amount}


def _position(
    one: Any, found: Any, net: int, paid: dict[tuple[UUID, UUID], int], repaid: dict[tuple[UUID, UUID], int]
) -> Counter[str]:
    """What a payment is in the books."""
    if one["status"] != "succeeded" or one["trust"] == "hint":
        return Counter()
    used = sum(amount for (payment, _), amount in paid.items() if payment == one["id"])
    went = sum(amount for (payment, _), amount in repaid.items() if payment == one["id"])
    fee = one["fee"] or 0
    back = min(one["amount"], sum(row["amount"] for row in found["given_back"] if row["payment_id"] == one["id"]))
    place = {"gateway": "clearing", "credit_note": "credit_notes"}.get(one["source"], "bank")
    place = "tds" if one["method"] == "tds_withheld" else place
    held = Counter({"receivable": used, "credit": net - used, "gateway_fees": -fee, "financing": -went, "bank": back})
    held[place] -= net - fee - went + back
    return held


def _lines(found: Any) -> None:
    """A line of the bank is one payment that stands, or none."""
    accepted = {one["transaction_id"]: one for one in found["accepted"]}
    linked = {one["transaction_id"]: one for one in found["links"]}
    for one in found["lines"]:
        match = accepted.get(one["id"])
        assert (match is not None) == (one["match_state"] == "accepted")
        if match is not None and match["kind"] != "payout":
            link = linked[one["id"]]
            assert (link["payment_id"], link["status"], link["deleted_at"]) == (match["payment_id"], "succeeded", None)
    assert set(linked) <= set(accepted)
