"""Three themes of our own. One accent (also "good"), one warning, one danger; the rest is dimmed foreground."""

from __future__ import annotations

from textual.theme import Theme

DEFAULT = "dark"


def _theme(
    name: str, *, dark: bool, back: str, text: str, accent: str, warn: str, bad: str, **more: str
) -> Theme:
    dim, rule, lift = more["dim"], more["rule"], more["lift"]
    return Theme(
        name=name,
        dark=dark,
        primary=accent,
        secondary=accent,
        accent=accent,
        success=accent,
        warning=warn,
        error=bad,
        foreground=text,
        background=back,
        surface=back,
        panel=lift,
        variables={
            "dim": dim,
            "rule": rule,
            "lift": lift,
            "good": accent,
            "bad": bad,
            "warn": warn,
            "mark-background": more["mark"],
            "mark-foreground": more["mark_text"],
            "scrollbar": rule,
            "scrollbar-hover": dim,
            "scrollbar-active": accent,
            "scrollbar-background": back,
            "scrollbar-background-hover": back,
            "scrollbar-background-active": back,
            "scrollbar-corner-color": back,
            # Reversed, so that it is seen without colours, too: what is named as its ground becomes its letter.
            "input-cursor-text-style": "reverse",
            "input-cursor-background": back,
            "input-cursor-foreground": text,
            "block-cursor-text-style": "bold",
            "screen-selection-background": lift,
            "screen-selection-foreground": text,
        },
    )


THEMES: tuple[Theme, ...] = (
    _theme(
        "dark",
        dark=True,
        back="#12161b",
        text="#d6dce3",
        accent="#56d3a4",
        warn="#e8b654",
        bad="#ff7b72",
        dim="#8993a0",
        rule="#323b46",
        lift="#222a33",
        mark="#e8b654",
        mark_text="#12161b",
    ),
    _theme(
        "light",
        dark=False,
        back="#fcfcfa",
        text="#1d2329",
        accent="#04724d",
        warn="#8a5700",
        bad="#b42318",
        dim="#5c6670",
        rule="#cdd2d6",
        lift="#e9ecee",
        mark="#ffd76a",
        mark_text="#1d2329",
    ),
    _theme(
        "contrast",
        dark=True,
        back="#000000",
        text="#ffffff",
        accent="#5fffd7",
        warn="#ffff5f",
        bad="#ff8f8f",
        dim="#d0d0d0",
        rule="#9e9e9e",
        lift="#3a3a3a",
        mark="#ffff5f",
        mark_text="#000000",
    ),
)

NAMES = tuple(theme.name for theme in THEMES)


def next_theme(name: str) -> str:
    """The theme after `name`, and after the last one the first."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else DEFAULT
