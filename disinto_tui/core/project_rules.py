"""Rules that tie several values, or several project files, together, and the Problem they are told as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Factory, LocalAgent, Project
from .project_checks import Severity, is_loopback, split_url
from .toml_lines import Places


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a project file. `key` is written with dots, "" for the text itself; `hint` names
    the nearest known key or the cure, "" when there is none."""

    file: str
    line: int
    column: int | None
    key: str
    severity: Severity
    message: str
    hint: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Source:
    """A project file as a rule sees it: its name, where its keys stand, and what could be read of it."""

    file: str
    places: Places
    project: Project
    has_factory: bool = False

    def problem(
        self, path: tuple[str, ...], message: str, hint: str = "", severity: Severity = "error"
    ) -> Problem:
        """A problem of this file at the place of `path`."""
        place = self.places.of(path)
        return Problem(self.file, place.line, place.column, ".".join(path), severity, message, hint)


def check_forge(source: Source, factory: Factory) -> list[Problem]:
    """Whether `forge_url` fits the forge the instance has. Raises nothing.

    A bundled forge is published on a port, which the address of this host should name; an address without a
    port means 80 (http), not the forge's default. An external forge needs an address that containers reach.
    """
    project, path = source.project, ("forge_url",)
    url, given = split_url(project.forge_url), path in source.places.keys
    if factory.forge == "external":
        if not given:
            place = source.places.of(("factory", "forge"))
            return [
                Problem(
                    source.file,
                    place.line,
                    place.column,
                    "forge_url",
                    "error",
                    "an external forge needs its address",
                    'add forge_url = "https://…" at the top',
                )
            ]
        if url is not None and is_loopback(url.hostname):
            message = "inside the agents' containers this address is the container itself"
            return [source.problem(path, message, "write the forge host's name or address", "warning")]
        return []
    if url is None or not given or not is_loopback(url.hostname):
        return []
    if url.scheme == "https":
        message = "the bundled forge speaks plain http"
        return [source.problem(path, message, f"write http://{url.netloc}", "warning")]
    port, published = url.port or 80, factory.ports.forge
    if published and port != published:
        message = f"it means port {port}, and the bundled forge is published on port {published}"
        hint = f"write http://{url.hostname}:{published}, or set forge = {port} in [factory.ports]"
        return [source.problem(path, message, hint, "warning")]
    return []


def check_agents(sources: Sequence[Source]) -> list[Problem]:
    """Local agents, of one file or several, that would share a service, a variable or a forge user.

    Two of one service would silently become one (YAML keeps the last), so both origins are named.
    """
    problems: list[Problem] = []
    services: dict[str, tuple[Source, LocalAgent]] = {}
    suffixes: dict[str, tuple[Source, LocalAgent]] = {}
    for source in sources:
        for agent in source.project.agents:
            path = ("agents", agent.name)
            if agent.service in services:
                other = _origin(services[agent.service], source)
                message = f"it becomes the service {agent.service}, and so does {other}"
                problems.append(source.problem(path, message, "rename one"))
                continue
            services[agent.service] = (source, agent)
            suffix = agent.variable_suffix
            if suffix not in suffixes:
                suffixes[suffix] = (source, agent)
                continue
            other = _origin(suffixes[suffix], source)
            if suffixes[suffix][1].forge_user.lower() == agent.forge_user.lower():
                message = f"it acts as {agent.forge_user}, and so does {other}"
                problems.append(source.problem(path, message, "give each a forge_user of its own", "warning"))
            else:
                message = f"its token is FORGE_TOKEN_{suffix}, and so is that of {other}"
                problems.append(source.problem(path, message, "rename one forge_user"))
    return problems


def _origin(where: tuple[Source, LocalAgent], reader: Source) -> str:
    source, agent = where
    line = source.places.of(("agents", agent.name)).line
    file = "" if source is reader else f" of {source.file}"
    return f"[agents.{agent.name}]{file} (line {line})"


def check_one_factory(sources: Sequence[Source]) -> list[Problem]:
    """At most one file carries `[factory]`."""
    carriers = [source for source in sources if source.has_factory]
    message = "has a [factory] table too, and an instance has one"
    return [
        source.problem(("factory",), f"{carriers[0].file} {message}", "keep it in one file")
        for source in carriers[1:]
    ]


def check_distinct(sources: Sequence[Source]) -> list[Problem]:
    """Project names are distinct, and each repository is worked on once. Case does not count: the name is a
    directory's, and file systems may fold it."""
    problems: list[Problem] = []
    names: dict[str, Source] = {}
    repos: dict[str, Source] = {}
    for source in sources:
        project = source.project
        other = names.setdefault(project.name.lower(), source)
        if project.name and other is not source:
            problems.append(source.problem(("name",), f"{other.file} has a project of that name too"))
        other = repos.setdefault(project.repo.lower(), source)
        if project.repo and other is not source:
            message = f"{other.file} works on this repository too"
            problems.append(
                source.problem(("repo",), message, "agents would do the same work twice", "warning")
            )
    return problems


def check_one_forge(sources: Sequence[Source], factory: Factory) -> list[Problem]:
    """The agents' environment holds one forge address, and it beats what the files say."""
    naming = [source for source in sources if ("forge_url",) in source.places.keys]
    external = factory.forge == "external"
    hint = (
        "give projects on another forge an instance of their own"
        if external
        else "write the same address in all files"
    )
    return [
        source.problem(
            ("forge_url",),
            f"{naming[0].file} names another forge, and the agents of an instance talk to one",
            hint,
            "error" if external else "warning",
        )
        for source in naming[1:]
        if source.project.forge_url != naming[0].project.forge_url
    ]
