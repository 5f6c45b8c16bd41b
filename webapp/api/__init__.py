"""The HTTP API: a blueprint a noun."""

from __future__ import annotations

from flask import Flask


def install(app: Flask) -> None:
    """Register every blueprint of the API."""
    from webapp.api import (  # noqa: PLC0415 - an ingress needs health alone.
        auth,
        bulk,
        business,
        confirmations,
        connections,
        contacts,
        correspondence,
        credit_notes,
        custom,
        deliveries,
        docs,
        documents,
        imports,
        invoices,
        kyc,
        ledger,
        market,
        marketplace,
        mirrored_invoices,
        notifications,
        payments,
        payouts,
        rates,
        recurring,
        registry,
        reports,
        reviews,
        risk,
        service_tokens,
        statements,
        sync,
        talk,
        tax_months,
        transactions,
        transfers,
        users,
        views,
        wallet,
    )

    for module in (
        auth,
        bulk,
        business,
        confirmations,
        connections,
        contacts,
        correspondence,
        credit_notes,
        custom,
        deliveries,
        docs,
        documents,
        imports,
        invoices,
        kyc,
        ledger,
        market,
        marketplace,
        mirrored_invoices,
        notifications,
        payments,
        payouts,
        rates,
        recurring,
        registry,
        reports,
        reviews,
        risk,
        service_tokens,
        statements,
        sync,
        talk,
        tax_months,
        transactions,
        transfers,
        users,
        views,
        wallet,
    ):
        app.register_blueprint(module.blueprint)
    install_health(app)


def install_health(app: Flask) -> None:
    """Register what load balancers and Prometheus ask."""
    from webapp.api import health  # noqa: PLC0415

    app.register_blueprint(health.blueprint)
