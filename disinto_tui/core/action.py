"""Actions: requests for approval, as TOML files of the ops repository (`vault/actions/<id>.toml`; facts: 8.1).

A dispatcher executes what was approved, after a validator of its own has read the file, line by line and not as TOML:
keys at line starts, lists on one line. So a file is written as the oldest validator reads it, and what a validator
would refuse is said before the file is filed. Which secrets and mounts it knows depends on the factory's generation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import BadInput, Refused
from .project_checks import nearest
from .project_rules import Problem
from .toml_lines import find_places
from .toml_read import read_toml
from .version import Version

PREFIX = "release-"
DIRECTORY = "vault/actions"
"""Where actions lie in an ops repository, in every generation."""
GenerationName = Literal["vault", "action-vault"]

_ID = re.compile(r"\A[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
_FORMULA = re.compile(r"\A[a-z0-9]+(?:[-_][a-z0-9]+)*\Z")
SECRET = re.compile(r"\A[A-Z_][A-Z0-9_]*\Z")
"""A secret's name. Small letters are refused: a token given in its place is made of the same characters, and would be
committed."""
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Generation:
    """What the validator of one generation of factories accepts. `name` is the folder its code lies in, in the
    factory's own repository. `mounts` is None where the key itself is unknown, and refused."""

    name: GenerationName
    marker: str
    """The file of the factory's repository that only this generation has."""
    secrets: frozenset[str]
    mounts: frozenset[str] | None


_FIRST = frozenset({"CLAWHUB_TOKEN", "GITHUB_TOKEN", "DEPLOY_KEY", "NPM_TOKEN", "DOCKER_HUB_TOKEN"})
OLD = Generation("vault", "lib/vault.sh", _FIRST, None)
NEW = Generation(
    "action-vault", "lib/action-vault.sh", _FIRST | {"CODEBERG_TOKEN"}, frozenset({"ssh", "gpg", "sops"})
)
GENERATIONS: Mapping[str, Generation] = {item.name: item for item in (OLD, NEW)}


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `secrets` are names, never values; `mounts`, `tools` and the rest are left out when empty.

    `dispatch_mode` "direct" would have it executed without anybody's approval; this tool never writes it.
    """

    id: str
    formula: str
    context: str
    secrets: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    model: str = ""
    tools: tuple[str, ...] = ()
    timeout_minutes: int = 0
    dispatch_mode: str = ""
    blast_radius: str = ""

    @property
    def version(self) -> str:
        """The version that a release's executor takes from the context: the first `vN.N.N` in it, else ""."""
        found = _VERSION.search(self.context)
        return found[0] if found else ""

    @property
    def path(self) -> str:
        """Its file in the ops repository."""
        return action_path(self.id)


@dataclass(frozen=True, slots=True)
class ActionReading:
    """What reading a file gave: `action` is None when not even its id and formula could be read."""

    action: Action | None
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems for which a validator refuses it."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


@dataclass(frozen=True, slots=True)
class ActionResult:
    """`<id>.result.json`: that it was executed, and how it ended. `logs` are the last 1000 characters, foreign text."""

    id: str
    exit_code: int
    timestamp: str
    logs: str = ""


# -- names -------------------------------------------------------------------------------------------------------


def action_path(action_id: str) -> str:
    """The action's file in the ops repository."""
    return f"{DIRECTORY}/{action_id}.toml"


def result_path(action_id: str) -> str:
    """The file that says it was executed. Its presence is what keeps a dispatcher from doing it again."""
    return f"{DIRECTORY}/{action_id}.result.json"


def release_id(version: Version) -> str:
    """The id under which every tool files this release: `v1.2.0` is `release-v120`.

    Not unique: v1.2.10 and v1.21.0 are both `release-v1210` (`refuse_collision`). Raises BadInput
    `request.prerelease`: an executor takes the first `vN.N.N` of the context, and would release something else.
    """
    if version.pre or version.build:
        raise BadInput(
            f"{version} cannot be requested.",
            f"What executes an approved release reads {version.release} in it, and would release that.",
            f"Request {version.release}, or release {version} from here, without --request.",
            code="request.prerelease",
        )
    return PREFIX + version.text.replace(".", "")


def clear_id(version: Version) -> str:
    """An id that no other version shares: `release-v1-2-10`."""
    return PREFIX + version.text.replace(".", "-")


def branch_of(action_id: str) -> str:
    """The branch a request is filed on: `release/v120` for `release-v120`, `vault/<id>` for any other."""
    if action_id.startswith(PREFIX):
        return f"release/{action_id.removeprefix(PREFIX)}"
    return f"vault/{action_id}"


def id_of_branch(branch: str) -> str:
    """The action that a branch files, "" for a branch of something else. The inverse of `branch_of`."""
    kind, _, rest = branch.partition("/")
    if kind == "release" and rest:
        return PREFIX + rest
    return rest if kind == "vault" else ""


def refuse_bad_id(action_id: str) -> None:
    """Raise BadInput `request.id` for what cannot be the stem of a file and part of a branch's name."""
    if not _ID.match(action_id):
        raise BadInput(
            f"{action_id[:60]!a} cannot be a request's id.",
            "Its file and its branch are called like it.",
            "Use letters, digits, and single dashes, dots or underscores between them.",
            code="request.id",
        )


def refuse_collision(action: Action, other: Action, where: str) -> None:
    """Raise Refused `request.id` when `other`, which is there already, has the id and is another version's."""
    if other.id != action.id or other.version == action.version:
        return
    mine = Version.try_parse(action.version)
    free = clear_id(mine) if mine else "another one"
    raise Refused(
        f"The id {action.id} is taken by another version.",
        f"{where} requests “{other.context}”; {action.version} without its dots is the same id.",
        f"Give this request an id of its own: --id {free}.",
        code="request.id",
    )


# -- writing -----------------------------------------------------------------------------------------------------


def action_text(action: Action) -> str:
    """The file, as a validator that reads line by line understands it.

    Raises BadInput `action.unwritable` for a text that would have to be escaped, or that holds a `#`.
    """
    lines = []
    for key, value in _written(action):
        if isinstance(value, tuple):
            lines.append(f"{key} = [{', '.join(_quoted(key, item) for item in value)}]")
        elif isinstance(value, int):
            lines.append(f"{key} = {value}")
        else:
            lines.append(f"{key} = {_quoted(key, value)}")
    return "\n".join(lines) + "\n"


def _written(action: Action) -> Iterator[tuple[str, str | int | tuple[str, ...]]]:
    yield from (("id", action.id), ("formula", action.formula), ("context", action.context))
    yield "secrets", action.secrets  # required, also when there are none
    for key in ("mounts", "model", "tools", "timeout_minutes", "dispatch_mode", "blast_radius"):
        value = getattr(action, key)
        if value:
            yield key, value


def _quoted(key: str, text: str) -> str:
    if not text.isprintable() or set(text) & set('"\\#') or not text.isascii():
        raise BadInput(
            f"The {key} of an action cannot be written.",
            f"{text[:60]!a} holds a quote, a backslash, a # or a line break, which line-based validators misread.",
            "Use plain words.",
            code="action.unwritable",
        )
    return f'"{text}"'


# -- reading -----------------------------------------------------------------------------------------------------

_TEXTS = ("id", "formula", "context", "model", "dispatch_mode", "blast_radius")
_LISTS = ("secrets", "mounts", "tools")
_KEYS = (*_TEXTS, *_LISTS, "timeout_minutes")
_REQUIRED = ("id", "formula", "context", "secrets")


def read_action(source: str | bytes, file: str) -> ActionReading:
    """Read an action as TOML, and judge it as a line-based validator would. `file` is its path; its stem must be
    the id. Raises nothing: whatever is wrong is in `problems`."""
    toml = read_toml(source)
    problems = [
        Problem(file, fault.line, fault.column, "", "error", fault.message, fault.hint)
        for fault in toml.faults
    ]
    if toml.data is None:
        return ActionReading(None, tuple(problems))
    reader = _Reader(file, toml.text, toml.data)
    action = reader.action()
    problems += reader.problems
    return ActionReading(action, tuple(sorted(problems, key=lambda item: item.line)))


class _Reader:
    def __init__(self, file: str, text: str, data: Mapping[str, Any]) -> None:
        self.file, self.data, self.lines = file, data, text.splitlines()
        self.places = find_places(text)
        self.problems: list[Problem] = []

    def report(self, key: str, message: str, hint: str = "") -> None:
        place = self.places.of((key,) if key else ())
        self.problems.append(Problem(self.file, place.line, place.column, key, "error", message, hint))

    def action(self) -> Action | None:
        for key in self.data:
            if key not in _KEYS:
                near = nearest(key, _KEYS)
                self.report(key, "no such key", f"did you mean {near}?" if near else "")
        for key in _REQUIRED:
            if key not in self.data:
                self.report("", f"{key} is missing")
        for key in set(self.data) & set(_KEYS):
            self.line_based(key)
        texts, lists = {key: self.text(key) for key in _TEXTS}, {key: self.texts(key) for key in _LISTS}
        minutes = self.data.get("timeout_minutes", 0)
        if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 0:
            self.report("timeout_minutes", "a whole number of minutes belongs here")
            minutes = 0
        stem = self.file.rpartition("/")[2].removesuffix(".toml")
        if texts["id"] and texts["id"] != stem:
            self.report("id", f"the file is called {stem}, and its id {texts['id']!a}", "both are the same")
        if not texts["id"] or not texts["formula"]:
            return None
        return Action(
            texts["id"],
            texts["formula"],
            texts["context"],
            lists["secrets"],
            lists["mounts"],
            texts["model"],
            lists["tools"],
            minutes,
            texts["dispatch_mode"],
            texts["blast_radius"],
        )

    def line_based(self, key: str) -> None:
        """A validator greps for the key at a line's start, and for the whole value on that line."""
        line = next((line for line in self.lines if re.match(rf"{key}\s*=", line)), None)
        if line is None:
            self.report(key, "it does not stand at the start of a line, where validators look for it")
        elif line.partition("=")[2].lstrip().startswith("[") and "]" not in line:
            self.report(key, "a list over several lines is not read", "write it on one line")

    def text(self, key: str) -> str:
        value = self.data.get(key, "")
        if not isinstance(value, str):
            self.report(key, "a text belongs here")
            return ""
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.report(key, "a list of texts belongs here")
            return ()
        return tuple(value)


def read_result(source: str | bytes) -> ActionResult | None:
    """`<id>.result.json`; None when it is not one."""
    try:
        data = json.loads(source)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or isinstance(data.get("exit_code"), bool):
        return None
    code = data.get("exit_code")
    if not isinstance(code, int):
        return None
    said = {key: data.get(key) for key in ("id", "timestamp", "logs")}
    texts = {key: value if isinstance(value, str) else "" for key, value in said.items()}
    return ActionResult(texts["id"], code, texts["timestamp"], texts["logs"])


# -- judging -----------------------------------------------------------------------------------------------------


def check_action(
    action: Action, generation: Generation | None, *, accepted: frozenset[str] | None = None
) -> list[Problem]:
    """What the validator of a generation has against an action; [] when it accepts it.

    `generation` None is one that is not known: what only newer ones accept is then a warning. `accepted` is the
    validator's own list of secrets where it could be read, and counts instead of the generation's. A secret that no
    generation accepts is a warning, not an error: the operator may have taught their validator the name.
    """
    judged = _Judge(action, generation, accepted)
    judged.plain()
    for name in action.secrets:
        judged.secret(name)
    judged.mounts()
    return judged.problems


class _Judge:
    def __init__(
        self, action: Action, generation: Generation | None, accepted: frozenset[str] | None
    ) -> None:
        self.action, self.generation, self.accepted = action, generation, accepted
        self.problems: list[Problem] = []

    def report(self, key: str, message: str, hint: str = "", *, error: bool = True) -> None:
        severity: Literal["error", "warning"] = "error" if error else "warning"
        self.problems.append(Problem(self.action.path, 1, None, key, severity, message, hint))

    def plain(self) -> None:
        action = self.action
        if not _ID.match(action.id):
            self.report("id", f"{action.id!a} is no id", "letters, digits, and dashes between them")
        if not _FORMULA.match(action.formula):
            self.report("formula", f"{action.formula!a} is no name of a formula")
        if not action.context.strip():
            self.report("context", "it says no reason")
        if action.dispatch_mode == "direct":
            self.report(
                "dispatch_mode", "`direct` is executed without anybody's approval", "leave the key out"
            )
        elif action.dispatch_mode not in ("", "pr"):
            self.report("dispatch_mode", "`pr` or nothing belongs here")
        if action.blast_radius not in ("", "low", "medium", "high"):
            self.report("blast_radius", "`low`, `medium` or `high` belongs here")
        if action.timeout_minutes < 0:
            self.report("timeout_minutes", "a timeout is more than nothing")

    def secret(self, name: str) -> None:
        if not SECRET.match(name):
            message = "the name of a secret belongs here, never its value"
            self.report("secrets", message, "capital letters, digits and underscores, like GITHUB_TOKEN")
            return
        known = self.generation or OLD
        if name in (known.secrets if self.accepted is None else self.accepted):
            return
        newer = next((item for item in GENERATIONS.values() if name in item.secrets), None)
        whose = (
            f"the validator of factories with {known.name}/"
            if self.accepted is None
            else "this factory's validator"
        )
        if newer is not None:
            hint = f"validators of factories with {newer.name}/ accept it"
            sure = self.generation is not None or self.accepted is not None
            self.report("secrets", f"{name} is refused by {whose}", hint, error=sure)
        else:
            message = (
                f"no existing validator accepts {name}; the action is refused unless yours was taught it"
            )
            self.report("secrets", message, "GITHUB_TOKEN is accepted everywhere", error=False)

    def mounts(self) -> None:
        if not self.action.mounts:
            return
        known = self.generation or OLD
        if known.mounts is None:
            hint = f"only those with {NEW.name}/ know it"
            message = f"validators of factories with {known.name}/ refuse the key"
            self.report("mounts", message, hint, error=self.generation is not None)
            return
        for name in self.action.mounts:
            if name not in known.mounts:
                self.report(
                    "mounts", f"there is no mount {name}", f"one of {', '.join(sorted(known.mounts))}"
                )


def allowlist_in(texts: Iterable[str]) -> frozenset[str] | None:
    """The names that a validator's own code accepts: the line of it that lists most of those every generation knows.
    None when no line does, and nothing is claimed."""
    for text in texts:
        for line in text.splitlines():
            names = frozenset(_WORD.findall(line.partition("#")[0]))
            if len(names & _FIRST) >= len(_FIRST) - 1:
                return names
    return None
