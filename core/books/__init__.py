"""The sellers' books: every invoice, credit note, payment and payout is in the double-entry ledger (ADR 0015).

What an object is in its seller's books (its position) depends on its present state alone:

    invoice      RECEIVABLE is owed its total: SALES, TAX_DUE, ROUNDING
    credit note  takes from SALES, TAX_DUE and ROUNDING: CREDIT_NOTES
    payment      what it pays comes off the RECEIVABLE, the rest is the customer's CREDIT; it is in CLEARING (at the
                 gateway, less GATEWAY_FEES), in the BANK, a claim (TDS), a credit note's (CREDIT_NOTES), or went to
                 those who financed the invoice (FINANCING)
    payout       from CLEARING to the BANK

What was posted of it is kept (book_positions), and the difference is posted. So any order of news ends with the same
books, a repeat posts nothing, and an edit, a refund or an end is just another position.

Whoever changes one of these objects says so with `touch`; at the end of the transaction, as its last locks, the
differences are posted together. The database notes what changed by itself (book_due), and a worker posts what
somebody forgot, or wrote by hand: `work_off`.
"""

from __future__ import annotations

from core.books.posting import BATCH, post_due, touch, waiting, work_off

__all__ = ["BATCH", "post_due", "touch", "waiting", "work_off"]
