"""TOML text to plain data, with every fault at its line: the one door to the TOML reader.

The standard library's reader stops at the first fault and says where in its message. Here a fault becomes
data, a cure is added, and, where it is safe, reading goes on after the faulty line so that a person sees
all faults at once.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

_WHERE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_PAIR = re.compile(r"\s*[A-Za-z0-9_.\"'-]+\s*=\s*(?:[^\s\[{]|\Z)")
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class TomlFault:
    """One place where a text is not TOML. `hint` is a cure, "" when none is known."""

    line: int
    column: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TomlReading:
    """What a text says. With faults, `data` is what stands on the sound lines, or None when the faults run
    into one another. `text` is the decoded text, with line ends as given."""

    text: str
    data: dict[str, Any] | None
    faults: tuple[TomlFault, ...] = ()


def loads(text: str) -> dict[str, Any]:
    """Plain data of a TOML text. Raises ValueError (TOMLDecodeError) with the place in its message."""
    data: dict[str, Any] = tomllib.loads(text)
    return data


def read_toml(source: str | bytes) -> TomlReading:
    """Read TOML, collecting faults instead of raising. Raises nothing.

    Bytes must be UTF-8 without a byte order mark (TOML 1.0, and what upstream's loaders accept).
    """
    if isinstance(source, bytes):
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError as error:
            return _not_utf8(source, error)
    else:
        text = source
    if text.startswith("\ufeff"):
        fault = TomlFault(
            1,
            1,
            "the file begins with a byte order mark, which the agents' TOML reader refuses",
            "save it as plain UTF-8",
        )
        return TomlReading(text, None, (fault,))
    try:
        return TomlReading(text, loads(text))
    except (ValueError, RecursionError) as error:
        return _read_on(text, _fault(text, error))


def _not_utf8(source: bytes, error: UnicodeDecodeError) -> TomlReading:
    before = source[: error.start]
    line_start = before.rfind(b"\n") + 1
    fault = TomlFault(
        before.count(b"\n") + 1,
        len(before[line_start:].decode("utf-8", "replace")) + 1,
        f"byte 0x{source[error.start]:02x} is not UTF-8",
        "save the file as UTF-8",
    )
    return TomlReading(source.decode("utf-8", "replace"), None, (fault,))


def _read_on(text: str, first: TomlFault) -> TomlReading:
    """Leave out the faulty line and read again, as long as each fault stands for itself.

    A fault about something left open, or one on the very next line that is no `key = value`, most likely
    follows from the one before: then those so far are told, and nothing is claimed about the rest.
    """
    faults = [first]
    lines = text.split("\n")
    while len(faults) <= _MOST_FAULTS and not _left_open(faults[-1].message):
        last = faults[-1]
        # A header left out would move the keys below it into another table.
        if last.line > len(lines) or lines[last.line - 1].lstrip().startswith("["):
            break
        lines[last.line - 1] = ""
        try:
            return TomlReading(text, loads("\n".join(lines)), tuple(faults))
        except (ValueError, RecursionError) as error:
            following = _fault(text, error)
        if following.line <= last.line:
            break
        if following.line == last.line + 1 and not _PAIR.match(lines[following.line - 1]):
            break
        faults.append(following)
    return TomlReading(text, None, tuple(faults))


def _left_open(message: str) -> bool:
    return any(word in message.lower() for word in ("unclosed", "unterminated", "nest"))


def _fault(text: str, error: Exception) -> TomlFault:
    if isinstance(error, RecursionError):
        return TomlFault(1, 1, "values are nested too deeply")
    message = str(error)
    where = _WHERE.search(message)
    line = text.rstrip("\n").count("\n") + 1
    column = len(text.rstrip("\n").rpartition("\n")[2]) + 1
    if where and where.group(1):
        line, column = int(where.group(1)), int(where.group(2))
    plain = re.sub(
        r"\((?:'[^']*',? ?)+\)",
        lambda name: "[" + ".".join(re.findall(r"'([^']*)'", name.group())) + "]",
        _WHERE.sub("", message),
    )
    lines = text.split("\n")
    faulty = lines[line - 1] if line <= len(lines) else ""
    return TomlFault(line, column, plain[:1].lower() + plain[1:], _cure(plain, faulty))


def _cure(message: str, line: str) -> str:
    low = message.lower()
    _, equals, value = line.partition("=")
    value = value.strip()
    if "overwrite" in low or "declare" in low or "duplicate" in low or "mutate" in low:
        return "it is written twice; keep one"
    if "expected '='" in low:
        return "write key = value"
    if "illegal character" in low or "unterminated" in low:
        return "a text begins and ends with the same quote, on one line"
    if "unclosed array" in low:
        return "a list that began above has no closing ]"
    if "inline table" in low:
        return "close the { with } on the same line"
    if "invalid value" in low and equals:
        if not value or value.startswith("#"):
            return "a value is missing after ="
        if value.split("#")[0].strip().lower() in ("true", "false", "yes", "no", "on", "off"):
            return "write true or false, in small letters"
        if re.match(r"[^\"'\[{0-9]", value):
            return 'put text in quotes: "…"'
    return ""
