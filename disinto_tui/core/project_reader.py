"""One parsed project file to a `Project`, noting every problem on the way; `project.py` is the door to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from .model import NO_API_KEY, Ci, Factory, Images, LocalAgent, Monitoring, Ports, Project
from .project_checks import (
    Finding,
    check_agent_name,
    check_bind,
    check_branch,
    check_compose_project,
    check_endpoint,
    check_forge_user,
    check_image,
    check_mirror_name,
    check_mirror_url,
    check_name,
    check_path,
    check_repository,
    check_roles,
    check_slug,
    check_url,
    check_version,
    is_loopback,
    nearest,
    shown,
    split_url,
)
from .project_rules import Problem
from .project_schema import IGNORED, KEYS, Key, Path, homes_of, key_at, names_in, table_at
from .toml_lines import Places

T = TypeVar("T")
Check = Callable[[str], "Finding | None"]


class Reader:
    """Reads one parsed file: first types and unknown keys over everything, then values.

    `project` gives what could be read; every problem is in `problems`, in no order. Values that cannot be
    used are replaced by their defaults, so that reading always goes on to the end.
    """

    def __init__(self, file: str, data: dict[str, Any], places: Places, *, missing_counts: bool) -> None:
        self.file = file
        self.data = data
        self.places = places
        self.missing_counts = missing_counts
        self.problems: list[Problem] = []
        self.unusable: set[Path] = set()
        self._walk(data, ())

    def report(self, path: Path, finding: Finding | None, *, item: int | None = None) -> bool:
        """Note a finding about the key at `path`; whether the value can be used."""
        if finding is None:
            return True
        place = self.places.of(path if item is None else (*path, item))
        key = ".".join(
            part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"' for part in path
        )
        self.problems.append(
            Problem(self.file, place.line, place.column, key, finding.severity, finding.message, finding.hint)
        )
        return finding.severity == "warning"

    def has(self, *path: str) -> bool:
        """Whether the key is there, of whatever type."""
        table: Any = self.data
        for part in path:
            if not isinstance(table, dict) or part not in table:
                return False
            table = table[part]
        return True

    def table(self, *path: str) -> dict[str, Any]:
        """The table at `path`, empty when it is missing or no table."""
        table: Any = self.data
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        return table if isinstance(table, dict) else {}

    def value(self, path: Path, default: T) -> T:
        """The value at `path` when it is there and of the right type, else `default`."""
        table = self.table(*path[:-1])
        if path[-1] not in table or path in self.unusable:
            return default
        value: T = table[path[-1]]
        return value

    def _walk(self, table: dict[str, Any], prefix: Path) -> None:
        for name, value in table.items():
            path = (*prefix, name)
            if path in IGNORED:
                continue
            key = key_at(path)
            if key is not None:
                self._check_type(key, path, value)
            elif table_at(path) is not None:
                if isinstance(value, dict):
                    self._walk(value, path)
                else:
                    header = f"[{'.'.join(path)}]"
                    self.report(
                        path,
                        Finding(f"a table is expected, not {_type_name(value)}", f"write it as {header}"),
                    )
            else:
                self._unknown(path)

    def _unknown(self, path: Path) -> None:
        known = list(names_in(path[:-1]))
        near, homes = nearest(path[-1], known), homes_of(path[-1])
        # Only [factory] is ours alone; elsewhere a newer upstream may know more than we do.
        ours = path[0] == "factory" and len(path) > 1
        if near:
            hint = f"did you mean {near}?"
        elif homes:
            hint = (
                f"it belongs to {homes[0]}" if homes[0] else "it belongs at the top, before the first [table]"
            )
        else:
            hint = f"known here: {', '.join(known)}" if known else ""
        message = "no such key" if ours else "no such key; it is ignored"
        self.report(path, Finding(message, hint, "error" if ours else "warning"))

    def _check_type(self, key: Key, path: Path, value: object) -> None:
        right = {
            "string": isinstance(value, str),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
            "strings": isinstance(value, list),
            "string or strings": isinstance(value, (list, str)),
        }[key.kind]
        if path == ("ci", "woodpecker_repo_id") and isinstance(value, str) and value.strip().isdecimal():
            self.report(
                path, Finding("the number stands in quotes", f"write {int(value)} without quotes", "warning")
            )
            self.data["ci"]["woodpecker_repo_id"] = int(value)
            return
        if not right:
            self.unusable.add(path)
            wanted = {"strings": "list of strings", "string or strings": "list of strings"}.get(
                key.kind, key.kind
            )
            article = "an" if wanted[0] in "aeiou" else "a"
            self.report(
                path,
                Finding(f"{article} {wanted} is expected, not {_type_name(value)}", _type_hint(key, value)),
            )
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if not isinstance(item, str):
                    self.unusable.add(path)
                    self.report(
                        path, Finding(f"a string is expected here, not {_type_name(item)}"), item=number
                    )

    def string(self, path: Path, default: str, check: Check, *, empty: bool = False) -> str:
        """A string that passes `check`, else `default`. An empty one is an error unless `empty` allows it."""
        value = self.value(path, default)
        if path[-1] not in self.table(*path[:-1]) or path in self.unusable:
            return default
        if not value:
            return value if empty or self.report(path, Finding("it is empty", "leave it out")) else default
        return value if self.report(path, check(value)) else default

    def required(self, path: Path, check: Check, example: str) -> str:
        """As `string`, and its absence is an error."""
        if not self.has(*path):
            if self.missing_counts:
                self.report(path, Finding("it is missing", f"add {path[-1]} = {example} at the top"))
            return ""
        value = self.value(path, "")
        if path in self.unusable:
            return ""
        if not value:
            self.report(path, Finding("it is empty", f"for example {example}"))
            return ""
        return value if self.report(path, check(value)) else ""

    def number(self, path: Path, default: int, low: int, high: int | None = None) -> int:
        """An integer from `low` to `high`, else `default`."""
        value = self.value(path, default)
        if value < low or (high is not None and value > high):
            wanted = f"{low} to {high}" if high is not None else f"{low} or more"
            self.report(path, Finding(f"{value} is out of range", wanted))
            return default
        return value

    def flag(self, path: Path, default: bool) -> bool:
        """A boolean, else `default`."""
        return self.value(path, default)

    def project(self) -> Project:
        """The project, with defaults where a value cannot be used; a name or repo that cannot be is empty."""
        name = self.required(("name",), check_name, '"app"')
        repo = self.required(("repo",), check_slug, '"acme/app"')
        ops_repo = self.string(("ops_repo",), "", check_slug)
        if ops_repo and ops_repo == repo:
            self.report(
                ("ops_repo",),
                Finding("it is the project's own repository", f'write "{repo}-ops", or leave it out'),
            )
        defaults = Project("", "", "")
        factory = self._factory()
        forge_url = self.string(("forge_url",), defaults.forge_url, check_url).rstrip("/")
        if factory.forge == "bundled" and not self.has("factory", "ports", "forge") and self.has("forge_url"):
            # Upstream publishes the forge on the port of forge_url; an address without one means the default.
            url = split_url(forge_url)
            if url is not None and url.port and is_loopback(url.hostname):
                factory = replace(factory, ports=replace(factory.ports, forge=url.port))
        self._check_ports(factory)
        return Project(
            name=name,
            repo=repo,
            ops_repo=ops_repo or f"{repo}-ops",
            forge_url=forge_url,
            repo_root=self.string(("repo_root",), "", check_path, empty=True),
            ops_repo_root=self.string(("ops_repo_root",), "", check_path, empty=True),
            primary_branch=self.string(("primary_branch",), defaults.primary_branch, check_branch),
            ci=Ci(
                self.number(("ci", "woodpecker_repo_id"), 0, 0), self.number(("ci", "stale_minutes"), 60, 1)
            ),
            containers=tuple(self.value(("services", "containers"), [])),
            monitoring=Monitoring(
                self.flag(("monitoring", "check_prs"), True),
                self.flag(("monitoring", "check_dev_agent"), True),
                self.flag(("monitoring", "check_pipeline_stall"), False),
            ),
            mirrors=self._mirrors(),
            agents=self._agents(),
            factory=factory,
        )

    def _mirrors(self) -> dict[str, str]:
        mirrors: dict[str, str] = {}
        for name in self.table("mirrors"):
            path = ("mirrors", name)
            self.report(path, check_mirror_name(name))
            if path not in self.unusable and self.report(path, check_mirror_url(self.value(path, ""))):
                mirrors[name] = self.value(path, "")
        return mirrors

    def _agents(self) -> tuple[LocalAgent, ...]:
        agents: list[LocalAgent] = []
        for name, table in self.table("agents").items():
            path = ("agents", name)
            if path in IGNORED or not isinstance(table, dict):
                continue
            missing = [key for key in ("base_url", "model") if table.get(key, "") == ""]
            if missing:
                self.report(
                    path,
                    Finding(
                        "agents ignore this section: it has no " + " and no ".join(missing),
                        f"add {' and '.join(missing)}, or remove it",
                        "warning",
                    ),
                )
                continue
            self.report(path, check_agent_name(name))
            agents.append(self._agent(name))
        return tuple(agents)

    def _agent(self, name: str) -> LocalAgent:
        path = ("agents", name)
        roles: list[str] | str = self.value((*path, "roles"), ["dev"])
        words = tuple(roles.replace(",", " ").split()) if isinstance(roles, str) else tuple(roles)
        usable = self.report((*path, "roles"), check_roles(words))
        api_key = self.value((*path, "api_key"), NO_API_KEY)
        if any(not c.isprintable() for c in api_key):
            self.report((*path, "api_key"), Finding("it has characters that cannot be printed"))
        elif api_key not in ("", NO_API_KEY):
            variable = LocalAgent(name, "", "").api_key_variable
            self.report(
                (*path, "api_key"),
                Finding(
                    "a key in this file can be read by every agent",
                    f"put it into .env as {variable}, and remove it here",
                    "warning",
                ),
            )
        user = f"{name}-bot"
        if (*path, "forge_user") not in self.unusable and self.has(*path, "forge_user"):
            user = self.string((*path, "forge_user"), user, check_forge_user)
        elif check_agent_name(name) is None:
            self.report(path, check_forge_user(user))
        return LocalAgent(
            name=name,
            base_url=self.string((*path, "base_url"), "", check_endpoint),
            model=self.string((*path, "model"), "", _one_line),
            api_key=api_key or NO_API_KEY,
            roles=words if usable else ("dev",),
            forge_user=user,
            compact_pct=self.number((*path, "compact_pct"), 60, 1, 100),
            poll_interval=self.number((*path, "poll_interval"), 60, 1),
        )

    def _factory(self) -> Factory:
        base, at = Factory(), ("factory",)
        forge = self.value((*at, "forge"), base.forge)
        if forge not in ("bundled", "external"):
            near = nearest(forge, ["bundled", "external"])
            self.report(
                (*at, "forge"),
                Finding(
                    f"{shown(forge)} is no kind of forge",
                    f"did you mean {near}?" if near else "bundled or external",
                ),
            )
            forge = base.forge
        images = {
            key.path[-1]: self.string(
                key.path,
                getattr(base.images, key.path[-1]),
                check_image,
                empty=key.path[-1] in ("edge", "reproduce"),
            )
            for key in KEYS
            if key.path[:2] == ("factory", "images")
        }
        ports = {
            name: self.number(
                (*at, "ports", name), getattr(base.ports, name), int(name.startswith("ci_")), 65535
            )
            for name in Ports.__dataclass_fields__
        }
        return Factory(
            agents_image=self.string((*at, "agents_image"), base.agents_image, check_repository),
            version=self.string((*at, "version"), base.version, check_version, empty=True),
            pin_digest=self.flag((*at, "pin_digest"), base.pin_digest),
            forge=forge,
            project=self.string((*at, "project"), base.project, check_compose_project),
            bind=self.string((*at, "bind"), base.bind, check_bind, empty=True),
            ports=Ports(**ports),
            images=Images(**images),
        )

    def _check_ports(self, factory: Factory) -> None:
        used: dict[int, str] = {}
        names = list(Ports.__dataclass_fields__)
        if factory.forge == "external":
            names = ["http", "https"]
        for name in sorted(names, key=lambda name: self.has("factory", "ports", name)):
            port = getattr(factory.ports, name)
            if port and port in used:
                self.report(
                    ("factory", "ports", name),
                    Finding(f"port {port} is also {used[port]}'s", "give each its own, or 0"),
                )
            used.setdefault(port, name)


def _one_line(value: str) -> Finding | None:
    bad = any(not c.isprintable() for c in value)
    return Finding("it has characters that cannot be printed") if bad else None


def _type_name(value: object) -> str:
    for kind, name in (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a decimal number"),
        (str, "a string"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _type_hint(key: Key, value: object) -> str:
    if isinstance(value, str):
        if key.kind == "integer" and value.strip().lstrip("-").isdecimal():
            return f"write {value.strip()} without quotes"
        if key.kind == "boolean" and value.strip().lower() in ("true", "false"):
            return f"write {value.strip().lower()} without quotes"
        if key.kind == "strings" and "@" not in value:
            return f'write ["{value}"]'
    if key.kind == "string" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'write "{value}" in quotes'
    return f"for example {key.example or key.default}" if (key.example or key.default) else ""
