"""Formulas: recipes in TOML, read leniently and judged strictly.

The schema is upstream's (name, description, version, model, `[context]`, `[vars.*]`, `[[steps]]` with id, title,
description, needs), which is prose for agents and is never parsed there. Ours adds to a step what makes it
executable: `run` (a bash script) or `uses` (a built-in operation, with `with`), and around it `check`, `env`,
`secrets`, `timeout`, `retries`, `on_failure`. A step with neither is shown and never executed.

A file that is not TOML (four of upstream's are not) is still listed, with its name and steps as far as its lines
tell them, and is not executable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from disinto_tui.core.formula_schema import BUILT_IN, CONTEXT, STEP, TOP, VARIABLE, BuiltIn, Key
from disinto_tui.core.project_checks import nearest
from disinto_tui.core.project_rules import Problem
from disinto_tui.core.toml_lines import KeyPath, Places, find_places
from disinto_tui.core.toml_read import read_toml

ID = re.compile(r"\A[a-z0-9]+(?:[-_][a-z0-9]+)*\Z")
SECRET_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
_SPAN = re.compile(r"\A(\d+)\s*(s|m|min|h)\Z")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_REFERENCE = re.compile(r"\$\{vars\.([A-Za-z0-9_-]+)\}")
_MOST_RETRIES = 10

OnFailure = Literal["stop", "warn"]


@dataclass(frozen=True, slots=True)
class Variable:
    """`[vars.NAME]`: what a run of the formula is given. `default` is None when there is none."""

    name: str
    description: str = ""
    required: bool = False
    default: str | None = None

    @property
    def env_name(self) -> str:
        """The environment variable in which scripts find it: `new-name` is `NEW_NAME`."""
        return self.name.replace("-", "_").upper()


@dataclass(frozen=True, slots=True)
class FormulaStep:
    """One step. `timeout` in seconds, None for no limit; `secrets` are names, never values; `line` is where it
    begins in the file."""

    id: str
    title: str
    description: str = ""
    needs: tuple[str, ...] = ()
    run: str = ""
    uses: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    check: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int = 0
    on_failure: OnFailure = "stop"
    line: int = 1

    @property
    def executable(self) -> bool:
        """Whether there is something to execute, or only something to read."""
        return bool(self.run or self.uses)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula as far as it could be read. `steps` are in the order they would be executed."""

    name: str
    file: str
    description: str = ""
    version: int = 1
    model: str = ""
    files: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    steps: tuple[FormulaStep, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether nothing in it is wrong; warnings do not count."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def executable(self) -> bool:
        """Whether it can be run: it is valid, and at least one step does something."""
        return self.valid and any(step.executable for step in self.steps)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of all secrets that its steps use, each once."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.secrets))


def read_formula(
    source: bytes | str, file: str, *, operations: Mapping[str, BuiltIn] | None = BUILT_IN
) -> Formula:
    """Read a formula file named `file`. Raises nothing: what is wrong is in `problems`, each at its line.

    `operations` are the built-in operations a step may use; None lets any name and any parameter pass.
    """
    reading = read_toml(source)
    stem = file.rpartition("/")[2].removesuffix(".toml")
    if reading.data is None or reading.faults:
        problems = tuple(
            Problem(file, fault.line, fault.column, "", "error", fault.message, fault.hint)
            for fault in reading.faults
        )
        return _by_lines(reading.text, stem, file, problems)
    return _Reader(reading.data, find_places(reading.text), file, stem, operations).formula()


class _Reader:
    def __init__(
        self,
        data: dict[str, Any],
        places: Places,
        file: str,
        stem: str,
        operations: Mapping[str, BuiltIn] | None,
    ) -> None:
        self.data, self.places, self.file, self.stem, self.operations = data, places, file, stem, operations
        self.problems: list[Problem] = []

    def report(self, path: KeyPath, message: str, hint: str = "") -> None:
        place = self.places.of(path)
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(self.file, place.line, place.column, key, "error", message, hint))

    def formula(self) -> Formula:
        self.known(self.data, (), TOP)
        name = self.text((), "name") or self.stem
        context = self.table(("context",))
        self.known(context, ("context",), CONTEXT)
        variables = tuple(self.variables())
        steps = self.steps({variable.name for variable in variables})
        ordered = self.in_order(steps)
        return Formula(
            name,
            self.file,
            self.text((), "description"),
            self.number((), "version", 1),
            self.text((), "model"),
            self.texts(("context",), "files"),
            variables,
            ordered,
            tuple(sorted(self.problems, key=lambda item: (item.line, item.column))),
        )

    # -- values ------------------------------------------------------------------------------------------------

    def known(self, table: Mapping[str, Any], path: KeyPath, schema: Mapping[str, Key]) -> None:
        """Unknown keys, and known ones of the wrong type."""
        for key, value in table.items():
            known = schema.get(key)
            if known is None:
                near = nearest(key, list(schema))
                self.report(
                    (*path, key), "this key is not known here", f"did you mean {near}?" if near else ""
                )
            elif not _is_a(known.kind, value):
                self.report((*path, key), f"a {known.kind} belongs here")

    def at(self, path: KeyPath) -> Any:
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def table(self, path: KeyPath) -> dict[str, Any]:
        value = self.at(path)
        return value if isinstance(value, dict) else {}

    def text(self, path: KeyPath, key: str) -> str:
        value = self.table(path).get(key)
        return value if isinstance(value, str) else ""

    def texts(self, path: KeyPath, key: str) -> tuple[str, ...]:
        value = self.table(path).get(key)
        return tuple(value) if isinstance(value, list) and _is_a("list of texts", value) else ()

    def number(self, path: KeyPath, key: str, default: int) -> int:
        value = self.table(path).get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    # -- parts -------------------------------------------------------------------------------------------------

    def variables(self) -> list[Variable]:
        found = []
        for name, value in self.table(("vars",)).items():
            path: KeyPath = ("vars", name)
            if not isinstance(value, dict):
                self.report(path, "a table belongs here", f"write it as [vars.{name}]")
                continue
            self.known(value, path, VARIABLE)
            default = value.get("default")
            text = default if isinstance(default, str) else None
            found.append(Variable(name, self.text(path, "description"), value.get("required") is True, text))
        return found

    def steps(self, variables: set[str]) -> list[FormulaStep]:
        listed = self.data.get("steps")
        found: list[FormulaStep] = []
        if not isinstance(listed, list):
            return found
        seen: dict[str, int] = {}
        for number, item in enumerate(listed):
            path: KeyPath = ("steps", number)
            if not isinstance(item, dict):
                self.report(path, "a table belongs here", "write it as [[steps]]")
                continue
            self.known(item, path, STEP)
            step = self.step(path, item, variables)
            if step.id in seen:
                self.report((*path, "id"), f"the id {step.id} is there already, in line {seen[step.id]}")
            seen.setdefault(step.id, step.line)
            found.append(step)
        return found

    def step(self, path: KeyPath, item: Mapping[str, Any], variables: set[str]) -> FormulaStep:
        line = self.places.of(path).line
        name = self.text(path, "id")
        if not name:
            self.report(path, "a step has no id")
        elif not ID.match(name):
            self.report((*path, "id"), "an id is small letters, digits and single dashes")
        run, uses = self.text(path, "run"), self.text(path, "uses")
        if run and uses:
            self.report((*path, "uses"), "a step has `run` or `uses`, not both")
        if uses and self.operations is not None and uses not in self.operations:
            near = nearest(uses, list(self.operations))
            self.report(
                (*path, "uses"), f"there is no operation {uses}", f"did you mean {near}?" if near else ""
            )
        for key in ("with", "check", "env", "secrets", "timeout", "retries", "on_failure"):
            if key in item and not (run or uses):
                self.report((*path, key), f"`{key}` says nothing without `run` or `uses`")
            elif key in item and uses and STEP[key].run:
                self.report((*path, key), f"`{key}` belongs to `run`; what is built in knows by itself")
        if "with" in item and run:
            self.report((*path, "with"), "`with` belongs to `uses`; a script takes `env`")
        if self.operations is not None and uses in self.operations:
            self.parameters(path, self.operations[uses], uses)
        self.references((*path, "with"), item.get("with"), variables)
        self.references((*path, "env"), item.get("env"), variables)
        return FormulaStep(
            name or f"step-{path[-1]}",
            self.text(path, "title") or name,
            self.text(path, "description"),
            self.texts(path, "needs"),
            run,
            uses,
            self.table((*path, "with")),
            self.text(path, "check"),
            self.env(path),
            self.secret_names(path),
            self.timeout(path, item.get("timeout")),
            self.retries(path),
            self.on_failure(path),
            line,
        )

    def parameters(self, path: KeyPath, used: BuiltIn, name: str) -> None:
        """`with` for an operation; what is filled in later by a variable may be of any kind."""
        given = self.table((*path, "with"))
        said = {key: value for key, value in given.items() if not _filled_later(value)}
        self.known(said, (*path, "with"), used.parameters)
        self.known(
            dict.fromkeys(set(given) - set(said), ""), (*path, "with"), dict.fromkeys(used.parameters, _ANY)
        )
        if self.text(path, "on_failure") == "warn" and not used.warns:
            self.report((*path, "on_failure"), f"a failure of {name} always stops the formula")

    def references(self, path: KeyPath, value: Any, variables: set[str]) -> None:
        """`${vars.name}` must name a variable."""
        if isinstance(value, str):
            for name in _REFERENCE.findall(value):
                if name not in variables:
                    self.report(path, f"there is no variable {name}", "declare it as [vars.…]")
        elif isinstance(value, dict):
            for key, item in value.items():
                self.references((*path, key), key, variables)
                self.references((*path, key), item, variables)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                self.references((*path, number), item, variables)

    def env(self, path: KeyPath) -> dict[str, str]:
        found = {}
        for key, value in self.table((*path, "env")).items():
            if not SECRET_NAME.match(key):
                self.report((*path, "env", key), "this is no name of a variable")
            elif not isinstance(value, str):
                self.report((*path, "env", key), "a text belongs here", f'write {key} = "{value}"')
            else:
                found[key] = value
        return found

    def secret_names(self, path: KeyPath) -> tuple[str, ...]:
        names = self.texts(path, "secrets")
        for number, name in enumerate(names):
            if not SECRET_NAME.match(name):
                self.report((*path, "secrets", number), "names of secrets belong here, never values")
        return tuple(name for name in names if SECRET_NAME.match(name))

    def timeout(self, path: KeyPath, value: Any) -> float | None:
        if isinstance(value, str):
            found = _SPAN.match(value.strip())
            if found:
                return float(int(found[1]) * _SECONDS[found[2]])
            return None  # `known` has said so
        if _is_a("whole number", value):
            if value <= 0:
                self.report((*path, "timeout"), "a timeout is more than nothing")
            return float(value)
        return None

    def retries(self, path: KeyPath) -> int:
        count = self.number(path, "retries", 0)
        if not 0 <= count <= _MOST_RETRIES:
            self.report((*path, "retries"), f"between 0 and {_MOST_RETRIES} retries are possible")
        return max(0, min(count, _MOST_RETRIES))

    def on_failure(self, path: KeyPath) -> OnFailure:
        value = self.text(path, "on_failure") or "stop"
        if value not in ("stop", "warn"):
            self.report((*path, "on_failure"), "`stop` or `warn` belongs here")
        return "warn" if value == "warn" else "stop"

    # -- order -------------------------------------------------------------------------------------------------

    def in_order(self, steps: list[FormulaStep]) -> tuple[FormulaStep, ...]:
        """The file's order, a step after those it needs. What cannot be ordered stays where it stands."""
        names = {step.id for step in steps}
        for number, step in enumerate(steps):
            for place, wanted in enumerate(step.needs):
                path: KeyPath = ("steps", number, "needs", place)
                if wanted == step.id:
                    self.report(path, "a step cannot need itself")
                elif wanted not in names:
                    near = nearest(wanted, sorted(names))
                    self.report(path, f"there is no step {wanted}", f"did you mean {near}?" if near else "")
        left, done = list(steps), dict[str, FormulaStep]()
        while left:
            ready = next(
                (
                    step
                    for step in left
                    if all(name in done or name not in names or name == step.id for name in step.needs)
                ),
                None,
            )
            if ready is None:
                circle = " → ".join(_circle(left))
                number = steps.index(left[0])
                self.report(("steps", number, "needs"), f"the steps need each other in a circle: {circle}")
                return tuple(steps)
            left.remove(ready)
            done.setdefault(ready.id, ready)
        return tuple(done.values())


def _circle(steps: Sequence[FormulaStep]) -> list[str]:
    """One circle among steps of which each needs another one, beginning and ending with the same id."""
    by_id = {step.id: step for step in steps}
    walked: list[str] = [steps[0].id]
    while True:
        following = next(name for name in by_id[walked[-1]].needs if name in by_id)
        if following in walked:
            return [*walked[walked.index(following) :], following]
        walked.append(following)


_ANY = Key("text", "")


def _filled_later(value: object) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _is_a(kind: str, value: object) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "whole number":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "true or false":
        return isinstance(value, bool)
    if kind == "list of texts":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind == "tables":
        return isinstance(value, list)
    if kind == "span":
        return _is_a("whole number", value) or (
            isinstance(value, str) and _SPAN.match(value.strip()) is not None
        )
    return isinstance(value, dict)


_LINE = re.compile(r"""\A\s*(name|id|title)\s*=\s*["'](.*?)["']\s*(?:#.*)?\Z""")


def _by_lines(text: str, stem: str, file: str, problems: tuple[Problem, ...]) -> Formula:
    """Name and steps of a file that is not TOML, as far as its lines tell them."""
    name, found = stem, list[FormulaStep]()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().startswith("[[steps]]"):
            found.append(FormulaStep("", "", line=number))
            continue
        told = _LINE.match(line)
        if told and told[1] == "name" and not found:
            name = told[2]
        elif told and told[1] == "id" and found and not found[-1].id:
            found[-1] = replace(found[-1], id=told[2])
        elif told and told[1] == "title" and found and not found[-1].title:
            found[-1] = replace(found[-1], title=told[2])
    steps = tuple(replace(step, title=step.title or step.id) for step in found if step.id)
    return Formula(name, file, steps=steps, problems=problems)


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """`value` with every `${vars.name}` in its texts replaced, those in lists and tables and their keys, too.

    A text that is nothing but one reference becomes the variable's value as it is, which may be a table or a list.
    Raises KeyError for a variable that is not given.
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        return variables[whole[1]] if whole else _REFERENCE.sub(lambda found: str(variables[found[1]]), value)
    if isinstance(value, dict):
        return {filled(key, variables): filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, variables) for item in value]
    return value
