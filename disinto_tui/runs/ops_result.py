"""The result of a release, whatever became of it: a JSON file here, and in the repository by a pull request."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.instance import replace_file
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.events import StepEnded, StepStarted
from disinto_tui.runs.ops_tags import forge_token
from disinto_tui.runs.runner import Context


def release_document(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the release, in upstream's fields (facts: 7.3) and ours (7.6). No secret is in it."""
    forge, repository, version = params["forge"], params["repository"], params["version"]
    result = ctx.result
    failed = ctx.failed
    document = {
        "version": version,
        "image_id": result.get("image_id", ""),
        "forgejo_tag_url": f"{forge}/{repository}/src/{version}",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "status": "success" if failed is None else "failed",
        "tag_url": f"{forge}/{repository}/src/tag/{version}",
        "head_sha": params["sha"],
        "image_ref": params["reference"],
        "image_digest": result.get("image_digest", ""),
        "pushed": bool(result.get("pushed")),
        "public": result.get("public"),
        "registry": params["reference"].partition("/")[0],
        "mirrors": dict(result.get("mirrors", {})),
        "restarted": bool(result.get("restarted")),
        "warnings": list(result.get("warnings", ())),
        "steps": _steps(ctx),
        "run": ctx.run.id,
    }
    if failed is not None:
        document["failed_step"] = failed[0]
        document["error"] = {"what": failed[1].what, "why": failed[1].why, "code": failed[1].code}
    return document


def _steps(ctx: Context) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in ctx.run.events():
        if isinstance(event, StepStarted):
            begun = found.get(event.step, {}).get("started")
            found[event.step] = {"id": event.step, "status": "running", "started": begun or _utc(event.at)}
        elif isinstance(event, StepEnded):
            entry = found.setdefault(event.step, {"id": event.step})
            entry |= {"status": event.state, "ended": _utc(event.at)}
    return [found[step.id] for step in ctx.plan.steps if step.id in found and step.id != ctx.step_id]


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


class CommitResult:
    """`version`, `sha`, `reference`, `forge`, `repository`, `branch`, `commit` ("pull request", "" for none).

    `release/<version>.json` of the factory's directory, and the same file in the repository: on a branch of its own
    with a pull request, since protected branches take nothing else. A failed release is written down, too, here only.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is always written anew: it tells of this run."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write it here, then propose it. What the forge refuses is a warning: the release itself is done."""
        document = release_document(ctx, params)
        data = ctx.redactor.redact(json.dumps(document, indent=2, ensure_ascii=False)).encode() + b"\n"
        path = Path("release") / f"{params['version']}.json"
        replace_file(ctx.instance.path / path, data)
        ctx.say(f"wrote {path}")
        if not params.get("commit") or document["status"] != "success":
            return {"result_file": str(path)}
        try:
            return {"result_file": str(path), **await self._propose(ctx, params, str(path), data)}
        except DisintoError as error:
            ctx.say(f"▲ {error.what} {error.why}")
            return {
                "result_file": str(path),
                "warnings": [*ctx.result.get("warnings", ()), f"result: {error.what}"],
            }

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """What was written tells what happened."""
        return "The result stays: it tells what happened."

    async def _propose(
        self, ctx: Context, params: Mapping[str, Any], path: str, data: bytes
    ) -> Mapping[str, Any]:
        root, branch = repo_path(params["repository"]), f"release-result/{params['version']}"
        async with ForgeClient(params["forge"], forge_token(ctx)) as client:
            there = await client.get_or_none(f"{root}/contents/{path}", {"ref": params["branch"]})
            if there is not None:
                ctx.say(f"{path} is on {params['branch']} already")
                return {}
            if await client.get_or_none(f"{root}/branches/{quoted(branch)}") is None:
                body = {
                    "content": base64.b64encode(data).decode(),
                    "message": f"release: {params['version']} result",
                    "branch": params["branch"],
                    "new_branch": branch,
                }
                await client.post(f"{root}/contents/{path}", body)
            opened = await client.get_all(f"{root}/pulls", {"state": "open"})
            pull = next((item for item in opened if (item.get("head") or {}).get("ref") == branch), None)
            if pull is None:
                title = f"release: {params['version']} result"
                text = f"The result of the release {params['version']}, run {ctx.run.id}."
                asked = {"title": title, "head": branch, "base": params["branch"], "body": text}
                pull = await client.post(f"{root}/pulls", asked)
        number = pull.get("number") if isinstance(pull, Mapping) else None
        ctx.say(f"proposed as pull request {number}")
        return {"result_pull": f"{params['forge']}/{params['repository']}/pulls/{number}"}
