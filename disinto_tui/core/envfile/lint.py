"""What in a `.env` will be misread, line by line: by Compose, by python-dotenv, or by a shell.

Factories have scripts that `source` the file with `set -a`, so a line is sound when all three read it
alike. Messages never hold a value, and a name only when it looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..errors import BadInput
from .expand import references
from .model import EnvFile, nameable
from .scan import BOM, Statement, scan

Reader = Callable[[bytes], Mapping[str, "str | None"]]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to mend. `problem` is a stable slug, `why` and `fix` one sentence each; `key` may be empty.

    `unreadable` is the one problem that stops everything: Compose refuses the file.
    """

    line: int
    key: str
    problem: str
    why: str
    fix: str


_PLAIN_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}$\"'\\`{]*)?\}")
_IDENTIFIER = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
_SHELL = re.compile(r"[`;&|<>()\\\"'*?!\[\]{}~^]")
_ODD_BLANKS = re.compile("[\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u3000\ufeff]")


def lint(
    data: bytes,
    *,
    environ: Mapping[str, str] | None = None,
    second_reader: Reader | None = None,
    second_name: str = "python-dotenv",
) -> list[Finding]:
    """Everything in `data` that is misread by someone, in the order of lines. Raises nothing of its own.

    `environ` is the process environment for `${…}` and bare names. `second_reader` is another parser's
    reading of the same bytes (an adapter passes python-dotenv's); where it differs from Compose's, the
    line that counts is named. A reader that raises ValueError (UnicodeDecodeError is one) is reported.
    """
    statements, problems = scan(data)
    found = [
        Finding(
            problem.line, "", "unreadable", problem.reason, "Mend this line: Compose refuses the whole file."
        )
        for problem in problems
    ]
    found += _of_bytes(data)
    seen: dict[str, int] = {}
    later: dict[str, int] = {}
    for statement in statements:
        later[statement.key] = statement.line
    known = set(environ or ())
    for at, statement in enumerate(statements):
        before = statements[at - 1].end if at else None
        found += _of_statement(data, statement, before)
        found += _of_references(statement, known, seen, later)
        if statement.key in seen:
            found.append(_duplicate(statement, seen[statement.key]))
        seen[statement.key] = statement.line
    if not problems:
        found += _against(data, EnvFile(data, statements), environ, second_reader, second_name)
    return sorted(set(found))


def _of_bytes(data: bytes) -> Iterator[Finding]:
    """What is wrong with the file rather than with a statement."""
    if data.startswith(BOM):
        yield Finding(
            1, "", "bom", "The file begins with a byte order mark, which a shell and python-dotenv before 1.2.4 "
            "take for a part of the first name.", "Save the file as UTF-8 without BOM.",
        )  # fmt: skip
    lines = data.split(b"\n")
    crlf = next((n for n, line in enumerate(lines[:-1], 1) if line.endswith(b"\r")), 0)
    if crlf:
        yield Finding(
            crlf, "", "crlf", "Lines end with CR LF; a shell takes the CR for a part of the value.",
            "Save the file with LF line ends.",
        )  # fmt: skip
    for number, line in enumerate(lines, 1):
        if b"\r" in line[:-1] or (number == len(lines) and line.endswith(b"\r")):
            yield Finding(
                number, "", "lone-cr", "A carriage return without a line feed: Compose reads on, python-dotenv "
                "begins a new line.", "End lines with LF.",
            )  # fmt: skip
        if line.isascii():
            continue
        try:
            line.decode()
        except UnicodeDecodeError:
            yield Finding(
                number, "", "not-utf8", "A byte is not UTF-8: Compose reads a replacement character, "
                "python-dotenv reads nothing of the file.", "Save the file as UTF-8.",
            )  # fmt: skip
            continue
        text = line.removeprefix(BOM).decode().rstrip("\r")
        if not text.lstrip().startswith("#") and (odd := _ODD_BLANKS.search(text)):
            yield Finding(
                number, "", "odd-blank", f"The invisible character U+{ord(odd.group()):04X} is a blank for some "
                "readers and a part of the value, or a line end, for others.", "Remove it.",
            )  # fmt: skip


def _of_statement(data: bytes, statement: Statement, before: int | None) -> Iterator[Finding]:
    line, key, raw, quote = statement.line, nameable(statement.key), statement.raw, statement.quote

    def finding(problem: str, why: str, fix: str) -> Finding:
        return Finding(line, key, problem, why, fix)

    if before is not None and b"\n" not in data[before : statement.start]:
        yield finding(
            "text-after-quote",
            "Text follows a closing quote: Compose takes it for a further statement, python-dotenv drops the line.",
            "Put one NAME=value on a line.",
        )
    elif statement.inherited:
        yield finding(
            "bare-name",
            "A name without “=” takes its value from the process environment in Compose; it has none elsewhere.",
            "Write NAME=value, or remove the line.",
        )
    if not _IDENTIFIER.match(statement.key):
        yield finding(
            "odd-name",
            "The name is not letters, digits and “_”: it cannot be used as ${NAME}, and a shell refuses it.",
            "Rename it.",
        )
    if statement.key.startswith("COMPOSE_"):
        yield finding(
            "compose-setting",
            "Compose takes its own settings from this name; it can point commands at another file or project.",
            "Remove it unless you mean that.",
        )
    if statement.inherited:
        return
    if statement.separator == ":":
        yield finding(
            "colon", "Compose reads “NAME: value” as an assignment, python-dotenv and shells do not.",
            "Write NAME=value.",
        )  # fmt: skip
    else:
        value_gap = data[statement.key_end : statement.value_start].split(b"=", 1)
        if value_gap[0] or (value_gap[-1] and raw and not raw.startswith("#")):
            yield finding(
                "blank-around-equals", "There is a blank beside the “=”; a shell does not read that as an assignment.",
                "Write NAME=value without blanks.",
            )  # fmt: skip
    if quote:
        yield from _of_quoted(statement, finding)
        if data[statement.end : statement.end + 1] == b"#":
            yield finding(
                "comment-touches-quote", "“#” touches the closing quote: a comment for Compose, value for a shell.",
                "Put a space before the “#”.",
            )  # fmt: skip
    else:
        yield from _of_unquoted(data, statement, finding)
    if quote != "'" and "$" in _PLAIN_REFERENCE.sub("", raw):
        yield finding(
            "dollar",
            "Compose, python-dotenv and shells replace this kind of “$” differently; only ${NAME} and "
            "${NAME:-default} mean the same to all.",
            "Use ${NAME}, or put the value in single quotes.",
        )


_Make = Callable[[str, str, str], Finding]


def _of_quoted(statement: Statement, finding: _Make) -> Iterator[Finding]:
    raw = statement.raw
    if statement.quote == "'":
        if re.search(r"\\[\\']", raw):
            yield finding(
                "escape", "A backslash before a backslash or a quote: Compose, python-dotenv and shells differ.",
                "Use a value without it.",
            )  # fmt: skip
        if re.search(r"\$\{[^}]*\}", raw):
            yield finding(
                "single-quoted-variable", "python-dotenv replaces ${…} within single quotes, Compose does not.",
                "Use a value without “${”.",
            )  # fmt: skip
        return
    if re.search(r"\\[^\"\\]", raw, re.DOTALL):
        yield finding(
            "escape", "Compose, python-dotenv and shells undo this backslash escape in different ways.",
            "Put the value in single quotes, with real characters instead of escapes.",
        )  # fmt: skip
    if "`" in raw or "$(" in raw:
        yield finding(
            "shell-syntax", "A shell that sources the file runs a command here.", "Use single quotes."
        )


def _of_unquoted(data: bytes, statement: Statement, finding: _Make) -> Iterator[Finding]:
    raw = statement.raw
    if raw.startswith("#"):
        if data[statement.value_start - 1 : statement.value_start] not in (b"=", b":"):
            yield finding(
                "comment-as-value", "The value is empty for people, but Compose takes the comment for the value.",
                "Put the comment on a line of its own, or write NAME='' before it.",
            )  # fmt: skip
        return
    comment = re.search(r"\s+#", raw)
    if comment:
        yield finding(
            "comment-as-value", "Only a space before “#” begins a comment for Compose; here it is part of the value.",
            "Put a space before the “#”.",
        )  # fmt: skip
        raw = raw[: comment.start()]
    if re.search(r"\s", raw):
        yield finding(
            "blank-in-value", "The value has a blank and no quotes; a shell runs its second word as a command.",
            "Put the value in single quotes.",
        )  # fmt: skip
    if _SHELL.search(_PLAIN_REFERENCE.sub("", raw)):
        yield finding(
            "shell-syntax", "The value has characters that mean something to a shell, and no quotes.",
            "Put the value in single quotes.",
        )  # fmt: skip


def _of_references(
    statement: Statement, known: set[str], seen: Mapping[str, int], later: Mapping[str, int]
) -> Iterator[Finding]:
    if statement.inherited or statement.quote == "'" or "$" not in statement.template:
        return
    for name, copes in references(statement.template):
        if copes or name in seen or name in known:
            continue
        where = f"; it is set only below, on line {later[name]}" if name in later else ""
        yield Finding(
            statement.line, nameable(statement.key), "undefined-variable",
            f"{nameable(name) or 'A variable'} is not set in the lines above{where}, so it is empty here unless "
            "the environment has it.",
            "Set it above, or give a default with ${NAME:-default}.",
        )  # fmt: skip


def _duplicate(statement: Statement, earlier: int) -> Finding:
    why = f"The name is set on line {earlier} already; the last line counts."
    if statement.inherited:
        why = f"A bare name after line {earlier}: Compose keeps that value, python-dotenv forgets it."
    return Finding(statement.line, nameable(statement.key), "duplicate", why, "Keep one of the lines.")


def _against(
    data: bytes, env: EnvFile, environ: Mapping[str, str] | None, reader: Reader | None, name: str
) -> Iterator[Finding]:
    """Where the second reader disagrees, and a variable that only an evaluation misses."""
    try:
        ours = env.values(environ)
    except BadInput as trouble:
        line, _, reason = trouble.details[0].removeprefix("line ").partition(": ")
        yield Finding(int(line), "", "unreadable", reason, "Set the variable, or give it a default.")
        return
    if reader is None:
        return
    try:
        theirs = reader(data)
    except ValueError:
        yield Finding(
            1, "", "readers-disagree", f"{name} cannot read the file at all; Compose can.",
            "Mend the other findings first.",
        )  # fmt: skip
        return
    for key in {**ours, **theirs}:
        if ours.get(key) == theirs.get(key):
            continue
        statement = env.last(key)
        line = statement.line if statement else 1
        if key not in ours:
            why = f"{name} reads a value here that Compose does not."
        elif theirs.get(key) is None:
            why = f"Compose reads a value here that {name} does not."
        else:
            why = f"Compose and {name} read different values here."
        yield Finding(
            line, nameable(key), "readers-disagree", why, "Write NAME='value' on a line of its own."
        )
