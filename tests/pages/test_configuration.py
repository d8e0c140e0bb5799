"""docs/configuration.md and docs/keys.md: they are what the schemas say, and the schemas are what the code reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from disinto_tui.adapters import keyring, sops
from disinto_tui.adapters.process import child_environment
from disinto_tui.core.env_schema import MODELS, NEVER_WRITTEN, SECTIONS, Variable, expand
from disinto_tui.core.lineage import LEGACY
from disinto_tui.core.model import NO_API_KEY, Factory, Images, LocalAgent, Project
from disinto_tui.core.project import read_project
from disinto_tui.core.project_schema import KEYS, ROLES, Key
from disinto_tui.core.settings_schema import HANDED_ON, SHELL, UI_SETTINGS
from disinto_tui.core.stack import HostFacts, StackInputs, build_stack, referenced_variables
from disinto_tui.runs import bootstrap
from disinto_tui.runs.lifecycle import shell_override
from disinto_tui.tui import theme
from disinto_tui.tui.keys import read_keymap, read_setting
from scripts.reference import MADE, PAGES

PACKAGE = PAGES.parent / "disinto_tui"
PAGE = (PAGES / "configuration.md").read_text()


@pytest.mark.parametrize("name", MADE)
def test_the_page_is_what_the_schema_says(name: str) -> None:
    assert (PAGES / name).read_text() == MADE[name](), "`make docs` writes it anew"


# -- the project file ----------------------------------------------------------------------------------------------


def project_text(key: Key, value: str = "") -> str:
    """A project file with one key of that value (TOML text), and without it when there is none."""
    wild = {"*": "qwen" if key.path[0] == "agents" else "github"}
    *table, name = (wild.get(part, part) for part in key.path)
    given = {"name": '"app"', "repo": '"acme/app"'}
    beside = {"base_url": '"http://10.0.0.5:8081"', "model": '"q"'} if key.path[0] == "agents" else {}
    mine = {name: value} if value else {}
    if not table:
        return _lines(given | mine)
    return _lines(given) + f"[{'.'.join(table)}]\n" + _lines(beside | mine)


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name} = {text}\n" for name, text in values.items())


def problems(key: Key, value: str) -> list[str]:
    """What reading a project file says of one key with that value."""
    found, name = read_project(project_text(key, value), "app.toml").problems, key.path[-1]
    return [str(one) for one in found if name in ("*", one.key.rpartition(".")[2]) or not one.key]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_says_all_of_itself_and_its_example_is_accepted(key: Key) -> None:
    assert key.description.endswith(".")
    assert key.allowed or key.kind == "boolean"
    assert key.required or key.default or "Without it" in key.description or key.example
    shown = key.example or key.default
    assert shown not in ("", '""', "[]")
    assert problems(key, shown) == []
    if key.default and key.default != '""':
        assert problems(key, key.default) == []


OTHERS = {
    "ops_repo": '"acme/approvals"',
    "agents.*.base_url": '"http://10.0.0.6:8081"',
    "agents.*.forge_user": '"somebody"',
    "forge_url": '"http://localhost:3999"',
    "primary_branch": '"trunk"',
    "factory.agents_image": '"host.example.org/agents"',
    "factory.forge": '"external"',
    "factory.project": '"acme"',
    "agents.*.roles": '["review"]',
    "agents.*.api_key": '"a-key-of-its-own"',
}
"""Values other than the default, where the example is the default."""


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_makes_a_difference(key: Key) -> None:
    """None is only accepted: what is read is another project with it."""
    shown = key.example or key.default
    if key.kind == "boolean":
        shown = {"true": "false", "false": "true"}[key.default]
    elif key.kind == "integer":
        shown = str(int(key.default) + 1)
    elif key.path[:2] == ("factory", "images"):
        shown = '"host.example.org/other:1"'
    shown = OTHERS.get(key.name, shown)
    if key.name in ("name", "repo"):  # they stand in every file
        shown = shown.replace("app", "other")
    assert shown != key.default
    with_key, without = (
        read_project(text, "app.toml") for text in (project_text(key, shown), project_text(key))
    )
    assert with_key.source is not None and without.source is not None
    assert with_key.source.project != without.source.project


@pytest.mark.parametrize("key", [key for key in KEYS if key.kind == "integer"], ids=lambda key: key.name)
def test_a_number_is_accepted_in_the_range_that_is_told(key: Key) -> None:
    low, _, high = re.fullmatch(r"(\d+) (to|or more) ?(\d*)", key.allowed).groups()  # type: ignore[union-attr]
    # Not on a port of another part: that is a mistake of its own.
    assert problems(key, low) == []
    assert "out of range" in "".join(problems(key, str(int(low) - 1)))
    if high:
        assert problems(key, high) == []
        assert "out of range" in "".join(problems(key, str(int(high) + 1)))


@pytest.mark.parametrize(
    ("name", "choices"), [("factory.forge", ("bundled", "external")), ("agents.*.roles", ROLES)]
)
def test_a_choice_is_among_those_that_are_told(name: str, choices: tuple[str, ...]) -> None:
    key = next(key for key in KEYS if key.name == name)
    assert key.allowed == ", ".join(choices)
    for choice in choices:
        assert not [one for one in problems(key, f'"{choice}"') if "is no" in one]
    assert "is no" in "".join(problems(key, '"elsewhere"'))


# -- .env ----------------------------------------------------------------------------------------------------------

QWEN = LocalAgent("name", "http://10.0.0.5:8081", "qwen3", forge_user="user")
HOST = HostFacts("/home/ops", True, True, True, True)
VARIABLES = [variable for section in SECTIONS for variable in section.variables]


def stacks() -> Iterator[tuple[StackInputs, dict[str, Any]]]:
    """Every kind of stack there is."""
    for edge, agents, forge, mode, host in product(
        ("", "example.org/edge:1"), ((), (QWEN,)), ("bundled", "external"), (True, False), (HOST, HostFacts())
    ):
        images = Images(edge=edge, reproduce="example.org/reproduce:1")
        factory = Factory(forge=forge, images=images)  # type: ignore[arg-type]
        project = Project("app", "acme/app", "acme/ops", agents=agents, factory=factory)
        inputs = StackInputs((project,), mode, None, host)
        yield inputs, build_stack(inputs)["services"]


def family(name: str) -> str:
    """The name in the schema that a variable of a local-model agent has."""
    return re.sub(r"^(FORGE_TOKEN|FORGE_PASS)_USER$|^(ANTHROPIC_API_KEY)_NAME$", _marked, name)


def _marked(found: re.Match[str]) -> str:
    return f"{found[1]}_<USER>" if found[1] else f"{found[2]}_<NAME>"


def names(variables: list[Variable]) -> set[str]:
    return {name for variable in variables for name, _ in expand(variable)}


WHEN = {
    "": lambda inputs: True,
    "with the full edge": lambda inputs: bool(inputs.factory.images.edge),
    "with the full edge, or in build mode": lambda inputs: (
        bool(inputs.factory.images.edge) or not inputs.image_mode
    ),
    "with the bundled forge": lambda inputs: inputs.bundled,
    MODELS: lambda inputs: bool(inputs.local_agents),
    "when this user has": lambda inputs: inputs.host == HOST,
}


def test_what_a_stack_reads_is_in_the_schema_and_the_other_way_round() -> None:
    """Each variable is read by every stack of the kind that it says, and by no other."""
    for inputs, services in stacks():
        read = {family(name) for name in referenced_variables(services)}
        assert read <= names(VARIABLES)
        for variable in VARIABLES:
            condition = WHEN[next(key for key in reversed(WHEN) if variable.only.startswith(key))]
            if variable.name in ("AGENTS_IMAGE", "FORGE_URL"):  # for this tool, whatever the services read
                continue
            here = {name for name, _ in expand(variable)} <= read
            assert here == condition(inputs), (variable.name, inputs)


def test_defaults_are_those_of_the_stack() -> None:
    """`${NAME:-value}` in what is generated, against the default that is told."""
    told = {name: variable.default for variable in VARIABLES for name, _ in expand(variable)}
    found: dict[str, set[str]] = {}

    def look(data: object) -> None:
        if isinstance(data, dict):
            for value in data.values():
                look(value)
        elif isinstance(data, list):
            for value in data:
                look(value)
        elif isinstance(data, str):
            for name, default in re.findall(r"(?<!\$)\$\{(\w+):?-([^${}]*)\}", data):
                found.setdefault(family(name), set()).add(default)

    for _, services in stacks():
        look(services)
    for variable in VARIABLES:
        for name, _ in expand(variable):
            others = found.get(name, set()) - {told[name], "", NO_API_KEY}
            # A path on this host is the operator's own one until it is named.
            assert all(one.startswith("/home/ops/") for one in others), (name, others)
            if variable.default and variable.default.startswith(("/var/", "/secrets")):
                continue  # built from another variable's
            assert (
                not variable.default or variable.default in found[name] or variable.name == "DISINTO_VERSION"
            )


@pytest.mark.parametrize("variable", [*VARIABLES, *NEVER_WRITTEN], ids=lambda variable: variable.name)
def test_every_variable_says_all_of_itself(variable: Variable) -> None:
    assert variable.what.endswith(".") and variable.allowed
    assert bool(variable.example) == (variable.kind != "secret"), "a secret has no example, all else has one"
    if variable.kind == "whole number":
        assert int(variable.example) > 0
    assert variable.kind != "secret" or not variable.default


NODES = {
    str(path.relative_to(PACKAGE)): list(ast.walk(ast.parse(path.read_text())))
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""The code, file by file."""


def looked_up(receiver: str) -> dict[str, str]:
    """`X` of `R.get("X")`, `R["X"]` and `"X" in R` with R as the pattern has it; each with a file where it is."""
    found: dict[str, str] = {}
    for file, nodes in NODES.items():
        constants = {
            target.id: node.value.value
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            of, key = None, None
            if isinstance(node, ast.Subscript):
                of, key = node.value, node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "get" and node.args:
                    of, key = node.func.value, node.args[0]
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
                of, key = node.comparators[0], node.left
            name = constants.get(key.id) if isinstance(key, ast.Name) else getattr(key, "value", None)
            if of is None or not isinstance(name, str) or not re.fullmatch(receiver, ast.unparse(of)):
                continue
            if re.fullmatch(r"_?[A-Z][A-Z0-9_]+", name):
                found.setdefault(name, file)
    return found


def test_what_this_tool_itself_reads_in_env_is_documented() -> None:
    read = looked_up(r"(.*\.)?(env|values|old|env_file)")
    assert {"AGENTS_IMAGE", "FORGE_TOKEN", "COMPOSE_PROFILES", "FORGE_ADMIN_USERS"} <= set(read)
    known = names(VARIABLES) | {variable.name for variable in NEVER_WRITTEN} | set(LEGACY)
    assert {name: file for name, file in read.items() if name not in known} == {}
    assert {variable.name for variable in NEVER_WRITTEN} <= set(read)


# -- the shell -----------------------------------------------------------------------------------------------------

OURS = [variable for group in SHELL for variable in group.variables]
SHELL_NAMES = {name for variable in OURS for name in variable.names}


def documented(name: str) -> bool:
    """Whether a variable of the shell stands on the page, by itself or by its beginning."""
    begins = tuple(one[:-1] for one in SHELL_NAMES if one.endswith("*"))
    return name in SHELL_NAMES or name.startswith(begins)


def test_every_variable_of_the_shell_that_is_looked_at_is_documented() -> None:
    read = looked_up(r"(os\.)?environ(ment)?|os\.environ if .*")
    assert {"DISINTO_DIR", "DISINTO_DEBUG", "FORGE_TOKEN", "DOCKER_HOST", "NOMAD_ADDR", "NO_COLOR"} <= set(
        read
    )
    assert {name: file for name, file in read.items() if not documented(name)} == {}
    for name in (*sops._KEY_NAMES, *keyring._NEEDED, *(f"{one}*" for one in sops._KEY_PREFIXES)):
        assert name in SHELL_NAMES


def test_no_variable_of_the_shell_is_documented_that_nobody_looks_at() -> None:
    words = {
        node.value
        for file, nodes in NODES.items()
        if file != "core/settings_schema.py"
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    text = "\n".join(words)
    for variable in OURS:
        for name in variable.names:
            if variable.handed_on or name == "_DISINTO_COMPLETE":  # the command line's own library reads it
                continue
            assert re.sub(r"\*|<NAME>", "", name) in text, name


def test_children_get_what_is_handed_on_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SHELL_NAMES, "LC_X", "BUILDKIT_X", "SOMETHING_ELSE"):
        if name.isidentifier():
            monkeypatch.setenv(name, "x")
    got = set(child_environment())
    assert {"LC_X", "BUILDKIT_X"} | HANDED_ON <= got
    others = {name for name in got - HANDED_ON if not name.startswith(("LC_", "BUILDKIT_"))}
    assert others == set()


@pytest.mark.parametrize("variable", OURS, ids=lambda variable: variable.names[0])
def test_every_variable_of_the_shell_says_all_of_itself(variable: Any) -> None:
    assert variable.what.endswith((".", ".`", ")`.")) and variable.allowed
    assert bool(variable.example) != variable.secret
    if "=" in variable.example and len(variable.names) > 1:
        assert documented(variable.example.partition("=")[0])


# -- AGENTS_IMAGE --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "pinned", "configured", "wanted"),
    [
        ("v0.3.0", "host/a:v0.2.0", "v0.1.0", "v0.3.0"),
        ("", "host/a:v0.2.0", "v0.1.0", "host/a:v0.2.0"),
        ("", "", "v0.1.0", "v0.1.0"),
        ("", "", "", ""),
    ],
)
async def test_who_has_the_last_word_at_init(
    monkeypatch: pytest.MonkeyPatch, named: str, pinned: str, configured: str, wanted: str
) -> None:
    """`init` hands over `--version`, else the shell's; then comes `.env`, then the project file, then the newest."""
    asked: list[tuple[str, str]] = []

    async def resolve(repository: object, text: str, *_: object, **__: object) -> SimpleNamespace:
        asked.append((str(repository), text))
        return SimpleNamespace(digest="", reference=repository)

    monkeypatch.setattr(bootstrap, "resolve", resolve)
    factory = Factory(agents_image="host.example.org/agents", version=configured)
    project = Project("app", "acme/app", "acme/ops", factory=factory)
    request = SimpleNamespace(version=named, registry_login=None)
    await bootstrap._resolve(request, project, pinned, "linux/amd64", None)  # type: ignore[arg-type]
    assert asked == [("host.example.org/agents", wanted)]


@pytest.mark.parametrize(("value", "counts"), [("v0.1.1", "v0.1.1"), ("", None), (None, None)])
def test_an_empty_variable_in_the_shell_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, value: str | None, counts: str | None
) -> None:
    monkeypatch.delenv("AGENTS_IMAGE", raising=False)
    if value is not None:
        monkeypatch.setenv("AGENTS_IMAGE", value)
    assert shell_override() == counts


# -- the terminal UI -----------------------------------------------------------------------------------------------


def test_the_theme_is_one_there_is() -> None:
    assert UI_SETTINGS["theme"].allowed == theme.NAMES
    assert UI_SETTINGS["theme"].default == theme.DEFAULT


def test_settings_are_read_as_told(tmp_path: Path) -> None:
    assert read_setting(tmp_path, "theme") == theme.DEFAULT
    for text, theirs in (
        ('theme = "light"', "light"),
        ('theme = "pink"', theme.DEFAULT),
        ("theme = 1", theme.DEFAULT),
    ):
        (tmp_path / "ui.toml").write_text(f"{text}\n")
        assert read_setting(tmp_path, "theme") == theirs
    with pytest.raises(KeyError):
        read_setting(tmp_path, "font")
    asked = {
        node.args[1].value
        for nodes in NODES.values()
        for node in nodes
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("read_setting", "write_setting")
        if isinstance(node.args[1], ast.Constant)
    }
    assert asked == set(UI_SETTINGS)


@pytest.mark.parametrize("name", ["configuration.md", "keys.md", "operating.md"])
def test_the_examples_of_keys_are_accepted(name: str, tmp_path: Path) -> None:
    text = (PAGES / name).read_text()
    lines = re.findall(r'"[a-z]+\.[a-z_]+" = "[^"]+"', text)
    assert lines
    for line in lines:
        (tmp_path / "keys.toml").write_text(line + "\n")
        assert read_keymap(tmp_path).problems == ()
