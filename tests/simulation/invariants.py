"""The invariants L1 to L16 of marketplace rules 3.1 over the whole database, by queries of its own.

Nothing of `core` is asked: what these say must not rest on the code that wrote the rows. L7, L8 and L16 are what the
auditor checks with each answer: a repeat changes nothing, a refusal leaves every account as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

# What each payment brings each invoice that it names.
PARTS = """
    SELECT id, invoice_id, currency, occurred_at, trust, CASE WHEN trust = 'hint' THEN 0 ELSE net END AS part
    FROM payments WHERE invoice_id IS NOT NULL
    UNION ALL SELECT payments.id, target.invoice_id, currency, occurred_at, trust,
        greatest(0, least(target.amount, net - coalesce((SELECT sum(amount) FROM payment_targets AS earlier
            WHERE earlier.payment_id = target.payment_id AND earlier.position < target.position), 0)))
    FROM payment_targets AS target JOIN payments ON payments.id = target.payment_id"""

_QUERIES: Mapping[str, str] = {
    "L1: a transfer does not balance, or mixes currencies": """
        SELECT transfer_id FROM ledger_entries GROUP BY transfer_id
        HAVING sum(amount) <> 0 OR count(DISTINCT currency) > 1 OR count(*) < 2""",
    "L2: debits and credits are not the same": """
        SELECT currency, sum(balance) FROM ledger_accounts GROUP BY currency HAVING sum(balance) <> 0""",
    "L3: a balance is not the sum of its entries": """
        SELECT id FROM ledger_accounts LEFT JOIN (
            SELECT account_id, sum(amount) AS summed FROM ledger_entries GROUP BY account_id
        ) AS sums ON account_id = id WHERE balance <> coalesce(summed, 0)""",
    "L3: an entry does not go on where the one before it ended": """
        SELECT account_id, sequence FROM (
            SELECT account_id, sequence, balance_before, balance_after, amount,
                   lag(balance_after, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY sequence) AS ended
            FROM ledger_entries) AS entries
        WHERE balance_before <> ended OR balance_after <> balance_before + amount""",
    "L4: what is held is not the sum of the open holds": """
        SELECT id FROM ledger_accounts LEFT JOIN (
            SELECT account_id, sum(amount) AS summed FROM ledger_holds WHERE NOT EXISTS
                (SELECT FROM ledger_resolutions WHERE hold_id = ledger_holds.id) GROUP BY account_id
        ) AS sums ON account_id = id WHERE held <> coalesce(summed, 0)""",
    "L4: somebody has less than nothing to spend": """
        SELECT owner FROM ledger_accounts WHERE balance - held < 0
        AND purpose IN ('wallet', 'escrow', 'fees', 'gst', 'unapplied')""",
    "L6: a hold is open and resolved, or neither, or resolved for more than it was": """
        SELECT ledger_holds.id FROM ledger_holds LEFT JOIN ledger_resolutions ON hold_id = ledger_holds.id
        WHERE open = (hold_id IS NOT NULL) OR ledger_resolutions.amount > ledger_holds.amount""",
    "L6: a hold was posted, and its money went elsewhere": """
        SELECT hold_id FROM ledger_resolutions JOIN ledger_holds ON ledger_holds.id = hold_id
        WHERE outcome = 'posted' AND NOT EXISTS (
            SELECT FROM ledger_entries WHERE ledger_entries.transfer_id = ledger_resolutions.transfer_id
            AND ledger_entries.account_id = ledger_holds.account_id AND amount < 0)""",
    "L7: a transfer or a hold does not stand under its key, or two stand under one": """
        SELECT subjects.key FROM (SELECT id, key FROM ledger_transfers UNION ALL SELECT id, key FROM ledger_holds)
            AS subjects LEFT JOIN ledger_keys ON ledger_keys.key = subjects.key
        GROUP BY subjects.key HAVING count(*) > 1 OR bool_or(outcome IS DISTINCT FROM 'applied')
            OR bool_or(subject_id IS DISTINCT FROM subjects.id)""",
    "L9: an account's sequence has a gap or a double": """
        SELECT id FROM ledger_accounts LEFT JOIN (
            SELECT account_id, count(*) AS many, max(sequence) AS last, count(DISTINCT sequence) AS different
            FROM ledger_entries GROUP BY account_id) AS entries ON account_id = id
        WHERE (sequence, sequence, sequence) IS DISTINCT FROM
            (coalesce(many, 0), coalesce(last, 0), coalesce(different, 0))""",
    "L10: an entry is neither sealed nor waiting, or both": """
        SELECT id FROM ledger_entries
        LEFT JOIN ledger_chain ON ledger_chain.entry_id = ledger_entries.id
        LEFT JOIN ledger_unsealed ON ledger_unsealed.entry_id = ledger_entries.id
        WHERE (ledger_chain.entry_id IS NULL) = (ledger_unsealed.entry_id IS NULL)""",
    "L11: an entry has another currency than its account": """
        SELECT ledger_entries.id FROM ledger_entries JOIN ledger_accounts ON ledger_accounts.id = account_id
        WHERE ledger_entries.currency <> ledger_accounts.currency""",
    "L12: a reversal does not undo its original": """
        SELECT original FROM ledger_reversals JOIN ledger_entries
            ON ledger_entries.transfer_id IN (original, ledger_reversals.transfer_id)
        GROUP BY original, account_id HAVING sum(amount) <> 0""",
    "L12: what is reversed, or takes back, is not what the financing says": """
        SELECT id FROM repayments LEFT JOIN ledger_reversals ON original = repayments.transfer_id
        WHERE reversed_by IS DISTINCT FROM ledger_reversals.transfer_id""",
    "L13: an escrow is not empty": """
        SELECT owner FROM ledger_accounts WHERE purpose = 'escrow' AND balance <> 0""",
    "L14: demo money is not what was issued, received from outside and claimed": """
        SELECT 1 WHERE (SELECT coalesce(sum(balance), 0) FROM ledger_accounts
            WHERE purpose IN ('wallet', 'fees', 'gst', 'unapplied', 'escrow')) <> -(SELECT coalesce(sum(balance), 0)
            FROM ledger_accounts WHERE purpose IN ('issuance', 'outside', 'recoverable'))""",
    "L15: a financing is not the sum of its slices, or more was sold than there is": """
        SELECT financings.id FROM financings LEFT JOIN investments
            ON financing_id = financings.id AND status <> 'voided'
        GROUP BY financings.id
        HAVING placed_principal <> coalesce(sum(investments.principal), 0) OR placed_principal > financings.principal
            OR placed_outlay <> coalesce(sum(investments.outlay), 0)
            OR (state IN ('settlement_pending', 'funded', 'part_paid', 'overdue', 'defaulted', 'repaid')
                AND (placed_principal, placed_outlay) IS DISTINCT FROM
                    (financings.principal, financings.principal - discount))""",
    "L15: one invoice is financed twice": """
        SELECT print FROM (
            SELECT fp_e1 AS print FROM financings WHERE state NOT IN
                ('pending_buyer_confirmation', 'disputed', 'rejected', 'expired', 'withdrawn')
            UNION ALL SELECT fp_e2 FROM financings WHERE state NOT IN
                ('pending_buyer_confirmation', 'disputed', 'rejected', 'expired', 'withdrawn')) AS active
        WHERE print IS NOT NULL GROUP BY print HAVING count(*) > 1""",
    "a promise has no open hold, or a hold outlives its promise": """
        SELECT hold_id FROM (SELECT hold_id FROM investments WHERE status = 'held' UNION ALL
                             SELECT hold_id FROM bids WHERE state = 'open') AS promises
        FULL JOIN (SELECT id FROM ledger_holds WHERE open) AS holds ON id = hold_id
        WHERE id IS NULL OR hold_id IS NULL""",
    "a state does not agree with its money": """
        SELECT id FROM financings WHERE CASE state
            WHEN 'repaid' THEN repaid_principal <> principal
            WHEN 'funded' THEN collected <> 0 OR repaid_principal <> 0
            WHEN 'part_paid' THEN collected = 0 OR repaid_principal = principal
            WHEN 'overdue' THEN repaid_principal = principal
            WHEN 'defaulted' THEN repaid_principal = principal
            WHEN 'listed' THEN placed_principal <> 0
            WHEN 'partially_funded' THEN placed_principal = 0 OR placed_principal >= principal
            WHEN 'settlement_pending' THEN placed_principal <> principal
            ELSE collected <> 0 OR placed_principal <> 0 OR repaid_principal <> 0 END""",
    "the shares of the investors are not what was repaid": """
        SELECT repayments.id FROM repayments LEFT JOIN repayment_shares ON repayment_id = repayments.id
        GROUP BY repayments.id
        HAVING repayments.interest <> coalesce(sum(repayment_shares.interest), 0)
            OR repayments.principal <> coalesce(sum(repayment_shares.principal), 0)
            OR amount <> repayments.interest + repayments.principal + seller + other + surplus""",
    "an investment is not the sum of its shares": """
        SELECT investments.id FROM investments LEFT JOIN (
            SELECT investment_id, sum(repayment_shares.principal) AS back, sum(repayment_shares.interest) AS earned
            FROM repayment_shares JOIN repayments ON repayments.id = repayment_id
            WHERE reversed_by IS NULL GROUP BY investment_id) AS shares ON investment_id = investments.id
        WHERE repaid_principal <> coalesce(back, 0) OR repaid_interest <> coalesce(earned, 0)""",
    "an investor got more than principal and late interest": """
        SELECT investments.id FROM investments JOIN financings ON financings.id = financing_id
        WHERE investments.repaid_principal > investments.principal OR investments.repaid_interest > (
            SELECT count(*) + ceil(investments.principal * late_rate / 100 / 365 * greatest(0,
                max((paid_at AT TIME ZONE 'Asia/Kolkata')::date) - pay_date))
            FROM repayments WHERE repayments.financing_id = financings.id AND reversed_by IS NULL)""",
    "a payment's money does not appear exactly once": f"""
        SELECT paid.id FROM ({PARTS}) AS paid JOIN financings ON financings.invoice_id = paid.invoice_id
            AND financings.currency = paid.currency
            AND state IN ('funded', 'part_paid', 'overdue', 'defaulted', 'repaid')
        LEFT JOIN repayments ON repayments.payment_id = paid.id AND repayments.financing_id = financings.id
            AND reversed_by IS NULL
        WHERE trust <> 'manual'
        GROUP BY paid.id, financings.id, part, trust HAVING coalesce(sum(repayments.amount), 0) <> part
            OR count(repayments.id) > 1""",
    "money came from nowhere": f"""
        SELECT repayments.id FROM repayments JOIN financings ON financings.id = financing_id
        LEFT JOIN ({PARTS}) AS paid ON paid.id = payment_id AND paid.invoice_id = financings.invoice_id
        WHERE reversed_by IS NULL AND payment_id <> financing_id AND (part IS DISTINCT FROM repayments.amount
            OR paid_at <> occurred_at OR trust = 'manual')""",
    "what came from outside is not what was collected": """
        SELECT 1 WHERE (SELECT coalesce(sum(balance), 0) FROM ledger_accounts WHERE purpose = 'outside')
            <> -(SELECT coalesce(sum(collected), 0) FROM financings)""",
    "what is paid of an invoice is not the sum of its allocations": """
        SELECT invoices.id FROM invoices LEFT JOIN (
            SELECT invoice_id, sum(amount) AS paid FROM allocations GROUP BY invoice_id) AS sums
            ON invoice_id = invoices.id WHERE amount_paid <> coalesce(paid, 0)""",
}

_SEALED = text("""
    SELECT chain.position, chain.entry_id AS named, chain.prev_hash, chain.hash, entry.id, entry.account_id,
           entry.sequence, entry.transfer_id, entry.currency, entry.amount, entry.balance_before, entry.balance_after,
           entry.effective_at, entry.recorded_at, transfer.kind, transfer.key, transfer.description,
           transfer.invoice_id, transfer.event_id, account.owner, account.purpose
    FROM ledger_chain AS chain
    JOIN ledger_entries AS entry ON entry.account_id = chain.account_id AND entry.sequence = chain.sequence
    JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    JOIN ledger_accounts AS account ON account.id = entry.account_id
    WHERE chain.position > :after ORDER BY chain.position""")
_BESIDE = ("position", "named", "prev_hash", "hash")
# L5: a sum over everything a row says, of all rows that were there the last time.
_PAST = text("""
    SELECT count(*) AS many, coalesce(sum(hashtextextended(entries::text, 0)::numeric), 0) AS said
    FROM ledger_entries AS entries WHERE id <= :last""")


@dataclass(slots=True)
class Marks:
    """How far the last look went, and what it saw."""

    position: int = 0
    hash: bytes = bytes(32)
    last_entry: int = 0
    many: int = 0
    said: Any = 0
    hashes: dict[int, str] = field(default_factory=dict)


def violations(connection: Connection, now: datetime, heads: Path, marks: Marks) -> list[str]:
    """Every invariant that does not hold, with how often and one case."""
    found = []
    for name, query in _QUERIES.items():
        rows = connection.execute(text(f"SELECT * FROM ({query}) AS wrong LIMIT 3")).all()
        if rows:
            found.append(f"{name}: {[tuple(map(str, row)) for row in rows]}")
    found += _past(connection, marks)
    found += _chain(connection, marks)
    found += _anchors(connection, heads, marks)
    return found


def _past(connection: Connection, marks: Marks) -> list[str]:
    row = connection.execute(_PAST, {"last": marks.last_entry}).one()
    found = [] if (row.many, row.said) == (marks.many, marks.said) else ["L5: entries changed or vanished"]
    marks.last_entry = int(connection.scalar(text("SELECT coalesce(max(id), 0) FROM ledger_entries")) or 0)
    row = connection.execute(_PAST, {"last": marks.last_entry}).one()
    marks.many, marks.said = row.many, row.said
    return found


def _chain(connection: Connection, marks: Marks) -> list[str]:
    for row in connection.execute(_SEALED, {"after": marks.position}):
        said = row._asdict()
        position, named, before, sealed = (said.pop(name) for name in _BESIDE)
        words = {name: _spelled(value) for name, value in sorted(said.items())}
        content = json.dumps(words, separators=(",", ":"), sort_keys=True).encode("ascii")
        right = hashlib.sha256(marks.hash + content).digest()
        if position != marks.position + 1 or named != row.id or bytes(before) != marks.hash or bytes(sealed) != right:
            return [f"L10: the chain is broken at {position}"]
        marks.position, marks.hash = position, right
        marks.hashes[position] = right.hex()
    head = connection.execute(text("SELECT position, hash FROM ledger_chain_head")).one()
    stands = (head.position, bytes(head.hash)) == (marks.position, marks.hash)
    return [] if stands else ["L10: the head of the chain is not its last link"]


def _spelled(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int | str) else str(value)


def _anchors(connection: Connection, heads: Path, marks: Marks) -> list[str]:
    """Each line of the file outside names a link that stands, and each row of the table is in the file."""
    lines = [json.loads(line) for line in heads.read_text().splitlines()] if heads.exists() else []
    outside = {(line["day"], line["position"], line["hash"]) for line in lines}
    inside = {
        (row.day.isoformat(), row.position, bytes(row.hash).hex())
        for row in connection.execute(text("SELECT day, position, hash FROM ledger_anchors"))
    }
    empty = bytes(32).hex()
    found = [] if inside <= outside else ["L10: an anchor is missing outside"]
    if any(marks.hashes.get(position, empty if position == 0 else "") != said for _, position, said in outside):
        found.append("L10: the chain is not what an anchor says")
    return found
