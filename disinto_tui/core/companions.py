"""The files beside the compose file: Caddyfile, site page, .gitignore. Texts are templates the caller loads
from `templates/`; here the instance's facts go into them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from hashlib import sha256
from string import Template
from typing import Literal, NamedTuple

from .stack_services import CADDYFILE, SITE_DIRECTORY, StackInputs

SITE_PAGE = f"{SITE_DIRECTORY}/index.html"
TEMPLATES = ("Caddyfile", "site.html", "gitignore")
"""The templates that `companions` needs, by file name in `templates/`."""

DIRECTORIES = ("projects", "state", SITE_DIRECTORY, "secrets")
"""Directories that must be there before the stack starts: Docker is told not to make up missing ones."""

_HASH = "# content sha256:"
_BLOCK = re.compile(r"^[ \t]*#\? (!?)(\w+)\n(.*?)^[ \t]*#\? end\n", re.MULTILINE | re.DOTALL)


class Companion(NamedTuple):
    """One file: where it goes in the instance, its text, and what is done when it is there already: "keep"
    it as the operator's, or "replace" it as ours, unless it is `edited_by_hand`."""

    path: str
    text: str
    existing: Literal["keep", "replace"]


def companions(inputs: StackInputs, templates: Mapping[str, str]) -> tuple[Companion, ...]:
    """All companion files of a stack. `templates` has a text for each name in `TEMPLATES`.

    Raises KeyError for a template that is not given and for a placeholder nobody fills.
    """
    return (
        Companion(CADDYFILE, caddyfile(inputs, templates["Caddyfile"]), "replace"),
        Companion(SITE_PAGE, site_page(inputs, templates["site.html"]), "keep"),
        Companion(".gitignore", gitignore(templates["gitignore"]), "keep"),
    )


def caddyfile(inputs: StackInputs, template: str) -> str:
    """The edge's routes: subpaths of one site on port 80, as upstream serves them.

    Blocks of the template between `#? word` and `#? end` stay when the word is true of the stack: `bundled`
    (forge and CI are in it), `full` (upstream's edge with its chat); `#? !word` is the opposite.
    """
    facts = {"bundled": inputs.bundled, "full": bool(inputs.factory.images.edge)}

    def block(match: re.Match[str]) -> str:
        wanted = facts[match.group(2)] != (match.group(1) == "!")
        return match.group(3) if wanted else ""

    text = Template(_BLOCK.sub(block, template)).substitute(forge_url=_caddy_word(inputs.primary.forge_url))
    return f"{text}{_HASH}{_digest(text)}\n"


def edited_by_hand(text: str) -> bool:
    """Whether a generated companion is no longer as it was written. Line ends do not count."""
    body, mark, digest = text.replace("\r\n", "\n").rpartition(_HASH)
    return not mark or digest != f"{_digest(body)}\n"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _caddy_word(text: str) -> str:
    # Caddy replaces {placeholders}; quotes and blanks cannot be in a checked address.
    return text.replace("{", "%7B").replace("}", "%7D")


def site_page(inputs: StackInputs, template: str) -> str:
    """The page that staging serves until something is deployed: no script, nothing from outside."""
    names = [html.escape(project.name) for project in inputs.projects]
    links = ""
    if inputs.bundled:
        links = '<a href="/forge/">Forge</a> <a href="/ci/">CI</a>'
    else:
        links = f'<a href="{html.escape(inputs.primary.forge_url)}">Forge</a>'
    return Template(template).substitute(projects=" · ".join(names), links=links)


def gitignore(template: str) -> str:
    """What never goes into git: secrets, state, our own records. The template as it is."""
    return template
