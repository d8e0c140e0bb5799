"""A forge on loopback that answers as Forgejo 11 does, wrong questions included.

In a test:          with ForgeDouble() as forge: forge.url, forge.state
As a process:       python -m tests.support.forge_double --port 0 --portfile FILE
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from tests.support import forge_git, forge_pulls, forge_users
from tests.support.forge_http import STATE, credentials, failure, not_found, who
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, ForgeState, default_state

__all__ = ["ADMIN_TOKEN", "USER_TOKEN", "ForgeDouble", "ForgeState", "application", "default_state"]

PREFIX = "/api/v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def manners(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything that holds for every path: the record of calls, faults on order, sign-in, JSON errors."""
    state = request.app[STATE]
    try:
        asking = who(request)
    except web.HTTPException:
        state.calls.append((request.method, request.path_qs, ""))
        raise
    state.calls.append((request.method, request.path_qs, asking.login if asking else ""))
    for path, status in state.broken.items():
        if request.path.startswith(path):
            raise failure(status, "broken on order")
    for method, end in state.failing:
        if request.method == method and request.path.endswith(end):
            state.failing.remove((method, end))
            raise failure(502, "failing on order")
    if request.path.startswith(PREFIX) and state.require_signin and not credentials(request)[0]:
        raise failure(403, "Only signed in user is allowed to call APIs.")
    try:
        answer = await handler(request)
    except web.HTTPNotFound as error:
        raise not_found() from error
    for (method, end), act in list(state.meanwhile.items()):
        if request.method == method and request.path.endswith(end):
            await asyncio.to_thread(act)  # it may ask this very forge
    for method, end in state.late:
        if request.method == method and request.path.endswith(end) and request.transport is not None:
            state.late.remove((method, end))
            request.transport.abort()
            break
    return answer


async def front_page(request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>Forge double</title>", content_type="text/html")


async def healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "pass"})


def application(state: ForgeState) -> web.Application:
    app = web.Application(middlewares=[manners])
    app[STATE] = state
    app[forge_users.APPLICATIONS] = {}
    for module in (forge_users, forge_git, forge_pulls):
        for route in module.routes:
            assert isinstance(route, web.RouteDef)
            app.router.add_route(route.method, PREFIX + route.path, route.handler, **route.kwargs)
    forge_git.add_greedy(app.router, PREFIX)
    app.router.add_get("/", front_page)
    app.router.add_get("/api/healthz", healthz)
    return app


async def _listen(state: ForgeState, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(application(state), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, runner.addresses[0][1]


class ForgeDouble:
    """The double in a thread of this process: a context manager with `url` and its `state`."""

    def __init__(self, state: ForgeState | None = None, *, port: int = 0) -> None:
        self.state = state or default_state()
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="forge-double", daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ForgeDouble:
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(_listen(self.state, self.port), self._loop)
        self._runner, self.port = listening.result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _serve(state: ForgeState, port: int, portfile: Path | None) -> None:
    runner, port = await _listen(state, port)
    done = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, done.set)
    if portfile:
        # Renamed into place: whoever sees the file reads a whole number.
        part = portfile.with_suffix(".part")
        part.write_text(f"{port}\n")
        part.replace(portfile)
    else:
        print(port, flush=True)
    await done.wait()
    await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description="A forge double on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--portfile", type=Path)
    parser.add_argument(
        "--require-signin", action="store_true", help="REQUIRE_SIGNIN_VIEW: nothing for the anonymous"
    )
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(default_state(require_signin=given.require_signin), given.port, given.portfile))
    return 0


if __name__ == "__main__":
    sys.exit(main())
