"""The OpenAPI document, and the one decorator by which an operation enters it and has its input read.

spectree writes the document. Input is read by `edge` instead, because what strangers send must end in a problem
document whatever it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, current_app, request
from pydantic import BaseModel, ConfigDict
from spectree import Response, SpecTree
from spectree.models import InType, SecureType, SecurityScheme, SecuritySchemeData

import config
from webapp.api import edge

_View = TypeVar("_View", bound=Callable[..., Any])
_BEARER: dict[str, list[str]] = {"bearer": []}
_COOKIE: dict[str, list[str]] = {"session": [], "csrf": []}
A_FILE = {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
_TEXT = {"type": "string"}


class FieldProblem(BaseModel):
    """A value that is not acceptable."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). `type` and `code` never change their meaning."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None


spec = SpecTree(
    "flask",
    title="Ledgerwire",
    description=(
        "Verified webhooks from banks and payment gateways, turned into books. Amounts are integers in minor units "
        "beside `currency`; times are ISO 8601 in UTC; errors are RFC 9457 problem documents; lists give a "
        "`next_cursor`; POST requests that create something honour `Idempotency-Key`."
    ),
    version=config.__version__,
    annotations=False,
    mode="strict",
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    # spectree gives every operation a 422; this says what ours looks like.
    validation_error_model=Problem,
    security_schemes=[
        SecurityScheme(
            name="bearer",
            data=SecuritySchemeData(type=SecureType.HTTP, scheme="bearer", bearer_format="JWT"),
        ),
        SecurityScheme(
            name="session",
            data=SecuritySchemeData(type=SecureType.API_KEY, name="ledgerwire_session", field_in=InType.COOKIE),
        ),
        SecurityScheme(
            name="csrf", data=SecuritySchemeData(type=SecureType.API_KEY, name="X-CSRFToken", field_in=InType.HEADER)
        ),
    ],
)


def operation(
    tag: str,
    answers: Mapping[int, type[BaseModel] | None],
    *,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    problems: tuple[int, ...] = (),
    public: bool = False,
    upload: tuple[str, ...] = (),
    form: Mapping[str, Any] | None = None,
) -> Callable[[_View], _View]:
    """Describe a view and read its input: it is called with `body` and `query` where it has them.

    `problems` are the error statuses beside those that every operation of its kind can have. `upload` names the
    fields of a multipart form, which the view reads itself; `file` among them is the file. `form` are such fields
    with their schemas, where texts are not just any; those with a default may be left out. With `body` beside it
    either is taken: of a form the view reads the fields, and its `body` is None.
    """
    usual = {400, 429, 503} if public else {400, 401, 403, 429, 503}
    usual |= {415, 413, 422} if body or upload or form else set()
    usual |= {422} if query else set()
    codes: dict[str, Any] = {f"HTTP_{status}": model for status, model in answers.items()}
    codes |= {f"HTTP_{status}": Problem for status in sorted(usual | set(problems))}

    def decorate(view: _View) -> _View:
        if upload or form:
            _FORMS[f"{tag}.{view.__name__}"] = form or {name: A_FILE if name == "file" else _TEXT for name in upload}

        @wraps(view)
        def reading(*arguments: Any, **named: Any) -> Any:
            if query is not None:
                named["query"] = edge.read_query(query)
            if body is not None and not (form and request.mimetype == "multipart/form-data"):
                named["body"] = edge.read_body(body)
            return view(*arguments, **named)

        _WAITING.append(
            (
                reading,
                {
                    "json": body,
                    "query": query,
                    "resp": codes,
                    "tags": [tag],
                    "security": [] if public else [_BEARER, _COOKIE],
                    "skip_validation": True,
                    "operation_id": f"{tag}.{view.__name__}",
                },
            )
        )
        return cast("_View", reading)

    return decorate


# Operations that spectree has not been told of. Telling it makes the schemas of all their models, a dozen megabytes
# that a web process is spared until somebody asks for the document.
_WAITING: list[tuple[Callable[..., Any], dict[str, Any]]] = []


def _describe() -> None:
    """Tell spectree of the operations that wait."""
    while _WAITING:
        view, words = _WAITING.pop()
        described = spec.validate(**{**words, "resp": Response(**words["resp"])})(view)
        # It knows the view by the wrapper that it made, which nobody calls: `reading` reads the input.
        spec._function_metadata[view] = spec._function_metadata.pop(described)  # noqa: SLF001 - It has no other way.


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an app. Made once an app."""
    made: dict[str, Any] | None = app.extensions.get("ledgerwire_openapi")
    if made is None:
        with app.app_context():
            _describe()
            spec.app = current_app
            # Writing the document takes the nested models out of spectree's own: put them back for the next app.
            models = copy.deepcopy(spec.models)
            made = _finish(spec._generate_spec())  # noqa: SLF001 - `spec.spec` would keep another app's routes.
            spec.models = models
        app.extensions["ledgerwire_openapi"] = made
    return made


_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat of this request harmless for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
# Fields of the multipart forms, by operation.
_FORMS: dict[str, Mapping[str, Any]] = {}
_KEYED = (
    "bulk.retry",
    "bulk.start",
    "imports.confirm",
    "views.save",
    "business.create_series",
    "connections.create",
    "contacts.create",
    "credit_notes.create",
    "credit_notes.create_draft",
    "credit_notes.issue_draft",
    "credit_notes.send",
    "credit_notes.void",
    "invoices.create",
    "invoices.duplicate",
    "invoices.issue",
    "invoices.void",
    "rates.create",
    "recurring.create",
    "recurring.run",
    "service_tokens.create",
    "statements.confirm",
    "statements.enter",
    "sync.start",
    "talk.communicate",
)


def _finish(made: dict[str, Any]) -> dict[str, Any]:
    for path in made["paths"].values():
        for each in path.values():
            for status, answer in each["responses"].items():
                content = answer.get("content", {})
                if int(status) >= 400 and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
            if fields := _FORMS.get(each["operationId"]):
                needed = [name for name, field in fields.items() if "default" not in field]
                schema = {"type": "object", "required": needed, "properties": dict(fields)}
                content = each.get("requestBody", {}).get("content", {})
                each["requestBody"] = {
                    "required": True,
                    "content": {**content, "multipart/form-data": {"schema": schema}},
                }
            if each["operationId"] in _KEYED:
                each["parameters"].append(_KEY_HEADER)
            # Without a length an identifier could be anything; with a format it is a UUID.
            for parameter in each["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"].setdefault("type", "string")
    return made
