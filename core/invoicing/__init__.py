"""Invoices, contacts and their numbers."""
