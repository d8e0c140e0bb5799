"""`docs`: the pages of the documentation, as they came with the tool."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, session_options
from disinto_tui.core.errors import BadInput, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import ConsoleOptions

_TASKS = ("bootstrap", "operating", "versions", "releases", "credentials", "adopt", "troubleshooting")
_ORDER = (
    *_TASKS[:-1],
    "from-build",
    "from-image-tag",
    "troubleshooting",
    "configuration",
    "formulas",
    "keys",
    "security",
    "architecture",
)
_WIDEST = 100
# No backgrounds: what is readable on every terminal is its own colours.
_STYLES = {
    "markdown.code": "cyan",
    "markdown.code_block": "cyan",
    "markdown.h1": "bold",
    "markdown.h2": "bold",
    "markdown.h3": "bold",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]*)\)")


def pages() -> dict[str, Path]:
    """The pages by topic, those of the first day first. Raises FileNotFoundError when none were shipped."""
    from disinto_tui.adapters.resources import resource

    found = {path.stem: path for path in resource("docs").glob("*.md")}
    place = {topic: number for number, topic in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (place.get(item[0], len(place)), item[0])))


def title_of(path: Path) -> str:
    """A page's heading, as plain words."""
    with path.open(encoding="utf-8") as lines:
        heading = next((line[2:].strip() for line in lines if line.startswith("# ")), path.stem)
    return heading.replace("`", "")


def _topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [topic for topic in pages() if topic.startswith(incomplete)]


@click.command()
@click.argument("topic", required=False, shell_complete=_topics)
@click.option("--no-pager", is_flag=True, help="Print it all, also when it is longer than the terminal.")
@session_options()
def docs(session: Session, topic: str | None, no_pager: bool) -> int:
    """The pages of the documentation; with TOPIC one of them.

    On a terminal a page is laid out, and shown with $PAGER when it is longer than the screen. Elsewhere it is the
    Markdown it was written in.
    """
    found = pages()
    output = session.output
    if topic is None:
        if output.as_json:
            output.document([{"topic": name, "title": title_of(path)} for name, path in found.items()])
            return ExitCode.DONE
        width = max(map(len, found))
        for name, path in found.items():
            output.data(f"{name:<{width}}  {title_of(path)}")
        output.say("`disinto docs TOPIC` shows one.")
        return ExitCode.DONE
    path = _page(found, topic)
    text = path.read_text(encoding="utf-8")
    if output.as_json:
        output.document({"topic": path.stem, "title": title_of(path), "markdown": text})
    elif not sys.stdout.isatty():
        output.data(text.rstrip("\n"))
    else:
        _show(session, text, no_pager=no_pager)
    return ExitCode.DONE


def _page(found: dict[str, Path], topic: str) -> Path:
    """The page of a topic. Raises BadInput `docs.topic`, with the nearest one, or where a command is explained."""
    name = topic.lower().removesuffix(".md")
    if name in found:
        return found[name]
    from difflib import get_close_matches

    from disinto_tui.cli.main import COMMANDS

    near = get_close_matches(name, found, n=1)
    why = f"The nearest is {near[0]}." if near else f"The pages are {', '.join(found)}."
    if name in COMMANDS:
        texts = {one: path.read_text(encoding="utf-8") for one, path in found.items() if one in _TASKS}
        best = max(texts, key=lambda one: texts[one].count(f"disinto {name}"), default="")
        why = f"It is a command, and {best} tells of it." if f"disinto {name}" in texts.get(best, "") else why
    raise BadInput(f"There is no page {topic}.", why, "`disinto docs` lists them.", code="docs.topic")


def for_terminal(text: str) -> str:
    """A page without pictures, its links as what can be typed."""

    def link(found: re.Match[str]) -> str:
        words, target = found.groups()
        page = re.fullmatch(r"([\w-]+)\.md(?:#.*)?", target)
        if page:
            return f"{words} (`disinto docs {page[1]}`)"
        return f"{words} ({target})" if "://" in target else words

    return _LINK.sub(link, _PICTURE.sub("", text))


def laid_out(text: str, width: int, *, color: bool) -> str:
    """A page as a terminal of that width shows it; with nothing but its letters when `color` is off."""
    from io import StringIO

    # Here alone the command line draws: a page of tables is not to be read as it is written.
    from rich.console import Console
    from rich.markdown import Markdown, TableElement
    from rich.theme import Theme

    class Folding(TableElement):
        """A table that breaks a word which does not fit, where Rich would cut it."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
            for table in super().__rich_console__(console, options):
                for column in getattr(table, "columns", ()):
                    column.overflow = "fold"
                yield table

    class Page(Markdown):
        elements = {**Markdown.elements, "table_open": Folding}  # noqa: RUF012  # Rich's own way

    drawn = StringIO()
    console = Console(
        file=drawn,
        width=max(20, min(width, _WIDEST)),
        force_terminal=True,
        color_system="standard" if color else None,
        legacy_windows=False,
        theme=Theme(_STYLES),
    )
    console.print(Page(for_terminal(text), code_theme="ansi_dark", hyperlinks=False))
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def _show(session: Session, text: str, *, no_pager: bool) -> None:
    size = shutil.get_terminal_size()
    shown = laid_out(text, size.columns, color=session.output.style("x", "bold") != "x")
    fits = shown.count("\n") + 2 < size.lines
    if no_pager or fits or not sys.stdin.isatty() or not _paged(shown):
        session.output.data(shown)


def _paged(text: str) -> bool:
    """Whether a pager showed it: $PAGER, else less. None for an empty one and for `cat`, as git has it."""
    import shlex

    from disinto_tui.adapters.process import show_with

    try:
        argv = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        argv = []
    return bool(argv) and argv != ["cat"] and show_with(argv, text + "\n")
