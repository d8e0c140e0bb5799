"""Checks of what is under the factory: engine, Compose, disk, clock, ports, `.env`, rights of files."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from shlex import quote

from disinto_tui.adapters.compose import version as compose_version
from disinto_tui.adapters.engine import in_thread
from disinto_tui.adapters.host import free_bytes, is_local
from disinto_tui.adapters.process import exported
from disinto_tui.adapters.within import within
from disinto_tui.core.envfile.lint import Finding, lint
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.plan import Step
from disinto_tui.core.words import size_text
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.env import load_env
from disinto_tui.runs.pin import repository_of
from disinto_tui.runs.preflight import check_ports
from disinto_tui.runs.project import OTHER_NAMES, STEERING

LOW_BYTES, LEAST_BYTES = 5_000_000_000, 1_000_000_000
"""Free bytes below which a disk is a warning, and a problem: an agents image is 1 to 2 GB unpacked."""
SKEW_SECONDS, WRONG_SECONDS = 30.0, 300.0
"""How far two clocks may be apart: beyond the first, logs mislead; beyond the second, tokens and TLS fail."""
_CLOCK_SECONDS = 3.0
"""How long each that is asked for the time may take."""
_SHOWN = 6
_PUT_BACK = "put it back from .disinto/runs/*/backup/, or `disinto init CONFIG`."
OLD_NAMES = frozenset(
    [
        "CLAUDE_BIN_DIR",
        "CODEBERG_BOT_USERNAMES",
        "CODEBERG_REPO",
        "CODEBERG_TOKEN",
        "DISINTO_IMAGE_TAG",
        "ENABLE_LLAMA_AGENT",
        "FORGE_PASS_LLAMA",
        "FORGE_TOKEN_DEVQWEN",
        "FORGE_TOKEN_LLAMA",
        "GARDENER_INTERVAL",
        "REVIEW_BOT_TOKEN",
        "WOODPECKER_DB_PASSWORD",
    ]
)
"""The names that `core/lineage.py` knows from earlier times: it is loaded (0.1 s) only where there is one of them."""
_TOLD_ELSEWHERE = ("DISINTO_IMAGE_TAG", "ENABLE_LLAMA_AGENT")
_ELSEWHERE = (
    "GITHUB_TOKEN",
    "GHCR_TOKEN",
    "CLAWHUB_TOKEN",
    "NPM_TOKEN",
    "DOCKER_HUB_TOKEN",
    "DEPLOY_KEY",
    "CADDY_SSH_KEY",
)
"""Credentials of releases and of approved actions: never in `.env` (upstream's AD-005 and AD-006)."""
_OF_DIRECTORY = 0o700
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
    fine = Remark("ok", f"Docker Compose {version}, {len(services)} services accepted")
    return [fine, *by_hand_remarks(ground.instance.path, (await ground.env()).values)]


def by_hand_remarks(directory: Path, values: Mapping[str, str]) -> list[Remark]:
    """What makes a hand-typed `docker compose` here act on something else than we do."""
    found = []
    if names := exported(STEERING):
        text = (
            f"{', '.join(names)} is exported in this shell: a hand-typed `docker compose` here would obey it"
        )
        found.append(Remark("warning", text, f"unset {' '.join(names)}"))
    others = (
        [] if values.get("COMPOSE_FILE") else [name for name in OTHER_NAMES if (directory / name).exists()]
    )
    if others:
        text = f"there is a {', '.join(others)}, which a hand-typed `docker compose` here would read, and we do not"
        cure = f"mv {quote(str(directory / others[0]))} {quote(str(directory / others[0]))}.away"
        found.append(Remark("warning", text, f"{cure} (docker-compose.override.yml is where yours belongs)"))
    return found


async def disk(ground: Ground) -> Sequence[Remark]:
    """Room for a pull, and for the journal."""
    places = {"the instance": ground.instance.path}
    # An engine that is silent is told by its own check; the instance's disk is ours to look at all the same.
    info = await ground.brief_info()
    if info is not None and is_local(await ground.endpoint()):
        places = {f"the engine ({info.root})": Path(info.root), **places}
    elif info is None:
        places = {"the instance; where the engine keeps its own, it did not say": ground.instance.path}
    return await in_thread(partial(_disk_remarks, places))


def _disk_remarks(places: Mapping[str, Path]) -> list[Remark]:
    """Blocking, for as long as a disk that hangs lets it: asked in a thread of its own."""
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
        asking = (await ground.engine()).call(lambda client: str(client.info().get("SystemTime", "")))
        text = await within(_CLOCK_SECONDS, asking)
    except (DisintoError, asyncio.TimeoutError):
        return "the engine", None
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)\Z", text)
    if match is None:
        return "the engine", None
    moment = dt.datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00"))
    return "the engine", moment.timestamp() - time.time()


async def _of_server(name: str, url: str) -> tuple[str, float | None]:
    from disinto_tui.adapters.http import HttpClient, Policy

    policy = Policy(deadline=_CLOCK_SECONDS, connect=2, read=_CLOCK_SECONDS, attempts=1)
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
    try:
        check_ports({"services": services}, found.containers, endpoint)
    except BadInput as error:
        text = "; ".join([f"{error.what} {error.why}", *error.details])
        return [Remark("problem", text, f"`ss -ltnp` names the program. {error.now}")]
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
    if data is None:
        path = ground.instance.env_file
        if path.is_dir():
            text = ".env is a directory: Docker made it where the file was missing, when a service mounts it"
            return [Remark("problem", text, f"rmdir {quote(str(path))}, then {_PUT_BACK}")]
        if path.exists():
            data = path.read_bytes()  # Compose refuses it, and the lint says which line
        elif ground.instance.sealed_env_file.exists():
            await load_env(ground.instance)  # raises what is wrong with it
    if data is None:
        text = "there is no .env, so every service starts without its settings"
        return [Remark("problem", text, _PUT_BACK[:1].upper() + _PUT_BACK[1:])]
    found += [*name_remarks(opened.values), *shell_remarks(opened.values, os.environ)]
    lines = env_remarks(opened.name, lint(data, environ={}))
    return [*lines, *found]


def name_remarks(values: Mapping[str, str]) -> list[Remark]:
    """Names that have no business there, or stop something. Never a value."""
    found = []
    if values.get("ENABLE_LLAMA_AGENT") == "1":
        text = "ENABLE_LLAMA_AGENT is 1: agents of today refuse to start with it"
        found.append(Remark("problem", text, "Take it out; a local-model agent stands in projects/*.toml."))
    found += _old_names(values)
    for name in _ELSEWHERE:
        if values.get(name):
            text = (
                f"{name} is in it, which no agent may have: .env is read by scripts, and goes into containers"
            )
            cure = "Move it to the keyring or to secrets/ (`disinto docs credentials` says how), and take it out here."
            found.append(Remark("warning", text, cure))
    return found


def _old_names(values: Mapping[str, str]) -> Iterator[Remark]:
    """Names of earlier times: a warning where nobody reads the value any more that somebody needs, else a word."""
    present = [name for name in values if name in OLD_NAMES and name not in _TOLD_ELSEWHERE]
    if not present:
        return
    from disinto_tui.core.lineage import LEGACY, RENAMED

    for name in present:
        today, words = LEGACY[name]
        if name in RENAMED and values[name] and not values.get(today):
            text = f"{name} is an old name of {today}, which is not set: agents of today read that alone"
            yield Remark("warning", text, f"Write it as {today} (`disinto adopt` does).")
        else:
            yield Remark("ok", f"{name} is from earlier times: {words}{f', {today} counts' if today else ''}")


def shell_remarks(values: Mapping[str, str], environ: Mapping[str, str]) -> list[Remark]:
    """Variables that this shell exports with another value: they beat the file in a hand-typed `docker compose`."""
    names = sorted(
        name
        for name, value in values.items()
        if name != "AGENTS_IMAGE" and environ.get(name, value) != value  # told beside the pin
    )
    if not names:
        return []
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    text = (
        f"this shell exports {listed} with another value, which a hand-typed `docker compose` here would use"
    )
    return [Remark("warning", text, f"unset {' '.join(names)}")]


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
    wanted = [
        (instance.env_file, 0o600),
        (instance.sealed_env_file, 0o600),
        (instance.private, _OF_DIRECTORY),
    ]
    wanted += [(secrets, _OF_DIRECTORY), *((path, 0o600) for path in _files(secrets))]
    items = []
    for path, most in wanted:
        now = _mode(path)
        if now is not None and now & 0o077 and path.is_dir() == (most == _OF_DIRECTORY):
            items.append(
                {"path": str(path.relative_to(instance.path)), "before": f"{now:o}", "mode": f"{most:o}"}
            )
    found: list[Remark] = []
    for item in items:
        words = f"{item['path']} can be used by others on this host (mode {item['before']})"
        step = Step(f"mode-{item['path']}", f"Close {item['path']}", "modes", {"files": [item]}, words)
        # What a link leads to is somebody else's business: told, and left to them.
        steps = () if (instance.path / item["path"]).is_symlink() else (step,)
        found.append(
            Remark(
                "warning", words, f"chmod {item['mode']} {quote(str(instance.path / item['path']))}", steps
            )
        )
    state = instance.path / "state"
    if (about := _stat(state)) is not None and about.st_uid != _AGENT and not about.st_mode & 0o002:
        text = f"state/ belongs to user {about.st_uid}, and the agents (user {_AGENT}) may not write there"
        found.append(Remark("warning", text, f"chown {_AGENT}:{_AGENT} {quote(str(state))}"))
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
