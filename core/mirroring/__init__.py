"""Invoices as somebody else's books keep them: accounting systems and gateways. No money moves by them."""
