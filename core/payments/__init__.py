"""Payments and their allocations to invoices."""
