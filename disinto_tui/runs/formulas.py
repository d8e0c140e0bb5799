"""Which formulas there are, and the plan to run one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.resources import resource
from disinto_tui.core.errors import BadInput
from disinto_tui.core.formula import Formula, FormulaStep, filled, read_formula
from disinto_tui.core.formula_schema import BUILT_IN
from disinto_tui.core.plan import Plan, Step


@dataclass(frozen=True, slots=True)
class Listed:
    """A formula and where it was found. `shadowed` when one of the same name comes before it."""

    formula: Formula
    path: Path
    shadowed: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator is told before it is executed: a file that did not come with the tool is named."""
        if self.path.parent == resource("formulas"):
            return ()
        return (f"the formula {self.formula.name} is your own: {self.path}",)


def list_formulas(instance: Instance) -> list[Listed]:
    """The formulas of the instance (`formulas/*.toml`), then those that come with the tool, each by name.

    An instance's own comes before a shipped one of the same name, and of its own the first by its file's name. Files
    with mistakes are listed, too.
    """
    found: list[Listed] = []
    names: set[str] = set()
    for directory in (instance.path / "formulas", resource("formulas")):
        for path in sorted(directory.glob("*.toml")):
            item = _read(path)
            found.append(Listed(item.formula, item.path, item.formula.name in names))
            names.add(item.formula.name)
    return found


def find_formula(instance: Instance, name: str) -> Listed:
    """A formula by its name, or by the path of its file. Raises BadInput `formula.none`."""
    if name.endswith(".toml"):
        if read_bytes(Path(name)) is not None:
            return _read(Path(name))
        raise BadInput(
            f"There is no file {name}.",
            "A name that ends in .toml is the path of a formula.",
            "Check the path, or name one of `disinto formulas`.",
            code="formula.none",
        )
    known = list_formulas(instance)
    for item in known:
        if item.formula.name == name and not item.shadowed:
            return item
    names = ", ".join(item.formula.name for item in known if not item.shadowed)
    raise BadInput(
        f"There is no formula {name}.",
        f"Those that are there: {names or 'none'}.",
        f"Put it into {instance.path / 'formulas'}, or name its file.",
        code="formula.none",
    )


def _read(path: Path) -> Listed:
    return Listed(read_formula(read_bytes(path) or b"", path.name), path)


def plan_formula(instance: Instance, found: Listed, values: Mapping[str, Any], project: str) -> Plan:
    """The plan of a formula's executable steps. `values` are what its variables are set to.

    Raises BadInput `formula.invalid`, `formula.prose` (nothing in it can be executed), `formula.variable`.
    """
    formula = found.formula
    if not formula.valid:
        raise BadInput(
            f"The formula {formula.name} cannot be run.",
            f"There {'is one mistake' if len(formula.problems) == 1 else 'are mistakes'} in its file.",
            f"Mend {found.path} where it says so, then try again.",
            code="formula.invalid",
            details=[str(problem) for problem in formula.problems],
        )
    if not formula.executable:
        raise BadInput(
            f"The formula {formula.name} has nothing to execute.",
            "Its steps are prose, for agents and people to read.",
            f"Read it with `disinto formulas {formula.name}`.",
            code="formula.prose",
        )
    given = _values(formula, values)
    environment = {item.env_name: str(given[item.name]) for item in formula.variables}
    steps = tuple(_step(step, given, environment) for step in formula.steps if step.executable)
    return Plan(
        "formula",
        f"Run the formula {formula.name}",
        str(instance.path),
        project,
        "",
        steps,
        downtime="as its steps say",
        undo="what a script did is not taken back",
        notes=(*found.notes, *(f"{name} = {text}" for name, text in given.items())),
        secrets=formula.secrets,
        facts={
            "formula": formula.name,
            "file": str(found.path),
            "variables": dict(given),
            "summary": (f"{formula.name} is done.",),
        },
    )


def _values(formula: Formula, values: Mapping[str, Any]) -> dict[str, Any]:
    known = {item.name for item in formula.variables}
    unknown = sorted(set(values) - known)
    missing = [
        item.name
        for item in formula.variables
        if item.required and item.name not in values and item.default is None
    ]
    if unknown or missing:
        name = (unknown or missing)[0]
        raise BadInput(
            f"The formula {formula.name} has no variable {name}." if unknown else f"{name} is not set.",
            f"Its variables: {', '.join(sorted(known)) or 'none'}."
            if unknown
            else f"The formula {formula.name} requires it.",
            "Set variables like `--set name=value`.",
            code="formula.variable",
        )
    return {item.name: values.get(item.name, item.default or "") for item in formula.variables}


def _step(step: FormulaStep, values: Mapping[str, Any], environment: Mapping[str, str]) -> Step:
    why = step.description.strip().split("\n")[0]
    shared = {"timeout": step.timeout, "retries": step.retries, "on_failure": step.on_failure}
    if step.uses:
        parameters = filled(dict(step.parameters), values)
        missing = sorted(BUILT_IN[step.uses].needed - set(parameters))
        if missing:
            raise BadInput(
                f"The step {step.id} cannot be run.",
                f"{step.uses} needs {', '.join(missing)}, and `with` does not say.",
                f"Add it in line {step.line} and below, then try again.",
                code="formula.invalid",
            )
        return Step(step.id, step.title, step.uses, {**parameters, "on_failure": step.on_failure}, why)
    env = {**environment, **filled(dict(step.env), values)}
    script = {"script": step.run, "check": step.check, "env": env, "secrets": list(step.secrets)}
    return Step(step.id, step.title, "script", {**script, **shared}, why)
