"""docs/architecture.md: its table of modules is the tree, its budgets are those that are measured, what it names is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from bench.run import BENCHES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "disinto_tui"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FLOORS = ("core", "adapters", "runs", "cli", "tui")


def section(heading: str) -> str:
    """What stands under a heading."""
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_table_of_modules_is_the_tree() -> None:
    named = [
        f"{floor}/{name}"
        for _, *cells in rows("Where what is")
        for floor, cell in zip(FLOORS, cells, strict=True)
        for name in re.findall(r"`([\w/]+)`", cell)
    ]
    there = {
        str(path.relative_to(PACKAGE).with_suffix(""))
        for floor in FLOORS
        for path in (PACKAGE / floor).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(set(named) - there) == [], "these are gone"
    assert sorted(there - set(named)) == [], "these belong into the table of docs/architecture.md"
    assert sorted({name for name in named if named.count(name) > 1}) == [], "one place each"


def test_every_package_is_named() -> None:
    packages = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")}
    assert [str(one) for one in sorted(packages) if str(one) != "." and f"`{one}/`" not in PAGE] == []


def test_every_path_that_is_named_is_there() -> None:
    """`runs/plan.py`, `tests/core`, `docker/engine/up.sh`, in the prose."""
    named = set(
        re.findall(
            r"`((?:disinto_tui|tests|scripts|docker|bench|docs|\.ci|core|adapters|runs|cli|tui)/[\w./*-]*)",
            PAGE,
        )
    )
    gone = [name for name in named if not [*ROOT.glob(name.rstrip("/")), *PACKAGE.glob(name.rstrip("/"))]]
    assert sorted(gone) == []


BUDGETS = {
    "startup": ("BUDGET",),
    "first_paint": ("BUDGET",),
    "home_data": ("BUDGET",),
    "doctor": ("BUDGET",),
    "build_log": ("RATIO", "ECHO_MS"),
    "build_flood": ("RATIO", "SPEED", "ECHO", "GROWTH"),
    "version_list": ("FIRST_PAINT", "KEY_TO_PAINT"),
    "metadata": ("ONE_BY_ONE", "AT_ONCE"),
    "switch": ("SWITCH", "DOWNTIME"),
}
"""Where a measurement keeps its budgets; of those that are not here the table is all that is compared."""


def test_every_measurement_is_in_the_table_of_budgets_and_no_other() -> None:
    assert [row[0].strip("`") for row in rows("Budgets")] == list(BENCHES)


@pytest.mark.parametrize("name", BUDGETS)
def test_the_budgets_are_those_that_are_measured(name: str) -> None:
    told = next(row[2] for row in rows("Budgets") if row[0] == f"`{name}`").replace(",", "")
    module = importlib.import_module(f"bench.{name}")
    for constant in BUDGETS[name]:
        assert re.search(rf"(?<![\d.]){getattr(module, constant):g}(?![\d.]*\d)", told), (constant, told)


def test_every_dependency_has_a_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("dependencies = [", 1)[1].split("]", 1)[0]
    wanted = set(re.findall(r'^\s*"([a-z-]+)', project, flags=re.MULTILINE))
    named = {row[0].strip("`") for row in rows("Dependencies, each for its own field")}
    assert wanted <= named, wanted - named
    assert named - wanted <= {"rich"}  # comes with Textual
