"""docs/formulas.md: every key and every operation of the schema stands there as the code has it, and no other; what the
schema says of an operation's parameters is what the operation reads."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from disinto_tui.core.formula import read_formula
from disinto_tui.core.formula_schema import BUILT_IN, CONTEXT, STEP, TOP, VARIABLE, Key
from disinto_tui.runs import ops_build, ops_images, ops_restart, ops_result, ops_tags, release
from disinto_tui.runs.operations import OPERATIONS
from tests.support.git_server import checkout, git
from tests.support.pages import lines_with, read
from tests.support.typist import Typist

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "formulas.md").read_text()


def table(keys: Mapping[str, Key]) -> list[str]:
    """The rows for some keys, as the page has to have them."""
    return [
        f"| `{name}` | {key.kind}{', needed' if key.needed else ''} | {key.what} |"
        for name, key in keys.items()
    ]


def section(heading: str) -> list[str]:
    """The rows of the first table under a heading."""
    text = PAGE.split(f"\n{heading}\n", 1)[1]
    text = re.split(r"\n#{1,4} ", text, maxsplit=1)[0]
    return [line for line in text.splitlines() if line.startswith("| `")]


TABLES: dict[str, Mapping[str, Key]] = {
    "## The file": TOP,
    "### `[context]`": CONTEXT,
    "### `[vars.NAME]`": VARIABLE,
    "## A step": STEP,
    **{f"### {name}": operation.parameters for name, operation in BUILT_IN.items()},
}


@pytest.mark.parametrize("heading", TABLES)
def test_the_tables_are_the_schema(heading: str) -> None:
    assert section(heading) == table(TABLES[heading]), "\n".join(table(TABLES[heading]))


def test_every_operation_and_no_other_has_its_part() -> None:
    part = PAGE.split("\n## What a step may use\n", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^### (.*)$", part, flags=re.MULTILINE) == list(BUILT_IN)
    for name, operation in BUILT_IN.items():
        told = part.split(f"### {name}\n", 1)[1].split("### ", 1)[0]
        assert operation.what in " ".join(told.split()), operation.what


MODULES = {
    ops_tags: ("tag-main", "push-mirrors"),
    ops_build: ("build-image",),
    ops_images: ("tag-image", "push-image"),
    ops_restart: ("restart-agents",),
    ops_result: ("commit-result",),
    release: ("release-preflight",),
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_what_operations_read_is_in_the_schema(module: object) -> None:
    """`params["x"]` and `params.get("x")` in the code of the operations, against their parameters."""
    read = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        of, key = None, None
        if isinstance(node, ast.Subscript):
            of, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            of, key = node.func.value, node.args[0]
        if isinstance(of, ast.Name) and of.id == "params" and isinstance(key, ast.Constant):
            read.add(key.value)
    known = set[str]().union(*(BUILT_IN[name].parameters for name in MODULES[module]))  # type: ignore[index]
    assert read - {"on_failure"} == known
    assert ("on_failure" in read) == any(BUILT_IN[name].warns for name in MODULES[module])  # type: ignore[index]
    assert set(MODULES[module]) <= set(OPERATIONS)  # type: ignore[index]


def test_every_operation_is_looked_at() -> None:
    assert sorted(name for names in MODULES.values() for name in names) == sorted(BUILT_IN)


EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_examples_are_formulas() -> None:
    assert len(EXAMPLES) >= 2
    for text in EXAMPLES:
        formula = read_formula(text, "example.toml")
        assert formula.executable, [str(problem) for problem in formula.problems]


def test_the_lines_of_the_page_can_be_typed(tmp_path: Path) -> None:
    """The first block as it stands, with the first example as the formula: it fails, is mended, and gone on with."""
    factory = tmp_path / "factory"
    (factory / "formulas").mkdir(parents=True)
    git(factory, "init", "--quiet", "--initial-branch=main")
    (factory / "formulas" / "nightly.toml").write_text(EXAMPLES[0])
    who = Typist.at(tmp_path, factory, NPM_TOKEN="npm-0123456789abcdef", DOCKER_HOST="unix:///nonexistent")
    listed, shown, dry, real, resumed = lines_with(read("docs/formulas.md"), "disinto formulas ")
    assert "nightly" in who.types(listed)
    assert "git fetch origin" in who.types(shown)
    assert "git fetch origin" in who.types(dry)
    assert not (factory / ".disinto" / "runs").exists(), "a dry run changes nothing"
    assert "does not appear to be a git repository" in who.types(real, ("Run it?", "y"), code=1)
    git(factory, "remote", "add", "origin", str(checkout(tmp_path / "origin")))
    (factory / "Makefile").write_text("all:\n\tmkdir -p out && touch out/done\n")
    who.types(resumed, ("Finish it?", "y"))
    assert (factory / "out" / "done").exists() and (factory / "out" / "nightly.log").exists()
