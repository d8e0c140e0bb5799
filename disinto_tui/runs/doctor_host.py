"""Checks of what is under the factory: engine, Compose, disk, clock, ports, `.env`, rights of files."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from disinto_tui.adapters.compose import version as compose_version
from disinto_tui.adapters.host import free_bytes, is_local
from disinto_tui.core.envfile.lint import Finding, lint
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import Step
from disinto_tui.core.words import size_text
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.pin import repository_of
from disinto_tui.runs.preflight import check_ports

LOW_BYTES, LEAST_BYTES = 5_000_000_000, 1_000_000_000
"""Free bytes below which a disk is a warning, and a problem: an agents image is 1 to 2 GB unpacked."""
SKEW_SECONDS, WRONG_SECONDS = 30.0, 300.0
"""How far two clocks may be apart: beyond the first, logs mislead; beyond the second, tokens and TLS fail."""
_SHOWN = 6
_AGENT = 1000
"""The user inside the agents image."""


async def engine(ground: Ground) -> Sequence[Remark]:
    """It answers and is new enough."""
    info = await ground.info()
    return [Remark("ok", f"Docker Engine {info.version}, {info.platform}, at {await ground.endpoint()}")]


async def compose(ground: Ground) -> Sequence[Remark]:
    """The plugin is there, new enough, and accepts the files."""
    version = ".".join(map(str, await compose_version()))
    if not ground.instance.compose_file.exists():
        where = ground.instance.path
        return [Remark("problem", f"there is no docker-compose.yml in {where}", "disinto init CONFIG")]
    services = await ground.definitions()
    return [Remark("ok", f"Docker Compose {version}, {len(services)} services accepted")]


async def disk(ground: Ground) -> Sequence[Remark]:
    """Room for a pull, and for the journal."""
    places = {"the instance": ground.instance.path}
    try:
        info = await ground.info()
        if is_local(await ground.endpoint()):
            places = {f"the engine ({info.root})": Path(info.root), **places}
    except DisintoError:
        pass  # told by its own check; the instance's disk is ours to look at all the same
    found: dict[int, Remark] = {}
    for name, path in places.items():
        free = free_bytes(path)
        if free is None:
            continue
        text = f"{size_text(free)} free for {name}"
        cure = "`docker system df` shows what takes it; prune images, never volumes."
        state = "problem" if free < LEAST_BYTES else "warning" if free < LOW_BYTES else "ok"
        found.setdefault(_device(path), Remark(state, text, "" if state == "ok" else cure))  # type: ignore[arg-type]
    return list(found.values())


def _device(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.stat().st_dev


async def clock(ground: Ground) -> Sequence[Remark]:
    """Ours against the engine's, the forge's and the registry's: whoever answers."""
    asks = [_of_engine(ground)]
    if not ground.offline:
        values = (await ground.env()).values
        if url := values.get("FORGE_URL", ""):
            asks.append(_of_server("the forge", f"{url.rstrip('/')}/api/v1/version"))
        registry = repository_of(ground.instance, values).registry
        loopback = registry.rpartition(":")[0] in ("localhost", "127.0.0.1")
        asks.append(_of_server(registry, f"{'http' if loopback else 'https'}://{registry}/v2/"))
    offsets: dict[str, float] = {}
    for name, offset in await asyncio.gather(*asks):
        if offset is not None:
            offsets[name] = offset
    return clock_remarks(offsets)


def clock_remarks(offsets: Mapping[str, float]) -> list[Remark]:
    """From seconds by which others are ahead of this host; a Date header is whole seconds, so few say nothing."""
    if not offsets:
        return [Remark("unknown", "nobody told the time to compare with")]
    found = []
    for name, offset in offsets.items():
        if abs(offset) <= SKEW_SECONDS:
            continue
        words = f"this host's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} {name}"
        wrong = abs(offset) > WRONG_SECONDS
        found.append(Remark("problem" if wrong else "warning", words, "timedatectl set-ntp true"))
    return found or [Remark("ok", f"as {', '.join(offsets)} {'has' if len(offsets) == 1 else 'have'} it")]


async def _of_engine(ground: Ground) -> tuple[str, float | None]:
    try:
        engine = await ground.engine()
        text = await engine.call(lambda client: str(client.info().get("SystemTime", "")))
    except DisintoError:
        return "the engine", None
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)\Z", text)
    if match is None:
        return "the engine", None
    moment = dt.datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00"))
    return "the engine", moment.timestamp() - time.time()


async def _of_server(name: str, url: str) -> tuple[str, float | None]:
    from disinto_tui.adapters.http import HttpClient, Policy

    policy = Policy(deadline=3, connect=2, read=3, attempts=1)
    try:
        async with HttpClient(area="clock", policy=policy) as client:
            before = time.time()
            answer = await client.request("HEAD", url, retry=False)
            between = (before + time.time()) / 2
        return name, parsedate_to_datetime(answer.headers["date"]).timestamp() - between
    except (DisintoError, KeyError, ValueError, TypeError):
        return name, None


async def ports(ground: Ground) -> Sequence[Remark]:
    """What the stack publishes is ours or free."""
    endpoint = await ground.endpoint()
    if not is_local(endpoint):
        return [Remark("ok", "not looked at: the engine is on another host")]
    found, services = await ground.found(), await ground.definitions()
    check_ports({"services": services}, found.containers, endpoint)
    return [Remark("ok", "all that are published are this factory's, or free")]


async def env(ground: Ground) -> Sequence[Remark]:
    """What in the environment file is misread by somebody. Lines, names and reasons; never a value."""
    opened = await ground.env()
    found: list[Remark] = []
    if opened.both:
        text = (
            "there are a .env and a .env.enc: Compose reads .env, the factory's own scripts may read .env.enc"
        )
        found.append(Remark("problem", text, "Keep one of them."))
    data = opened.data
    if data is None and ground.instance.env_file.exists():
        data = ground.instance.env_file.read_bytes()  # Compose refuses it, and the lint says which line
    if data is None:
        cure = "Put it back from .disinto/runs/*/backup/, or `disinto init CONFIG`."
        return [Remark("problem", "there is no .env, so every service starts without its settings", cure)]
    return [*found, *env_remarks(opened.name, lint(data, environ={}))]


def env_remarks(name: str, findings: Sequence[Finding]) -> list[Remark]:
    """From a lint's findings; the first few one by one, the others counted."""
    if not findings:
        return [Remark("ok", f"{name} reads the same to Compose, python-dotenv and a shell")]
    worst = sorted(findings, key=lambda item: item.problem != "unreadable")
    found = [
        Remark(
            "problem" if item.problem == "unreadable" else "warning",
            f"{name} line {item.line}{f', {item.key}' if item.key else ''}: {item.why}",
            item.fix,
        )
        for item in worst[:_SHOWN]
    ]
    if len(worst) > _SHOWN:
        found.append(Remark("warning", f"and {len(worst) - _SHOWN} more lines of {name} like these"))
    return found


async def permissions(ground: Ground) -> Sequence[Remark]:
    """Files with secrets are their owner's alone; the agents may write where they must."""
    instance = ground.instance
    secrets = instance.path / "secrets"
    wanted = [(instance.env_file, 0o600), (instance.sealed_env_file, 0o600), (instance.private, 0o700)]
    wanted += [(secrets, 0o700), *((path, 0o600) for path in _files(secrets))]
    items = []
    for path, most in wanted:
        now = _mode(path)
        if now is not None and now & 0o077:
            items.append(
                {"path": str(path.relative_to(instance.path)), "before": f"{now:o}", "mode": f"{most:o}"}
            )
    found: list[Remark] = []
    for item in items:
        words = f"{item['path']} can be used by others on this host (mode {item['before']})"
        step = Step(f"mode-{item['path']}", f"Close {item['path']}", "modes", {"files": [item]}, words)
        # What a link leads to is somebody else's business: told, and left to them.
        steps = () if (instance.path / item["path"]).is_symlink() else (step,)
        found.append(Remark("warning", words, f"chmod {item['mode']} {instance.path / item['path']}", steps))
    state = instance.path / "state"
    if (about := _stat(state)) is not None and about.st_uid != _AGENT and not about.st_mode & 0o002:
        text = f"state/ belongs to user {about.st_uid}, and the agents (user {_AGENT}) may not write there"
        found.append(Remark("warning", text, f"chown {_AGENT}:{_AGENT} {state}"))
    if not os.access(instance.path, os.W_OK):
        found.append(Remark("problem", f"this user may not write in {instance.path}", "Run it as its owner."))
    return found or [Remark("ok", "secrets are their owner's alone, the agents may write their state")]


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_file())
    except OSError:
        return []


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _mode(path: Path) -> int | None:
    about = _stat(path)
    return None if about is None else stat.S_IMODE(about.st_mode)
