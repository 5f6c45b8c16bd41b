"""Whose money a payment is.

A payment is of the contact it names, or else of the first one whose invoice it names. What of it pays invoices is of
the contacts of those invoices, whoever paid; what is over is its own contact's credit.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

# The payments that a contact (:contact) has a part in, and whether they are its own.
OF_CONTACT: Final = """
    SELECT payments.id, coalesce(payments.contact_id,
        (SELECT named.contact_id FROM invoices AS named WHERE named.id = payments.invoice_id),
        (SELECT named.contact_id FROM payment_targets JOIN invoices AS named ON named.id = payment_targets.invoice_id
            WHERE payment_targets.payment_id = payments.id ORDER BY payment_targets.position LIMIT 1)) = :contact AS own
    FROM payments WHERE payments.id IN (
        SELECT known.id FROM payments AS known WHERE known.contact_id = :contact
        UNION SELECT known.id FROM invoices JOIN payments AS known ON known.invoice_id = invoices.id
            WHERE invoices.contact_id = :contact
        UNION SELECT payment_targets.payment_id FROM invoices
            JOIN payment_targets ON payment_targets.invoice_id = invoices.id WHERE invoices.contact_id = :contact)
"""
# What of a contact's own payments pays nothing yet, by currency. A hint is no money.
CREDIT: Final = text(
    "SELECT payments.currency, sum(payments.net - payments.allocated)::bigint AS credit "
    f"FROM ({OF_CONTACT}) AS theirs JOIN payments ON payments.id = theirs.id "
    "WHERE theirs.own AND payments.trust <> 'hint' AND payments.net > payments.allocated GROUP BY payments.currency"
)
