"""The OpenAPI document: valid, complete, served, and true to what the server answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import BaseModel
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.budget import examples
from tests.webapp.conftest import INVOICE, Person, World

# Outside the document on purpose: machines of other kinds ask these.
UNDESCRIBED = {"/metrics", "/api/openapi.json", "/api/docs"}


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    answer = world.get("/api/openapi.json")
    assert answer.status == 200
    return answer.body  # type: ignore[no-any-return]


def test_it_is_openapi_3_1_with_sound_schemas_and_references(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                place: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    place = place[part]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def test_every_endpoint_of_the_api_is_in_it(world: World, document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    for rule in world.app.url_map.iter_rules():
        if not rule.rule.startswith("/api/") or rule.rule in UNDESCRIBED or rule.endpoint.startswith("webhooks."):
            continue
        path = rule.rule.replace("<uuid:", "{").replace("<", "{").replace(">", "}")
        for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}:
            assert (path, method) in described


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))


def test_every_model_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    # The document knows a model by its name alone: of two, one would be described as the other.
    waiting, found = [BaseModel], set[type[BaseModel]]()
    while waiting:
        found.update(more := waiting.pop().__subclasses__())
        waiting.extend(more)
    counted = Counter(
        model.__name__ for model in found if model.__module__.startswith(("webapp.api.", "webapp.openapi"))
    )
    assert document["components"]["schemas"].keys() & counted.keys()
    assert [name for name, times in counted.items() if times > 1] == []


def test_errors_are_described_as_problem_documents(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
                    assert answer["content"] == {"application/problem+json": problem}


def test_the_page_about_it_asks_nobody_else(world: World) -> None:
    answer = world.app.test_client().get("/api/docs")
    assert answer.status_code == 200
    assert "http" not in answer.text.replace("<!doctype html>", "")
    assert "<script>" not in answer.text
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.long
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_server_keeps_to_it(world: World, seller: Person, operator: Person, mode: GenerationMode) -> None:
    world.post("/api/invoices", seller, INVOICE)
    # Signing out would end the sign-in that the rest is asked with.
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", world.app).exclude(
        operation_id=["auth.logout", "auth.update_profile"]
    )
    # What is too large is refused as well; schemathesis leaves 413 out.
    refusals = schema.config.checks.negative_data_rejection
    refusals.expected_statuses = [*refusals.expected_statuses, "413"]
    for person in (seller, operator):
        for each in schema.get_all_operations():
            assert isinstance(each, Ok)
            try:
                cases = each.ok().as_strategy(generation_mode=mode)
                _ask(cases, person.headers)
            except Unsatisfiable:
                # Nothing in this operation can be got wrong.
                assert mode is GenerationMode.NEGATIVE


def _ask(cases: Any, headers: dict[str, str]) -> None:
    @settings(max_examples=examples(15), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def ask(case: Any) -> None:
        # Rules between fields (due after issued, lines that add up) are more than a schema says.
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    ask()
