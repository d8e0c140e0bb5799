"""What of one service that both stacks have goes over into the override (`carry`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import stack_forms as forms
from .carry_rules import (
    ALWAYS,
    ALWAYS_SET,
    CHECK_KEYS,
    PLACEHOLDER_COMMAND,
    SHOWN,
    TOLD,
    UNWANTED_MOUNTS,
    UPSTREAM,
    UPSTREAM_CHECKS,
    UPSTREAM_EDGE,
    UPSTREAM_EDGE_MOUNTS,
    UPSTREAM_IMAGES,
    UPSTREAM_SETTINGS,
    UPSTREAM_SITE,
)
from .compose_read import RESET, Override, OverrideTable
from .envfile.expand import TemplateError, substitute
from .lineage import uses_agents_image
from .stack_diff import shown_value
from .stack_services import NETWORK

PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]*_PLACEHOLDER\b")


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
    own, so that what it does not have was taken out by hand. `complete`: a generator wrote it, ours or upstream's, so
    that a service that every generator writes was taken out, too. `full_edge`: the new edge is upstream's. `api_keys`:
    what the project files say, by service.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    images: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    complete: bool = False
    full_edge: bool = False
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class ServicePart:
    """One service that both stacks have."""

    name: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    facts: CarryFacts
    carried: Carried
    there: frozenset[str]
    """Services that the stack will have."""
    own_default: bool = False
    """The default network is one that somebody described: whoever was in it stays."""
    one_net: bool = True
    """All were on the default network together."""

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
        policy = self.old.get("pull_policy")
        if policy not in (None, "build", self.new.get("pull_policy")) and not uses_agents_image(
            self.name, self.new
        ):
            found["pull_policy"] = policy
            self._moved(f"pull_policy {policy}")
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
            if not named and self.name != "edge":
                why = "no image of it is on this host, and a pinned stack builds nothing"
                self._dropped("its build", f"{why}; it gets {self._value(new)}", True)
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
            if plain_edge and not self.facts.exact and UPSTREAM_EDGE.match(key):
                self._dropped(key, "the new edge is a plain proxy and does not read it")
                continue
            found[key] = value
            self._moved(f"environment {key} ({shown_value(key, value)})")
        always = ALWAYS.get(self.name, ()) if self.facts.complete else ()
        for key in new:
            if key not in old and (self.facts.exact or key in always):
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
            # From the project file, by way of .env.
            known = "$" in (value or "$") or value == self.facts.api_keys.get(self.name)
            return self._local and key == "ANTHROPIC_API_KEY" and known
        return True

    def _mounts(self) -> list[Any]:
        env = self.facts.env
        old, new = forms.mounts(self.old.get("volumes"), env), forms.mounts(self.new.get("volumes"), env)
        raw = {next(iter(forms.mounts([item], env)), ""): item for item in self.old.get("volumes") or ()}
        options = [_options(item.get("volumes"), env) for item in (self.old, self.new)]
        found: list[Any] = []
        for target, mount in old.items():
            theirs = new.get(target)
            if PLACEHOLDER.search(f"{mount.source}{target}"):
                self._dropped(f"the mount at {target}", "its source was never filled in")
                continue
            if theirs == mount and options[0].get(target) == options[1].get(target):
                continue
            if (
                theirs is not None
                and target == "/etc/caddy/Caddyfile"
                and replace(theirs, read_only=mount.read_only) == mount
                and not self.facts.exact
            ):
                continue  # upstream's own; nobody has to write there
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
        if self.name == "edge" and not self.facts.full_edge and UPSTREAM_EDGE_MOUNTS.match(target):
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
        value = self.old.get("networks")
        old, new = forms.names(value), forms.names(self.new.get("networks"))
        taken = [name for name in new if name not in old]
        if taken and (self.facts.exact or (self.facts.complete and old)):
            for name in taken:
                self._moved(f"network {name} taken out")
            return (
                (OverrideTable(value) if isinstance(value, Mapping) else Override(value)) if value else RESET
            )
        more = [name for name in old if name not in new and name != "default"]
        if self.new.get("network_mode") or (self.own_default and old in ((), ("default",))):
            # It was where the others were; those are on ours now.
            joins = bool(self.new.get("network_mode")) and self.one_net
            more = [*(old or ("default",)), *([NETWORK] if joins else [])]
        for name in more:
            self._moved(f"network {name}")
        if isinstance(value, Mapping):
            own = {
                name: value.get(name)
                for name in dict.fromkeys([*value, *more])
                if name in more or value[name]
            }
            return own or None
        return list(dict.fromkeys(more))

    def _depends(self) -> dict[str, Any]:
        ours, theirs = (dependencies(item.get("depends_on")) for item in (self.new, self.old))
        found: dict[str, Any] = {}
        for name, how in theirs.items():
            wanted = dict(how)
            if name in ours and not self.facts.exact and how.get("condition") == "service_started":
                wanted["condition"] = ours[name]["condition"]  # ours wait for health where upstream's did not
            if name in self.there and wanted != ours.get(name):
                found[name] = wanted
                self._moved(f"depends on {name}")
        if self.facts.exact:
            for name in ours.keys() - theirs.keys():
                found[name] = RESET
                self._moved(f"depends on {name} taken out")
        return found

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
            if key == "healthcheck" and isinstance(value, Mapping) and {"test", "disable"} & value.keys():
                more = OverrideTable(value)  # a check of its own, and not with the pace of ours
            yield key, more
            self._moved(f"{key}" + (f" {value}" if key in SHOWN else ""))
        for key in self.new:
            if key in self.old or key in TOLD:
                continue
            # On networks of the stack it cannot be on the host's as well, and it was on those.
            # Every generator gives these two a command: without one, the image's own is meant.
            own = key == "command" and self.name in ("staging", "staging-deploy")
            always = self.facts.complete and key in ALWAYS_SET
            if self.facts.exact or key == "network_mode" or own or always:
                yield key, RESET
                self._moved(f"{key} taken out")

    def _upstreams(self, key: str, value: Any) -> bool:
        if key == "healthcheck":
            known = UPSTREAM_CHECKS.get("agents" if self._local else self.name)
            return known is not None and _check(value) == known
        if key == "command" and self.name == "staging":
            return _words(value) == UPSTREAM_SITE
        if key == "command" and self.name == "staging-deploy":
            return bool(PLACEHOLDER_COMMAND.match(_words(value)))
        return value in UPSTREAM_SETTINGS.get(key, ()) and key in self.new


def _check(value: Any) -> tuple[str, ...] | None:
    """A healthcheck as `UPSTREAM_CHECKS` has them; None when it says more than that."""
    if not isinstance(value, Mapping) or not set(value) <= {"test", *CHECK_KEYS}:
        return None
    test = _words(value.get("test")).removeprefix("CMD-SHELL ").removeprefix("CMD ")
    return (test, *(str(value.get(key, "")) for key in CHECK_KEYS))


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _options(value: Any, env: Mapping[str, str]) -> dict[str, Any]:
    """What mounts say beyond source, target and who may write, by target: a part of a volume, labels, propagation."""
    found: dict[str, Any] = {}
    for item in value or ():
        target = next(iter(forms.mounts([item], env)), "")
        if isinstance(item, Mapping):
            more = {key: item[key] for key in item if key not in ("type", "source", "target", "read_only")}
            bind = {key: what for key, what in (more.get("bind") or {}).items() if key != "create_host_path"}
            more = {**more, "bind": bind}
            found[target] = {key: what for key, what in more.items() if what not in ({}, None)}
        else:
            parts = forms.split_outside_braces(str(item))
            words = parts[2].split(",") if len(parts) > 2 else []
            found[target] = {word: True for word in words if word not in ("ro", "rw")}
    return found


def _plain(key: str, value: Any) -> Any:
    if key == "labels":
        return forms.environment(value)
    if key in ("profiles", "security_opt", "cap_add", "cap_drop", "env_file") and value is not None:
        return (value,) if isinstance(value, str) else forms.names(value)
    return forms.plain(value)


def dependencies(value: Any) -> dict[str, Any]:
    """`depends_on` in its long form, with everything that it says."""
    if isinstance(value, Mapping):
        return {str(name): item or {"condition": "service_started"} for name, item in value.items()}
    return {str(name): {"condition": "service_started"} for name in value or ()}
