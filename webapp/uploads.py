"""Files in requests: the one place that lets a request be larger than a form, and reads what was uploaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import FileStorage

from core.errors import Invalid
from core.files import DOCUMENTS, MAX_BYTES, FileTooLarge, Kept, StoredFile, require_room
from core.identity import Actor
from webapp import auth, runtime
from webapp.problems import UnsupportedMediaType
from webapp.services import services

# What surrounds the file: boundaries, its name, the other fields of the form.
_AROUND = 64 * 1024
_View = TypeVar("_View", bound=Callable[..., Any])
_MARK = "takes_a_file"


def takes_file(view: _View) -> _View:
    """Let the requests of a view carry one file. Stands directly below the route."""
    setattr(view, _MARK, True)
    return view


def _make_room() -> None:
    if request.endpoint and getattr(current_app.view_functions[request.endpoint], _MARK, False):
        request.max_content_length = MAX_BYTES + _AROUND


def install(app: Flask) -> None:
    """Must come before whatever reads the form (the CSRF check does)."""
    app.before_request(_make_room)


def read_file(field: str = "file") -> tuple[str, bytes]:
    """The name and the content of the one file of a multipart form.

    Raises UnsupportedMediaType, Invalid (no file, or several) or FileTooLarge.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("send the file as multipart/form-data")
    given: list[FileStorage] = [each for each in request.files.getlist(field) if each.filename]
    if len(given) != 1:
        raise Invalid(field, "must be one file")
    # A large one lies in a file of its own, which would stay open until it is collected.
    with given[0].stream as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FileTooLarge
    return (given[0].filename or "").replace("\x00", ""), content


def keep_file(owner: Actor | None = None, field: str = "file", allowed: frozenset[str] = DOCUMENTS) -> Kept:
    """The uploaded file, judged and on disk; `core.files.record` writes its row. Raises what `read_file` and core do.

    To be called once it is known that `owner` (the asker) may bring a file there. Hashing, sealing and flushing it
    takes long: it is done beside the other greenlets, and while no connection to the database is held.
    """
    person = owner or auth.actor()
    name, content = read_file(field)
    with services().database.session() as session:
        require_room(session, person.id, len(content))
    return runtime.offload(services().cabinet.keep, name, content, allowed)


def send_file(stored: StoredFile, content: bytes) -> Response:
    """A file as a download: never shown as a page of this site, whatever is in it."""
    answer = Response(content, mimetype=stored.media_type)
    if stored.media_type.startswith("text/"):
        answer.content_type = f"{stored.media_type}; charset=utf-8"
    answer.headers.set("Content-Disposition", "attachment", filename=stored.name)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
