"""Project files: TOML in, typed objects and every problem at once out.

`read_project` never stops at the first problem: each gets its file, line, key and a cure, so that one look
mends them all. Rules and defaults are upstream's loaders'; where upstream silently ignores something, this
says so as a warning. `project_schema` lists the keys, `project_checks` holds the rules for single values,
`project_rules` those between values and between files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .errors import BadInput
from .model import Factory, Project
from .project_reader import Reader
from .project_rules import (
    Problem,
    Source,
    check_agents,
    check_distinct,
    check_forge,
    check_one_factory,
    check_one_forge,
)
from .toml_lines import find_places
from .toml_read import read_toml

__all__ = [
    "Problem",
    "ProjectReading",
    "ProjectsReading",
    "problems_error",
    "raise_all_problems",
    "raise_problems",
    "read_project",
    "read_projects",
]


@dataclass(frozen=True, slots=True)
class ProjectReading:
    """What reading a file gave: `project` is None as soon as one problem is an error."""

    project: Project | None
    problems: tuple[Problem, ...] = ()
    file: str = ""
    source: Source | None = field(default=None, repr=False)
    """What could be read although there may be errors, for rules between files; its project is a draft."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stand in the way."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


@dataclass(frozen=True, slots=True)
class ProjectsReading:
    """All project files of an instance. `projects` is empty as soon as one problem is an error; else they
    share one factory, and the first is the one whose values the agents' environment carries: the carrier of
    `[factory]`, else the first by name (which is the order the image reads them in)."""

    projects: tuple[Project, ...]
    problems: tuple[Problem, ...] = ()
    readings: tuple[ProjectReading, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stand in the way."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def read_project(text: str | bytes, filename: str) -> ProjectReading:
    """Read one project file that stands alone, with its `[factory]` table or the defaults.

    `filename` is only for messages. Raises nothing: whatever is wrong is in `problems`, in the order of the
    lines. Bytes must be UTF-8; text that is not TOML gives one problem a fault, and what can be told about
    the sound lines.
    """
    reading = _read_part(text, filename)
    if reading.source is None:
        return reading
    more = [*check_forge(reading.source, reading.source.project.factory), *check_agents([reading.source])]
    problems = tuple(sorted((*reading.problems, *more), key=_by_line))
    sound = all(problem.severity == "warning" for problem in problems)
    return replace(reading, project=reading.source.project if sound else None, problems=problems)


def read_projects(files: Iterable[tuple[str, str | bytes]]) -> ProjectsReading:
    """Read (file name, text) pairs that make one instance, and check them against each other.

    Two projects of one name, two agents of one service or variable, more than one `[factory]`, and different
    external forges are errors. Raises nothing.
    """
    readings = [_read_part(text, name) for name, text in files]
    sources = sorted(
        (reading.source for reading in readings if reading.source is not None),
        key=lambda source: (not source.has_factory, source.project.name),
    )
    # Without the table, forge_url may still say on which port the forge is published.
    factory = sources[0].project.factory if sources else Factory()
    problems = [problem for reading in readings for problem in reading.problems]
    in_order = [reading.source for reading in readings if reading.source is not None]
    problems += check_one_factory(in_order)
    problems += check_distinct(in_order)
    problems += check_agents(in_order)
    problems += check_one_forge(in_order, factory)
    for source in in_order:
        problems += check_forge(source, factory)
    order = {reading.file: number for number, reading in enumerate(readings)}
    problems.sort(key=lambda problem: (order[problem.file], *_by_line(problem)))
    if any(problem.severity == "error" for problem in problems):
        return ProjectsReading((), tuple(problems), tuple(readings))
    projects = tuple(replace(source.project, factory=factory) for source in sources)
    return ProjectsReading(projects, tuple(problems), tuple(readings))


def raise_problems(reading: ProjectReading) -> Project:
    """The project of a reading without errors.

    Raises BadInput (`config.invalid`) with one detail line a problem, warnings included.
    """
    if reading.project is None:
        raise problems_error(reading.problems)
    return reading.project


def raise_all_problems(reading: ProjectsReading) -> tuple[Project, ...]:
    """The projects of a reading without errors. Raises BadInput (`config.invalid`), one detail line each."""
    if reading.errors:
        raise problems_error(reading.problems)
    return reading.projects


def problems_error(problems: Sequence[Problem]) -> BadInput:
    """The problems as one error (`config.invalid`), `file:line: key: message (hint)` a detail line."""
    errors = [problem for problem in problems if problem.severity == "error"]
    files = list(dict.fromkeys(problem.file for problem in errors))
    count = "a problem" if len(errors) == 1 else f"{len(errors)} problems"
    return BadInput(
        f"{' and '.join(files)} cannot be used.",
        f"There {'is' if len(errors) == 1 else 'are'} {count} in {'it' if len(files) == 1 else 'them'}.",
        "Mend the lines below and try again; nothing was changed.",
        code="config.invalid",
        details=[
            str(problem) if problem.severity == "error" else f"{problem} [warning]" for problem in problems
        ],
    )


def _by_line(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column or 0


def _read_part(text: str | bytes, filename: str) -> ProjectReading:
    """One file without the rules that depend on `[factory]`, which another file may carry."""
    toml = read_toml(text)
    problems = [
        Problem(filename, fault.line, fault.column, "", "error", fault.message, fault.hint)
        for fault in toml.faults
    ]
    if toml.data is None:
        return ProjectReading(None, tuple(problems), filename)
    places = find_places(toml.text)
    reader = Reader(filename, toml.data, places, missing_counts=not toml.faults)
    draft = reader.project()
    problems = sorted((*problems, *reader.problems), key=_by_line)
    sound = all(problem.severity == "warning" for problem in problems)
    source = Source(filename, places, draft, reader.has("factory"))
    return ProjectReading(draft if sound else None, tuple(problems), filename, source)
