"""Where a key stands in a TOML text: line and column, so that a problem can be shown beside its line.

`tomllib` gives values without places. This scanner reads a text that `tomllib` has accepted once more, only
for the places; for a text that is not TOML it returns what it found up to there and raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from .toml_read import loads

KeyPath = tuple[str | int, ...]
"""Keys from the outside in; an int is an index in an array or in an array of tables."""


class Place(NamedTuple):
    """A place in a text, both counted from 1; columns count characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where each key of a text stands. A table stands where its first header, or its first key, stands."""

    keys: Mapping[KeyPath, Place]

    def of(self, path: KeyPath) -> Place:
        """The place of `path`, else of the nearest enclosing key that has one, else line 1."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.keys:
                return self.keys[path[:end]]
        return Place(1, 1)


_BLANKS = " \t"
_SPACE = " \t\r\n"
_BARE_END = " \t\r\n.=]#"


class _EndError(Exception):
    """The text ended, or is not TOML here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[KeyPath, Place] = {}
        self.arrays: dict[KeyPath, int] = {}
        self.line = 1
        self.line_start = 0
        self.counted = 0

    def place(self) -> Place:
        # Each newline is counted once; the position only ever moves forward.
        newlines = self.text.count("\n", self.counted, self.at)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rfind("\n", self.counted, self.at) + 1
        self.counted = self.at
        return Place(self.line, self.at - self.line_start + 1)

    def peek(self) -> str:
        if self.at >= len(self.text):
            raise _EndError
        return self.text[self.at]

    def skip(self, characters: str, comments: bool = True) -> None:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in characters:
                self.at += 1
            elif char == "#" and comments and "\n" in characters:
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self.skip(_SPACE)
            if self.peek() == "[":
                table = self.header()
            else:
                self.pair(table)
            end = self.text.find("\n", self.at)
            if end < 0:
                return
            self.at = end

    def header(self) -> KeyPath:
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        parts: list[tuple[str, Place]] = self.key()
        path: KeyPath = ()
        for number, (part, place) in enumerate(parts):
            path = (*path, part)
            self.keys.setdefault(path, place)
            last = number == len(parts) - 1
            if array and last:
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:
                path = (*path, self.arrays[path])
                self.keys.setdefault(path, place)
        return path

    def pair(self, table: KeyPath) -> None:
        path = table
        for part, place in self.key():
            path = (*path, part)
            self.keys.setdefault(path, place)
        self.skip(_BLANKS)
        if self.peek() != "=":
            raise _EndError
        self.at += 1
        self.skip(_BLANKS)
        self.value(path)

    def key(self) -> list[tuple[str, Place]]:
        parts: list[tuple[str, Place]] = []
        while True:
            self.skip(_BLANKS)
            place = self.place()
            if self.peek() in "\"'":
                start = self.at
                self.string()
                parts.append((_unquoted(self.text[start : self.at]), place))
            else:
                start = self.at
                while self.peek() not in _BARE_END:
                    self.at += 1
                if self.at == start:
                    raise _EndError
                parts.append((self.text[start : self.at], place))
            self.skip(_BLANKS)
            if self.peek() != ".":
                return parts
            self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            self.at += 3
            self._until(quote * 3, escapes=quote == '"')
            # Up to two more quotes before the closing three belong to the string.
            while self.text.startswith(quote, self.at):
                self.at += 1
            return
        self.at += 1
        self._until(quote, escapes=quote == '"')

    def _until(self, closing: str, *, escapes: bool) -> None:
        while not self.text.startswith(closing, self.at):
            self.at += 2 if escapes and self.peek() == "\\" else 1
            self.peek()
        self.at += len(closing)

    def value(self, path: KeyPath) -> None:
        char = self.peek()
        if char in "\"'":
            self.string()
        elif char == "[":
            self.array(path)
        elif char == "{":
            self.inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_SPACE)
            if self.peek() == "]":
                self.at += 1
                return
            self.keys.setdefault((*path, index), self.place())
            self.value((*path, index))
            self._comma("]")
            index += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while True:
            self.skip(_SPACE)
            if self.peek() == "}":
                self.at += 1
                return
            self.pair(path)
            self._comma("}")

    def _comma(self, closing: str) -> None:
        self.skip(_SPACE)
        if self.peek() == ",":
            self.at += 1
        elif self.peek() != closing:
            raise _EndError


def _unquoted(text: str) -> str:
    quote, inner = text[0], text[1:-1]
    if quote == "'" or "\\" not in inner:
        return inner
    try:
        return str(loads(f"k = {text}")["k"])
    except ValueError:
        return inner


def find_places(text: str) -> Places:
    """The place of every key, array item and table of a TOML text. Raises nothing.

    Handles dotted and quoted keys, multi-line strings and arrays, inline tables and arrays of tables.
    """
    scanner = _Scanner(text)
    with suppress(_EndError, RecursionError):
        scanner.document()
    return Places(scanner.keys)
