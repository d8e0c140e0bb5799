"""What `init` works with: the request, the world as observed, files to be, the prepared plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from disinto_tui.adapters.engine import EngineInfo
from disinto_tui.adapters.forge import ForgeUser
from disinto_tui.adapters.host import home
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.plan import Plan
from disinto_tui.core.redact import Secret
from disinto_tui.core.stack import HostFacts
from disinto_tui.runs.versions import Resolved


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What the operator gave. `config` is the project file's text, `config_name` what to call it in errors.

    `version` is what --version or the shell named ("" for the file's own, else the newest);
    `build_context` turns on dev mode; `overwrite` goes on over a compose file that was edited by hand.
    """

    instance: Instance
    config_name: str
    config: bytes
    token: Secret | None = None
    version: str = ""
    build_context: str | None = None
    start: bool = True
    overwrite: bool = False
    registry_login: tuple[str, Secret] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan ready to be confirmed, with what its run needs: staged files by name, secrets by name."""

    plan: Plan
    staged: Mapping[str, bytes] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class World:
    """What was observed: the engine, who the token is, what the version resolved to."""

    endpoint: str
    engine: EngineInfo
    user: ForgeUser | None
    resolved: Resolved | None
    containers: tuple[dict[str, Any], ...]


@dataclass
class NewFile:
    """A file to be: its place, content, mode, and whether it may be shown."""

    path: str
    data: bytes
    mode: int = 0o644
    secret: bool = False
    note: str = ""


def host_facts(instance: Instance) -> HostFacts:
    """What this host has that a stack may mount."""
    mine = home()
    return HostFacts(
        home=str(mine),
        claude_json=(mine / ".claude.json").is_file(),
        ssh_dir=(mine / ".ssh").is_dir(),
        sops_age_dir=(mine / ".config/sops/age").is_dir(),
        tunnel_key=(instance.path / "secrets/tunnel_key").is_file(),
    )
