"""A formula's script as an operation: bash, strict, journaled line by line, with its secrets and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import write_private
from disinto_tui.adapters.process import PRIVATE_FILE, Command, child_environment, run
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import Failed, Unavailable
from disinto_tui.runs.runner import Context, Place, last_state

STRICT = ("bash", "-euo", "pipefail")
_KEPT_LINES = 12
_CHECK, _SCRIPT = "STEP.check.sh", "STEP.script.sh"
_CHECK_SECONDS = 60.0
_PAUSES = (1.0, 3.0, 10.0)
"""Seconds before a script is tried again; the last one counts for every further try."""


class Script:
    """`script`, `check`, `env`, `secrets`, `timeout` (s or null), `retries`, `on_failure` ("stop" or "warn").

    The script is a 0600 file in the run's directory, so that what ran can be read afterwards; secrets are in the
    environment of its one child process, and nowhere else. Exit code 0 is success. A `check` that ends with 0
    says that the step is done already.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Ask the step's own check (what it prints is not shown); without one the journal is all that is known."""
        if not params.get("check"):
            done = last_state(ctx, ctx.step_id) in ("done", "skipped")
            return "It was done before, and has no check of its own." if done else None
        result = await run(self._command(ctx, params, "check"), on_lines=lambda *_: None)
        return "Its check says that it is done." if result.ok else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Execute it, again when it fails and retries are left. Raises Failed, Unavailable (bash is missing)."""
        left = int(params.get("retries", 0))
        number = 0
        while (failure := await self._once(ctx, params)) is not None and left > 0:
            pause = _PAUSES[min(number, len(_PAUSES) - 1)]
            ctx.say(f"{failure.why} Tried again in {pause:g} s; after that, {left - 1 or 'no'} more.")
            number, left = number + 1, left - 1
            await asyncio.sleep(pause)
        if failure is None:
            return {}
        if params.get("on_failure") == "warn":
            ctx.say(f"▲ {failure.why} The formula goes on all the same.")
            return {"warnings": [*ctx.result.get("warnings", ()), f"{ctx.step_id}: {failure.why}"]}
        raise failure

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Only the script's author knows."""
        return "What a script did is not taken back."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Ask its check, when that needs no secret that is not here; its script."""
        acts = [would("write", f"{' '.join(STRICT)} RUN/scripts/{_SCRIPT}")]
        if not params.get("check"):
            return "It has no check.", acts
        missing = [name for name in params.get("secrets", ()) if name not in place.secrets]
        if missing:
            check = would("read", f"{' '.join(STRICT)} RUN/scripts/{_CHECK}")
            return f"Its check was not asked: {missing[0]} is not here.", [check, *acts]
        asked = Command(
            (*STRICT, PRIVATE_FILE),
            writes=False,
            cwd=str(place.instance.path),
            env=self._environment(place, params),
            private=str(params["check"]).encode(),
            timeout=_CHECK_SECONDS,
        )
        result = await run(asked, on_lines=lambda *_: None)
        return ("Its check says that it is done.", []) if result.ok else ("", acts)

    async def _once(self, ctx: Context, params: Mapping[str, Any]) -> Failed | None:
        last: list[str] = []

        def take(stream: str, lines: Any) -> None:
            last[:] = [*last, *lines][-_KEPT_LINES:]
            ctx.lines(stream, lines)

        limit = params.get("timeout")
        try:
            result = await within(limit, run(self._command(ctx, params, "script"), on_lines=take))
        except asyncio.TimeoutError:
            return self._failed(ctx, f"It was still running after {limit:g} s and was ended.", last)
        if result.ok:
            return None
        return self._failed(ctx, f"Its script ended with exit code {result.returncode}.", last)

    def _failed(self, ctx: Context, why: str, last: list[str]) -> Failed:
        return Failed(
            f"The step {ctx.step_id} failed.",
            why,
            "Read its log, mend the cause, then `disinto resume` goes on from this step.",
            code="formula.step",
            details=[line for line in last if line.strip()],
        )

    def _command(self, ctx: Context, params: Mapping[str, Any], part: str) -> Command:
        path: Path = ctx.run.path / "scripts" / f"{ctx.step_id}.{part}.sh"
        write_private(path, str(params[part]).encode())
        missing = [name for name in params.get("secrets", ()) if name not in ctx.secrets]
        if missing:
            raise Unavailable(
                f"The step {ctx.step_id} needs the secret {missing[0]}.",
                "It was not handed to this run.",
                f"Put it into the environment ({missing[0]}=…) and give `disinto resume` again.",
                code="secret.missing",
            )
        return Command(
            (*STRICT, str(path)),
            writes=part == "script",
            cwd=str(ctx.instance.path),
            env=self._environment(ctx, params),
        )

    def _environment(self, place: Place, params: Mapping[str, Any]) -> dict[str, str]:
        secrets = {name: place.secrets[name] for name in params.get("secrets", ())}
        return child_environment({**params.get("env", {}), **secrets})
