"""Webhook bodies and API answers that can be changed by path: JSON, forms and XML alike.

A path is dotted: keys, list index numbers, `*` for each, or `Name=Amount` for the objects of a list in which Name is
"Amount". In XML its steps are elements below the root, and in a form it is a field's name. What a path leads to is a
`Slot`, which can be read, set and taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET

Value: TypeAlias = str | int | float | bool | None
Rename: TypeAlias = Callable[[str], str]


class Slot(Protocol):
    """A place in a body. `None` stands where a value is null or missing."""

    def get(self) -> Any:
        """What stands there; an object or a list as well."""

    def set(self, value: Value) -> None:
        """Put a value there."""

    def drop(self) -> None:
        """Take the place itself away."""


class Body(Protocol):
    """A body taken apart."""

    content_type: str

    def slots(self, path: str, *, create: bool = False) -> list[Slot]:
        """The places that a path leads to. `create` also finds a missing last key of an object that is named."""

    def rename(self, mapping: Mapping[str, str]) -> None:
        """Replace texts wherever they stand, also inside longer ones such as links, but never inside a word."""

    def to_bytes(self) -> bytes:
        """The body put together again."""


def renamer(mapping: Mapping[str, str]) -> Rename:
    """Replaces every old text that stands by itself, all at once."""
    known = {old: new for old, new in mapping.items() if old and old != new}
    if not known:
        return lambda text: text
    words = "|".join(re.escape(old) for old in sorted(known, key=len, reverse=True))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])")
    return lambda text: pattern.sub(lambda found: known[found[0]], text)


@dataclass(frozen=True, slots=True)
class _Held:
    """A place in a list or an object."""

    holder: Any
    key: Any

    def get(self) -> Any:
        if isinstance(self.holder, dict):
            return self.holder.get(self.key)
        return self.holder[self.key] if self.key < len(self.holder) else None

    def set(self, value: Value) -> None:
        self.holder[self.key] = value

    def drop(self) -> None:
        if isinstance(self.holder, dict):
            self.holder.pop(self.key, None)
        else:
            del self.holder[self.key]


def _steps(value: Any, step: str, *, create: bool) -> Iterator[_Held]:
    """Where one step of a path leads."""
    if isinstance(value, dict):
        if step == "*":
            yield from (_Held(value, key) for key in list(value))
        elif step in value or create:
            yield _Held(value, step)
    elif isinstance(value, list):
        if step == "*":
            yield from (_Held(value, place) for place in range(len(value)))
        elif step.isdigit() and int(step) < len(value):
            yield _Held(value, int(step))
        elif step in value:
            # A word in a list of words is named by itself.
            yield _Held(value, value.index(step))
        elif "=" in step:
            key, _, wanted = step.partition("=")
            places = range(len(value))
            yield from (
                _Held(value, at) for at in places if isinstance(value[at], dict) and value[at].get(key) == wanted
            )


def _below(value: Any, path: str, *, create: bool) -> list[Slot]:
    found = [_Held({"": value}, "")]
    steps = path.split(".")
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        reached: list[_Held] = []
        for slot in found:
            if last and create and slot.get() == []:
                # As PHP writes an empty object.
                slot.holder[slot.key] = {}
            # Never at the root, where one list of paths serves bodies of many kinds.
            reached += _steps(slot.get(), step, create=create and last and place > 0)
        found = reached
    return list(found)


@dataclass(slots=True)
class JsonBody:
    """A JSON value. Numbers with a fraction keep their digits."""

    value: Any
    content_type: str = "application/json"

    def slots(self, path: str, *, create: bool = False) -> list[Slot]:
        """See `Body`."""
        return _below(self.value, path, create=create)

    def rename(self, mapping: Mapping[str, str]) -> None:
        """See `Body`; a whole number is replaced where its digits are."""
        rename = renamer(mapping)

        def changed(value: Any) -> Any:
            match value:
                case str():
                    return rename(value)
                case bool():
                    return value
                case int():
                    new = mapping.get(str(value), "")
                    return int(new) if new.isdigit() else value
                case list():
                    return [changed(one) for one in value]
                case dict():
                    return {key: changed(one) for key, one in value.items()}
                case _:
                    return value

        self.value = changed(self.value)

    def to_bytes(self) -> bytes:
        """See `Body`."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(slots=True)
class FormBody:
    """A form. A field that stands twice keeps both values, and a path means the first."""

    fields: dict[str, str]
    content_type: str = "application/x-www-form-urlencoded"

    def slots(self, path: str, *, create: bool = False) -> list[Slot]:
        """See `Body`. A path is a field's whole name, full stops included."""
        del create
        return [_Held(self.fields, path)] if path in self.fields else []

    def rename(self, mapping: Mapping[str, str]) -> None:
        """See `Body`."""
        rename = renamer(mapping)
        self.fields = {name: rename(value) for name, value in self.fields.items()}

    def to_bytes(self) -> bytes:
        """See `Body`."""
        return urlencode({name: str(value) for name, value in self.fields.items()}).encode()


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of XML, whose value is its text."""

    parent: ET.Element
    element: ET.Element

    def get(self) -> Any:
        text = (self.element.text or "").strip()
        return list(self.element) if len(self.element) else text or None

    def set(self, value: Value) -> None:
        self.element.text = "" if value is None else str(value)
        self.element.attrib.pop("nil", None)

    def drop(self) -> None:
        self.parent.remove(self.element)


@dataclass(slots=True)
class XmlBody:
    """An XML document of ours; never one that a stranger sent."""

    root: ET.Element
    content_type: str = "application/xml"

    def slots(self, path: str, *, create: bool = False) -> list[Slot]:
        """See `Body`. Steps may also be divided by slashes."""
        parents = [self.root]
        *way, last = path.replace("/", ".").split(".")
        for step in way:
            parents = [child for parent in parents for child in _children(parent, step)]
        found: list[Slot] = []
        for parent in parents:
            children = _children(parent, last)
            if not children and create and way and last != "*":
                children = [ET.SubElement(parent, last)]
            found += [_Element(parent, child) for child in children]
        return found

    def rename(self, mapping: Mapping[str, str]) -> None:
        """See `Body`."""
        rename = renamer(mapping)
        for element in self.root.iter():
            element.text = rename(element.text) if element.text else element.text

    def to_bytes(self) -> bytes:
        """See `Body`."""
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(self.root, encoding="unicode").encode()


def _children(parent: ET.Element, step: str) -> list[ET.Element]:
    if step.isdigit():
        return list(parent)[int(step) : int(step) + 1]
    return [child for child in parent if step in ("*", child.tag)]


def taken_apart(content: bytes) -> Body:
    """Read a sample: JSON begins with a bracket, XML with <, and the rest are forms."""
    start = content.lstrip()[:1]
    if start in (b"{", b"["):
        return JsonBody(json.loads(content))
    if start == b"<":
        # Samples are files of this package.
        return XmlBody(ET.fromstring(content))  # noqa: S314
    return FormBody(dict(parse_qsl(content.decode().strip(), keep_blank_values=True)))
