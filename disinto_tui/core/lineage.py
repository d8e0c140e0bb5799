"""What an existing stack is: of which generation, in which mode, and what in it is legacy, left over or broken.

Pure: texts and facts in, findings out. What a stack *is* and what *becomes of it* are apart: `carry` decides that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from . import stack_forms as forms
from .compose_read import EMPTY, ComposeReading, Reset, merge, read_compose
from .stack_diff import without_user
from .stack_dump import GeneratedBy, Upstream, inspect_header
from .stack_services import AGENTS_DOCKERFILE

Generation = Literal[
    "none",
    "ours",
    "ours-edited",
    "upstream-build",
    "upstream-image",
    "upstream-build-opt",
    "tracked",
    "hand",
    "foreign",
]
GENERATIONS: Mapping[str, str] = {
    "none": "there is no compose file",
    "ours": "made by this tool, as it was written",
    "ours-edited": "made by this tool, edited by hand since",
    "upstream-build": "made by upstream's generator before versioned images: agents are built here",
    "upstream-image": "made by upstream's generator since versioned images (DISINTO_IMAGE_TAG)",
    "upstream-build-opt": "made by upstream's `init --build`: agents are built at every start",
    "tracked": "the hand-made file that upstream kept in git",
    "hand": "hand-made",
    "foreign": "no stack of a factory: nothing in it runs agents",
}
Severity = Literal["refuse", "danger", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `slug` is stable (for scripts and tests), `service` may be "", `now` says what becomes of it or
    what to do. No text holds a secret."""

    severity: Severity
    slug: str
    service: str
    text: str
    now: str = ""

    def __str__(self) -> str:
        where = f"{self.service}: " if self.service else ""
        return f"{where}{self.text}" + (f" → {self.now}" if self.now else "")


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """A service of the file: "image", "build" (also with both: Compose may build then) or "neither"."""

    name: str
    mode: Literal["image", "build", "neither"]
    image: str = ""
    context: str = ""
    agents: bool = False
    """Whether it runs the agents image."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What `recognise` found. `data` is all files merged, as plain data; `mode` as `stack_mode` tells it."""

    generation: Generation
    mode: str
    services: tuple[ServiceKind, ...]
    findings: tuple[Finding, ...]
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What stands in the way."""
        return tuple(item for item in self.findings if item.severity == "refuse")

    def to_json(self) -> dict[str, Any]:
        """For `--json`, without the files' data."""
        return {
            "generation": self.generation,
            "words": GENERATIONS[self.generation],
            "mode": self.mode,
            "services": [asdict(item) for item in self.services],
            "findings": [asdict(item) for item in self.findings],
        }


LEGACY: Mapping[str, tuple[str, str]] = {
    "DISINTO_IMAGE_TAG": ("AGENTS_IMAGE", "retired: AGENTS_IMAGE says it whole"),
    "CODEBERG_TOKEN": ("FORGE_TOKEN", "an old name"),
    "REVIEW_BOT_TOKEN": ("FORGE_REVIEW_TOKEN", "an old name"),
    "CODEBERG_REPO": ("FORGE_REPO", "an old name"),
    "CODEBERG_BOT_USERNAMES": ("FORGE_BOT_USERNAMES", "an old name"),
    "FORGE_TOKEN_DEVQWEN": ("", "the token of a former local-model agent"),
    "FORGE_TOKEN_LLAMA": ("", "the token of a former local-model agent"),
    "FORGE_PASS_LLAMA": ("", "the password of a former local-model agent"),
    "GARDENER_INTERVAL": ("", "no version reads it any more"),
    "CLAUDE_BIN_DIR": ("", "the host's claude binary, which newer images bring along"),
    "WOODPECKER_DB_PASSWORD": ("", "a leftover of a CI on Postgres"),
    "ENABLE_LLAMA_AGENT": ("", "newer agents refuse to start with it: an agent stands in projects/*.toml"),
}
"""Names of variables from earlier times: (today's name, what is to be said). Facts: 3.1 and 3.2."""
RENAMED = ("CODEBERG_TOKEN", "REVIEW_BOT_TOKEN", "CODEBERG_BOT_USERNAMES")
"""Those whose value is written under today's name, when that has none. (FORGE_REPO comes from the project file.)"""
FORGEJO_DATA = "/data"
FORGEJO_WRONG = "/var/lib/forgejo"
"""Where some files mount Forgejo's data, while the image keeps it in /data: an anonymous volume then (facts: 2.13)."""

_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]*_PLACEHOLDER\b")
_UPSTREAM_AGENTS = re.compile(r"(?:\A|/)disinto/agents(?::|\Z)|\Adisinto-agents(?::|\Z)")


def recognise(
    files: Sequence[tuple[str, str]],
    env: Mapping[str, str],
    *,
    missing: Collection[str] = (),
    local_agents: Collection[str] = (),
    running: Collection[str] = (),
) -> Lineage:
    """Recognise a stack.

    `files` are (name, text) in Compose's order, the first is the main one; `env` what Compose reads in `.env`;
    `missing` those of `build_inputs` that are not on the disk; `local_agents` the services that `projects/*.toml` ask
    for; `running` the services that have containers. Raises nothing: what is wrong is a finding.
    """
    if not files:
        return Lineage("none", "none", (), (_none(),))
    readings = [(name, read_compose(text)) for name, text in files]
    findings = [*_unreadable(readings)]
    if findings:
        return Lineage(_by_header(files[0][1]) or "foreign", "none", (), tuple(findings))
    data: dict[str, Any] = {}
    for _, reading in readings:
        data = merge(data, reading.data)
    services = tuple(_kind(name, item) for name, item in data["services"].items())
    modes = {item.mode for item in services if item.agents}
    mode = modes.pop() if len(modes) == 1 else "mixed" if modes else "none"
    generation = _generation(files[0][1], data, services)
    if generation == "foreign":
        findings.append(
            Finding(
                "refuse",
                "foreign",
                "",
                "no service in it runs agents, so this is not a factory's stack",
                "name the right directory with --dir",
            )
        )
    findings += _not_understood(readings)
    findings += _of_texts(readings, files)
    findings += _of_env(env)
    for kind in services:
        findings += _of_service(kind, data["services"][kind.name], data, missing)
    findings += _of_agents(data, local_agents, env)
    for name in sorted(set(running) - set(data["services"])):
        text = "it has a container, and no file describes it"
        findings.append(Finding("warning", "orphan", name, text, "left as it is"))
    order = ("refuse", "danger", "warning", "note")
    return Lineage(
        generation, mode, services, tuple(sorted(findings, key=lambda f: order.index(f.severity))), data
    )


def build_inputs(data: Mapping[str, Any]) -> dict[str, str]:
    """What each service's `build` needs, as a path relative to the instance (or absolute): the Dockerfile."""
    found = {}
    for name, item in (data.get("services") or {}).items():
        build = forms.build(item.get("build"))
        context = str(build.get("context", ""))
        if not context or "://" in context or "$" in context or build.get("dockerfile_inline"):
            continue
        path = f"{context.rstrip('/')}/{build.get('dockerfile', 'Dockerfile')}"
        found[name] = re.sub(r"\A(?:\./)+", "", path)
    return found


def uses_agents_image(name: str, service: Mapping[str, Any]) -> bool:
    """Whether a service runs the agents image: by its name, by what it is built from, or by its image."""
    build = forms.build(service.get("build"))
    if build:
        return str(build.get("dockerfile", "")).removeprefix("./") == AGENTS_DOCKERFILE or name == "agents"
    image = str(service.get("image", ""))
    return name in ("agents", "runner") or "AGENTS_IMAGE" in image or bool(_UPSTREAM_AGENTS.search(image))


def _kind(name: str, service: Mapping[str, Any]) -> ServiceKind:
    build, image = forms.build(service.get("build")), str(service.get("image", ""))
    mode: Literal["image", "build", "neither"] = "build" if build else "image" if image else "neither"
    context = without_user(str(build.get("context", "")))
    return ServiceKind(name, mode, image, context, uses_agents_image(name, service))


def _none() -> Finding:
    return Finding("refuse", "none", "", "there is no compose file", "`disinto init CONFIG` makes a factory")


def _by_header(text: str) -> Generation | None:
    header = inspect_header(text)
    if isinstance(header, GeneratedBy):
        return "ours" if header.hash_ok else "ours-edited"
    return "upstream-build" if isinstance(header, Upstream) else None


def _generation(text: str, data: Mapping[str, Any], services: Sequence[ServiceKind]) -> Generation:
    found = _by_header(text)
    if found in ("ours", "ours-edited"):
        return found
    agents = next((item for item in services if item.name == "agents"), None)
    if found is not None:
        if agents is not None and agents.mode == "image":
            return "upstream-image"
        policy = str((data["services"].get("agents") or {}).get("pull_policy", ""))
        return "upstream-build-opt" if policy == "build" else "upstream-build"
    if not any(item.agents for item in services):
        return "foreign"
    forgejo = data["services"].get("forgejo") or {}
    named = str(forgejo.get("container_name", "")) == "disinto-forgejo"
    return "tracked" if named and agents is not None else "hand"


def _unreadable(readings: Sequence[tuple[str, ComposeReading]]) -> Iterator[Finding]:
    for at, (name, reading) in enumerate(readings):
        if reading.error and not (at and reading.error == EMPTY):
            yield Finding(
                "refuse",
                "unreadable",
                "",
                f"{name} cannot be read: {reading.error}",
                "mend it, or put an older copy back; what runs goes on meanwhile",
            )
        for item in reading.duplicates:
            if not item.same:
                lines = f"lines {item.lines[0]} and {item.lines[1]}"
                yield Finding(
                    "refuse",
                    "duplicate",
                    "",
                    f"{name} says two things of {item.where} ({lines}), and nobody can tell which is meant",
                    "take one of them out",
                )


_TABLES_OR_LISTS = frozenset({"environment", "labels", "networks", "depends_on"})
_LISTS = frozenset({"volumes", "ports"})


def _not_understood(readings: Sequence[tuple[str, ComposeReading]]) -> Iterator[Finding]:
    """What would be read as nothing: parts of other files, and keys in forms that Compose does not know either."""
    for file, reading in readings:
        if "include" in reading.data:
            yield Finding(
                "refuse",
                "include",
                "",
                f"{file} takes in other files (`include`), and what stands in those would not go over",
                "write what they say into the file itself (`docker compose config` shows what it comes to)",
            )
        for name, service in (reading.data.get("services") or {}).items():
            if isinstance(service, Reset):
                continue
            if "extends" in service:
                yield Finding(
                    "refuse",
                    "extends",
                    name,
                    f"{file} builds it on another service (`extends`), and which of the two says what would be a guess",
                    "write what that says into the service itself (`docker compose config` shows what it comes to)",
                )
            for key in _misshapen(service):
                yield Finding(
                    "refuse",
                    "shape",
                    name,
                    f"its `{key}` in {file} is in no form that Compose knows, and would be read as nothing",
                    f"mend it (`docker compose -f {file} config` says more)",
                )


def _misshapen(service: Mapping[str, Any]) -> Iterator[str]:
    for key in (*sorted(_LISTS), *sorted(_TABLES_OR_LISTS)):
        value = service.get(key)
        if value is None or isinstance(value, Reset):
            continue
        if isinstance(value, Mapping):
            known = key in _TABLES_OR_LISTS
        elif isinstance(value, list):
            known = all(map(_LISTED.get(key, _is_text), value))
        else:
            known = False
        if not known:
            yield key


def _is_text(item: object) -> bool:
    return isinstance(item, str)


def _is_mount(item: object) -> bool:
    return isinstance(item, str) or (isinstance(item, Mapping) and isinstance(item.get("target"), str))


def _is_port(item: object) -> bool:
    plain = isinstance(item, (str, int)) and not isinstance(item, bool)
    return plain or (isinstance(item, Mapping) and "target" in item)


_LISTED: Mapping[str, Callable[[object], bool]] = {"volumes": _is_mount, "ports": _is_port}


def _of_texts(
    readings: Sequence[tuple[str, ComposeReading]], files: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    for name, reading in readings:
        for item in reading.duplicates:
            text = f"{name} says {item.where} twice, the same (lines {item.lines[0]} and {item.lines[1]})"
            yield Finding("note", "duplicate-same", "", text, "once is enough")
        if "version" in reading.data:
            yield Finding("note", "version-key", "", f"{name} has the obsolete key `version`", "dropped")
    for name, _ in files[1:]:
        text = f"{name} is part of the stack"
        yield Finding("note", "override", "", text, "what it says is kept")


def _of_env(env: Mapping[str, str]) -> Iterator[Finding]:
    for name, (today, words) in LEGACY.items():
        if name not in env:
            continue
        severity: Severity = "warning" if name == "ENABLE_LLAMA_AGENT" and env[name] == "1" else "note"
        if name in RENAMED and not env.get(today):
            now = f"its value is written as {today}, too"
        elif today and name != "DISINTO_IMAGE_TAG":
            now = f"{today} counts"
        else:
            now = "" if name == "DISINTO_IMAGE_TAG" else "left in .env"
        yield Finding(severity, "legacy-name", "", f".env has {name}: {words}", now)
    pinned = env.get("AGENTS_IMAGE", "")
    if pinned and "/" not in pinned:
        text = f"AGENTS_IMAGE={pinned} names no repository; Compose would take it for one"
        yield Finding("warning", "bare-pin", "", text, "written out in full")


def _of_service(
    kind: ServiceKind, service: Mapping[str, Any], data: Mapping[str, Any], missing: Collection[str]
) -> Iterator[Finding]:
    name = kind.name
    held = _PLACEHOLDER.findall(str(service))
    if held:
        text = f"{held[0]} was never filled in: upstream's generator stopped half-way"
        mounted = bool(_PLACEHOLDER.search(str(service.get("volumes"))))
        yield Finding(
            "warning", "placeholder", name, text, "left out" if mounted else "it goes over as it stands"
        )
    if kind.mode == "neither":
        yield Finding("warning", "nothing-to-run", name, "it has neither an image nor a build")
    if kind.mode == "build" and kind.image:
        text = "it has `image` and `build`: a version that cannot be pulled would be built and named after it"
        yield Finding("warning", "image-and-build", name, text)
    if kind.mode == "build" and build_inputs(data).get(name) in missing:
        text = f"its build needs {build_inputs(data)[name]}, which is gone"
        yield Finding("warning", "inputs-gone", name, text)
    declared = set(data.get("volumes") or ())
    for mount in forms.mounts(service.get("volumes")).values():
        if mount.kind == "volume" and mount.source and mount.source not in declared:
            if not _PLACEHOLDER.search(mount.source):
                text = f"the volume {mount.source} is declared nowhere"
                yield Finding("warning", "undefined-volume", name, text)
        elif "CLAUDE_BIN_DIR" in mount.source and ":-" not in mount.source:
            text = "its mount of the claude binary has no default: Compose refuses the file without CLAUDE_BIN_DIR"
            yield Finding("note", "no-default", name, text)
    for other in forms.depends(service.get("depends_on")):
        if other not in data["services"]:
            text = f"it depends on {other}, and there is no such service"
            yield Finding("warning", "undefined-dependency", name, text, "the dependency is dropped")
    for other in forms.names(service.get("networks")):
        if other != "default" and other not in (data.get("networks") or {}):
            text = f"the network {other} is declared nowhere"
            yield Finding("warning", "undefined-network", name, text, "declared")
    targets = forms.mounts(service.get("volumes"))
    if name == "forgejo" and FORGEJO_DATA not in targets:
        yield Finding(
            "danger",
            "forgejo-anonymous",
            name,
            f"nothing is mounted at {FORGEJO_DATA}, where Forgejo keeps everything: "
            "its data is in an anonymous volume of this one container",
            "copied to the named volume and compared, before the container is touched",
        )
    if service.get("env_file"):
        text = "env_file hands it every variable of that file, every token included"
        yield Finding("warning", "env-file", name, text)
    listed = [str(item).partition("=")[0] for item in service.get("environment") or ()]
    if isinstance(service.get("environment"), list):
        for twice in sorted({item for item in listed if listed.count(item) > 1}):
            text = f"environment has {twice} twice; the last one counts for Compose"
            yield Finding("warning", "duplicate-variable", name, text)
    if name == "chat" and kind.mode == "build":
        yield Finding(
            "warning", "stale-chat", name, "upstream moved it into the edge and deleted its Dockerfile"
        )


def _of_agents(
    data: Mapping[str, Any], local_agents: Collection[str], env: Mapping[str, str]
) -> Iterator[Finding]:
    services = data["services"]
    for name in sorted(set(local_agents) - set(services)):
        text = "a project file asks for it, and the compose file has no such service"
        yield Finding("warning", "agent-without-service", name, text, "made")
    for name in ("agents-llama", "agents-llama-all"):
        if name in services and name not in local_agents:
            text = "a local-model agent from before `[agents.<name>]` in the project file"
            yield Finding("note", "llama-service", name, text)
    for name, item in services.items():
        if forms.environment(item.get("environment")).get("ENABLE_LLAMA_AGENT") == "1":
            text = "ENABLE_LLAMA_AGENT=1 is handed to it, with which newer agents do not start"
            yield Finding("warning", "llama-flag", name, text, "dropped")
