"""JMESPath expressions typed by a connection's owner: the part of the language that cannot be made to work for long.

Without functions and multi-selects nothing is ever copied, so a search costs at most the expression times the body. As
both may be long, it is given up after a number of steps that no honest event needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from connectors.payload import Payload
from core.errors import Invalid, MalformedPayload

MAX_EXPRESSION = 200
MAX_NESTING = 32
MAX_STEPS = 20_000
ALLOWED = frozenset(
    {
        "and_expression", "comparator", "current", "field", "filter_projection", "flatten", "identity", "index",
        "index_expression", "literal", "not_expression", "or_expression", "pipe", "projection", "subexpression",
        "value_projection",
    }
)  # fmt: skip
# What a person calls the parts that are refused.
_NAMES = {
    "function_expression": "functions",
    "multi_select_list": "lists of expressions",
    "multi_select_dict": "objects of expressions",
    "expref": "expression references",
    "slice": "slices",
}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, and where it stands in a definition."""

    text: str
    place: str
    _parsed: ParsedResult = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, place: str) -> Expression:
        """Read an expression. Raises Invalid, which names the place."""
        if not 0 < len(text) <= MAX_EXPRESSION:
            raise Invalid(place, f"an expression has 1 to {MAX_EXPRESSION} characters")
        try:
            parsed = jmespath.compile(text)
            _check(parsed.parsed, place)
        except RecursionError:
            raise Invalid(place, f"nests deeper than {MAX_NESTING} levels") from None
        except JMESPathError as error:
            # The first line says what is wrong; the others draw an arrow under the expression.
            raise Invalid(place, f"is no JMESPath: {str(error).splitlines()[0][:200]}") from None
        return cls(text, place, parsed)

    def find(self, item: Payload) -> object:
        """What stands there, or None. Raises MalformedPayload."""
        try:
            return _Interpreter().visit(self._parsed.parsed, item.value)
        except _TooLongError:
            raise MalformedPayload(self.place, f"takes more than {MAX_STEPS} steps in this body") from None
        except (JMESPathError, RecursionError, ArithmeticError, TypeError, ValueError):
            raise MalformedPayload(self.place, "cannot be evaluated for this body") from None


class _TooLongError(Exception):
    """The steps are used up."""


class _Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath carries no types.
    """Counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self._left = MAX_STEPS

    def visit(self, node: object, *arguments: object, **named: object) -> object:
        self._left -= 1
        if self._left < 0:
            raise _TooLongError
        return super().visit(node, *arguments, **named)


def _check(node: object, place: str) -> None:
    """Refuse what is not allowed, a level at a time and without recursion. Raises Invalid."""
    level = [node]
    for _ in range(MAX_NESTING):
        following: list[object] = []
        for one in level:
            if not isinstance(one, dict):
                continue
            if (kind := one.get("type")) not in ALLOWED:
                raise Invalid(place, f"{_NAMES.get(str(kind), str(kind))} are not taken here: name a place in the body")
            following += one.get("children", ())
        level = following
        if not level:
            return
    raise Invalid(place, f"nests deeper than {MAX_NESTING} levels")
