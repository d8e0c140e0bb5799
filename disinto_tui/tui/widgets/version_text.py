"""What the versions screen says around its list: what is not shown, and why there is nothing to show. Pure."""

from __future__ import annotations

from disinto_tui.core.catalog import Catalog
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.text import neutralise
from disinto_tui.tui.widgets.home_lines import Line, wrapped

_INDENT = "   "


def count_text(number: int) -> str:
    """`50 000`."""
    return f"{number:,}".replace(",", " ")


def foot_text(catalog: Catalog | None, words: str, shown: int, below: int, *, others: bool) -> str:
    """What is not on the screen: filtered out, below the fold, or no version."""
    if catalog is None:
        return ""
    parts = []
    if words:
        total = len(catalog.tags) if others else catalog.versions
        parts.append(f"{count_text(shown)} of {count_text(total)} match")
    if below:
        parts.append(f"{count_text(below)} more")
    if catalog.hidden and not others:
        parts.append(f"{_tags(catalog.hidden)} hidden (o)")
    return "  " + " · ".join(parts) if parts else ""


def why_empty(
    catalog: Catalog | None,
    words: str,
    error: DisintoError | None,
    width: int,
    *,
    asking: bool,
    unseen: bool,
) -> list[Line]:
    """Why there is nothing in the list. `unseen`: other tags are not shown."""
    if catalog is not None and words and catalog.tags:
        lines = [(), *wrapped(f"No version matches /{words}", width, _INDENT, "strong")]
        if catalog.hidden and unseen:
            lines += wrapped(f"{_tags(catalog.hidden)} not looked at (o).", width, _INDENT, "dim")
        return [*lines, *wrapped("esc shows all versions again.", width, _INDENT, "dim")]
    if error is not None:
        return [
            (),
            *wrapped(neutralise(error.what), width, " ▲ ", "bad"),
            *wrapped(neutralise(error.why), width, _INDENT, "plain"),
            *wrapped(neutralise(error.now), width, _INDENT, "plain"),
            (),
            *wrapped("No version is known from before either. R asks again.", width, _INDENT, "dim"),
        ]
    if asking:
        return [(), *wrapped("Asking the registry and this host for versions …", width, _INDENT, "dim")]
    if catalog is not None and catalog.hidden:
        text = f"There are {_tags(catalog.hidden)} (o shows them), and none is a version such as v1.2.3."
        return [(), *wrapped(text, width, _INDENT, "plain")]
    name = catalog.repository if catalog is not None else "The repository"
    return [(), *wrapped(f"{name} holds no version yet, and none is on this host.", width, _INDENT, "plain")]


def _tags(number: int) -> str:
    return f"{count_text(number)} other {'tag' if number == 1 else 'tags'}"
