"""Mails about invoices: their words, sending, reminders, receipts, what came back, and what customers answer."""
