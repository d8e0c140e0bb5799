"""`make docs`: docs/configuration.md and docs/keys.md, from the tables that the readers themselves use.

What a key is for stands with its schema (`core/project_schema.py`, `core/env_schema.py`, `core/settings_schema.py`,
`tui/actions*.py`); here it is put in order. `tests/pages/test_configuration.py` compares the pages with what it makes.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from disinto_tui.core.env_schema import NEVER_WRITTEN, SECTIONS, Variable, expand  # noqa: E402
from disinto_tui.core.errors import BadInput  # noqa: E402
from disinto_tui.core.image import parse_image, resolve_operator_input  # noqa: E402
from disinto_tui.core.lineage import LEGACY  # noqa: E402
from disinto_tui.core.model import DEFAULT_REPOSITORY, Factory, Images, LocalAgent, Project  # noqa: E402
from disinto_tui.core.project_schema import KEYS, TABLES, Key  # noqa: E402
from disinto_tui.core.settings_schema import SHELL, UI_SETTINGS, ShellVariable  # noqa: E402
from disinto_tui.core.stack import HostFacts, StackInputs  # noqa: E402
from disinto_tui.core.stack_env import variables  # noqa: E402
from disinto_tui.tui.actions import SCOPES, in_scope  # noqa: E402
from disinto_tui.tui.key_names import keys_text  # noqa: E402

PAGES = ROOT / "docs"
WIDTH = 118
DIGEST = "sha256:" + "0" * 64

HEAD = """\
# Configuration

| what | where it stands |
|---|---|
| [the version that runs](#agents_image) | `AGENTS_IMAGE` in `.env`, or in the shell for once |
| [the project and the factory](#the-project-file) | `projects/NAME.toml` |
| [addresses, tokens, paths](#the-env-file) | `.env`, or `.env.enc` in its place |
| services and settings of your own | `docker-compose.override.yml`, as Compose has it |
| [what this tool looks at in the shell](#the-shell) | your environment |
| [theme and keys of the terminal UI](#the-terminal-ui) | `~/.config/disinto/` |
| what a run of your own does | `formulas/*.toml`, see [formulas](formulas.md) |

This page is made from the code (`make docs`); a key that is not here is not read. After a change of `.env`:
`disinto up`. After a change of a project file: `disinto init projects/NAME.toml`, which shows what it changes.

## AGENTS_IMAGE

The agents image that runs: one line of `.env`, which `init`, `use`, `rollback` and `adopt` write. It is always a full
reference there, with the digest behind it when `pin_digest` or `--digest` says so. `disinto use VERSION` changes it,
watches what comes of it, and goes back when it fails; after an edit by hand nothing does.

What can be given to `disinto use`, to `disinto init --version`, and as `AGENTS_IMAGE` in the shell, for a factory whose
repository is `{repository}`:

| given | what runs, and what is written |
|---|---|
{given}

A bare version belongs to the repository of the present pin, else (and for `init` always) to `agents_image` in
`[factory]`. In `.env` itself it must not stand alone: Compose takes `AGENTS_IMAGE=v0.3.0` for
`{bare}`. `disinto doctor pin` says so, and `disinto use v0.3.0` mends it.

### Who has the last word

| command | the first of these that is there |
|---|---|
| `disinto up` | `AGENTS_IMAGE` of the shell, this once; `.env` |
| `disinto init` | `--version`; `AGENTS_IMAGE` of the shell; `.env`; `version` in `[factory]`; the newest release |
| `disinto use VERSION` | what is named; the shell's is said and ignored |
| `disinto rollback` | what is named; the last known good one |
| `docker compose up`, by hand | `AGENTS_IMAGE` of the shell, also an empty one; `.env` |

`version` in `[factory]` is what a factory begins with; once `.env` has a pin it has no say. `.env.enc` stands for
`.env` where there is none; with both, Compose reads `.env`, and `use`, `rollback` and `init` refuse. An empty
`AGENTS_IMAGE` in the shell counts as none. Every other variable comes from `.env` alone: of the shell's, Compose gets
only those that are [handed on](#the-shell). With no pin at all agents are built (`init --build DIR`), or, where the
compose file asks for a pin, nothing starts.

### One version, once

```
AGENTS_IMAGE=v0.1.1 disinto up       # runs v0.1.1; .env stays as it is
disinto up                           # back to what .env says
```

In build mode the agents services run that image for once instead of what was built. `disinto status` shows what runs
and what is pinned, and says when they differ.
"""

PROJECT = """\
## The project file

`projects/NAME.toml`, one for each project; `disinto init --sample` prints one with every key. All mistakes are told at
once, each with its line. `[factory]` is in one file only, and an unknown key in it is a mistake; elsewhere it is
ignored, with a warning, since the agents may know it. No secrets here: agents can read it.
"""

ENV = """\
## The .env file

`init` writes it once (0600), with a comment above each line; later ones only add what is missing and change what they
say they change. Lines of yours stay, to the byte. Compose's own rules hold for what stands in it: `disinto doctor env`
tells every line that Compose, a shell and python-dotenv do not read alike. `disinto up` brings a change into the
containers. "Read by" names the services of a factory that has everything; [security](security.md) says who sees which.
The *full edge* is upstream's own, `edge` in `[factory.images]`; without it none of its variables is asked for.
"""

COMPOSE = """\
### Never written

Yours to write. Compose's own mean what they mean to a hand-typed `docker compose`.
"""

OLD = """\
### Old names

`disinto adopt` and `disinto doctor env` know them.

| name | what of it |
|---|---|
"""

SHELL_HEAD = """\
## The shell

What is not here changes nothing. Child processes (docker, git, scripts of formulas) get those that are *handed on*, and
no others; Docker's credential helpers alone get all. A credential can also be in other places:
[credentials](credentials.md#where-it-may-live).
"""

UI = """\
## The terminal UI

`~/.config/disinto/ui.toml` (`$XDG_CONFIG_HOME/disinto` when that is set):
"""

UI_KEYS = """\
`keys.toml` beside it gives other keys to actions; [keys](keys.md) has all of them by their ids. An entry that cannot be
used is said at the start, and the others count:

```toml
"log.wrap" = "W"
"home.versions" = "ctrl+v,v"
```
"""

KEYS_HEAD = """\
# Keys of the terminal UI

`?` explains those of the screen at hand, `Ctrl-P` finds an action by its name. To use other ones, write a line with the
id to `~/.config/disinto/keys.toml`: `"log.wrap" = "W"`. Several keys have commas between: `"log.wrap" = "W,ctrl+w"`.
This page is made from the code (`make docs`).
"""


def safe(text: str) -> str:
    """Words with angle brackets as code: a reader of Markdown takes them for HTML."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"[\w/.-]*<\w+>[\w/.-]*\w|[\w/.-]*<\w+>", r"`\g<0>`", part) for part in parts[::2]]
    return "".join(parts)


def wrapped(text: str, indent: str = "", first: str | None = None) -> str:
    """Lines no longer than a page's, broken at blanks outside of code."""
    held = re.sub(r"`[^`]+`", lambda found: found[0].replace(" ", "\0"), safe(text))
    lines = textwrap.wrap(
        held,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\0", " ")


def entry(names: str, what: str, facts: list[str]) -> str:
    """One key: its name, what it is for, and the facts."""
    return (
        wrapped(f"**{names}**: {what}", "  ", "- ")
        + "\n"
        + wrapped(f"{'; '.join(facts)}.", "  ", "  ")
        + "\n"
    )


def given() -> Iterator[str]:
    """The rows of what may be given for a version, from what the resolver makes of it."""
    repository = parse_image(DEFAULT_REPOSITORY)
    texts = ("v0.1.1", "latest", DIGEST, "registry.example.org:5000/acme/agents:v0.1.1")
    for text in (
        *texts,
        f"{DEFAULT_REPOSITORY}:v0.1.1@{DIGEST}",
        "agents:v1",
        DEFAULT_REPOSITORY,
        "v1.0.0+x",
    ):
        try:
            made = f"`{resolve_operator_input(text, repository)}`"
        except BadInput as error:
            made = f"refused: {error.why}"
        yield f"| `{text}` | {made} |".replace("0" * 64, "…")


# -- the project file ----------------------------------------------------------------------------------------------


def title_of(path: tuple[str, ...]) -> str:
    """A table's header, with `<name>` where the operator chooses."""
    return ".".join("<name>" if part == "*" else part for part in path)


def project_entry(key: Key) -> str:
    """One key of a project file."""
    name = title_of(key.path)
    allowed = key.allowed or {"boolean": "true, false"}[key.kind]
    facts = [f"{key.kind.capitalize()}: {allowed}"]
    facts.append("required" if key.required else f"default `{key.default}`" if key.default else "no default")
    facts.append(f"example `{key.path[-1].replace('*', 'github')} = {key.example or key.default}`")
    return entry(f"`{name}`", key.description, facts)


def project() -> Iterator[str]:
    """The part about the project file."""
    yield PROJECT
    yield from (project_entry(key) for key in KEYS if len(key.path) == 1)
    for table in TABLES:
        keys = [key for key in KEYS if key.path[:-1] == table.path]
        if keys:
            yield f"### `[{title_of(table.path)}]`\n"
            yield wrapped(table.description) + "\n"
            yield from map(project_entry, keys)


# -- .env ----------------------------------------------------------------------------------------------------------


def readers() -> dict[str, tuple[str, ...]]:
    """Who reads each variable, in a factory that has everything."""
    qwen = LocalAgent("name", "http://10.0.0.5:8081", "qwen3", forge_user="user")
    images = Images(edge="example.org/edge:1", reproduce="example.org/reproduce:1")
    full = Project("app", "acme/app", "acme/ops", agents=(qwen,), factory=Factory(images=images))
    host = HostFacts("/home/ops", True, True, True, True)
    built = variables(StackInputs((full,), image_mode=False, host=host))
    found = {item.name: item.readers for item in (*built, *variables(StackInputs((full,), host=host)))}
    agents = {
        name: tuple(one.replace("agents-name", "agents-<name>") for one in who) for name, who in found.items()
    }
    return {
        re.sub(r"^(FORGE_\w+|ANTHROPIC\w+)_(USER|NAME)$", r"\1_<\2>", name): who
        for name, who in agents.items()
    }


def env_entry(variable: Variable, who: dict[str, tuple[str, ...]]) -> str:
    """One variable of `.env`."""
    facts = [f"{variable.kind.capitalize()}: {variable.allowed}"]
    facts.append(f"default `{variable.default}`" if variable.default else "no default")
    if variable.kind != "secret":
        facts.append(f"example `{variable.name}={variable.example}`")
    if variable.only:
        facts.append(variable.only)
    read = dict.fromkeys(one for name, _ in expand(variable) for one in who.get(name, ()))
    if read:
        facts.append(f"read by {', '.join(read)}")
    return entry(f"`{variable.name}`", variable.what, facts)


def env() -> Iterator[str]:
    """The part about `.env`."""
    yield ENV
    who = readers()
    for section in SECTIONS:
        yield f"### {section.title.partition(':')[0].partition(',')[0]}\n"
        yield from (env_entry(variable, who) for variable in section.variables)
    yield COMPOSE
    yield from (env_entry(variable, {}) for variable in NEVER_WRITTEN)
    yield OLD
    for name, (today, what) in LEGACY.items():
        yield f"| `{name}` | {f'today `{today}`: ' if today else ''}{what} |\n"
    yield "\n"


# -- the operator's own --------------------------------------------------------------------------------------------


def shell_entry(variable: ShellVariable) -> str:
    """One variable of the shell, or several of a kind."""
    facts = [f"{'Secret' if variable.secret else 'Text'}: {variable.allowed}"]
    facts.append(f"default {_code(variable.default)}" if variable.default else "no default")
    if variable.example:
        example = variable.example if "=" in variable.example else f"{variable.names[0]}={variable.example}"
        facts.append(f"example `{example}`")
    if variable.handed_on:
        facts.append("*handed on*")
    names = ", ".join(f"`{name}`" for name in variable.names)
    return entry(names, variable.what.replace("[credentials]", "[credentials](credentials.md)"), facts)


def _code(text: str) -> str:
    """A value as code, words of ours as they are."""
    return text if text.startswith("the ") else f"`{text}`"


def shell() -> Iterator[str]:
    """The part about the shell's variables."""
    yield SHELL_HEAD
    for group in SHELL:
        yield f"### {group.title}\n"
        yield from map(shell_entry, group.variables)


def terminal() -> Iterator[str]:
    """The part about the terminal UI's files."""
    yield UI
    for setting in UI_SETTINGS.values():
        facts = [f"String: {', '.join(setting.allowed)}", f'default `"{setting.default}"`']
        facts.append(f'example `{setting.name} = "{setting.allowed[-1]}"`')
        yield entry(f"`{setting.name}`", setting.what, facts)
    yield UI_KEYS


def configuration() -> str:
    """docs/configuration.md."""
    head = HEAD.format(
        repository=DEFAULT_REPOSITORY, given="\n".join(given()), bare=str(parse_image("v0.3.0"))
    )
    return _joined([head, *project(), *env(), *shell(), *terminal()])


def keys() -> str:
    """docs/keys.md."""
    parts = [KEYS_HEAD]
    for scope, title in SCOPES.items():
        parts.append(f"## {title}\n")
        for action in in_scope(scope):
            parts.append(
                wrapped(f"`{action.id}` **{keys_text(action.keys)}** {action.help}", "  ", "- ") + "\n"
            )
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Parts with an empty line between, and none between the entries of a list, or the rows of a table."""
    text = ""
    for part in parts:
        tight = (part.startswith("- ") and text.rpartition("\n\n")[2].startswith("- ")) or part.startswith(
            "| "
        )
        text += ("" if not text or tight else "\n") + part
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


MADE = {"configuration.md": configuration, "keys.md": keys}
"""The pages, and what makes each."""

if __name__ == "__main__":
    for file, make in MADE.items():
        (PAGES / file).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"docs/{file}\n")
