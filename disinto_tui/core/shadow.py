"""Volume shadows: what of a service lies where the next recreate loses it, or hides it. Pure; no I/O.

A path that the image declares as VOLUME and that nothing is mounted at becomes an anonymous volume: kept by `up`,
lost from sight by `down` and `up`. A mount over a path where the image carries files hides them, also those that a new
version changes. What is written to neither goes with the container. (Containers facts 3.8, all reproduced on Engine
20.10 and 28.) A mount on a parent or a child of a declared path does not cover it: only one on exactly that path does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from shlex import quote
from typing import Any, Literal

from .shadow_paths import below, looks_like_file, unsaved
from .words import size_text

Severity = Literal["problem", "warning", "note"]
"""problem: data would be lost or left behind. warning: something is hidden, or will be lost one day. note: so it is."""

ShadowKind = Literal[
    "unmounted", "dropped", "anonymous", "adrift", "hidden", "unsaved", "source-missing", "mix-up"
]

_HASH = re.compile(r"\A[0-9a-f]{64}\Z")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount as the compose file means it. `source` is a volume's key or a path on the host, "" for an anonymous
    volume or a tmpfs; `creates` says that Docker makes a directory where a bind's source is missing."""

    target: str
    kind: Literal["volume", "bind", "tmpfs"]
    source: str = ""
    creates: bool = False

    @property
    def keeps(self) -> bool:
        """Whether what is written there is found again by name."""
        return self.kind == "bind" or (self.kind == "volume" and bool(self.source))


@dataclass(frozen=True, slots=True)
class Attached:
    """One mount as a container has it. `volume` is the engine's name, "" for a bind or a tmpfs."""

    target: str
    volume: str = ""
    source: str = ""

    @property
    def anonymous(self) -> bool:
        """A volume nobody named: 64 hexadecimal digits (20.10 has no label for it, newer engines do)."""
        return bool(_HASH.match(self.volume))


@dataclass(frozen=True, slots=True)
class Content:
    """What lies in a volume: `size` in bytes, number of `files`, the `newest` of them and when it was written (unix
    seconds). `whole` is False when looking was given up: then it is at least that much."""

    size: int = 0
    files: int = 0
    newest: str = ""
    newest_at: float = 0.0
    whole: bool = True

    @property
    def words(self) -> str:
        """`3 files, 1.2 MB, the newest is repo.db of 2026-11-24`."""
        if not self.files:
            return "it is empty" if self.whole else "nothing of it could be read"
        count = f"{'' if self.whole else 'more than '}{self.files} file{'' if self.files == 1 else 's'}"
        day = time.strftime("%Y-%m-%d", time.gmtime(self.newest_at))
        return f"{count}, {size_text(self.size)}, the newest is {self.newest} of {day}"


@dataclass(frozen=True, slots=True)
class Tree:
    """What an image has at one path: nothing, a file, or a directory with `files` (path below it: a mark that differs
    when the content does; links count as files, directories do not). A file's own path below itself is ""."""

    kind: Literal["absent", "file", "directory"] = "absent"
    files: Mapping[str, str] = field(default_factory=dict)

    def changed(self, before: Tree) -> list[str]:
        """Files that differ from `before`, are new, or are gone; sorted."""
        names = {*self.files, *before.files}
        return sorted(name for name in names if self.files.get(name) != before.files.get(name))


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """All that is known of one service. What is not known is None or left out, and nothing is concluded from it.

    `image` is the reference to be started, `declared` its VOLUMEs; `declared_before` those of the image that runs now.
    `mounts` are the compose file's; `attached` the container's (None: it has none). `trees` and `trees_before` are what
    the image to come, and the present one, have at the mounts' targets. `sources` says what lies at a bind's source.
    `written` are files the container wrote outside every mount. `contents` is by volume name. `project` is the compose
    project's name, for commands.
    """

    service: str
    image: str = ""
    project: str = ""
    declared: Sequence[str] = ()
    declared_before: Sequence[str] | None = None
    mounts: Sequence[Mount] = ()
    attached: Sequence[Attached] | None = None
    trees: Mapping[str, Tree] = field(default_factory=dict)
    trees_before: Mapping[str, Tree] | None = None
    sources: Mapping[str, Literal["missing", "file", "directory", "empty directory"]] = field(
        default_factory=dict
    )
    written: Sequence[str] = ()
    contents: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shadow:
    """One finding. `text` says what is so, `loss` what would be lost or hidden and when, `cure` what to do.

    `volume` is the anonymous volume it is about (""), `content` what lies in it (None: not known), `files` the paths
    that are hidden or would go.
    """

    kind: ShadowKind
    severity: Severity
    service: str
    path: str
    text: str
    loss: str
    cure: str
    volume: str = ""
    content: Content | None = None
    files: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What is so and what would become of it, in one line."""
        return f"{self.service}: {self.text}; {self.loss}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def mounts_of(definition: Mapping[str, Any]) -> tuple[Mount, ...]:
    """A service's mounts, from `docker compose config --format json`."""
    found = []
    for item in definition.get("volumes") or ():
        if not isinstance(item, Mapping) or not item.get("target"):
            continue
        kind = str(item.get("type", "volume"))
        if kind not in ("volume", "bind", "tmpfs"):
            continue
        creates = kind == "bind" and (item.get("bind") or {}).get("create_host_path") is True
        source = "" if kind == "tmpfs" else str(item.get("source") or "")
        found.append(Mount(normal(str(item["target"])), kind, source, creates))  # type: ignore[arg-type]
    tmpfs = definition.get("tmpfs") or ()
    for text in [tmpfs] if isinstance(tmpfs, str) else tmpfs:
        found.append(Mount(normal(str(text).partition(":")[0]), "tmpfs"))
    return tuple(found)


def attached_of(inspect: Mapping[str, Any]) -> tuple[Attached, ...]:
    """A container's mounts, from its inspect document, sorted by target (the engine's order is not stable)."""
    found = [
        Attached(
            normal(str(item.get("Destination", ""))),
            str(item.get("Name", "")) if item.get("Type") == "volume" else "",
            str(item.get("Source", "")),
        )
        for item in inspect.get("Mounts") or ()
    ]
    return tuple(sorted(found, key=lambda item: item.target))


def normal(path: str) -> str:
    """A path as it is compared: a trailing slash means nothing to Docker."""
    return path.rstrip("/") or "/"


def find_shadows(facts: ServiceFacts) -> list[Shadow]:
    """Everything that is in the shadow in one service: problems first, then by path."""
    found = [*_unmounted(facts), *_left_behind(facts), *_hidden(facts), *_unsaved(facts), *_sources(facts)]
    order = ("problem", "warning", "note")
    return sorted(found, key=lambda item: (order.index(item.severity), item.path, item.kind))


# -- declared, and mounted by nothing ------------------------------------------------------------------------------


def _unmounted(facts: ServiceFacts) -> Iterator[Shadow]:
    kept = {mount.target for mount in facts.mounts if mount.kind != "volume" or mount.source}
    held = {item.target: item for item in facts.attached or () if item.anonymous}
    before = None if facts.declared_before is None else {normal(path) for path in facts.declared_before}
    for path in sorted({normal(path) for path in facts.declared} - kept):
        near = _near(path, facts.mounts)
        one = held.get(path)
        if one is not None:
            content = facts.contents.get(one.volume)
            empty = content is not None and content.whole and not content.files
            yield Shadow(
                "unmounted",
                "warning" if empty else "problem",
                facts.service,
                path,
                f"{path} is a volume of its image and nothing is mounted there{near}, so what is written there lies in "
                f"the anonymous volume {one.volume[:12]}{_what(content)}",
                "`down` and `up` begin with an empty one, and a volume prune deletes it",
                _mount_there(path) if empty else _rescue(facts, path, one.volume),
                one.volume,
                content,
            )
            continue
        new = " since this version" if before is not None and path not in before else ""
        yield Shadow(
            "unmounted",
            "warning",
            facts.service,
            path,
            f"{path} is a volume of its image{new} and nothing is mounted there{near}",
            "what is written there goes into an anonymous volume, which `down` and `up` lose from sight",
            _mount_there(path),
        )


def _mount_there(path: str) -> str:
    return f"Mount a named volume or a directory at exactly {path} (yours goes into docker-compose.override.yml)."


def _near(path: str, mounts: Sequence[Mount]) -> str:
    """Said when a mount lies above or below, since everybody thinks that it covers the path."""
    for mount in mounts:
        if path.startswith(mount.target.rstrip("/") + "/") or mount.target.startswith(f"{path}/"):
            return f" (the mount at {mount.target} does not cover it)"
    return ""


def _what(content: Content | None) -> str:
    return "" if content is None else f" ({content.words})"


def _rescue(facts: ServiceFacts, path: str, volume: str, target: str = "") -> str:
    """The safe way to move the data: nothing writes meanwhile, and the old volume stays until somebody removes it."""
    key = _key(facts.service, path)
    to = target or f"{facts.project or 'PROJECT'}_{key}"
    # In a compose file the volume's name stands without the project's, which Compose puts before it.
    mount = "" if target else f", mount the volume {key} (for Docker it is {to}) at {path}"
    return (
        f"Stop {facts.service}, copy: `{_copy(volume, to, facts.image)}`{mount}, start it, look, and only then "
        f"`docker volume rm {volume}`."
    )


def _key(service: str, path: str) -> str:
    """What a volume for the path would be called in a compose file."""
    return f"{service}-{path.rpartition('/')[2] or 'data'}"


def _copy(volume: str, to: str, image: str) -> str:
    # The whole name: with its first digits Docker would make another volume.
    return (
        f"docker run --rm --entrypoint cp -v {volume}:/from:ro -v {quote(f'{to}:/to')} {image or 'IMAGE'} "
        "-a /from/. /to/"
    )


# -- anonymous volumes that the next container does not get ---------------------------------------------------------


def _left_behind(facts: ServiceFacts) -> Iterator[Shadow]:
    declared = {normal(path) for path in facts.declared}
    mounts = {mount.target: mount for mount in facts.mounts}
    for item in facts.attached or ():
        if not item.anonymous:
            continue
        mount, content = mounts.get(item.target), facts.contents.get(item.volume)
        if content is not None and content.whole and not content.files:
            continue  # nothing is lost with an empty one
        lies = f"the data at {item.target} lies in the anonymous volume {item.volume[:12]}{_what(content)}"
        if mount is not None and (mount.kind != "volume" or mount.source):
            named = mount.source or "a tmpfs"
            to = f"{facts.project or 'PROJECT'}_{mount.source}" if mount.kind == "volume" else mount.source
            yield Shadow(
                "anonymous",
                "problem",
                facts.service,
                item.target,
                f"{lies}, and the compose file mounts {named} there",
                "the next container begins with what is in that, and the data stays behind without a name",
                _rescue(facts, item.target, item.volume, to),
                item.volume,
                content,
            )
        elif mount is not None:
            yield Shadow(
                "anonymous",
                "warning",
                facts.service,
                item.target,
                f"{lies}, because the compose file mounts a volume without a name there",
                "`down` and `up` begin with an empty one, and a volume prune deletes it",
                _rescue(facts, item.target, item.volume),
                item.volume,
                content,
            )
        elif item.target not in declared:
            yield Shadow(
                "dropped",
                "problem",
                facts.service,
                item.target,
                f"{lies}, and {facts.image or 'the image'} has no volume there",
                "the next container has nothing there, and the data stays behind without a name",
                _rescue(facts, item.target, item.volume),
                item.volume,
                content,
            )


def adrift(
    found: Sequence[Shadow], volumes: Mapping[str, Content], image: str, project: str
) -> Shadow | None:
    """The one finding about anonymous volumes that no container uses: after `down` and `up` the data is in one of them.

    `found` is what was found otherwise: only where a declared path has no mount can such a volume be this factory's,
    since nothing on it says whose it is. `volumes` are those of the engine that have something in them, by name, the
    newest first; `image` is one to look into them with. None when there is nothing to say.
    """
    bare = [item for item in found if item.kind == "unmounted"]
    if not bare or not volumes:
        return None
    listed, count = list(volumes.items())[:_SHOWN], len(volumes)
    shown = ", ".join(f"{name[:12]} ({content.words})" for name, content in listed)
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    newest, first = listed[0][0], bare[0]
    key = _key(first.service, first.path)
    return Shadow(
        "adrift",
        "warning",
        first.service,
        first.path,
        f"{'an anonymous volume' if count == 1 else 'anonymous volumes'} with data that no container uses "
        f"{'lies' if count == 1 else 'lie'} on this engine: {shown}{more}",
        f"what was at {' or '.join(sorted({item.path for item in bare}))} before a `down` may be there, and a volume "
        "prune deletes it",
        f"Look into each (`docker run --rm --entrypoint ls -v {newest}:/from:ro {image or 'IMAGE'} -la /from`; all "
        f"names: `docker volume ls -qf dangling=true`). Yours: stop {first.service}, "
        f"`{_copy(newest, f'{project}_{key}', image)}`, mount the volume {key} at {first.path}. Prune nothing before.",
        newest,
        volumes[newest],
    )


# -- mounts over what the image brings -------------------------------------------------------------------------------


def _hidden(facts: ServiceFacts) -> Iterator[Shadow]:
    declared = {normal(path) for path in facts.declared}
    for mount in facts.mounts:
        tree = facts.trees.get(mount.target)
        if tree is None or not tree.files:
            continue
        before = (facts.trees_before or {}).get(mount.target)
        changed = tree.changed(before) if before is not None else []
        by = mount.source or ("a tmpfs" if mount.kind == "tmpfs" else "an anonymous volume")
        if tree.kind == "file" and not changed:
            continue  # one file in the place of another is what such a mount is for
        meant = tree.kind == "file" or mount.target in declared
        count = len(changed or tree.files)
        files = "file" if count == 1 else "files"
        if changed:
            text = f"{by} is mounted over {mount.target}, where {facts.image or 'the image'} changes {count} {files}"
            text += f" ({_few(changed)})"
            loss = "they are hidden: the container goes on with what is in the mount"
        else:
            text = f"{by} is mounted over {mount.target}, where the image has {count} {files} ({_few(tree.files)})"
            loss = "they are hidden, and so are the changes of a later version"
        yield Shadow(
            "hidden",
            "warning" if changed or not meant else "note",
            facts.service,
            mount.target,
            text,
            loss,
            f"Take the mount away when the image's own files are meant, or compare both before you go on "
            f"(`docker run --rm --entrypoint ls {facts.image or 'IMAGE'} -la {mount.target}`).",
            files=tuple(changed or sorted(tree.files)),
        )


def _few(names: Sequence[str] | Mapping[str, str]) -> str:
    listed = sorted(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


# -- written where nothing keeps it ----------------------------------------------------------------------------------


def covered_by(facts: ServiceFacts) -> list[str]:
    """Where something is mounted now: a container says nothing of its tmpfs, so the compose file is asked for those."""
    tmpfs = (item.target for item in facts.mounts if item.kind == "tmpfs")
    return [*(item.target for item in facts.attached or ()), *tmpfs]


def _unsaved(facts: ServiceFacts) -> Iterator[Shadow]:
    places: dict[str, list[str]] = {}
    for path in unsaved(facts.written, covered_by(facts)):
        places.setdefault(path.rpartition("/")[0] or "/", []).append(path)
    # The uppermost directory alone: a tree that was written whole is one finding.
    for place in sorted(places):
        if any(other not in (place, "/") and below(place, other) for other in places):
            continue
        inner = [place] if place == "/" else [other for other in places if below(other, place)]
        files = sorted(path for other in inner for path in places[other])
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        yield Shadow(
            "unsaved",
            "warning",
            facts.service,
            place,
            f"{count} were written to {place}, which no mount keeps ({_few(files)})"
            if len(files) > 1
            else f"{files[0]} was written where no mount keeps it",
            "the next recreate drops them" if len(files) > 1 else "the next recreate drops it",
            f"Copy what is needed (`docker cp`), and mount a volume or a directory "
            f"{'where it lies' if place == '/' else f'at {place}'} if it is to stay.",
            files=tuple(files),
        )


# -- the host's side of a bind ---------------------------------------------------------------------------------------


def _sources(facts: ServiceFacts) -> Iterator[Shadow]:
    for mount in facts.mounts:
        here = facts.sources.get(mount.source) if mount.kind == "bind" else None
        if here is None:
            continue
        tree = facts.trees.get(mount.target)
        known = tree.kind if tree is not None and tree.kind != "absent" else None
        file = known == "file" or (known is None and looks_like_file(mount.target))
        if here == "missing":
            yield _missing(facts, mount, file)
        elif here == "empty directory" and file:
            yield Shadow(
                "mix-up",
                "problem",
                facts.service,
                mount.target,
                f"{mount.source} is an empty directory, and {mount.target} should be a file: Docker made it when the "
                "file was missing",
                "the container finds a directory in the place of its file",
                f"Stop {facts.service}, `rmdir {quote(mount.source)}`, put the file there, start it again.",
            )
        elif here == "directory" and known == "file":
            yield _mixed(facts, mount, "a directory", "a file")
        elif here == "file" and known == "directory":
            yield _mixed(facts, mount, "a file", "a directory")


def _missing(facts: ServiceFacts, mount: Mount, file: bool) -> Shadow:
    if not mount.creates:
        loss, severity = f"{facts.service} cannot be started anew", "problem"
    elif file:
        loss, severity = "Docker makes an empty directory there, in the place of a file", "problem"
    else:
        loss, severity = "Docker makes an empty directory there, which belongs to root", "note"
    kind = "file" if file else "directory"
    return Shadow(
        "source-missing",
        severity,  # type: ignore[arg-type]
        facts.service,
        mount.target,
        f"{mount.source}, which is mounted at {mount.target}, is not there",
        loss,
        f"Put the {kind} there, or take the mount away.",
    )


def _mixed(facts: ServiceFacts, mount: Mount, here: str, there: str) -> Shadow:
    return Shadow(
        "mix-up",
        "problem",
        facts.service,
        mount.target,
        f"{mount.source} is {here}, and the image has {there} at {mount.target}",
        "the container cannot be started, or does not find what it looks for",
        f"Mount {there} there, or mount {here} elsewhere.",
    )
