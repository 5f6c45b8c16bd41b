"""The streams that the order tests permute are what they claim to be."""

from __future__ import annotations

import pytest

from connectors import registry
from core.events import BankTransaction, Payment, PaymentStatus, PendingSnapshot, TransactionStatus
from tests.connectors.streams import STREAMS


def test_every_connector_has_a_stream() -> None:
    assert set(STREAMS) == set(registry.all())


@pytest.mark.parametrize("slug", sorted(STREAMS))
def test_a_stream_is_the_same_each_time_and_differs_by_seed(slug: str) -> None:
    assert STREAMS[slug](7) == STREAMS[slug](7)
    assert len({STREAMS[slug](seed)[-1].body + bytes([len(STREAMS[slug](seed))]) for seed in range(5)}) > 1


def test_razorpay_streams_end_with_the_payment_received() -> None:
    for seed in range(20):
        told = [record for step in STREAMS["razorpay"](seed) for record in step.records if isinstance(record, Payment)]
        assert {payment.object_id for payment in told} == {f"pay_{seed:014d}"}
        assert (
            max(told, key=lambda payment: list(PaymentStatus).index(payment.status)).status is PaymentStatus.SUCCEEDED
        )


def test_basiq_streams_replace_pending_transactions() -> None:
    for seed in range(20):
        versions = []
        for step in STREAMS["basiq"](seed):
            (snapshot,) = {one.version for one in step.records if isinstance(one, PendingSnapshot)}
            pending = [
                one
                for one in step.records
                if isinstance(one, BankTransaction) and one.status is TransactionStatus.PENDING
            ]
            assert all(one.version == snapshot for one in pending)
            versions.append(snapshot)
        assert versions == sorted(set(versions))
