"""The many forms in which Compose lets one write the same thing, brought to one form for comparing."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .envfile.expand import TemplateError, substitute


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: `source` is a volume name, a path, or "" for an anonymous volume."""

    target: str
    source: str
    kind: str
    read_only: bool = False

    @property
    def origin(self) -> str:
        """What is mounted, without the place."""
        source = self.source or f"an anonymous {self.kind}"
        return source + (", read-only" if self.read_only else "")

    def __str__(self) -> str:
        return f"{self.origin} at {self.target}"


def split_outside_braces(text: str, separator: str = ":") -> list[str]:
    """`text` split at `separator`, but not inside `${…}`."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "{" and (depth or text[at - 1 : at] == "$"):
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif char == separator and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def environment(value: object) -> dict[str, str | None]:
    """`environment` (or `labels`, `args`) as a map; None is a name whose value comes from outside."""
    if isinstance(value, Mapping):
        return {str(key): _scalar(item) for key, item in value.items()}
    found: dict[str, str | None] = {}
    for item in _items(value):
        name, equals, text = str(item).partition("=")
        found[name] = text if equals else None
    return found


def _scalar(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        value = float(value)
    return _go_float(value) if isinstance(value, float) else str(value)


def _go_float(value: float) -> str:
    """A number as Compose writes it into an environment: `1.10` is 1.1 there, and ten million 1e+07."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    text = "".join(map(str, digits)).rstrip("0")
    power = len(digits) + exponent - 1
    minus = "-" if sign else ""
    if not text:
        return f"{minus}0"
    if not -4 <= power < 6:  # Go's %g in its shortest form
        return f"{minus}{text[0]}{'.' + text[1:] if text[1:] else ''}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    whole, rest = text[: power + 1].ljust(power + 1, "0"), text[power + 1 :]
    return f"{minus}{whole}{'.' + rest if rest else ''}"


def _items(value: object) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        yield from value


def mounts(value: object, environ: Mapping[str, str] | None = None) -> dict[str, Mount]:
    """`volumes` of a service by target; short and long forms give the same.

    With `environ`, variables in sources and targets are replaced, unset ones by their defaults.
    """
    found: dict[str, Mount] = {}
    for item in _items(value):
        mount = _long_mount(item) if isinstance(item, Mapping) else _short_mount(str(item))
        if mount is not None and environ is not None:
            source, target = _resolved(mount.source, environ), _resolved(mount.target, environ)
            mount = replace(mount, source=_path(source) if source else "", target=_target(target))
        if mount is not None:
            found[mount.target] = mount
    return found


def _resolved(text: str, environ: Mapping[str, str]) -> str:
    try:
        return substitute(text, environ.get, lenient=True)
    except TemplateError:
        return text


def _target(text: str) -> str:
    return text if text.startswith("$") else posixpath.normpath(text) if text else text


def _path(text: str) -> str:
    if text.startswith(("./", "../")) or text in (".", ".."):
        text = posixpath.normpath(text)
        return text if text.startswith(".") else f"./{text}"
    return posixpath.normpath(text) if text.startswith("/") else text


def _short_mount(text: str) -> Mount | None:
    parts = split_outside_braces(text)
    if len(parts) == 1:
        return Mount(_target(parts[0]), "", "volume")
    source, target = parts[0], parts[1]
    read_only = len(parts) > 2 and "ro" in parts[2].split(",")
    is_path = source.startswith(("/", ".", "~", "$"))
    return Mount(_target(target), _path(source), "bind" if is_path else "volume", read_only)


def _long_mount(item: Mapping[Any, Any]) -> Mount | None:
    target = item.get("target")
    if not isinstance(target, str):
        return None
    source = item.get("source")
    return Mount(
        _target(target),
        _path(str(source)) if source else "",
        str(item.get("type", "volume")),
        item.get("read_only") is True,
    )


def ports(value: object) -> dict[str, str]:
    """`ports` of a service: container port with protocol -> host side ("" when the engine chooses)."""
    found: dict[str, str] = {}
    for item in _items(value):
        if isinstance(item, Mapping):
            container = f"{item.get('target')}/{item.get('protocol', 'tcp')}"
            host = str(item.get("published") or "")
            address = item.get("host_ip")
            host = f"{address}:{host}" if address else host
        else:
            container, host = _short_port(str(item))
        if container in found:  # one container port published twice
            host = ", ".join(sorted({*found[container].split(", "), host}))
        found[container] = host
    return found


def _short_port(text: str) -> tuple[str, str]:
    text, _, protocol = text.partition("/")
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]*)\]:)?(?P<rest>.*)", text)
    parts = split_outside_braces(match["rest"] if match else text)
    host = ":".join(parts[:-1])
    if match and match["six"]:
        host = f"{match['six']}:{host}"
    return f"{parts[-1]}/{protocol or 'tcp'}", host


def names(value: object) -> tuple[str, ...]:
    """A list, or a map's keys, as sorted names: `networks`, `profiles`, `security_opt`, `depends_on`."""
    if isinstance(value, Mapping):
        return tuple(sorted(map(str, value)))
    return tuple(sorted(map(str, _items(value))))


def depends(value: object) -> dict[str, str]:
    """`depends_on` as a map of service to condition; a plain list means `service_started`."""
    if isinstance(value, Mapping):
        return {
            str(name): str(item.get("condition", "service_started"))
            if isinstance(item, Mapping)
            else "service_started"
            for name, item in value.items()
        }
    return {str(item): "service_started" for item in _items(value)}


def build(value: object) -> dict[str, Any]:
    """`build`, whose short form is only the context."""
    if isinstance(value, str):
        return {"context": _path(value)}
    if isinstance(value, Mapping):
        return {**value, **({"context": _path(str(value["context"]))} if value.get("context") else {})}
    return {}


def plain(value: object) -> object:
    """Any other value, with numbers as text and lists of scalars kept in order, fit for comparing."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _scalar(value)
