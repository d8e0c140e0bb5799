"""A page of the documentation as a reader takes it: its code, its headings, its links, and the commands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import click

from disinto_tui.cli.main import COMMANDS, cli
from disinto_tui.core.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "formulas" / "README.md")
)
"""What the repository tells its readers, as paths in it."""


@dataclass(frozen=True)
class Code:
    """A line of a block (`block` is its number, `language` what stands at its fence), or an inline piece (0)."""

    text: str
    line: int
    block: int = 0
    language: str = ""


@dataclass
class Page:
    """One page. `prose` has no code in it: blocks are left out, inline code is a blank `` ` ` ``."""

    name: str
    text: str
    code: list[Code] = field(default_factory=list)
    prose: str = ""

    @property
    def inline(self) -> list[Code]:
        """What stands between backticks."""
        return [one for one in self.code if not one.block]

    def blocks(self, language: str | None = None) -> list[str]:
        """The code blocks, those of one language when it is named."""
        found: dict[int, list[str]] = {}
        for one in self.code:
            if one.block and language in (None, one.language):
                found.setdefault(one.block, []).append(one.text)
        return ["\n".join(lines) for lines in found.values()]

    @property
    def anchors(self) -> set[str]:
        """The names of its headings, as forges make them: small letters, no punctuation, dashes for blanks."""
        seen: dict[str, int] = {}
        found = set()
        for heading in re.findall(r"^#{1,6} (.*)$", self.outside_blocks, flags=re.MULTILINE):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            found.add(f"{slug}-{count}" if count else slug)
        return found

    @property
    def outside_blocks(self) -> str:
        """Its text without code blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def links(self) -> list[str]:
        """The targets of its links and pictures."""
        bare = re.sub(r"`[^`\n]*`", "`", self.outside_blocks)
        return re.findall(r"\]\(([^)\s]+)\)", bare)

    @property
    def tables(self) -> Iterator[list[list[str]]]:
        """Its tables: rows of cells, the heading first."""
        rows: list[list[str]] = []
        for line in [*self.outside_blocks.splitlines(), ""]:
            if line.startswith("|"):
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
                if not all(set(cell) <= set("-: ") for cell in cells):
                    rows.append(cells)
            elif rows:
                yield rows
                rows = []


def read(name: str) -> Page:
    """The page at a path in the repository."""
    page = Page(name, (ROOT / name).read_text(encoding="utf-8"))
    block, count, language, prose = False, 0, "", []
    for number, line in enumerate(page.text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            block = not block
            count, language = count + block, line.strip("` ") if block else ""
        elif block:
            page.code.append(Code(line, number, count, language))
        else:
            page.code += [Code(found, number) for found in re.findall(r"`([^`]+)`", line)]
            prose.append(re.sub(r"`[^`]+`", "` `", line))
    page.prose = "\n".join(prose)
    return page


def lines_with(page: Page, first: str) -> list[str]:
    """The lines of the page's block that begins so."""
    (found,) = (block for block in page.blocks() if block.startswith(first))
    return found.splitlines()


# -- command lines -------------------------------------------------------------------------------------------------


def commands_in(line: str) -> Iterator[list[str]]:
    """The words after each `disinto` that is called in a line of code; one call for each choice that a `[part]` is."""
    line = re.sub(r"(?:^|\s)#\s.*$", "", line)
    optional = re.compile(r"\[([^\[\]]*)\]")
    parts = optional.split(line)  # every second one may be left out
    for taken in product((True, False), repeat=len(parts) // 2):
        chosen = [part if at % 2 == 0 or taken[at // 2] else "" for at, part in enumerate(parts)]
        for call in re.split(r"[|;()]|[<>]+(?=\s)|&&|\|\||\$\(", "".join(chosen)):
            words = call.replace("…", " ").split()
            while words and re.fullmatch(r"[A-Z_]+=\S*|sudo|\$", words[0]):
                words.pop(0)
            if words and words[0] == "disinto":
                yield [word.strip("'\"") for word in _before_redirection(words[1:])]


def _before_redirection(words: list[str]) -> list[str]:
    return words[: next((at for at, word in enumerate(words) if word.startswith((">", "<"))), len(words))]


def wrong_with(words: list[str], *, whole: bool = True) -> str:
    """What the command line's own parser says of the words after `disinto`; "" when it takes them.

    `whole` False is for a mention: what has to be given and is not there is no fault then.
    """
    try:
        top = cli.make_context("disinto", list(words), resilient_parsing=False)
        rest = [*top._protected_args, *top.args]
        if not rest:
            return ""
        name, command, arguments = cli.resolve_command(top, rest)
        if command is None:
            return f"no command {rest[0]}"
        command.make_context(name, arguments, parent=top)
    except click.exceptions.Exit:  # --help, --version
        return ""
    except (click.MissingParameter, click.BadOptionUsage) as error:
        # `init --version` in a sentence is the option's name.
        return error.format_message() if whole else ""
    except click.UsageError as error:
        return error.format_message()
    except BadInput as error:
        return str(error)
    return ""


def calls(page: Page) -> Iterator[tuple[int, list[str], bool]]:
    """Every call of a page: its line, the words after `disinto`, and whether it stands there whole (in a block).

    Inline code may leave `disinto` out before a command with options: `use --digest`.
    """
    for one in page.code:
        if one.language == "toml":
            continue
        found = list(commands_in(one.text))
        words = one.text.split()
        if not found and not one.block and len(words) > 1 and words[0] in COMMANDS and words[1][0] in "-[":
            found = list(commands_in(f"disinto {one.text}"))
        for call in found:
            yield one.line, call, bool(one.block)


def options() -> set[str]:
    """Every option of every command."""
    found = {name for option in cli.params for name in option.opts} | {"-h", "--help"}
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        found |= {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    return found
