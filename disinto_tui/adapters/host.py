"""This host, as far as a plan needs to know it: ports, disk, home, clock."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit


def port_taken(port: int, bind: str = "") -> bool:
    """Whether something listens on that TCP port already (all addresses, or one).

    Tried by binding, the way Docker will; SO_REUSEADDR so that closed connections do not count.
    """
    families = [(socket.AF_INET, bind or "0.0.0.0")]  # noqa: S104  # the question is about every address
    if not bind and socket.has_ipv6:
        families.append((socket.AF_INET6, "::"))
    for family, address in families:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno == 98:  # EADDRINUSE; others (no IPv6, no right to low ports) say nothing about use
                return True
    return False


def free_bytes(path: str | Path) -> int | None:
    """Free bytes of the file system at (the nearest existing parent of) a path; None when unknown."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def is_local(endpoint: str) -> bool:
    """Whether the engine at that endpoint runs on this host, so that its ports and disk are ours."""
    return endpoint.startswith("unix://")


def is_loopback(url: str) -> bool:
    """Whether a URL names this host's loopback, which inside a container is the container itself."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def home() -> Path:
    """The operator's home; under sudo the one of the user who called it."""
    user = os.environ.get("SUDO_USER")
    return Path(f"~{user}").expanduser() if user and os.geteuid() == 0 else Path.home()
