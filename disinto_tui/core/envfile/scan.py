"""Where the statements of a `.env` are, as Compose finds them.

The rules are those of Compose 2.26.1, observed; where 2.40 differs it is said. They are few, and some
surprise: only LF ends a line; a comment needs a SPACE before its `#`; blanks after `=` are skipped first,
so `K= # c` has the value `# c`; text after a closing quote begins a new statement; `K: v` is an
assignment; one bad line makes the whole file unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .expand import TemplateError, check

BOM = b"\xef\xbb\xbf"

# White space for Go: inside a line, and of any kind. Python's \s and str.isspace() have more (U+001C to
# U+001F) and would cut where Compose does not.
BLANKS = "\t\v\f\r \x85\xa0"
_SPACES = BLANKS + "\n\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_START = re.compile(f"[{_SPACES}]*")
_BLANKS_HERE = re.compile(f"[{BLANKS}]*")
_EXPORT = re.compile(r"export[\t\n\f\r ]+")
_ASCII_KEY = re.compile(r"[A-Za-z0-9_.\[\]\-" + BLANKS + "]*")
_ESCAPE = re.compile(r"\\(?:[abcfnrtv$\"\\]|0[0-9]{0,3})")
_PLAIN_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    '"': '"',
    "\\": "\\",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One assignment (`K=v`, `K: v`) or one inherited name (`K` alone). Offsets are bytes of the file.

    `start` is where the statement begins (its `export`, if it has one), `end` the end of its value, quotes
    included and comment excluded. `separator` is `=`, `:` or empty for an inherited name. `raw` is the
    value as written between its quotes; `template` what is left after escapes, to be interpolated
    unless `quote` is `'`. Text holds undecodable bytes as lone surrogates.
    """

    key: str
    line: int
    start: int
    end: int
    key_start: int
    key_end: int
    value_start: int
    separator: str
    quote: str
    raw: str = field(repr=False)  # may be a secret, and a repr ends up in logs
    template: str = field(repr=False)

    @property
    def inherited(self) -> bool:
        """Whether it is a bare name, whose value comes from the process environment."""
        return not self.separator


@dataclass(frozen=True, slots=True)
class Problem:
    """A place that makes Compose refuse the whole file. `reason` never holds a value."""

    line: int
    reason: str


class _UnreadableError(Exception):
    """A place where Compose gives up; `resume` is where we look for further problems."""

    def __init__(self, at: int, reason: str, resume: int | None = None) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason
        self.resume = at if resume is None else resume


def scan(data: bytes) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
    """Find the statements, and every problem, going on at the line after one. Raises nothing."""
    return _Scanner(data).run()


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self._shift = len(BOM) if data.startswith(BOM) else 0
        self._text = data[self._shift :].decode("utf-8", "surrogateescape")
        self._ascii = self._text.isascii()
        # The last place that was converted: (characters, bytes), and (characters, line).
        self._bytes_at = (0, self._shift)
        self._line_at = (0, 1)

    def run(self) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
        statements: list[Statement] = []
        problems: list[Problem] = []
        at = self._next(0)
        while at < len(self._text):
            try:
                statement, at = self._statement(at)
                if statement.key:  # `export` alone on a line is nothing
                    statements.append(statement)
            except _UnreadableError as trouble:
                line = self._text.count("\n", 0, trouble.at) + 1
                opened = self._quote_that_ends_in(line, statements)
                where = f" The quote that line {opened} opens is closed on this line." if opened else ""
                problems.append(Problem(line, trouble.reason + where))
                at = self._text.find("\n", trouble.resume)
                if at < 0:
                    break
            at = self._next(at)
        return tuple(statements), tuple(problems)

    @staticmethod
    def _quote_that_ends_in(line: int, statements: list[Statement]) -> int:
        """The line on which a value began that ends on `line`, 0 when none does: a forgotten quote is closed
        by the next apostrophe of the file, and what people must mend is where it was opened."""
        if not statements or not statements[-1].quote:
            return 0
        opened = statements[-1].line
        return opened if line > opened and opened + statements[-1].raw.count("\n") == line else 0

    def _next(self, at: int) -> int:
        """The first character of the next statement, past white space and comment lines."""
        while True:
            at = _end(_START, self._text, at)
            if not self._text.startswith("#", at):
                return at
            at = self._text.find("\n", at)
            if at < 0:
                return len(self._text)

    def _statement(self, start: int) -> tuple[Statement, int]:
        text = self._text
        at = start
        if _EXPORT.match(text, at):
            at = _end(_BLANKS_HERE, text, at + len("export"))
            if at == len(text):
                raise _UnreadableError(start, "“export” stands alone at the end of the file.")
        key_start = at
        at = self._key_end(at, start)
        key = text[key_start:at].rstrip(_SPACES)
        separator = text[at] if text[at] != "\n" else ""
        if " " in key:
            raise _UnreadableError(start, "The name before “=”, “:” or the line end has a blank in it.")
        key_end = key_start + len(key)
        if not separator:
            return self._make(key, start, (key_start, key_end, key_end, key_end), ("", "", "", "")), at + 1
        if not key:
            raise _UnreadableError(start, f"Nothing stands before the “{separator}”.")
        value_start = _end(_BLANKS_HERE, text, at + 1)
        quote = text[value_start : value_start + 1]
        if quote in ("'", '"') and quote:
            inner, end = self._quoted(value_start, quote)
            raw = text[value_start + 1 : end - 1]
            template = inner if quote == "'" else _unescape(inner)
            after = end
        else:
            quote = ""
            after = text.find("\n", value_start)
            after = len(text) if after < 0 else after
            raw = template = text[value_start:after].partition(" #")[0].rstrip(_SPACES)
            end = value_start + len(raw)
        self._check(start, quote, template, after)
        spans = (key_start, key_end, value_start, end)
        return self._make(key, start, spans, (separator, quote, raw, template)), after

    def _key_end(self, at: int, start: int) -> int:
        """The place of the character that ends the name."""
        text = self._text
        while True:
            at = _end(_ASCII_KEY, text, at)
            if at == len(text):
                raise _UnreadableError(
                    start,
                    "The last line is a bare name without a line end; Compose 2.26 refuses that.",
                )
            char = text[at]
            if char in "=:\n":
                return at
            # Letters and numbers of every script are names for Go.
            if not (char.isalpha() or _is_number(char)):
                shown = f"“{char}”" if char.isprintable() else f"U+{ord(char):04X}"
                if "\udc80" <= char <= "\udcff":
                    shown = "a byte that is not UTF-8"
                raise _UnreadableError(start, f"A name has {shown} in it, which no variable name has.", at)
            at += 1

    def _quoted(self, start: int, quote: str) -> tuple[str, int]:
        """The text between the quotes with `\\quote` undone, and the place after the closing one."""
        text = self._text
        out: list[str] = []
        at = start + 1
        while True:
            close, slash = text.find(quote, at), text.find("\\", at)
            if close < 0:
                raise _UnreadableError(
                    start, f"The {_QUOTES[quote]} quote that opens a value here is never closed."
                )
            if slash < 0 or close < slash:
                out.append(text[at:close])
                return "".join(out), close + 1
            # A backslash takes the next character with it; only an escaped quote loses the backslash.
            out.append(text[at:slash])
            following = text[slash + 1 : slash + 2]
            out.append(following if following == quote else "\\" + following)
            at = slash + 2

    def _check(self, start: int, quote: str, template: str, resume: int) -> None:
        if "\0" in template:
            # 2.40 reads on; and so does 2.26 when a later line sets the name again.
            raise _UnreadableError(
                start, "A value has a NUL character in it, which Compose 2.26 refuses.", resume
            )
        if quote != "'" and "$" in template:
            try:
                check(template)
            except TemplateError as trouble:
                raise _UnreadableError(start, trouble.reason, resume) from None

    def _make(
        self, key: str, start: int, spans: tuple[int, int, int, int], parts: tuple[str, str, str, str]
    ) -> Statement:
        key_start, key_end, value_start, end = spans
        separator, quote, raw, template = parts
        known, line = self._line_at
        line += self._text.count("\n", known, start)
        self._line_at = (start, line)
        return Statement(
            key=key,
            line=line,
            start=self._offset(start),
            key_start=self._offset(key_start),
            key_end=self._offset(key_end),
            value_start=self._offset(value_start),
            end=self._offset(end),
            separator=separator,
            quote=quote,
            raw=raw,
            template=template,
        )

    def _offset(self, at: int) -> int:
        """Bytes before the character `at`; asked for in rising order, so each byte is counted once."""
        if self._ascii:
            return at + self._shift
        known, count = self._bytes_at
        count += len(self._text[known:at].encode("utf-8", "surrogateescape"))
        self._bytes_at = (at, count)
        return count


_QUOTES = {"'": "single", '"': "double"}


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _is_number(char: str) -> bool:
    import unicodedata

    return unicodedata.category(char).startswith("N")


def _unescape(text: str) -> str:
    """Undo the escapes of a double-quoted value. `\\$` becomes `$$`, which interpolation reads as `$`."""

    def undo(match: re.Match[str]) -> str:
        found = match.group()
        char = found[1]
        if char == "$":
            return "$$"
        if char == "0":
            # Octal, three digits after the 0; anything else only loses the 0, an oddity of Compose.
            digits = found[2:]
            code = int(digits, 8) if re.fullmatch("[0-7]{3}", digits) else 256
            return chr(code) if code < 256 else "\\" + digits
        return _PLAIN_ESCAPES.get(char, found)

    return _ESCAPE.sub(undo, text)
