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


# slug: (why, fix). All observed with Compose 2.26.1, python-dotenv 1.2.4 and bash 5.2.
_TEXTS = {
    "bom": (
        "The file begins with a byte order mark; shells and old python-dotenv read it as part of a name.",
        "Save the file as UTF-8 without BOM.",
    ),
    "crlf": (
        "Lines end with CR LF; a shell takes the CR for a part of the value.",
        "Save the file with LF line ends.",
    ),
    "lone-cr": (
        "A CR without LF: Compose reads on in the same line, python-dotenv begins a new one.",
        "End lines with LF.",
    ),
    "not-utf8": (
        "A byte is not UTF-8: Compose reads U+FFFD there, python-dotenv refuses the whole file.",
        "Save the file as UTF-8.",
    ),
    "odd-blank": (
        "An invisible character ({}): for some readers a blank or a line end, for others value.",
        "Remove it.",
    ),
    "text-after-quote": (
        "Text follows a closing quote: a further statement for Compose, while python-dotenv drops the line.",
        "Put one NAME=value on a line.",
    ),
    "bare-name": (
        "A name without “=”: Compose takes the value from the process environment, others have none.",
        "Write NAME=value, or remove the line.",
    ),
    "odd-name": (
        "The name is not letters, digits and “_”: it cannot be used as ${{NAME}}, and shells refuse it.",
        "Rename it.",
    ),
    "compose-setting": (
        "Compose takes a setting of its own from this name; it may turn to another file or project.",
        "Remove it unless you mean that.",
    ),
    "colon": (
        "“NAME: value” is an assignment for Compose, but not for python-dotenv and shells.",
        "Write NAME=value.",
    ),
    "blank-around-equals": (
        "There is a blank beside the “=”; a shell does not read that as an assignment.",
        "Write NAME=value without blanks.",
    ),
    "comment-touches-quote": (
        "“#” touches the closing quote: a comment for Compose, value for a shell.",
        "Put a space before the “#”.",
    ),
    "comment-as-value": (
        "Compose takes this comment for the value, or for a part of it.",
        "Put the comment on a line of its own.",
    ),
    "dollar": (
        "Compose, python-dotenv and shells replace this kind of “$” differently.",
        "Use ${{NAME}} or ${{NAME:-default}}, or single quotes for a “$” that is meant.",
    ),
    "escape": (
        "Compose, python-dotenv and shells undo this backslash in different ways.",
        "Put real characters in single quotes instead of escapes.",
    ),
    "single-quoted-variable": (
        "python-dotenv replaces ${{…}} within single quotes, Compose does not.",
        "Use a value without “${{”.",
    ),
    "shell-syntax": (
        "Something here has a meaning to a shell; a script that sources the file may run it.",
        "Put the value in single quotes.",
    ),
    "blank-in-value": (
        "The value has a blank and no quotes; a shell runs its second word as a command.",
        "Put the value in single quotes.",
    ),
    "undefined-variable": (
        "{} is not set above{}, so it is empty here unless the environment has it.",
        "Set it above, or give a default with ${{NAME:-default}}.",
    ),
    "duplicate": ("The name is set on line {} already; {}", "Keep one of the lines."),
    "unreadable": ("{}", "Mend this line: Compose refuses the whole file."),
    "readers-disagree": ("{}", "Write NAME='value' on a line of its own."),
}

# The one use of a variable that all three agree on.
_COMMON_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}$\"'\\`{]*)?\}")
_ANY_REFERENCE = re.compile(r"\$\{[^{}`()\"']*\}")
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
    found = [_finding(problem.line, "", "unreadable", problem.reason) for problem in problems]
    found += _of_bytes(data)
    seen: dict[str, int] = {}
    last_lines = {statement.key: statement.line for statement in statements}
    known = set(environ or ())
    before: int | None = None
    for statement in statements:
        shares_line = before is not None and b"\n" not in data[before : statement.start]
        for problem in _of_statement(data, statement, shares_line):
            found.append(_finding(statement.line, statement.key, problem))
        found += _of_references(statement, known, seen, last_lines)
        if statement.key in seen:
            counts = (
                "Compose keeps that, python-dotenv does not."
                if statement.inherited
                else "the last line counts."
            )
            found.append(_finding(statement.line, statement.key, "duplicate", seen[statement.key], counts))
        seen[statement.key] = statement.line
        before = statement.end
    if not problems:
        found += _of_readings(data, EnvFile(data, statements), environ, second_reader, second_name)
    return sorted(set(found))


def _finding(line: int, key: str, problem: str, *details: object) -> Finding:
    why, fix = _TEXTS[problem]
    return Finding(line, nameable(key), problem, why.format(*details), fix.format())


def _of_bytes(data: bytes) -> Iterator[Finding]:
    """What is wrong with the bytes of a line rather than with a statement."""
    if data.startswith(BOM):
        yield _finding(1, "", "bom")
    lines = data.split(b"\n")
    crlf = next((number for number, line in enumerate(lines[:-1], 1) if line.endswith(b"\r")), 0)
    if crlf:
        yield _finding(crlf, "", "crlf")
    for number, line in enumerate(lines, 1):
        if b"\r" in line[:-1] or (number == len(lines) and line.endswith(b"\r")):
            yield _finding(number, "", "lone-cr")
        try:
            text = line.removeprefix(BOM).decode()
        except UnicodeDecodeError:
            yield _finding(number, "", "not-utf8")
            continue
        if not text.lstrip().startswith("#") and (odd := _ODD_BLANKS.search(text)):
            yield _finding(number, "", "odd-blank", f"U+{ord(odd.group()):04X}")


def _of_statement(data: bytes, statement: Statement, shares_line: bool) -> Iterator[str]:
    """The problems of one statement, as slugs."""
    if shares_line:
        yield "text-after-quote"
    elif statement.inherited:
        yield "bare-name"
    if not _IDENTIFIER.match(statement.key):
        yield "odd-name"
    if statement.key.startswith("COMPOSE_"):
        yield "compose-setting"
    if statement.inherited:
        return
    raw = statement.raw
    if statement.separator == ":":
        yield "colon"
    else:
        head, _, tail = data[statement.key_end : statement.value_start].partition(b"=")
        if head or (tail and (statement.quote or raw) and not raw.startswith("#")):
            yield "blank-around-equals"
    if statement.quote:
        yield from _of_quoted(statement)
        if data[statement.end : statement.end + 1] == b"#":
            yield "comment-touches-quote"
    else:
        yield from _of_unquoted(data, statement)
    if statement.quote != "'" and "$" in _COMMON_REFERENCE.sub("", raw):
        yield "dollar"


def _of_quoted(statement: Statement) -> Iterator[str]:
    raw = statement.raw
    if statement.quote == "'":
        if re.search(r"\\[\\']", raw):
            yield "escape"
        if re.search(r"\$\{[^}]*\}", raw):
            yield "single-quoted-variable"
        return
    if "\\" in re.sub(r"\\[\"\\]", "", raw):
        yield "escape"
    if "`" in raw or "$(" in raw:
        yield "shell-syntax"


def _of_unquoted(data: bytes, statement: Statement) -> Iterator[str]:
    raw = statement.raw
    if raw.startswith("#"):
        if data[statement.value_start - 1 : statement.value_start] not in (b"=", b":"):
            yield "comment-as-value"
        return
    if comment := re.search(r"\s+#", raw):
        yield "comment-as-value"
        raw = raw[: comment.start()]
    if re.search(r"\s", raw):
        yield "blank-in-value"
    if _SHELL.search(_ANY_REFERENCE.sub("", raw)):
        yield "shell-syntax"


def _of_references(
    statement: Statement, known: set[str], seen: Mapping[str, int], last_lines: Mapping[str, int]
) -> Iterator[Finding]:
    if statement.inherited or statement.quote == "'" or "$" not in statement.template:
        return
    for name, copes in references(statement.template):
        if copes or name in seen or name in known:
            continue
        below = f", only on line {last_lines[name]}" if name in last_lines else ""
        shown = nameable(name) or "A variable"
        yield _finding(statement.line, statement.key, "undefined-variable", shown, below)


def _of_readings(
    data: bytes, env: EnvFile, environ: Mapping[str, str] | None, reader: Reader | None, name: str
) -> Iterator[Finding]:
    """Where the second reader disagrees, and a required variable that only an evaluation misses."""
    try:
        ours = env.values(environ)
    except BadInput as trouble:
        line, _, reason = trouble.details[0].removeprefix("line ").partition(": ")
        yield _finding(int(line), "", "unreadable", reason)
        return
    if reader is None:
        return
    try:
        theirs = reader(data)
    except ValueError:
        yield _finding(1, "", "readers-disagree", f"{name} cannot read the file at all; Compose can.")
        return
    for key in {**ours, **theirs}:
        if ours.get(key) == theirs.get(key):
            continue
        if key not in ours:
            why = f"{name} reads a value here that Compose does not."
        elif theirs.get(key) is None:
            why = f"Compose reads a value here that {name} does not."
        else:
            why = f"Compose and {name} read different values here."
        statement = env.last(key)
        yield _finding(statement.line if statement else 1, key, "readers-disagree", why)
