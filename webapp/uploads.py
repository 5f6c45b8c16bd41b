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
_MARK = "takes_files"


def takes_files(most: int) -> Callable[[_View], _View]:
    """Let the requests of a view carry so many files. Stands directly below the route."""

    def mark(view: _View) -> _View:
        setattr(view, _MARK, most)
        return view

    return mark


takes_file = takes_files(1)


def _make_room() -> None:
    most: int = getattr(current_app.view_functions[request.endpoint], _MARK, 0) if request.endpoint else 0
    if most:
        request.max_content_length = most * MAX_BYTES + _AROUND


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
    return _content(given[0])


def _content(given: FileStorage) -> tuple[str, bytes]:
    # A large one lies in a file of its own, which would stay open until it is collected.
    with given.stream as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FileTooLarge
    return (given.filename or "").replace("\x00", ""), content


def keep_files(owner: Actor, field: str, most: int, allowed: frozenset[str]) -> list[Kept]:
    """Up to `most` uploaded files, in order; none is fine. Raises Invalid (too many) and what `keep_file` does.

    Unlike there the request must be a form already, as those of pages are.
    """
    given = [each for each in request.files.getlist(field) if each.filename]
    if len(given) > most:
        raise Invalid(field, f"must be at most {most} files")
    return [_keep(owner, *_content(each), allowed) for each in given]


def keep_file(owner: Actor | None = None, field: str = "file", allowed: frozenset[str] = DOCUMENTS) -> Kept:
    """The uploaded file, judged and on disk; `core.files.record` writes its row. Raises what `read_file` and core do.

    To be called once it is known that `owner` (the asker) may bring a file there. Hashing, sealing and flushing it
    takes long: it is done beside the other greenlets, and while no connection to the database is held.
    """
    return _keep(owner or auth.actor(), *read_file(field), allowed)


def _keep(owner: Actor, name: str, content: bytes, allowed: frozenset[str]) -> Kept:
    with services().database.session() as session:
        require_room(session, owner.id, len(content))
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
