"""The pages: server-rendered HTML, refreshed in parts by htmx. `blueprint` carries all of them."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("pages", __name__)

# Each module adds its views to the blueprint, which must exist before.
from webapp.pages import (  # noqa: E402
    access,
    banking,
    business,
    confirming,
    connect,
    connections,
    correspondence,
    custom,
    customer,
    dashboard,
    deliveries,
    documents,
    financing,
    investor,
    invoice_forms,
    invoices,
    kyc,
    ledger,
    mailbox,
    marketplace,
    mirrored,
    notifications,
    payments,
    profile,
    reports,
    reviews,
    shell,
    talk,
    transfers,
)

__all__ = [
    "access",
    "banking",
    "blueprint",
    "business",
    "confirming",
    "connect",
    "connections",
    "correspondence",
    "custom",
    "customer",
    "dashboard",
    "deliveries",
    "documents",
    "financing",
    "investor",
    "invoice_forms",
    "invoices",
    "kyc",
    "ledger",
    "mailbox",
    "marketplace",
    "mirrored",
    "notifications",
    "payments",
    "profile",
    "reviews",
    "shell",
    "talk",
    "transfers",
]
