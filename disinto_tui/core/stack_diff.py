"""What changes between two compose files, in an operator's terms: services, mounts, environment, ports.

A text diff hides that a mount moved or a variable went (upstream lost a runner and its mounts that way); this
one names each change, what would be lost, and puts the dangers first. Values of environment are hidden unless
they are references or known to hold no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import stack_forms as forms

Area = Literal["project", "service", "image", "mount", "environment", "port", "volume", "network", "setting"]
Kind = Literal["added", "removed", "changed"]

HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `service` is "" for the file itself; `before` and `after` hold no secret; `loss` says in
    words what would be lost or risked, and is never empty when `danger` is set."""

    kind: Kind
    area: Area
    service: str
    name: str
    before: str = ""
    after: str = ""
    danger: bool = False
    loss: str = ""

    def __str__(self) -> str:
        where = f"{self.service}: " if self.service and self.area != "service" else ""
        what = {"setting": "", "project": "project name"}.get(self.area, self.area)
        name = self.service if self.area == "service" else self.name
        subject = " ".join(part for part in (what, name if self.area != "project" else "") if part)
        values = ""
        if self.kind == "changed" and self.before == self.after:
            # What differs is not shown; that one and the same becomes itself tells nobody anything.
            values = {"": "", HIDDEN: " (a hidden value)"}.get(
                self.after, f" (in what is not shown of {self.after})"
            )
        elif self.kind == "changed" and (self.before or self.after):
            values = f" from {self.before or 'nothing'} to {self.after or 'nothing'}"
        elif self.before or self.after:
            values = f" ({self.before or self.after})"
        return f"{where}{subject} {self.kind}{values}" + (f": {self.loss}" if self.loss else "")


def semantic_diff(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    old_project: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Change, ...]:
    """The changes from one compose file's data to another's; dangers first, then file order.

    Takes what the YAML reader gives, in Compose's short or long forms. `old_project` is the real project
    name when `old` has no `name:`. `environ` (HOME, what `.env` says) lets mounts be compared by what their
    paths come to; without it `${HOME}/.ssh` and `/home/ops/.ssh` differ. Raises nothing: parts of an
    unexpected shape compare as a whole.
    """
    old_name = old.get("name") or old_project
    changes = [
        *_project(old_name, new.get("name")),
        *_services(_table(old, "services"), _table(new, "services"), environ or {}),
        *_volumes(_named(old, "volumes", old_name), _named(new, "volumes", new.get("name"))),
        *_networks(_named(old, "networks", old_name), _named(new, "networks", new.get("name"))),
    ]
    return tuple(sorted(changes, key=lambda change: not change.danger))


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _named(data: Mapping[str, Any], key: str, project: object) -> dict[str, Any]:
    """Volumes or networks, without what Compose adds when it spells a definition out."""
    found: dict[str, Any] = {}
    for name, value in _table(data, key).items():
        plain = dict(value) if isinstance(value, Mapping) else {}
        if plain.get("name") == f"{project}_{name}":
            del plain["name"]
        if plain.get("ipam") == {}:
            del plain["ipam"]
        found[name] = plain
    return found


def _keys(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*old, *new)))


def _project(old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if old and new:
        loss = "volumes and networks are named after the project, so everything would start empty"
        yield Change("changed", "project", "", "name", str(old), str(new), True, loss)
    elif new:
        yield Change("added", "project", "", "name", after=str(new))
    else:
        loss = "without it the directory's name decides, and moving it starts with empty volumes"
        yield Change("removed", "project", "", "name", str(old), danger=True, loss=loss)


def _services(old: Mapping[str, Any], new: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Change]:
    for name in _keys(old, new):
        before, after = old.get(name), new.get(name)
        if name not in new:
            loss = "the file no longer describes it; a running container goes on without it"
            detail = ", ".join(
                str(mount) for mount in forms.mounts(_table(old, name).get("volumes")).values()
            )
            yield Change("removed", "service", name, name, detail, danger=True, loss=loss)
        elif name not in old:
            yield Change("added", "service", name, name, after=_origin(_table(new, name)))
            yield from _powers(name, {}, _table(new, name))
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _service(name, before, after, environ)


def _origin(service: Mapping[str, Any]) -> str:
    if service.get("build"):
        return f"built from {without_user(str(forms.build(service['build']).get('context', '.')))}"
    return str(service.get("image", ""))


def _service(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[Change]:
    yield from _image(name, old, new)
    yield from _mounts(
        name, forms.mounts(old.get("volumes"), environ), forms.mounts(new.get("volumes"), environ)
    )
    yield from _environment(
        name, forms.environment(old.get("environment")), forms.environment(new.get("environment"))
    )
    yield from _ports(name, forms.ports(old.get("ports")), forms.ports(new.get("ports")))
    yield from _powers(name, old, new)
    yield from _settings(name, old, new)


_DATABASES = {"forgejo": "its database", "woodpecker": "its database"}


def _image(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = forms.build(old.get("build")), forms.build(new.get("build"))
    if old.get("image") == new.get("image") and before == after:
        return
    was, becomes = _origin(old), _origin(new)
    if not was and not becomes:
        return
    kind: Kind = "changed" if was and becomes else "added" if becomes else "removed"
    if was == becomes and before != after:
        keys = [key for key in _keys(before, after) if before.get(key) != after.get(key)]
        becomes = f"the same with other {', '.join(keys)}"
    elif was == becomes:
        was, becomes = (f"{was} as {item.get('image') or 'what Compose calls it'}" for item in (old, new))
    danger = name in _DATABASES and kind == "changed"
    loss = f"{_DATABASES[name]} may be migrated, and an older image cannot read it then" if danger else ""
    yield Change(kind, "image", name, "", was, becomes, danger, loss)


def _mounts(name: str, old: dict[str, forms.Mount], new: dict[str, forms.Mount]) -> Iterator[Change]:
    for target in _keys(old, new):
        before, after = old.get(target), new.get(target)
        if before == after:
            continue
        if after is None and before is not None:
            moved = next((m for m in new.values() if m.source and m.source == before.source), None)
            if moved is not None and moved.target not in old:
                loss = f"what is at {target} now comes from the image alone, and dies with the container"
                yield Change("changed", "mount", name, before.source, target, moved.target, True, loss)
                continue
            loss = f"what is written to {target} then dies with the container"
            yield Change("removed", "mount", name, target, before.origin, danger=True, loss=loss)
        elif before is None and after is not None:
            if any(m.source and m.source == after.source and m.target not in new for m in old.values()):
                continue  # told above as moved
            yield Change("added", "mount", name, target, after=after.origin)
        elif before is not None and after is not None:
            if before.source != after.source or before.kind != after.kind:
                hidden = before.source or "the old volume"
                loss = f"{target} then shows other data, and what is in {hidden} is out of sight"
                was, becomes = before.origin, after.origin
                if before.source == after.source:
                    was, becomes = f"{was} (a {before.kind})", f"{becomes} (a {after.kind})"
                yield Change("changed", "mount", name, target, was, becomes, True, loss)
            else:
                loss = "the service can no longer write there" if after.read_only else ""
                yield Change("changed", "mount", name, target, before.origin, after.origin, bool(loss), loss)


def _environment(name: str, old: dict[str, str | None], new: dict[str, str | None]) -> Iterator[Change]:
    for key in _keys(old, new):
        before, after = old.get(key), new.get(key)
        if key not in new:
            loss = "the service no longer gets it"
            yield Change(
                "removed", "environment", name, key, shown_value(key, before), danger=True, loss=loss
            )
        elif key not in old:
            yield Change("added", "environment", name, key, after=shown_value(key, after))
        elif _reference(before) != _reference(after):
            yield Change(
                "changed", "environment", name, key, shown_value(key, before), shown_value(key, after)
            )


def _ports(name: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    for key in _keys(old, new):
        before, after = old.get(key), new.get(key)
        shown = key.removesuffix("/tcp")
        if key not in new:
            loss = "it can no longer be reached from the host"
            yield Change(
                "removed", "port", name, shown, f"host {before}" if before else "", danger=True, loss=loss
            )
        elif key not in old:
            yield Change("added", "port", name, shown, after=f"host {after}" if after else "")
        elif before != after:
            was, becomes = (f"host {item}" if item else "any free one" for item in (before, after))
            yield Change("changed", "port", name, shown, was, becomes)


def _powers(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    if new.get("privileged") is True and old.get("privileged") is not True:
        loss = "it can do on the host what root can"
        yield Change("added", "setting", name, "privileged", danger=True, loss=loss)
    sockets = [m for m in forms.mounts(new.get("volumes")).values() if m.target.endswith("docker.sock")]
    if sockets and sockets[0].target not in forms.mounts(old.get("volumes")):
        loss = "it can start any container, and so do on the host what root can"
        yield Change("added", "setting", name, "access to the engine", danger=True, loss=loss)


_TOLD = frozenset({"image", "build", "volumes", "environment", "ports"})
_NAME_LISTS = frozenset({"networks", "profiles", "security_opt", "cap_add", "cap_drop", "env_file"})
_SHOWN = frozenset(
    {"restart", "network_mode", "container_name", "init", "stop_grace_period", "pull_policy", "user", "pid"}
)


def _settings(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key in _keys(old, new):
        if key in _TOLD or key.startswith("x-"):
            continue
        if key == "privileged" and new.get(key) is True:
            continue  # told as a power
        before, after = _setting(key, old.get(key)), _setting(key, new.get(key))
        if before == after:
            continue
        kind: Kind = "changed" if key in old and key in new else "removed" if key in old else "added"
        danger, loss = _setting_loss(key, old.get(key), new.get(key))
        yield Change(kind, "setting", name, key, _shown(key, before), _shown(key, after), danger, loss)


def _setting(key: str, value: object) -> object:
    if key == "depends_on":
        return forms.depends(value)
    if key in _NAME_LISTS:
        return (value,) if isinstance(value, str) else forms.names(value)
    if key == "labels":
        return forms.environment(value)
    return forms.plain(value)


def _setting_loss(key: str, old: object, new: object) -> tuple[bool, str]:
    if key == "restart" and old and not new:
        return True, "it stays down after a reboot or a crash"
    if key == "profiles" and new and not old:
        return True, "it no longer starts by itself"
    if key == "env_file" and old and not new:
        return True, "variables it got from that file are gone"
    if key == "container_name" and old:
        return False, "scripts that call the container by its name have to follow"
    return False, ""


_CONDITIONS = {
    "service_started": "",
    "service_healthy": " (healthy)",
    "service_completed_successfully": " (completed)",
}


def _shown(key: str, value: object) -> str:
    # Commands, labels and the like can hold secrets; that they differ is all that is said.
    if value in (None, (), {}, []):
        return ""
    if key == "depends_on" and isinstance(value, dict):
        return ", ".join(f"{one}{_CONDITIONS.get(how, f' ({how})')}" for one, how in sorted(value.items()))
    if key in _NAME_LISTS and isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value) if key in _SHOWN else ""


def _volumes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in _keys(old, new):
        if name not in new:
            loss = "the volume stays on the host, but nothing uses it any more"
            yield Change("removed", "volume", "", name, danger=True, loss=loss)
        elif name not in old:
            yield Change("added", "volume", "", name)
        elif old[name] != new[name]:
            loss = "Compose may offer to make it anew, which deletes the data"
            yield Change("changed", "volume", "", name, danger=True, loss=loss)


def _networks(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in _keys(old, new):
        if name not in new:
            yield Change("removed", "network", "", name)
        elif name not in old:
            yield Change("added", "network", "", name)
        elif forms.plain(old[name]) != forms.plain(new[name]):
            yield Change("changed", "network", "", name)


_NO_SECRET = re.compile(
    r"\A(?:FORGE_URL|FORGE_REPO|FORGE_OPS_REPO|FACTORY_REPO|FORGE_BOT_USER(?:NAMES|_\w+)|FORGE_ADMIN_USERS"
    r"|PROJECT_NAME|PROJECT_REPO_ROOT|PROJECT_TOML|OPS_REPO_ROOT|PRIMARY_BRANCH|AGENT_ROLES|DISINTO_CONTAINER"
    r"|DISINTO_VERSION|DISINTO_AGENTS|[A-Z]+_INTERVAL|ANTHROPIC_BASE_URL|CLAUDE_(?:MODEL|TIMEOUT|[A-Z]+_DIR|CODE_(?:DISABLE_\w+|ENABLE_\w+|ATTRIBUTION_HEADER)"
    r"|AUTOCOMPACT_PCT_OVERRIDE)|WOODPECKER_(?:SERVER|HOST|OPEN|REPO_ID|DATA_DIR|FORGEJO|FORGEJO_URL|MAX_WORKFLOWS"
    r"|HEALTHCHECK_ADDR|BACKEND_DOCKER_NETWORK|PLUGINS_PRIVILEGED|DATABASE_DRIVER|GRPC_SECURE|GRPC_KEEPALIVE_\w+)"
    r"|FORGEJO__(?:server__(?:ROOT_URL|HTTP_PORT)|database__DB_TYPE|security__INSTALL_LOCK"
    r"|service__(?:DISABLE_REGISTRATION|REQUIRE_SIGNIN_VIEW|\w+_MAIL|\w+_CONFIRMATION)|webhook__ALLOWED_HOST_LIST)|DEPLOY_ENV|EDGE_(?:TUNNEL|ROUTING)_\w+|(?:CHAT|VOICE)_(?:HOST|PORT))\Z"
)
_BARE_REFERENCE = re.compile(r"\A\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::?-)?\}?\Z")
_USER_PART = re.compile(r"(?<=://)[^/@\s]*@")


def without_user(text: str) -> str:
    """An address without what stands before its host: that may be a token."""
    return _USER_PART.sub(f"{HIDDEN}@", text)


def _reference(value: str | None) -> str | None:
    """A value to compare: `$X`, `${X}`, `${X-}` and `${X:-}` come to the same."""
    bare = _BARE_REFERENCE.match(value or "")
    return f"${{{bare[1]}}}" if bare else value


def shown_value(name: str, value: str | None) -> str:
    """A variable's value as it may be shown: a bare reference, or the value of a name known to hold no
    secret (without the user part of an address); else `[hidden]`. Raises nothing."""
    if value is None:
        return "from outside"
    if value == "":
        return "empty"
    if _BARE_REFERENCE.match(value):
        return value
    if _NO_SECRET.match(name):
        return without_user(value)
    return HIDDEN
