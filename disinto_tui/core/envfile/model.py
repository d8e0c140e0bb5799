"""A `.env` that changes one value and no other byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from ..errors import BadInput
from ..redact import Secret
from .expand import TemplateError, substitute
from .scan import BOM, Problem, Statement, scan

# Reads the same in Compose, python-dotenv and bash without quotes. No ~, which bash expands after a colon.
_PLAIN = re.compile(r"\A[A-Za-z0-9_./:@%+,=-]*\Z")
# Within single quotes python-dotenv undoes \\ and \' and replaces ${…}, and Compose undoes \'.
_NOT_SINGLE = re.compile(r"'|\\(?:\\|\Z)|\$\{")
_NOT_DOUBLE = re.compile(r"[\"$`\\!]")
# A carriage return becomes a newline in python-dotenv; a lone surrogate is no text at all.
_NOWHERE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_KEY = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
# What may be named in a message: a malformed line can make a piece of a secret look like a name.
_CONVENTIONAL = re.compile(r"\A[A-Z_][A-Z0-9_]{0,63}\Z")


class Quoting(str, Enum):
    """How `EnvFile.set` writes a value. Quotes that are there stay where the value allows it.

    AUTO: plain if it reads the same in Compose, python-dotenv and bash, else in single quotes.
    PLAIN: plain or refused (for image references). SINGLE: always in single quotes (for secrets).
    """

    AUTO = "auto"
    PLAIN = "plain"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The bytes of a `.env` that Compose can read, and the statements in them. Immutable.

    Make one with `EnvFile.parse`; `set` and `unset` give new ones; `data` is what goes to the disk.
    """

    data: bytes = field(repr=False)
    statements: tuple[Statement, ...]

    @classmethod
    def parse(cls, data: bytes) -> EnvFile:
        """Read `data` as Compose 2.26.1 reads it (observed; 2.40 is more lenient in three cases, see `scan`).

        Raises BadInput (`env.unreadable`) when Compose would refuse the file; `details` name every line
        with a problem, never a value. A required variable (`${X:?}`) is only looked at in `values`.
        """
        statements, problems = scan(data)
        if problems:
            raise unreadable(problems)
        return cls(data, statements)

    def values(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the file says, in the order of first mention, variables replaced.

        `environ` stands for the process environment: it wins over lines above inside `${…}` and gives bare
        names their value. (For Compose it also wins over the whole file; that is for the caller to apply.)
        Bytes that are not UTF-8 become U+FFFD, as in `docker compose config`.

        Raises BadInput (`env.unreadable`) when a variable with `?` or `:?` is missing, naming the line.
        """
        environ = {} if environ is None else environ
        values = self._evaluate(environ)
        if any("?" in statement.template for statement in self.statements):
            # Compose reads the file twice, the second time with its own result as the environment, so a
            # later `X=` can break an earlier `${X:?}` (2.26.1, observed). The values are those of the first.
            self._evaluate({**values, **environ})
        return {key: _shown_text(value) for key, value in values.items()}

    def get(self, key: str, environ: Mapping[str, str] | None = None) -> str | None:
        """The value of `key` as Compose sees it, or None when it has none. Raises like `values`."""
        return self.values(environ).get(key)

    def get_raw(self, key: str) -> str | None:
        """The last assignment of `key` as written, quotes included, or None. Raises nothing."""
        for statement in reversed(self.statements):
            if statement.key == key and not statement.inherited:
                return _shown_text(_text(self.data[statement.value_start : statement.end]))
        return None

    def last(self, key: str) -> Statement | None:
        """The statement that counts for `key`: its last one, be it a bare name. Raises nothing."""
        return next((s for s in reversed(self.statements) if s.key == key), None)

    def set(self, key: str, value: str | Secret, quoting: Quoting = Quoting.AUTO) -> EnvFile:
        """The file with `key` set to `value`: its last assignment changed, or one line added at the end.

        Nothing else changes: comments, blanks, line ends, BOM, a missing final newline, other duplicates
        stay. Three things are mended on the way because the value would not be read back otherwise: `K: v`
        and bare `K` become `K=value`, a `#` gets the space before it that makes it a comment, and what
        shares the line (`A='1' K=v`) gets a line of its own. A `Secret` is always put in single quotes.
        The same object comes back when nothing changes.

        Raises BadInput: `env.key` for a name that is no shell variable, `env.value` for a value that cannot
        be written so that Compose, python-dotenv and bash read it alike; never naming the value.
        """
        if not _KEY.match(key):
            raise BadInput(
                "That is not a name for a variable.",
                "A name has letters, digits and “_” only, and begins with a letter or “_”.",
                "Use a name such as AGENTS_IMAGE.",
                code="env.key",
            )
        if isinstance(value, Secret):
            value, quoting = value.reveal(), Quoting.SINGLE
        current = self.last(key)
        written = _written(key, value, quoting, current.quote if current else "")
        if current is None:
            return self._appended(key, written, value)
        edits = self._edits(current, written)
        return self._checked(_apply(self.data, edits), key, value, self.statements.index(current))

    def unset(self, key: str) -> EnvFile:
        """The file without any statement for `key`, its lines gone with their comments. Raises nothing.

        What shares a line with it stays. The same object comes back when there is none.
        """
        result = self
        while found := [n for n, statement in enumerate(result.statements) if statement.key == key]:
            # One at a time: two on one line share what is to be cut.
            result = EnvFile.parse(_apply(result.data, [result._removal(found[0])]))
        left = [statement for statement in self.statements if statement.key != key]
        if _substance(result.statements) != _substance(left):  # pragma: no cover - a net under the rules
            raise _unsafe(1)
        return result

    def _evaluate(self, environ: Mapping[str, str]) -> dict[str, str]:
        values: dict[str, str] = {}

        def lookup(name: str) -> str | None:
            found = environ.get(name)
            return values.get(name) if found is None else found

        for statement in self.statements:
            if statement.inherited:
                inherited = environ.get(statement.key)
                if inherited is not None:
                    values[statement.key] = inherited
                continue
            value = statement.template
            if statement.quote != "'":
                try:
                    value = substitute(value, lookup)
                except TemplateError as trouble:
                    raise unreadable([Problem(statement.line, trouble.reason)]) from None
            values[statement.key] = value
        return values

    def _appended(self, key: str, written: str, value: str) -> EnvFile:
        eol = self._line_end()
        data = self.data
        if data.removeprefix(BOM) and not data.endswith(b"\n"):
            data += eol
        return self._checked(data + _bytes(f"{key}={written}") + eol, key, value, len(self.statements))

    def _line_end(self) -> bytes:
        """The file's own line end: that of its last line that has one."""
        at = self.data.rfind(b"\n")
        return b"\r\n" if at > 0 and self.data[at - 1 : at] == b"\r" else b"\n"

    def _edits(self, current: Statement, written: str) -> list[tuple[int, int, bytes]]:
        """The changes (from, to, new bytes) that give `current` the value `written`."""
        data, eol = self.data, self._line_end()
        at = self.statements.index(current)
        edits: list[tuple[int, int, bytes]] = []
        if at > 0 and b"\n" not in data[self.statements[at - 1].end : current.start]:
            edits.append((self.statements[at - 1].end, current.start, eol))
        start, stop, kept = current.value_start, current.end, ""
        if not current.quote and not current.raw:
            while data[stop - 1 : stop] == b"\r":
                stop -= 1  # `K=` before CR LF: blanks are skipped, and the CR is one, but the line's end is its end
            start = min(start, stop)
        if current.inherited or current.separator == ":":
            start, written = current.key_end, "=" + written
        if not current.quote and not current.inherited:
            kept = _comment(current.raw)
            if kept and kept == current.raw:
                # `K= # c`: for Compose the value is `# c`, for people it is a comment after an empty value.
                separator = data.index(_bytes(current.separator), current.key_end) + 1
                blanks = data[separator : current.value_start]
                start = min(start, separator)
                kept = _text(blanks) + kept if blanks else ""
            if kept:
                head, _, tail = kept.partition("#")
                kept = (head if head.endswith(" ") else head + " ") + "#" + tail
        comment_follows = kept or re.match(rb"[^\S\n]*#", data[current.end :])
        if written in ("", "=") and comment_follows:
            written += "''"
        glue = b" " if current.quote and data[current.end : current.end + 1] == b"#" else b""
        edits.append((start, stop, _bytes(written + kept) + glue))
        if at + 1 < len(self.statements):
            following = self.statements[at + 1]
            if b"\n" not in data[current.end : following.start]:
                edits.append((current.end, following.start, eol))
        return edits

    def _removal(self, at: int) -> tuple[int, int, bytes]:
        """The change that takes out statement `at`, with its line when it has one to itself."""
        data, statement = self.data, self.statements[at]
        before = self.statements[at - 1].end if at else -1
        shares_before = before >= 0 and b"\n" not in data[before : statement.start]
        if at + 1 < len(self.statements):
            following = self.statements[at + 1].start
            if b"\n" not in data[statement.end : following]:
                return statement.start, following, b""
        line_end = data.find(b"\n", statement.end)
        if shares_before:
            stop = len(data) if line_end < 0 else line_end
            if data[stop - 1 : stop] == b"\r":
                stop -= 1
            return before, max(stop, statement.end), b""
        line_start = data.rfind(b"\n", 0, statement.start) + 1
        if line_start == 0 and data.startswith(BOM):
            line_start = len(BOM)
        return line_start, len(data) if line_end < 0 else line_end + 1, b""

    def _checked(self, data: bytes, key: str, value: str, at: int) -> EnvFile:
        """Read the changed bytes again and compare: promise 1 does not hang on the rules above alone."""
        if data == self.data:
            return self
        old = self.statements
        line = old[at].line if at < len(old) else data.count(b"\n")
        statements, problems = scan(data)
        if problems or len(statements) <= at:  # pragma: no cover - a net under the rules above
            raise _unsafe(line)
        new = statements[at]
        literal = new.quote == "'" or "$" not in new.template
        alike = _substance(statements[:at]) == _substance(old[:at]) and _substance(
            statements[at + 1 :]
        ) == _substance(old[at + 1 :])
        if not (alike and literal and new.key == key and new.template == value):  # pragma: no cover
            raise _unsafe(line)
        return replace(self, data=data, statements=statements)


def nameable(key: str) -> str:
    """`key` when it may be shown, else an empty text: in a broken file a name can be a piece of a secret."""
    return key if _CONVENTIONAL.match(key) else ""


def unreadable(problems: Iterable[Problem]) -> BadInput:
    """The error for a file that Compose refuses: first problem in `why`, all of them in `details`."""
    found = list(problems)
    first = found[0]
    more = f" ({len(found) - 1} more below)" if len(found) > 1 else ""
    return BadInput(
        "Compose cannot read the .env file.",
        f"Line {first.line}: {first.reason.removesuffix('.')}{more}.",
        f"Mend line {first.line} of .env and try again.",
        code="env.unreadable",
        details=[f"line {problem.line}: {problem.reason}" for problem in found],
    )


def _written(key: str, value: str, quoting: Quoting, quote: str) -> str:
    """`value` as it goes into the file. Raises BadInput (`env.value`)."""
    if _NOWHERE.search(value):
        raise _bad_value(key, "It has a control character in it.")
    plain = bool(_PLAIN.match(value))
    single = not _NOT_SINGLE.search(value)
    if quoting is Quoting.PLAIN and not plain:
        raise _bad_value(key, "It has a character that is not safe without quotes.")
    if quoting is not Quoting.SINGLE:
        if quote == '"' and not _NOT_DOUBLE.search(value):
            return f'"{value}"'
        if plain and not quote:
            return value
    if single:
        return f"'{value}'"
    raise _bad_value(
        key, "It has a single quote, a double or final backslash, or “${”, which no quoting makes safe."
    )


def _bad_value(key: str, why: str) -> BadInput:
    return BadInput(
        f"The value for {nameable(key) or 'that name'} cannot be written to .env.",
        f"{why} Compose, python-dotenv and bash would not read it alike.",
        "Choose another value; nothing was changed.",
        code="env.value",
    )


def _unsafe(line: int) -> BadInput:
    return BadInput(
        "The .env file was not changed.",
        f"Line {line} cannot be changed without changing what other lines mean.",
        f"Write line {line} as NAME=value, on a line of its own, and try again.",
        code="env.unreadable",
    )


def _comment(raw: str) -> str:
    """What people and python-dotenv take for a comment in an unquoted value, with the blanks before it."""
    if raw.startswith("#"):
        return raw
    found = re.search(r"\s+#", raw)
    return raw[found.start() :] if found else ""


def _substance(statements: Iterable[Statement]) -> list[tuple[str, str, str, str, str]]:
    return [(s.key, s.separator, s.quote, s.raw, s.template) for s in statements]


def _apply(data: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    for start, end, new in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        data = data[:start] + new + data[end:]
    return data


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _shown_text(text: str) -> str:
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)
