"""What the engine says over time: pulls, logs, events, as async batches.

The SDK hands out blocking generators. A thread reads one, an asyncio reader gets what has gathered since it
last looked: one wake-up a batch, never one a line, and a bound on how far the thread may run ahead.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import DisintoError, Failed, Unavailable

T = TypeVar("T")
_NO_ANSWER = ("connection refused", "no such host", "timeout", "unexpected eof", "dial tcp")
_AHEAD = 20_000
"""Items the reading thread may be ahead of the reader before it waits."""
_END_SECONDS = 2.0
"""So long the end of a stream is waited for."""


class Stream(Generic[T]):
    """`async for batch in Stream(engine, open)`: `open(client)` gives the SDK's blocking iterable.

    Closing (or leaving the `async with`) closes the SDK's response from here, which ends the thread at once
    (observed). SDK errors surface as DisintoError from the iteration.
    """

    linger = 0.02
    """Seconds between two batches, so that a flood comes in few, large ones."""

    def __init__(self, engine: Engine, open_stream: Callable[[Any], Iterable[T]]) -> None:
        self._engine = engine
        self._open = open_stream
        self._items: list[T] = []
        self._mutex = threading.Lock()
        self._wake: asyncio.Event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._source: Any = None
        self._client: Any = None
        self._done = False
        self._closed = False
        self._error: DisintoError | None = None

    async def __aenter__(self) -> Stream[T]:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="engine-stream", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        # A thread of its own, and not waited for without end: what closes a response under its reader may in turn
        # wait for that reader, and nobody who leaves should.
        shut = asyncio.Event()
        threading.Thread(target=self._shut, args=(shut,), name="engine-stream-end", daemon=True).start()
        with contextlib.suppress(asyncio.TimeoutError):
            await within(_END_SECONDS, shut.wait())

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        while True:
            await self._wake.wait()
            with self._mutex:
                batch, self._items = self._items, []
                self._wake.clear()
                over = self._done
            if batch:
                yield batch
            if over and not batch:
                if self._error is not None:
                    raise self._error
                return
            if over:
                self._wake.set()
            else:
                await asyncio.sleep(self.linger)

    def _read(self) -> None:
        try:
            self._engine.call_blocking(self._drain)
        except DisintoError as error:
            if not self._closed:
                self._error = error
        except Exception as error:  # closing the response under the reader raises many kinds
            if not self._closed:
                self._error = Unavailable(
                    "The engine broke off in the middle of its answer.",
                    "It was stopped or restarted, or the connection to it was lost.",
                    "Look whether it is there (`docker info`), then try again.",
                    code="engine.stream",
                    details=[f"{type(error).__name__}: {error}"],
                )
        finally:
            with self._mutex:
                self._done = True
            self._notify()

    def _drain(self, _: Any) -> None:
        self._client = self._engine.fresh_client()
        self._source = self._open(self._client)
        for item in self._source:
            if self._closed:
                return
            with self._mutex:
                self._items.append(item)
                first = len(self._items) == 1
                ahead = len(self._items)
            if first:
                self._notify()
            while ahead >= _AHEAD and not self._closed:
                time.sleep(0.005)
                with self._mutex:
                    ahead = len(self._items)

    def _notify(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closing; nobody reads any more
                self._loop.call_soon_threadsafe(self._wake.set)

    def _shut(self, shut: asyncio.Event) -> None:
        for thing in (self._source, self._client):
            with contextlib.suppress(Exception):
                thing.close()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(shut.set)


PullProgress = Callable[[str, int, int, str], None]
"""Called with the layer id ("" for the whole image), bytes done, bytes in all (0 unknown), and a word."""


async def pull(
    engine: Engine,
    reference: str,
    progress: PullProgress,
    *,
    auth: Mapping[str, str] | None = None,
) -> None:
    """Pull `repository:tag` or `repository@digest`, reporting bytes layer by layer.

    `auth` is username and password for this pull alone; without it the SDK uses Docker's own stored login.
    A pull error inside the 200 answer is an error here. Raises Failed, Unavailable. Cancelling ends the
    daemon's download.
    """
    repository, tag = _split(reference)

    def start(client: Any) -> Iterable[dict[str, Any]]:
        events: Iterable[dict[str, Any]] = client.pull(
            repository, tag=tag, stream=True, decode=True, auth_config=dict(auth) if auth else None
        )
        return events

    try:
        async with Stream(engine, start) as stream:
            async for batch in stream:
                for event in batch:
                    _pull_event(reference, event, progress)
    except DisintoError as error:
        raise pull_error(reference, " ".join(error.details) or error.why, error) from None


def _split(reference: str) -> tuple[str, str | None]:
    if "@" in reference:
        return reference, None
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def _pull_event(reference: str, event: Mapping[str, Any], progress: PullProgress) -> None:
    if "error" in event:
        raise Failed("The pull failed.", str(event["error"]), "", code="pull", details=[str(event["error"])])
    status, layer = str(event.get("status", "")), str(event.get("id", ""))
    if not layer or status.startswith("Pulling from"):
        progress("", 0, 0, status)
        return
    detail = event.get("progressDetail") or {}
    current, total = int(detail.get("current", 0) or 0), int(detail.get("total", 0) or 0)
    if status in ("Already exists", "Pull complete"):
        progress(layer, 1, 1, status)
    elif detail.get("units"):  # the containerd store counts seconds while extracting
        progress(layer, 0, 0, status)
    else:
        progress(layer, current, total, status)


def pull_error(reference: str, text: str, error: DisintoError | None = None) -> DisintoError:
    """What a failed pull means, told apart by the engine's words (shapes observed on 20.10)."""
    low = text.lower()
    details = [text.strip()[:500]]
    if isinstance(error, Unavailable):
        return error
    if "no space left on device" in low:
        return Failed(
            f"{reference} could not be pulled.",
            "The disk of the engine is full.",
            "Free some space (`docker system df` shows what takes it; prune images, never volumes), "
            "then run it again: what was there is untouched.",
            code="disk.full",
            details=details,
        )
    if "manifest unknown" in low or "not found: manifest" in low or "failed to resolve reference" in low:
        return Failed(
            f"{reference} could not be pulled.",
            "The registry does not have it (any more).",
            "Look at `disinto versions` for what there is.",
            code="image.missing",
            details=details,
        )
    if any(word in low for word in ("denied", "no basic auth", "unauthorized", "authentication required")):
        return Failed(
            f"{reference} could not be pulled.",
            "The login was refused, or the image is private (a registry says the same when it is missing).",
            f"Log in with `docker login {reference.split('/', maxsplit=1)[0]}`, then run it again; "
            "a stale login that breaks a public pull is cured by `docker logout` there.",
            code="registry.denied",
            details=details,
        )
    if any(
        word in low
        for word in ("connection refused", "no such host", "timeout", "unexpected eof", "dial tcp")
    ):
        return Unavailable(
            f"{reference} could not be pulled.",
            "The registry did not answer, or broke off.",
            "Check the network, then run it again; what was there is untouched.",
            code="registry.down",
            details=details,
        )
    return Failed(
        f"{reference} could not be pulled.",
        f"The engine says: {text.strip().rstrip('.')}.",
        "Mend what it names, then run it again; what was there is untouched.",
        code="pull.failed",
        details=details,
    )


def container_logs(
    engine: Engine,
    container_id: str,
    *,
    tail: int | str = 200,
    follow: bool = True,
    since: float | None = None,
) -> Stream[bytes]:
    """A container's lines, stdout and stderr mixed as the engine has them, each with its timestamp first."""

    def start(client: Any) -> Iterable[bytes]:
        lines: Iterable[bytes] = client.logs(
            container_id, stream=True, follow=follow, timestamps=True, tail=tail, since=since
        )
        return lines

    return Stream(engine, start)


def project_events(engine: Engine, project: str, *, since: float | None = None) -> Stream[dict[str, Any]]:
    """The project's container events, without the exec events every healthcheck probe makes."""
    return _events(engine, f"com.docker.compose.project={project}", since)


def compose_events(engine: Engine, *, since: float | None = None) -> Stream[dict[str, Any]]:
    """The same of every compose project on the engine; which ones matter is for the reader to tell."""
    return _events(engine, "com.docker.compose.project", since)


def _events(engine: Engine, label: str, since: float | None) -> Stream[dict[str, Any]]:
    def start(client: Any) -> Iterable[dict[str, Any]]:
        filters: dict[str, Sequence[str] | str] = {
            "type": "container",
            "label": label,
            "event": [
                *("create", "start", "die", "kill", "stop", "destroy", "rename", "restart"),
                *("pause", "unpause", "oom", "health_status"),
            ],
        }
        events: Iterable[dict[str, Any]] = client.events(decode=True, filters=filters, since=since)
        return events

    return Stream(engine, start)
