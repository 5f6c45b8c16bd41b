"""Braintree's own library. It warns of itself when it is imported, which is no fault of ours."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import braintree

PAIR = "integration_public_key:integration_private_key"


def gateway() -> braintree.BraintreeGateway:
    """A gateway under the key pair that its published vectors use."""
    public, private = PAIR.split(":")
    return braintree.BraintreeGateway(
        braintree.Configuration(
            environment=braintree.Environment.Sandbox,
            merchant_id="integration_merchant_id",
            public_key=public,
            private_key=private,
        )
    )


def sample(kind: str) -> tuple[str, str]:
    """The signature and payload that the library's testing gateway makes for a kind."""
    made = gateway().webhook_testing.sample_notification(kind, "my_id")
    signature, payload = (
        value.decode() if isinstance(value, bytes) else value for value in (made["bt_signature"], made["bt_payload"])
    )
    return signature, payload
