"""Image references after the distribution grammar: `[domain[:port]/]path[:tag][@digest]`.

Semantics are those of the Go reference library, which the engine and Compose use: the first component is
a registry only if it has a `.` or a `:`, is `localhost`, or has an upper-case letter; anything else is on
docker.io, where one-word names live under `library/`. So `localhost:5000` alone is the repository
`localhost` with the tag `5000`. Matches are anchored with \\A and \\Z: a `$` would let a newline through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NoReturn

from .errors import BadInput
from .version import Version

DEFAULT_REGISTRY = "docker.io"
_LEGACY_REGISTRY = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_NAME = 255
_LONGEST_TAG = 128

_DOMAIN = re.compile(
    r"\A(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?\Z"
)
_COMPONENT = re.compile(r"\A[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"\A(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})\Z")
_DIGEST_LENGTH = {"sha256": 64, "sha512": 128}
_IDENTIFIER = re.compile(r"\A[a-f0-9]{64}\Z")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A full image reference. Make one with `parse_image`; what is written to files is `str(ref)`.

    `registry` is host[:port] (docker.io is spelled out), `repository` the path inside it. Raises
    ValueError when built by hand from parts that the grammar refuses.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        sound = (
            _DOMAIN.match(self.registry)
            and all(_COMPONENT.match(part) for part in self.repository.split("/"))
            and len(self.name) <= _LONGEST_NAME
            and (self.tag is None or _TAG.match(self.tag))
            and (self.digest is None or _DIGEST.match(self.digest))
            and _split_domain(self.name) == (self.registry, self.repository)
        )
        if not sound:
            raise ValueError("not an image reference; use parse_image for text from outside")

    @property
    def name(self) -> str:
        """registry/repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The short form Docker shows: no docker.io, no library/. It parses back to the same reference."""
        name = self.name
        if self.registry == DEFAULT_REGISTRY:
            for short in (self.repository.removeprefix(_OFFICIAL), self.repository):
                if _split_domain(short) == (self.registry, self.repository) and not _IDENTIFIER.match(short):
                    name = short
                    break
        return name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix

    def with_tag(self, tag: str | None) -> ImageRef:
        """The same repository with `tag` (None for none). The digest goes: it described the old tag.

        Raises BadInput (`image.grammar`) when `tag` is not a tag.
        """
        if tag is not None:
            _check_tag(tag, tag, 0)
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: str | None) -> ImageRef:
        """The same reference with `digest` (None for none). The tag stays, as a label for people: the engine
        does not check it against the digest (20.10, observed).

        Raises BadInput (`image.grammar`) when `digest` is not a digest.
        """
        if digest is not None:
            _check_digest(digest, digest, 0)
        return replace(self, digest=digest)


def local_name(reference: str) -> str:
    """The name by which an engine is to have the image of a pin: with its tag when it has one (Compose is given that,
    and a pull by digest sets none), else by its digest. Never the `latest` that nobody asked for. Raises BadInput."""
    found = parse_image(reference)
    return reference.partition("@")[0] if found.tag else reference


def parse_image(text: str) -> ImageRef:
    """Read an image reference. No tag and no digest are added.

    Raises BadInput (`image.grammar`): `why` names the part and the column, `details` show the text with a
    caret under it. Rules: the distribution reference grammar; sha512 digests are accepted as in Go. Names
    (registry and path together) have at most 255 characters.
    """
    if not text:
        _refuse(text, 0, "It is empty.")
    if (scheme := text.find("://")) >= 0:
        _refuse(text, scheme, "It has a scheme such as https://, which no image reference has.")
    rest, at, digest = text.partition("@")
    if at:
        _check_digest(text, digest, len(rest) + 1)
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    tag: str | None = None
    name = rest
    if colon >= 0:
        name, tag = rest[:colon], rest[colon + 1 :]
    if not name:
        _refuse(text, 0, f"The repository before the “{rest[:1] or '@'}” is missing.")
    registry, repository = _split_domain(name)
    _check_name(text, name)
    if tag is not None:
        _check_tag(text, tag, colon + 1)
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        _refuse(text, 0, f"The name, with its registry, has more than {_LONGEST_NAME} characters.")
    return ImageRef(registry, repository, tag, digest or None)


def resolve_operator_input(text: str, repository: ImageRef) -> ImageRef:
    """What an operator typed for a version -> a full reference. `repository` is the instance's own.

    In this order, blanks around the text ignored:
    1. a digest (`sha256:` and 64 hex digits) is that digest of the instance's repository;
    2. a word without `/`, `:` and `@` is a tag of the instance's repository, whatever it looks like:
       `v0.1.1`, `latest`, and also `busybox`;
    3. anything else is a reference by the grammar: `agents:v1` is docker.io/library/agents:v1, never a
       short form of the instance's own registry.

    Raises BadInput: `image.grammar` for what the grammar refuses, build metadata (`v1.0.0+x`) included,
    and `image.untagged` for a reference with neither tag nor digest (Docker would take `latest` silently).
    """
    text = text.strip(" \t\r\n")
    if not text:
        _refuse(text, 0, "It is empty.")
    if text.lower().startswith(("sha256:", "sha512:")):
        _check_digest(text, text, 0)
        return replace(repository, tag=None, digest=text)
    if not any(mark in text for mark in "/:@"):
        _check_tag(text, text, 0)
        return repository.with_tag(text)
    ref = parse_image(text)
    if ref.tag is None and ref.digest is None:
        raise BadInput(
            f"“{_shown(text)}” names no version.",
            "It has neither a tag nor a digest, and a missing tag would silently mean “latest”.",
            "Add a tag, as in name:v0.3.0, or a digest.",
            code="image.untagged",
        )
    return ref


def _split_domain(name: str) -> tuple[str, str]:
    """(registry, path) after splitDockerDomain of the Go library."""
    first, slash, rest = name.partition("/")
    if slash and (any(c in first for c in ".:") or first == "localhost" or first.lower() != first):
        registry, path = first, rest
    else:
        registry, path = DEFAULT_REGISTRY, name
    if registry == _LEGACY_REGISTRY:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = _OFFICIAL + path
    return registry, path


def _check_name(text: str, name: str) -> None:
    first, slash, rest = name.partition("/")
    at = 0
    if slash and (any(c in first for c in ".:") or first == "localhost" or first.lower() != first):
        if not _DOMAIN.match(first):
            _refuse_domain(text, first)
        at, name = len(first) + 1, rest
    elif _IDENTIFIER.match(name):
        _refuse(
            text, 0, "64 hex digits alone are an image ID, not a repository; put sha256: before a digest."
        )
    for component in name.split("/"):
        if not _COMPONENT.match(component):
            _refuse_component(text, component, at)
        at += len(component) + 1


def _refuse_domain(text: str, domain: str) -> NoReturn:
    host, colon, port = domain.rpartition(":") if not domain.endswith("]") else (domain, "", "")
    if not colon:
        host = domain
    if colon and not re.fullmatch(r"[0-9]+", port, re.ASCII):
        bad = _first_outside(port, r"[0-9]")
        _refuse(text, len(host) + 1 + bad, f"The port of the registry “{_shown(host)}” is not a number.")
    if not host:
        _refuse(text, 0, "The registry has a port but no host.")
    if host.startswith("["):
        _refuse(text, 0, "The registry's IPv6 address is not hex digits and colons between [ and ].")
    bad = _first_outside(host, r"[A-Za-z0-9.-]")
    if bad < len(host):
        # What has an upper-case letter in the first component is taken for a registry; usually it is a typo.
        _refuse(text, bad, f"The registry “{_shown(host)}” has {_named(host[bad])}, which no host name has.")
    at = next((i for i in range(len(host)) if _bad_label_at(host, i)), 0)
    _refuse(
        text, at, f"A part of the registry's host name “{_shown(host)}” is empty, or begins or ends with “-”."
    )


def _bad_label_at(host: str, i: int) -> bool:
    edge_before = i == 0 or host[i - 1] == "."
    edge_after = i == len(host) - 1 or host[i + 1] == "."
    return (host[i] == "-" and (edge_before or edge_after)) or (
        host[i] == "." and (edge_before or edge_after)
    )


def _refuse_component(text: str, part: str, at: int) -> NoReturn:
    if not part:
        _refuse(text, at, "A part of the repository's path is empty.")
    bad = _first_outside(part, r"[a-z0-9._-]")
    shown = _shown(part)
    if bad < len(part):
        char = part[bad]
        if "A" <= char <= "Z":
            _refuse(
                text,
                at + bad,
                f"The repository part “{shown}” has the upper-case letter “{char}”; use small letters.",
            )
        _refuse(
            text,
            at + bad,
            f"The repository part “{shown}” has {_named(char)}; allowed are a-z, 0-9, “.”, “_” and “-”.",
        )
    if part[0] in "._-":
        _refuse(
            text, at, f"The repository part “{shown}” begins with “{part[0]}”; it begins with a-z or 0-9."
        )
    if part[-1] in "._-":
        _refuse(
            text,
            at + len(part) - 1,
            f"The repository part “{shown}” ends with “{part[-1]}”; it ends with a-z or 0-9.",
        )
    run = next(m for m in re.finditer(r"[._-]+", part) if not re.fullmatch(r"\.|_|__|-+", m.group()))
    _refuse(
        text,
        at + run.start(),
        f"The repository part “{shown}” has “{run.group()}”; parts are joined by “.”, “_”, “__” or dashes.",
    )


def _check_tag(text: str, tag: str, at: int) -> None:
    if _TAG.match(tag):
        return
    if not tag:
        _refuse(text, at, "The tag is empty.")
    bad = _first_outside(tag, r"[A-Za-z0-9_.-]")
    if bad < len(tag):
        if tag[bad] == "+" and Version.try_parse(tag) is not None:
            _refuse(
                text, at + bad, f"The build metadata of “{_shown(tag)}” cannot be in a tag: no tag has a “+”."
            )
        _refuse(
            text,
            at + bad,
            f"The tag “{_shown(tag)}” has {_named(tag[bad])}; allowed are letters, digits, “_”, “.” and “-”.",
        )
    if tag[0] in ".-":
        _refuse(
            text,
            at,
            f"The tag “{_shown(tag)}” begins with “{tag[0]}”; it begins with a letter, a digit or “_”.",
        )
    _refuse(text, at + _LONGEST_TAG, f"The tag has {len(tag)} characters; {_LONGEST_TAG} is the limit.")


def _check_digest(text: str, digest: str, at: int) -> None:
    if _DIGEST.match(digest):
        return
    algorithm, colon, hexes = digest.partition(":")
    length = _DIGEST_LENGTH.get(algorithm)
    if not colon or length is None:
        _refuse(text, at, "The digest does not begin with “sha256:”.")
    at += len(algorithm) + 1
    bad = _first_outside(hexes, r"[a-f0-9]")
    if bad < len(hexes):
        also = "; the hex digits of a digest are small letters" if hexes[bad] in "ABCDEF" else ""
        _refuse(text, at + bad, f"The digest has {_named(hexes[bad])} among its hex digits{also}.")
    _refuse(
        text,
        at + min(len(hexes), length),
        f"The digest has {len(hexes)} hex digits after “{algorithm}:”; it needs {length}.",
    )


def _first_outside(text: str, allowed: str) -> int:
    """Index of the first character outside the class `allowed`; the length of `text` when there is none."""
    match = re.match(rf"\A{allowed}*", text)
    return match.end() if match else 0


def _named(char: str) -> str:
    if char == " ":
        return "a blank"
    return f"“{char}”" if char.isprintable() else f"the character U+{ord(char):04X}"


def _shown(text: str, limit: int = 80) -> str:
    """Foreign text on one line: unprintable characters become U+FFFD one by one, long text is cut."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _refuse(text: str, at: int, why: str) -> NoReturn:
    # A window around the place, so that the caret stays on the screen however long the text is.
    start = max(0, at - 60) if len(text) > 100 else 0
    window = "".join(c if c.isprintable() else "\ufffd" for c in text[start : start + 100])
    place = f" (column {at + 1})" if text else ""
    raise BadInput(
        f"“{_shown(text)}” is not an image reference.",
        why.removesuffix(".") + place + ".",
        "Write it as a tag (v0.3.0) or in full (host/path:tag).",
        code="image.grammar",
        details=(window, " " * (at - start) + "^") if text else (),
    )
