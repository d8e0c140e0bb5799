"""Interpolation of `$X`, `${X}` and the six operators, as Compose 2.26.1 does it (observed).

Compose matches `${NAME…}` greedily to the last `}` of the line, then finds the brace that closes the first
one and goes on with the rest. Its oddities (which operator is chosen, how nested braces are counted) are
kept on purpose: the value must be the one Compose sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Lookup = Callable[[str], "str | None"]

# ſ (U+017F) and K (U+212A) are what [a-z] without case also means in Go. Python's IGNORECASE adds two more.
_NAME = "[_a-zA-Z\u017f\u212a][_a-zA-Z0-9\u017f\u212a]*"
_PATTERN = re.compile(rf"\$(?:(\$)|({_NAME})|\{{(?:({_NAME}(?::?[-+?].*)?)\}}|()))")
_OPERATORS = (":?", "?", ":-", "-", ":+", "+")
_DEEPEST = 40


class TemplateError(Exception):
    """Compose refuses the file because of this value. `reason` names variables, never values."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def substitute(template: str, lookup: Lookup, *, lenient: bool = False, depth: int = 0) -> str:
    """`template` with its variables replaced; an unset one is empty.

    Raises TemplateError for a `${` that is no variable, and for a missing variable with `?` or `:?` unless
    `lenient`. Nesting deeper than 40 is refused here, where Compose would go on.
    """
    if "$" not in template:
        return template
    if depth > _DEEPEST:
        raise TemplateError(f"Variables are nested more than {_DEEPEST} deep.")
    return _PATTERN.sub(lambda match: _replace(match.group(), lookup, lenient, depth), template)


def check(template: str) -> None:
    """Raise TemplateError when `template` is wrong whatever the variables are. Pure."""
    substitute(template, lambda name: None, lenient=True)


def references(template: str) -> Iterator[tuple[str, bool]]:
    """The variables `template` asks for, each with whether it copes when the variable is unset.

    The ones inside defaults are included. Raises TemplateError like `substitute`.
    """
    found: list[tuple[str, bool]] = []
    _collect(template, found)
    return iter(found)


def _collect(template: str, found: list[tuple[str, bool]]) -> None:
    asked: list[str] = []

    def lookup(name: str) -> None:
        asked.append(name)

    substitute(template, lookup, lenient=True)
    coping = {match.group(1) for match in re.finditer(rf"\$\{{({_NAME}):?[-+]", template)}
    found += [(name, name in coping) for name in asked]


def _replace(found: str, lookup: Lookup, lenient: bool, depth: int) -> str:
    operator = _operator(found)
    close = _closing_brace(found)
    rest = ""
    if close >= 0:
        found, rest = found[: close + 1], found[close + 1 :]
    match = _PATTERN.match(found)
    if match is None:  # pragma: no cover - what was matched once begins with a match
        return found
    if match.group(1):
        return "$"
    if match.group(2):
        return lookup(match.group(2)) or ""
    asked = match.group(3)
    if not asked:
        raise TemplateError("A “${” is not followed by a variable name and a “}”.")
    if operator not in asked:
        # The operator was taken from the text after the brace. Compose then drops that text.
        return lookup(asked) or ""
    value = _operate(asked, operator, lookup, lenient, depth)
    return value + substitute(rest, lookup, lenient=lenient, depth=depth + 1)


def _operate(asked: str, operator: str, lookup: Lookup, lenient: bool, depth: int) -> str:
    name, _, given = asked.partition(operator)
    other = substitute(given, lookup, lenient=lenient, depth=depth + 1)
    value = lookup(name)
    usable = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return other if usable else value or ""
    if usable:
        return value or ""
    if operator.endswith("-"):
        return other
    if lenient:
        return ""
    raise TemplateError(f"The required variable {name} is missing.")


def _operator(found: str) -> str:
    """The operator that stands first anywhere in the match, also after the closing brace (as in Compose)."""
    places = [(found.find(operator), n) for n, operator in enumerate(_OPERATORS) if operator in found]
    return _OPERATORS[min(places)[1]] if places else _OPERATORS[0]


def _closing_brace(found: str) -> int:
    """The brace that closes the first one. The character after any `{` is not looked at (as in Compose)."""
    depth = at = 0
    while at < len(found):
        if found[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        if found[at] == "{":
            depth += 1
            at += 1
        at += 1
    return -1
