"""The Docker Engine, through the Docker SDK: inspect, pull, tag, logs, events.

The SDK blocks, so every call runs in a worker thread; importing it costs 190 ms, so it is imported in that
thread, at the first call. Both the SDK and Compose are told the same endpoint: left alone, they can talk to
different engines (observed: the SDK before 7.2 ignores contexts).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from disinto_tui.adapters.process import Command, run
from disinto_tui.adapters.tape import note_request
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
MINIMUM_API = (1, 41)
"""Engine 20.10, the oldest this was proven on."""

T = TypeVar("T")


async def find_endpoint() -> str:
    """The engine the docker CLI would use here: DOCKER_HOST, else the current context's, else the default.

    Raises Unavailable when the context cannot be read, BadInput for an engine we cannot speak with.
    """
    host = os.environ.get("DOCKER_HOST")
    if host:
        return _spoken(host)
    name = os.environ.get("DOCKER_CONTEXT") or _configured_context()
    if name in ("", "default"):
        return DEFAULT_ENDPOINT
    command = Command(
        ("docker", "context", "inspect", name, "--format", "{{.Endpoints.docker.Host}}"),
        writes=False,
        timeout=10,
    )
    result = await run(command)
    if not result.ok or not result.stdout.strip():
        raise Unavailable(
            f"The docker context {name} cannot be read.",
            f"`docker context inspect {name}` failed.",
            "Choose another with `docker context use default`, or set DOCKER_HOST.",
            code="engine.context",
        )
    return _spoken(result.stdout.strip())


def _spoken(endpoint: str) -> str:
    """The endpoint, when it is one of the two kinds that are spoken here: a local socket, or plain TCP."""
    scheme = endpoint.partition("://")[0]
    guarded = bool(os.environ.get("DOCKER_TLS_VERIFY")) and scheme == "tcp"
    if scheme in ("unix", "tcp") and not guarded:
        return endpoint
    kind = "TLS" if guarded else scheme
    raise BadInput(
        f"The engine at {endpoint} cannot be reached from here.",
        f"This tool speaks with an engine over its socket (unix://) or plain TCP, not over {kind}.",
        "Run it on the engine's own host, or forward its socket there with `ssh -L` and name that in DOCKER_HOST.",
        code="engine.scheme",
    )


def _configured_context() -> str:
    directory = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        data = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return ""
    name = data.get("currentContext", "") if isinstance(data, dict) else ""
    return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of itself. `root` is its data directory on its host, `memory` in bytes."""

    version: str
    api: tuple[int, int]
    os: str
    architecture: str
    root: str
    name: str
    cpus: int
    memory: int
    storage: str

    @property
    def platform(self) -> str:
        """`linux/amd64`, as manifests write it."""
        names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
        return f"{self.os}/{names.get(self.architecture, self.architecture)}"


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image the engine has. `created` is ISO 8601; `size` in bytes."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    labels: Mapping[str, str]
    created: str
    size: int
    architecture: str
    volumes: tuple[str, ...]


ANSWER_SECONDS = 15


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work` in a daemon thread: an engine that hangs must not hold up the end of this process,
    as a pool's thread would (`asyncio.run` waits for those)."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only when T is

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await future


class Engine:
    """One engine at one endpoint. Methods raise Unavailable when it does not answer."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._client: Any = None
        self._insecure: tuple[str, ...] | None = None

    async def call(self, work: Callable[[Any], T]) -> T:
        """Run `work(client)` with the SDK's low-level client in a worker thread.

        SDK errors become Unavailable (no engine) or Failed (the engine says no).
        """
        return await in_thread(lambda: self.call_blocking(work))

    def call_blocking(self, work: Callable[[Any], T]) -> T:
        """The same for code that already runs in a thread of its own."""
        import docker.errors  # 190 ms: only when there is something to ask
        import requests.exceptions

        try:
            return work(self.client())
        except docker.errors.APIError as error:
            raise api_error(error) from None
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise self.unreachable(str(error)) from None

    def client(self) -> Any:
        """The SDK's low-level client, kept. Blocking; raises DockerException."""
        if self._client is None:
            import docker

            # Every call of ours is answered in milliseconds by an engine that is well; streams have their own.
            self._client = _noted(docker.APIClient(base_url=self.endpoint, timeout=ANSWER_SECONDS))
        return self._client

    def fresh_client(self) -> Any:
        """A client of its own for a stream: a session is not promised to be thread-safe."""
        import docker

        return _noted(docker.APIClient(base_url=self.endpoint, timeout=60))

    def unreachable(self, reason: str) -> Unavailable:
        """The error for an engine that does not answer."""
        if "Permission" in reason:
            why, now = (
                "This user may not use its socket.",
                "Join the group docker (it is as good as root), or use sudo, then try again.",
            )
        elif "FileNotFound" in reason or "No such file" in reason:
            why, now = "Its socket does not exist.", "Start it (`systemctl start docker`), then try again."
        elif "timed out" in reason.lower() or "timeout" in reason.lower():
            why = f"It accepts connections, but said nothing for {ANSWER_SECONDS} s."
            now = "Look at it (`systemctl status docker`), restart it if it hangs, then try again."
        else:
            why, now = "Nothing answers there.", "Start it (`systemctl start docker`), then try again."
        return Unavailable(
            f"No Docker Engine answers at {self.endpoint}.",
            why,
            now,
            code="engine.down",
            details=[reason[:300]],
        )

    async def info(self) -> EngineInfo:
        """Version, platform, data directory. Raises Unavailable when down or too old."""

        def ask(client: Any) -> EngineInfo:
            info, version = client.info(), client.version()
            major, minor = (int(part) for part in str(version["ApiVersion"]).split(".")[:2])
            return EngineInfo(
                str(version["Version"]),
                (major, minor),
                str(info.get("OSType", "linux")),
                str(info.get("Architecture", "")),
                str(info.get("DockerRootDir", "")),
                str(info.get("Name", "")),
                int(info.get("NCPU", 0)),
                int(info.get("MemTotal", 0)),
                str(info.get("Driver", "")),
            )

        found = await self.call(ask)
        if found.api < MINIMUM_API:
            raise Unavailable(
                f"Docker Engine {found.version} is too old.",
                f"It speaks API {found.api[0]}.{found.api[1]}, and 1.41 (Engine 20.10) is needed.",
                "Update the engine, then try again.",
                code="engine.old",
            )
        return found

    async def version(self) -> str:
        """The engine's version, as it says it. Raises Unavailable."""
        return await self.call(lambda client: str(client.version()["Version"]))

    async def reachable(self) -> None:
        """Raise Unavailable unless a new connection is answered: a daemon that is ending takes none, but goes
        on answering on those it has (observed), while it stops the containers one by one."""

        def ask(_: Any) -> None:
            fresh = self.fresh_client()
            try:
                fresh.ping()
            finally:
                fresh.close()

        await self.call(ask)

    def process(self) -> int:
        """The process that listens at a local socket (SO_PEERCRED, which names who called listen), so that a daemon
        started anew is told from the one before, however quickly it came; 0 when that cannot be known."""
        scheme, _, path = self.endpoint.partition("://")
        if scheme != "unix":
            return 0
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                one.settimeout(1)
                one.connect(path)
                found: tuple[int, ...] = struct.unpack(
                    "3i", one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                )
        except (OSError, AttributeError):
            return 0
        return found[0]

    async def insecure_registries(self) -> tuple[str, ...]:
        """Hosts and networks with which it speaks plain http or takes any certificate (`insecure-registries`);
        () when it does not answer: then nothing is trusted more than elsewhere. Asked once."""
        if self._insecure is None:
            try:
                config = (await self.call(lambda client: client.info())).get("RegistryConfig") or {}
            except DisintoError:
                return ()
            hosts = [
                name
                for name, entry in (config.get("IndexConfigs") or {}).items()
                if isinstance(entry, dict) and entry.get("Secure") is False
            ]
            self._insecure = (*hosts, *(config.get("InsecureRegistryCIDRs") or ()))
        return self._insecure

    async def containers(
        self, project: str, *, one_off: bool = False, services: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """The project's containers (those of `services`, when given), stopped ones too, as inspect documents; one that
        vanishes is left out."""

        def ask(client: Any) -> list[dict[str, Any]]:
            import docker.errors

            labels = [f"com.docker.compose.project={project}"]
            if not one_off:
                labels.append("com.docker.compose.oneoff=False")
            found = []
            for item in client.containers(all=True, filters={"label": labels}):
                if services is not None and item["Labels"].get("com.docker.compose.service") not in services:
                    continue
                try:
                    found.append(client.inspect_container(item["Id"]))
                except docker.errors.NotFound:
                    continue
            return found

        return await self.call(ask)

    async def container(self, container_id: str) -> dict[str, Any] | None:
        """One container's inspect document, None when it is gone."""
        return await self._or_none(lambda client: client.inspect_container(container_id))

    async def all_containers(self) -> list[dict[str, Any]]:
        """Every container of the engine, in the short form of the list."""
        return await self.call(lambda client: list(client.containers(all=True)))

    async def image(self, reference: str) -> LocalImage | None:
        """The local image behind a reference or id, None when it is not here."""
        data = await self._or_none(lambda client: client.inspect_image(reference))
        return None if data is None else _local_image(data)

    async def images(
        self, repository: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Local images of a repository (all without one) that have these labels, in the short form of the list."""
        wanted = [f"{name}={value}" for name, value in (labels or {}).items()]
        filters = {"label": wanted} if wanted else None
        return await self.call(lambda client: list(client.images(name=repository or None, filters=filters)))

    async def layers(self) -> list[tuple[str, ...]]:
        """The unpacked layers' digests of every local image, lowest first."""

        def ask(client: Any) -> list[tuple[str, ...]]:
            import docker.errors

            found = []
            for image in {str(item["Id"]) for item in client.images()}:
                try:
                    data = client.inspect_image(image)
                except docker.errors.NotFound:
                    continue
                found.append(tuple((data.get("RootFS") or {}).get("Layers") or ()))
            return found

        return await self.call(ask)

    async def volumes(self, project: str) -> list[dict[str, Any]]:
        """The project's named volumes."""
        label = f"com.docker.compose.project={project}"
        return await self.call(lambda client: list(client.volumes(filters={"label": label})["Volumes"] or ()))

    async def tag(self, image: str, repository: str, tag: str) -> None:
        """Give a local image one more name."""
        await self.call(lambda client: client.tag(image, repository, tag))

    async def untag(self, name: str) -> None:
        """Take one name off an image. The image goes only when nothing else names or uses it."""
        await self._or_none(lambda client: client.remove_image(name))

    async def processes(self, container_id: str) -> list[tuple[int, str]]:
        """What runs in a container: (seconds since it began or -1, command line); [] when it is gone."""
        table = await self._or_none(lambda client: client.top(container_id, "-eo pid,etimes,args"))
        rows = (table or {}).get("Processes") or ()
        return [
            (int(row[1]) if str(row[1]).isdigit() else -1, " ".join(row[2:])) for row in rows if len(row) > 2
        ]

    async def start_container(self, container_id: str) -> None:
        """Start one that stands still. Raises Failed when it cannot be."""
        await self.call(lambda client: client.start(container_id))

    async def remove_container(self, container_id: str, *, anonymous: bool = False) -> None:
        """Remove one stopped container; its volumes stay, or with `anonymous` those go that nobody named."""
        await self.call(lambda client: client.remove_container(container_id, v=anonymous))

    async def tail(self, container_id: str, lines: int = 20) -> list[str]:
        """The last lines a container printed, stdout and stderr together; [] when it is gone."""
        data = await self._or_none(lambda client: client.logs(container_id, tail=lines))
        return (data or b"").decode(errors="replace").splitlines()

    async def _or_none(self, work: Callable[[Any], T]) -> T | None:
        def ask(client: Any) -> T | None:
            import docker.errors

            try:
                return work(client)
            except docker.errors.NotFound:
                return None

        return await self.call(ask)


def _noted(client: Any) -> Any:
    """The client, telling of each request before it sends it (it is a session of `requests`)."""
    send = client.send

    def noting(request: Any, **how: Any) -> Any:
        note_request(request.method, f"engine {request.path_url}")
        return send(request, **how)

    client.send = noting
    return client


def _local_image(data: Mapping[str, Any]) -> LocalImage:
    config = data.get("Config") or {}
    return LocalImage(
        str(data["Id"]),
        tuple(data.get("RepoTags") or ()),
        tuple(data.get("RepoDigests") or ()),
        dict(config.get("Labels") or {}),
        str(data.get("Created", "")),
        int(data.get("Size", 0)),
        str(data.get("Architecture", "")),
        tuple(sorted(config.get("Volumes") or {})),
    )


def api_error(error: Any) -> DisintoError:
    """What an SDK APIError means, in three sentences (shapes observed on Engine 20.10)."""
    text = str(getattr(error, "explanation", None) or error)
    return Failed(
        "The Docker Engine refused.",
        f"It says: {text.strip().rstrip('.')}.",
        "Mend what it names, then try again.",
        code="engine.refused",
        details=[text],
    )
