"""The keys of a formula file and the operations a step may use, as data: for the reader, and for the page of formulas.

Upstream's schema (facts: 7.1), and what makes a step executable, which is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEXT, WHOLE, FLAG, TEXTS = "text", "whole number", "true or false", "list of texts"
TABLE, TABLES, SPAN = "table", "tables", "span"
"""Kinds of values. A span is seconds as a whole number, or a text like "30 s", "30 min", "2 h"."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the kind of its value, what it is for, and whether it may not be left out.

    `run`: it belongs to a script, and says nothing beside `uses`.
    """

    kind: str
    what: str
    needed: bool = False
    run: bool = False


TOP: Mapping[str, Key] = {
    "name": Key(TEXT, "what it is called by; without it the file's own name"),
    "description": Key(TEXT, "what it does; the first line stands in the list"),
    "version": Key(WHOLE, "of the formula; shown"),
    "model": Key(TEXT, "the model an agent should follow it with; shown to agents, never used here"),
    "context": Key(TABLE, "what an agent reads first"),
    "vars": Key(TABLE, "`[vars.NAME]`: what a run is given"),
    "steps": Key(TABLES, "`[[steps]]`, in order"),
    "stack_script": Key(TEXT, "upstream's, for agents; not used here"),
    "tools": Key(TEXTS, "upstream's, for agents; not used here"),
    "timeout_minutes": Key(WHOLE, "upstream's, for agents; not used here"),
    "allowed_tools": Key(TEXTS, "upstream's, for agents; not used here"),
    "disallowed_commands": Key(TEXTS, "upstream's, for agents; not used here"),
}
CONTEXT: Mapping[str, Key] = {
    "files": Key(TEXTS, "paths in the repository"),
    "graph_report": Key(TEXT, "prose"),
}
VARIABLE: Mapping[str, Key] = {
    "description": Key(TEXT, "what it is for"),
    "required": Key(FLAG, "whether a run without it is refused"),
    "default": Key(TEXT, "its value when none is given; empty without it"),
}
STEP: Mapping[str, Key] = {
    "id": Key(TEXT, "its name: small letters, digits, single dashes or underscores", needed=True),
    "title": Key(TEXT, "one line for people; without it the id"),
    "description": Key(
        TEXT, "what an agent or a person should do or know; the first line is the plan's reason"
    ),
    "needs": Key(TEXTS, "ids of steps that come before it"),
    "run": Key(TEXT, "a bash script (`bash -euo pipefail`), in the factory's directory"),
    "uses": Key(TEXT, "something built in, instead of `run`"),
    "with": Key(TABLE, "the parameters of `uses`"),
    "check": Key(TEXT, "a script that ends with 0 when the step is done already", run=True),
    "env": Key(TABLE, "more variables: NAME = text", run=True),
    "secrets": Key(TEXTS, "names of credentials, never values; with `uses` handed to the operation"),
    "timeout": Key(SPAN, "the script and its children are ended then; no limit without it", run=True),
    "retries": Key(WHOLE, "tries after the first one, at most 10; after 1 s, 3 s, then 10 s", run=True),
    "on_failure": Key(TEXT, '"stop", or "warn": go on, and say so in the result'),
}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """An operation that a step may use. `warns`: it knows `on_failure = "warn"`."""

    what: str
    parameters: Mapping[str, Key] = field(default_factory=dict)
    warns: bool = False

    @property
    def needed(self) -> frozenset[str]:
        """The parameters it cannot do without."""
        return frozenset(name for name, key in self.parameters.items() if key.needed)


def _needed(what: str, kind: str = TEXT) -> Key:
    return Key(kind, what, needed=True)


_CHECKOUT = _needed("a git checkout that holds the commit")
_SHA = _needed("the commit, all 40 digits")
_VERSION = _needed("the version, like v0.4.0")
_FORGE = _needed("the forge's address")
_REPOSITORY = _needed("the repository on it, owner/name")
_REFERENCE = _needed("the image in full: registry/repository:tag")
_USER = Key(TEXT, "the user that goes with the credential")
_SECRET = Key(TEXT, "the credential's name; Docker's own login without it")

BUILT_IN: Mapping[str, BuiltIn] = {
    "tag-main": BuiltIn(
        "makes a tag on the forge at that commit; there already is done, at another commit it stops; never moved",
        {
            "forge": _FORGE,
            "repository": _REPOSITORY,
            "tag": _needed("the tag's name"),
            "sha": _SHA,
            "message": Key(TEXT, "what an annotated tag says"),
        },
    ),
    "push-mirrors": BuiltIn(
        "pushes to every mirror on its own what is missing there, never by force; its state for each is in the result",
        {
            "checkout": _CHECKOUT,
            "mirrors": _needed("name = URL; none is done at once", TABLE),
            "refs": _needed("name = commit: what they shall have", TABLE),
        },
        warns=True,
    ),
    "build-image": BuiltIn(
        "builds with BuildKit from a clean export of that commit; the image is known by its id",
        {
            "checkout": _CHECKOUT,
            "sha": _SHA,
            "version": _VERSION,
            "created": _needed("when, RFC 3339"),
            "source": Key(TEXT, "where the source is, for a label"),
            "dockerfile": Key(TEXT, "its path in the commit; `docker/agents/Dockerfile` without it"),
            "arguments": Key(TABLE, "more build arguments beside VERSION, REVISION, CREATED, SOURCE"),
            "labels": Key(TABLE, "more labels"),
        },
    ),
    "tag-image": BuiltIn(
        "gives the image that this run built its names",
        {"reference": _REFERENCE, "aliases": Key(TEXTS, "more names, on this host alone")},
    ),
    "push-image": BuiltIn(
        "pushes it, reads it back, says whether anybody may pull it; a version that is another image there stays",
        {
            "reference": _REFERENCE,
            "latest": Key(TEXT, "a moving name to push, too; none when it is empty"),
            "user": _USER,
            "secret": _SECRET,
        },
    ),
    "restart-agents": BuiltIn(
        "switches this factory to it and watches it, as `disinto use` does; what does not come up goes back",
        {
            "reference": _REFERENCE,
            "pin_digest": Key(FLAG, "whether the pin holds the digest; the project file's word without it"),
            "when_idle": Key(WHOLE, "seconds to wait until no agent works; not waited for without it"),
            "soak": Key(WHOLE, "seconds of staying well after which it is known good; 10 without it"),
        },
    ),
    "release-preflight": BuiltIn(
        "looks whether a release may begin, and names everything that stands in its way; changes nothing",
        {
            "version": _VERSION,
            "sha": _SHA,
            "checkout": _CHECKOUT,
            "branch": _needed("the primary branch"),
            "forge": _FORGE,
            "repository": _REPOSITORY,
            "images": _needed("the registry's repository, without a tag"),
            "user": _USER,
            "secret": _SECRET,
            "mirrors": Key(TABLE, "name = URL: whose credentials are looked at"),
            "force": Key(TEXT, "anything: also when a higher version is there already"),
        },
    ),
    "commit-result": BuiltIn(
        "writes release/<version>.json here, also when the release failed; a good one is proposed to the repository",
        {
            "version": _VERSION,
            "sha": _SHA,
            "reference": _REFERENCE,
            "forge": _FORGE,
            "repository": _REPOSITORY,
            "branch": _needed("the branch it is proposed for"),
            "commit": Key(TEXT, '"pull request", or empty: here alone'),
        },
    ),
}
"""The built-in operations, by the name that `uses` gives."""
