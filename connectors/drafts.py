"""A definition that somebody typed, read part by part: whatever is wrong names its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from connectors.expressions import Expression
from connectors.payload import Payload
from core.errors import Invalid, MalformedPayload

MAX_DEFINITION = 20_000
MAX_TEXT = 255


class Draft:
    """One object of a definition. Every method raises Invalid where the value is none of what it may be."""

    __slots__ = ("_place", "_value")

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise Invalid(place, "must be an object")
        self._value: Mapping[str, object] = value
        self._place = place

    @classmethod
    def parse(cls, text: str) -> Draft:
        """A definition in JSON."""
        if len(text) > MAX_DEFINITION:
            raise Invalid("definition", f"must have at most {MAX_DEFINITION} characters")
        try:
            return cls(Payload.from_bytes(text.encode()).value, "definition")
        except MalformedPayload as error:
            raise Invalid("definition", str(error)) from None
        except UnicodeEncodeError:
            raise Invalid("definition", "holds characters that cannot be stored") from None

    def place(self, name: str) -> str:
        """Where a value stands."""
        return f"{self._place}.{name}"

    def only(self, *names: str) -> None:
        """Nothing but these names stand here: a misspelt one would be passed over in silence."""
        if unknown := sorted(set(self._value) - set(names)):
            raise Invalid(self.place(unknown[0][:MAX_TEXT]), f"means nothing here; there are {', '.join(names)}")

    def has(self, name: str) -> bool:
        """Whether a value other than null stands here."""
        return self._value.get(name) is not None

    def text(self, name: str, default: str | None = None, *, least: int = 1) -> str:
        """Text of at most 255 characters."""
        value = self._value.get(name)
        value = default if value is None else value
        if not isinstance(value, str) or not least <= len(value) <= MAX_TEXT:
            raise Invalid(self.place(name), f"must be text of {least} to {MAX_TEXT} characters")
        return value

    def choice(self, name: str, among: Collection[str], default: str | None = None) -> str:
        """One of some words."""
        word = self.text(name, default)
        if word not in among:
            raise Invalid(self.place(name), f"must be one of {', '.join(among)}")
        return word

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = default if self._value.get(name) is None else self._value[name]
        if type(value) is not int or not least <= value <= most:
            raise Invalid(self.place(name), f"must be a whole number from {least} to {most}")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value.get(name)
        value = [] if value is None else value
        if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= MAX_TEXT for one in value):
            raise Invalid(self.place(name), f"must be a list of texts of 1 to {MAX_TEXT} characters")
        return tuple(value)

    def part(self, name: str) -> Draft:
        """An object within."""
        return Draft(self._value.get(name), self.place(name))

    def parts(self, name: str, *, most: int) -> dict[str, Draft]:
        """An object of objects, each under a name of its own."""
        return {key: Draft(value, self.place(f"{name}.{key}")) for key, value in self._named(name, most).items()}

    def texts(self, name: str, *, most: int) -> dict[str, str]:
        """An object of texts."""
        held = self.part(name) if self.has(name) else Draft({}, self.place(name))
        return {key: held.text(key) for key in self._named(name, most)}

    def expression(self, name: str) -> Expression:
        """A JMESPath expression."""
        value = self._value.get(name)
        if not isinstance(value, str):
            raise Invalid(self.place(name), "must be a JMESPath expression")
        return Expression.parse(value, self.place(name))

    def optional_expression(self, name: str) -> Expression | None:
        """The same, or None where it is missing, null or empty."""
        return None if self._value.get(name) in (None, "") else self.expression(name)

    def _named(self, name: str, most: int) -> Mapping[str, object]:
        value = self._value.get(name)
        value = {} if value is None else value
        if not isinstance(value, dict) or len(value) > most:
            raise Invalid(self.place(name), f"must be an object with at most {most} names")
        if bad := [key for key in value if not 0 < len(key) <= MAX_TEXT]:
            raise Invalid(self.place(name), f"holds a name of {len(bad[0])} characters; 1 to {MAX_TEXT} are taken")
        return value
