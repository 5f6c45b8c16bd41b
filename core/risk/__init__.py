"""Explainable risk: what speaks against an invoice, in three outputs that are never merged (docs/risk.md)."""
