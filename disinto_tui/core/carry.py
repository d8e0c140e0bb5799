"""What of an existing stack goes over into `docker-compose.override.yml`, so that nothing an operator put in is lost.

The rule: whatever the old stack says and a new one would say otherwise is kept in the override, but for what upstream's
generators are known to have written there (`UPSTREAM`; facts: 2.1 to 2.8), and for the few things that must not be
kept; those are named one by one. Data is never moved: a mount keeps its old source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import stack_forms as forms
from .carry_rules import (
    SHOWN,
    TOLD,
    UNWANTED_MOUNTS,
    UPSTREAM,
    UPSTREAM_CHECKS,
    UPSTREAM_IMAGES,
    UPSTREAM_SETTINGS,
)
from .compose_read import RESET, Override, merge
from .envfile.expand import TemplateError, substitute
from .lineage import uses_agents_image
from .stack_diff import shown_value
from .stack_services import IMAGE_REFERENCE, NETWORK

_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]*_PLACEHOLDER\b")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that does not go over, and why. `danger` when somebody may miss it."""

    service: str
    what: str
    why: str
    danger: bool = False

    def __str__(self) -> str:
        return f"{self.service}: {self.what} is not kept: {self.why}"


@dataclass
class Carried:
    """`override` is what the new file is merged with; `moved` says it in words, `dropped` what is not in it."""

    override: dict[str, Any] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CarryFacts:
    """What decides beside the two stacks.

    `env` is what `.env` says (with HOME, for comparing paths). `images`: for a service that is built here, the name of
    a local image to run instead (the one that runs), absent without one. `exact`: the old file is one of this tool's
    own, so that what it does not have was taken out by hand. `full_edge`: the new edge is upstream's.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    images: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    full_edge: bool = False


def carry_over(old: Mapping[str, Any], new: Mapping[str, Any], facts: CarryFacts) -> Carried:
    """What is to stand in the override beside `new`, so that what `old` has beyond it is kept. Raises nothing."""
    carried = Carried()
    services: dict[str, Any] = {}
    known = new["services"]
    theirs: Mapping[str, Any] = old.get("services") or {}
    for name in theirs.keys() - known.keys():
        part = _hand_made(name, theirs[name], old, known, facts, carried)
        if part:
            services[name] = part
    kept = frozenset(services)
    for name, service in theirs.items():
        if name in known:
            part = _Service(name, service, known[name], facts, carried, kept).part()
            if part:
                services[name] = part
    services = {name: services[name] for name in theirs if name in services}
    tables: dict[str, Any] = {}
    volumes, networks = dict(new.get("volumes") or {}), dict(new.get("networks") or {})
    top_volumes: dict[str, Any] = {}
    top_networks: dict[str, Any] = {}
    for kind, have, found in (("volumes", volumes, top_volumes), ("networks", networks, top_networks)):
        for name, value in (old.get(kind) or {}).items():
            if name not in have or _definition(value) != _definition(have[name]):
                found[name] = value
                carried.moved.append(f"{kind[:-1]} {name}")
    for name, service in services.items():
        _declare(
            name, service, {**volumes, **top_volumes}, {**networks, **top_networks}, top_volumes, top_networks
        )
    for key, value in old.items():
        if key not in ("services", "volumes", "networks", "version", "name") and value != new.get(key):
            tables[key] = value
            if not key.startswith("x-"):
                carried.moved.append(key)
    carried.override = {
        **tables,
        **({"services": services} if services else {}),
        **({"networks": top_networks} if top_networks else {}),
        **({"volumes": top_volumes} if top_volumes else {}),
    }
    return carried


def _definition(value: Any) -> dict[str, Any]:
    plain = dict(value) if isinstance(value, Mapping) else {}
    return {} if plain.get("driver") in ("bridge", "local") and len(plain) == 1 else plain


def _declare(
    name: str,
    service: Mapping[str, Any],
    volumes: Mapping[str, Any],
    networks: Mapping[str, Any],
    more_volumes: dict[str, Any],
    more_networks: dict[str, Any],
) -> None:
    """Compose refuses what is declared nowhere: it never ran that way, so there is no data under the name."""
    for mount in forms.mounts(service.get("volumes")).values():
        if mount.kind == "volume" and mount.source and mount.source not in volumes:
            more_volumes.setdefault(mount.source, None)
    for other in forms.names(service.get("networks")):
        if other != "default" and other not in networks:
            more_networks.setdefault(other, None)


def _hand_made(
    name: str,
    service: Mapping[str, Any],
    old: Mapping[str, Any],
    known: Mapping[str, Any],
    facts: CarryFacts,
    carried: Carried,
) -> dict[str, Any]:
    """A service that the new stack does not have, whole; {} when it cannot be kept."""
    part = {key: value for key, value in service.items() if value is not None}
    if name == "chat" and part.get("build"):
        carried.dropped.append(
            Dropped(name, "the service", "upstream moved it into the edge and it cannot be built", True)
        )
        return {}
    agents = old.get("services", {}).get("agents") or {}
    same_build = bool(part.get("build")) and forms.build(part["build"]) == forms.build(agents.get("build"))
    same_image = (
        bool(part.get("image")) and not part.get("build") and part.get("image") == agents.get("image")
    )
    if uses_agents_image(name, part) or same_build or same_image:
        for key in ("build", "pull_policy"):
            part.pop(key, None)
        part["image"] = IMAGE_REFERENCE
    elif part.get("build"):
        if name not in facts.images:
            why = "it is built here, and no image of it is on this host; a pinned stack builds nothing"
            carried.dropped.append(Dropped(name, "the service", why, True))
            return {}
        carried.dropped.append(
            Dropped(name, "its build", f"the image that runs is used instead: {facts.images[name]}")
        )
        part.pop("build")
        part.pop("pull_policy", None)
        part["image"] = facts.images[name]
    elif not part.get("image"):
        carried.dropped.append(Dropped(name, "the service", "it has neither an image nor a build", True))
        return {}
    _drop_flag(name, part, carried)
    _drop_placeholders(name, part, carried)
    there = set(known) | set(old.get("services") or {})
    depends = {other: how for other, how in forms.depends(part.get("depends_on")).items() if other in there}
    if depends != forms.depends(part.get("depends_on")):
        part["depends_on"] = {other: {"condition": how} for other, how in depends.items()}
        if not depends:
            part.pop("depends_on")
    if not part.get("network_mode"):
        nets = forms.names(part.get("networks"))
        # Without a network of its own it was on the default one, where the others were, too; they are on ours now.
        if not nets or nets == ("default",):
            part["networks"] = ["default", NETWORK]
    carried.moved.append(f"the service {name}")
    return part


def _drop_flag(name: str, part: dict[str, Any], carried: Carried) -> None:
    environment = forms.environment(part.get("environment"))
    if environment.pop("ENABLE_LLAMA_AGENT", None) is not None:
        part["environment"] = environment
        carried.dropped.append(Dropped(name, "ENABLE_LLAMA_AGENT", "newer agents do not start with it"))


def _drop_placeholders(name: str, part: dict[str, Any], carried: Carried) -> None:
    held = [item for item in part.get("volumes") or () if _PLACEHOLDER.search(str(item))]
    if held:
        part["volumes"] = [item for item in part["volumes"] if item not in held]
        for item in held:
            target = next(iter(forms.mounts([item])), "a mount")
            carried.dropped.append(Dropped(name, f"the mount at {target}", "its source was never filled in"))


@dataclass
class _Service:
    """One service that both stacks have."""

    name: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    facts: CarryFacts
    carried: Carried
    kept: frozenset[str]

    def part(self) -> dict[str, Any]:
        """What the override says of it."""
        found: dict[str, Any] = self._image()
        for key, value in (
            ("environment", self._environment()),
            ("volumes", self._mounts()),
            ("ports", self._ports()),
            ("networks", self._networks()),
            ("depends_on", self._depends()),
        ):
            if value or isinstance(value, Override):
                found[key] = value
        for key, value in self._settings():
            found[key] = value
        return found

    def _image(self) -> dict[str, Any]:
        old, new = str(self.old.get("image", "")), str(self.new.get("image", ""))
        if uses_agents_image(self.name, self.new):
            if self.facts.exact and self.old.get("image") and old != new:
                self._dropped(f"its image {old}", "AGENTS_IMAGE in .env says what agents run", True)
            return {}
        if self.old.get("build"):
            named = self.facts.images.get(self.name, "")
            if named and self._value(named) != self._value(new) and self.name != "edge":
                self._moved(f"image {named}, which was built here")
                return {"image": named}
            return {}
        if not old or self._value(old) == self._value(new) or old in UPSTREAM_IMAGES:
            return {}
        if self.name == "edge" and not self.facts.full_edge and not self.facts.exact:
            return {}
        self._moved(f"image {old}")
        return {"image": old}

    def _moved(self, what: str) -> None:
        self.carried.moved.append(f"{self.name}: {what}")

    def _dropped(self, what: str, why: str, danger: bool = False) -> None:
        self.carried.dropped.append(Dropped(self.name, what, why, danger))

    @property
    def _local(self) -> bool:
        return self.name.startswith("agents-")

    def _value(self, text: str) -> str:
        try:
            return substitute(text, self.facts.env.get, lenient=True)
        except TemplateError:
            return text

    def _environment(self) -> dict[str, Any]:
        old, new = (
            forms.environment(self.old.get("environment")),
            forms.environment(self.new.get("environment")),
        )
        found: dict[str, Any] = {}
        upstream = UPSTREAM.get("agents" if self._local else self.name, {})
        plain_edge = self.name == "edge" and not self.facts.full_edge
        for key, value in old.items():
            mine = new.get(key)
            if key in new and value == mine:
                continue
            if (
                key in new
                and value is not None
                and mine is not None
                and self._value(value) == self._value(mine)
            ):
                continue
            if value is not None and value in upstream.get(key, ()):
                continue
            if (
                key == "AGENT_ROLES"
                and self._local
                and set(re.split(r"[\s,]+", value or "")) == set((mine or "").split(","))
            ):
                continue
            if self._unwanted(key, value):
                continue
            if plain_edge and not self.facts.exact:
                self._dropped(key, "the new edge is a plain proxy and reads no variables")
                continue
            found[key] = value
            self._moved(f"environment {key} ({shown_value(key, value)})")
        if self.facts.exact:
            for key in new:
                if key not in old:
                    found[key] = RESET
                    self._moved(f"environment {key} taken out")
        return found

    def _unwanted(self, key: str, value: str | None) -> bool:
        if key == "ENABLE_LLAMA_AGENT":
            self._dropped(key, "newer agents do not start with it")
        elif key == "FACTORY_REPO" and uses_agents_image(self.name, self.old):
            if value not in ("${FORGE_REPO:-disinto-admin/disinto}", "${FACTORY_REPO:-}") and not self._local:
                return False
            self._dropped(
                key, "it makes agents follow a live checkout, and the image's version would mean nothing"
            )
        elif key == "FORGE_ADMIN_PASS" and self.name == "agents":
            self._dropped(key, "agents need no administrator's password")
        else:
            return self._local and key == "ANTHROPIC_API_KEY"  # from the project file, by way of .env
        return True

    def _mounts(self) -> list[Any]:
        env = self.facts.env
        old, new = forms.mounts(self.old.get("volumes"), env), forms.mounts(self.new.get("volumes"), env)
        raw = {next(iter(forms.mounts([item], env)), ""): item for item in self.old.get("volumes") or ()}
        found: list[Any] = []
        for target, mount in old.items():
            theirs = new.get(target)
            if theirs == mount or _PLACEHOLDER.search(f"{mount.source}{target}"):
                if theirs != mount:
                    self._dropped(f"the mount at {target}", "its source was never filled in")
                continue
            if (
                theirs is not None
                and replace(theirs, read_only=mount.read_only) == mount
                and not self.facts.exact
            ):
                continue  # the same data; who may write there is known better by now
            if target in UNWANTED_MOUNTS and self.name != "edge" and not self.facts.exact:
                self._dropped(f"the mount of {mount.source} at {target}", *UNWANTED_MOUNTS[target])
                continue
            if self.name in ("edge", "staging") and not self.facts.exact and self._ours_now(target, mount):
                continue
            found.append(raw[target])
            self._moved(f"mount {mount}")
        gone = [target for target in new if target not in old] if self.facts.exact else []
        if gone:
            kept = [
                item for item in self.new["volumes"] if not set(forms.mounts([item], env)) & {*gone, *old}
            ]
            for target in gone:
                self._moved(f"mount at {target} taken out")
            return Override([*kept, *raw.values()])
        return found

    def _ours_now(self, target: str, mount: forms.Mount) -> bool:
        """What upstream mounts into edge and staging, and a new one has otherwise."""
        if self.name == "staging" and target == "/srv/site" and mount.source == "./docker":
            self._dropped(
                f"{mount.source} as the site", "it showed every file in docker/; the site is ./site now"
            )
            return True
        if (
            self.name == "edge"
            and not self.facts.full_edge
            and mount.kind == "bind"
            and target not in ("/data", "/config")
        ):
            self._dropped(
                f"the mount of {mount.source} at {target}",
                "the new edge is a plain proxy and has no use for it",
            )
            return True
        return False

    def _ports(self) -> list[Any]:
        old, new = forms.ports(self.old.get("ports")), forms.ports(self.new.get("ports"))
        resolved = {key: self._value(host) for key, host in old.items()}
        if resolved == new:
            return []
        if all(new.get(key) == host for key, host in resolved.items()) and not self.facts.exact:
            return []  # more than before; told as added
        for key, host in resolved.items():
            if new.get(key) != host:
                self._moved(f"port {host}:{key}")
        for key in new:
            if key not in old:
                self._moved(f"port {key.removesuffix('/tcp')} taken out")
        return Override(self.old.get("ports") or ())

    def _networks(self) -> Any:
        if self.old.get("network_mode"):
            return RESET if self.new.get("networks") else None
        old, new = forms.names(self.old.get("networks")), forms.names(self.new.get("networks"))
        more = [name for name in old if name not in new and name != "default"]
        value = self.old.get("networks")
        for name in more:
            self._moved(f"network {name}")
        if isinstance(value, Mapping):
            own = {name: value[name] for name in value if name in more or value[name]}
            return own or None
        return more

    def _depends(self) -> dict[str, Any]:
        ours = forms.depends(self.new.get("depends_on"))
        theirs = forms.depends(self.old.get("depends_on"))
        return {
            name: {"condition": how} for name, how in theirs.items() if name not in ours and name in self.kept
        }

    def _settings(self) -> Iterator[tuple[str, Any]]:
        for key, value in self.old.items():
            if key in TOLD:
                continue
            mine = self.new.get(key)
            if _plain(key, value) == _plain(key, mine):
                continue
            if not self.facts.exact and self._upstreams(key, value):
                continue
            more = value
            if isinstance(value, list) and isinstance(mine, list) and key not in ("command", "entrypoint"):
                more = Override(value) if self.facts.exact else [item for item in value if item not in mine]
            yield key, more
            self._moved(f"{key}" + (f" {value}" if key in SHOWN else ""))
        if self.facts.exact:
            for key in self.new:
                if key not in self.old and key not in TOLD:
                    yield key, RESET
                    self._moved(f"{key} taken out")

    def _upstreams(self, key: str, value: Any) -> bool:
        if key == "healthcheck" and any(part in str(value) for part in UPSTREAM_CHECKS):
            return True
        if key == "command" and self.name in ("staging", "staging-deploy"):
            return self.name == "staging-deploy" or "file-server" in str(value)
        return value in UPSTREAM_SETTINGS.get(key, ()) and key in self.new


def _plain(key: str, value: Any) -> Any:
    if key == "labels":
        return forms.environment(value)
    if key in ("profiles", "security_opt", "cap_add", "cap_drop", "env_file") and value is not None:
        return (value,) if isinstance(value, str) else forms.names(value)
    return forms.plain(value)


def merged(new: Mapping[str, Any], carried: Carried) -> dict[str, Any]:
    """The new stack as Compose sees it with the override."""
    return merge(new, carried.override)


def repaired(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stack that Compose refuses, with what is declared nowhere declared or dropped: enough to start what ran."""
    found = {key: value for key, value in data.items() if key != "version"}
    services: dict[str, Any] = {}
    volumes, networks = dict(data.get("volumes") or {}), dict(data.get("networks") or {})
    runnable = {
        name: item
        for name, item in (data.get("services") or {}).items()
        if item.get("image") or item.get("build")
    }
    for name, service in runnable.items():
        part = dict(service)
        _drop_placeholders(name, part, Carried())
        depends = {
            other: {"condition": how}
            for other, how in forms.depends(part.pop("depends_on", None)).items()
            if other in runnable
        }
        services[name] = {**part, **({"depends_on": depends} if depends else {})}
        _declare(name, services[name], volumes, networks, volumes, networks)
    found["services"] = services
    return {
        **found,
        **({"volumes": volumes} if volumes else {}),
        **({"networks": networks} if networks else {}),
    }
