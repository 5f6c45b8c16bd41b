"""What provenance says an event did is what it did."""

from __future__ import annotations

import json

from tests.builders import Json, Shop, open_shop, payment, refund, worker
from tests.connectors.streams import STREAMS


def effects(shop: Shop) -> list[tuple[str, str, str]]:
    found: list[Json] = shop.rows(
        "SELECT events.name, object_kind, effect FROM event_effects JOIN events ON events.id = event_id "
        "ORDER BY event_id, object_kind"
    )
    return [(row["name"], row["object_kind"], row["effect"]) for row in found]


def test_each_event_says_what_it_made_what_it_changed_and_what_it_left_alone(database_url: str) -> None:
    with worker(database_url) as context:
        shop = open_shop(context)
        shop.hear(payment(), refund("pending", at=1), refund(at=2), payment("pending", at=3))
        found = effects(shop)
    assert found == [
        ("payment.succeeded", "payment", "created"),
        ("refund.pending", "payment", "updated"),
        ("refund.pending", "refund", "created"),
        ("refund.succeeded", "payment", "updated"),
        ("refund.succeeded", "refund", "updated"),
        ("payment.pending", "payment", "unchanged"),
    ]


def test_a_refund_that_brings_old_news_of_its_payment_along_changed_it_all_the_same(database_url: str) -> None:
    stream = next(
        steps for steps in map(STREAMS["razorpay"], range(50)) if any(step.name == "refund.processed" for step in steps)
    )
    captured = json.loads(next(step for step in stream if step.name == "payment.captured").body)
    processed = next(step for step in stream if step.name == "refund.processed")
    with worker(database_url) as context:
        shop = open_shop(context, "razorpay")
        shop.hear(captured | {"created_at": captured["created_at"] + 10_000}, processed.body)
        assert effects(shop) == [
            ("payment.captured", "payment", "created"),
            ("refund.processed", "payment", "updated"),
            ("refund.processed", "refund", "created"),
        ]
