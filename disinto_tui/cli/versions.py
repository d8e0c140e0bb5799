"""`versions`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from disinto_tui.core.catalog import Catalog, Meta
    from disinto_tui.runs.catalog import VersionSource

ASKED_ABOUT = 200
"""Versions that are asked about, one to three requests each; of a longer list the first ones."""


@click.command()
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@click.option("-a", "--all", "everything", is_flag=True, help="Other tags too (latest, branches, digests).")
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many; 0 is all."
)
@click.option(
    "--offline", is_flag=True, help="Ask no registry: what is remembered, and what is on this host."
)
@session_options()
def versions(session: Session, words: tuple[str, ...], everything: bool, limit: int, offline: bool) -> int:
    """The versions there are, newest first: in the registry, on this host, running here.

    FILTER keeps the versions that hold every word; `:local`, `:good`, `:reverted`, `:left`, `:offline` and the
    like keep those that are so marked. A whole version, such as v0.3.0, shows all there is to know about it.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.catalog import VersionSource

    async def work() -> ExitCode:
        source = VersionSource(Instance.at(session.directory))
        try:
            return await _show(session, source, words, everything, limit, offline)
        finally:
            await source.close()

    return wait_for(work())


async def _show(
    session: Session, source: VersionSource, words: Sequence[str], everything: bool, limit: int, offline: bool
) -> ExitCode:
    found = await source.asked(offline=offline)
    shown = found.filtered(" ".join(words), others=everything)
    one = words[0] if len(words) == 1 and words[0] in found.tags else ""
    chosen = [one] if one else shown[: limit or None]
    metas: dict[str, Meta] = {}
    wanted = [one, found.running] if one and found.running not in ("", one) else chosen[:ASKED_ABOUT]
    async for batch in source.details(wanted, offline=offline):
        metas.update(batch)
    if session.output.as_json:
        session.output.document(_document(found, chosen, metas, len(shown)))
    elif one:
        for line in _detail_lines(found, source, one, metas):
            session.output.data(line)
    else:
        _table(session, found, chosen, metas)
        if len(shown) > len(chosen):
            session.output.say(f"… {len(shown) - len(chosen)} more (-n 0 shows all)")
        if len(chosen) > ASKED_ABOUT:
            session.output.say(
                f"Only the first {ASKED_ABOUT} were asked about; name a version to see what it is."
            )
        if not shown and words:
            session.output.say(f"None of {found.versions} versions matches.")
        if found.hidden and not everything:
            session.output.say(
                f"{found.hidden} other {'tag' if found.hidden == 1 else 'tags'} hidden (--all shows them)"
            )
    if found.engine_error and not session.output.as_json:
        session.output.say(_one_line(found.engine_error))
        session.output.say("What is local and what runs is shown as it was last seen.")
    if found.error is None:
        return ExitCode.UNAVAILABLE if found.engine_error else ExitCode.DONE
    if not session.output.as_json:
        if found.asked_at:
            from disinto_tui.core.words import age_text

            session.output.say(f"The list is of {age_text(time.time() - found.asked_at)} ago.")
        session.output.error(found.error)
    return found.error.exit_code


def _document(
    found: Catalog, chosen: Sequence[str], metas: Mapping[str, Meta], matching: int
) -> dict[str, Any]:
    return {
        "repository": found.repository,
        "asked_at": found.asked_at,
        "undo": found.undo,
        "versions": [found.row(tag, metas.get(tag)).to_json() for tag in chosen],
        "matching": matching,
        "hidden": found.hidden,
        "error": found.error.to_json() if found.error else None,
        "engine_error": found.engine_error,
    }


def _table(session: Session, found: Catalog, chosen: Sequence[str], metas: Mapping[str, Meta]) -> None:
    from disinto_tui.core.catalog import Meta
    from disinto_tui.core.catalog_text import made_text, pull_text

    now = time.time()
    rows = []
    for tag in chosen:
        row = found.row(tag, metas.get(tag) or Meta())  # nobody is being asked any more
        words = [f"({row.kind})"] if row.kind == "pre-release" else []
        here = _one_line(", ".join([*row.words, *words]))
        rows.append((_one_line(tag), made_text(row.meta, now), pull_text(row.meta), here))
    width = max((len(row[0]) for row in rows), default=0)
    if rows:
        session.output.say(f"{'VERSION':<{width}}  {'MADE':>7}  {'PULL':>7}  HERE")
    for tag, made, size, here in rows:
        session.output.data(f"{tag:<{width}}  {made:>7}  {size:>7}  {here}".rstrip())


def _detail_lines(found: Catalog, source: VersionSource, tag: str, metas: Mapping[str, Meta]) -> list[str]:
    from disinto_tui.core.catalog_text import about

    running = found.running
    lines = about(found.row(tag, metas.get(tag)), source.entries(tag), found, metas.get(running), time.time())
    return [f"{_one_line(name):<12} {_one_line(text)}".rstrip() for name, text in lines]


def _one_line(text: str) -> str:
    """Foreign text on a line of its own: no escapes, and no line that looks like one of ours."""
    from disinto_tui.core.text import neutralise

    return neutralise(text).replace("\n", " ").replace("\t", " ")
