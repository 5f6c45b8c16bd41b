"""Idempotency-Key: an effect happens once, and its answer is repeated."""

from __future__ import annotations

import threading
from typing import Any

import jsonschema_rs
from sqlalchemy import text

from tests.webapp.conftest import INVOICE, Person, World


def test_the_same_request_is_answered_again_and_done_once(world: World, seller: Person) -> None:
    first = world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a")
    again = world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(world.get("/api/invoices", seller).body["items"]) == 1


def test_the_key_of_another_request_is_refused(world: World, seller: Person) -> None:
    world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a")
    other = world.post("/api/invoices", seller, INVOICE | {"notes": "other"}, Idempotency_Key="a")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


def test_two_people_may_use_the_same_key(world: World, seller: Person, stranger: Person) -> None:
    assert world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a").status == 201
    theirs = world.post("/api/invoices", stranger, INVOICE, Idempotency_Key="a")
    assert theirs.body["seller"]["id"] == str(stranger.actor.id)


def test_a_request_that_failed_leaves_its_key_free(world: World, seller: Person) -> None:
    assert world.post("/api/invoices", seller, INVOICE | {"currency": "XXQ"}, Idempotency_Key="a").status == 422
    assert world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a").status == 201


def test_of_many_at_once_one_takes_effect(world: World, seller: Person) -> None:
    answers: list[Any] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        answers.append(world.post("/api/invoices", seller, INVOICE, Idempotency_Key="a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body["id"] for answer in answers if answer.status == 201}) == 1
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 409)
    assert len(world.get("/api/invoices", seller).body["items"]) == 1


def test_a_secret_in_an_answer_is_kept_sealed(world: World, seller: Person) -> None:
    new = {"connector": "razorpay", "name": "Shop"}
    first = world.post("/api/connections", seller, new, Idempotency_Key="a")
    secret = first.body["new_secrets"]["webhook_secret"]
    with world.session() as session:
        kept = session.scalars(text("SELECT response::text FROM idempotency_keys")).one()
    assert secret not in kept
    assert world.post("/api/connections", seller, new, Idempotency_Key="a").body == first.body


def test_a_key_has_1_to_255_printable_characters_as_the_document_says(world: World, seller: Person) -> None:
    operation = world.get("/api/openapi.json").body["paths"]["/api/invoices"]["post"]
    described = next(each["schema"] for each in operation["parameters"] if each["name"] == "Idempotency-Key")
    keys = {"": False, "a b~": True, "x" * 255: True, "x" * 256: False, "a\tb": False, "\x7f": False, "\xe9": False}
    for key, fits in keys.items():
        assert jsonschema_rs.is_valid(described, key) is fits, key
        answer = world.post("/api/invoices", seller, INVOICE, Idempotency_Key=key)
        assert answer.status == (201 if fits else 422), key
