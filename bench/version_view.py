"""The versions screen on an instance whose memory holds many versions, on a real terminal.

`version_view.py DIRECTORY` opens the screen itself, as `v` does on Home. `fill` writes the memory: what the registry
would have said.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

REPOSITORY = "registry.invalid/disinto/agents"


def tags(count: int) -> list[str]:
    """So many versions, newest first; every twentieth a pre-release of the one before it."""
    found: list[str] = []
    number = count
    while len(found) < count:
        number -= 1
        version = f"v{number // 1000}.{number // 10 % 100}.{number % 10}"
        found.append(version)
        if number % 20 == 0 and len(found) < count:
            found.append(f"{version}-rc.1")
    return found


def fill(directory: Path, count: int) -> list[str]:
    """Write the memory of an instance that is pinned to one of so many versions; the tags."""
    import time

    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.version_cache import VersionCache

    directory.mkdir(parents=True)
    found = tags(count)
    running = found[count // 2]
    (directory / "docker-compose.yml").write_text("services: {}\n")
    (directory / ".env").write_text(f"AGENTS_IMAGE={REPOSITORY}:{running}\n")
    cache = VersionCache(Instance.at(directory), REPOSITORY)
    cache.put_listing(found, time.time() - 60, [running], [running])
    return found


def main() -> None:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.tui import screens
    from disinto_tui.tui.app import DisintoApp

    DisintoApp(Instance.at(sys.argv[1]), first=lambda: screens.versions_screen({})).run()


if __name__ == "__main__":
    main()
