"""The result of a release, whatever became of it: a JSON file here, and in the repository by a pull request."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.instance import read_bytes, replace_file, write_private
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.events import StepEnded, StepStarted
from disinto_tui.runs.ops_build import built_image, engine_of
from disinto_tui.runs.ops_images import PushImage
from disinto_tui.runs.ops_tags import done_after_all, forge_token
from disinto_tui.runs.runner import Context, Place

_OURS = "result-proposed"


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
        await _look(ctx, params)
        document = release_document(ctx, params)
        path = _path(params)
        data = _write(ctx, path, document)
        ctx.say(f"wrote {path}")
        if not params.get("commit") or document["status"] != "success":
            return {"result_file": str(path)}
        try:
            async with ForgeClient(params["forge"], forge_token(ctx)) as client:
                pull = await _propose(ctx, client, params, data)
        except DisintoError as error:
            ctx.say(f"▲ {error.what} {error.why}", *error.details)
            warnings = [*ctx.result.get("warnings", ()), f"result: {error.what}"]
            return {"result_file": str(path), "warnings": warnings}
        return {"result_file": str(path), **({"result_pull": pull} if pull else {})}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The file here says that it was taken back; the proposal of this run is closed and its branch deleted."""
        path = _path(params)
        written = read_bytes(ctx.instance.path / path)
        try:
            document = json.loads(written or b"{}")
        except ValueError:
            document = {}
        if document.get("run") == ctx.run.id:
            _write(ctx, path, {**document, "status": "undone"})
        if read_bytes(ctx.run.path / _OURS) is None:
            return f"{path} says so." if document else "Nothing was written."
        root, branch = repo_path(params["repository"]), _branch(params)
        async with ForgeClient(params["forge"], forge_token(ctx)) as client:
            pull = await _open_pull(client, params)
            if pull is not None:
                await client.patch(f"{root}/pulls/{pull['number']}", {"state": "closed"})
            gone = await client.delete(f"{root}/branches/{quoted(branch)}")
        if pull is not None:
            return f"The pull request {pull['number']} was closed, and {branch} deleted."
        return f"{branch} was deleted." if gone else "There is no proposal any more."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Look whether a result is proposed already; the file, its branch and the pull request."""
        acts = [would("write", f"{_path(params)}")]
        if not params.get("commit"):
            return "", acts
        root, path, branch = repo_path(params["repository"]), _path(params), _branch(params)
        async with ForgeClient(params["forge"], forge_token(place)) as client:
            if await _file(client, params, params["branch"]) is not None:
                return f"{path} is on {params['branch']} already.", acts
            there = await client.get_or_none(f"{root}/branches/{quoted(branch)}") is not None
            body = {"branch": branch} if there else {"branch": params["branch"], "new_branch": branch}
            method = "PUT" if there else "POST"
            acts.append(
                would("write", f"{method} {client.address(f'{root}/contents/{path}')} {json.dumps(body)}")
            )
            acts.append(would("read", f"GET {client.address(f'{root}/pulls')}?state=open"))
            if await _open_pull(client, params) is None:
                asked = {"head": branch, "base": params["branch"]}
                acts.append(would("write", f"POST {client.address(f'{root}/pulls')} {json.dumps(asked)}"))
        return "", acts


async def _look(ctx: Context, params: Mapping[str, Any]) -> None:
    """Learn what steps that were left out (`--from`) would have told."""
    there = {step.op for step in ctx.plan.steps}
    with contextlib.suppress(DisintoError):
        if "build-image" not in there:
            image = await built_image(ctx, await engine_of(ctx))
            ctx.result["image_id"] = image.id if image is not None else ""
        if "push-image" not in there:
            variables = ctx.plan.facts.get("variables", {})
            login = {name: variables.get(name, "") for name in ("user", "secret")}
            await PushImage().check(ctx, {"reference": params["reference"], **login})


def _path(params: Mapping[str, Any]) -> Path:
    return Path("release") / f"{params['version']}.json"


def _branch(params: Mapping[str, Any]) -> str:
    return f"release-result/{params['version']}"


def _write(ctx: Context, path: Path, document: Mapping[str, Any]) -> bytes:
    data = ctx.redactor.redact(json.dumps(document, indent=2, ensure_ascii=False)).encode() + b"\n"
    replace_file(ctx.instance.path / path, data)
    return data


async def _propose(ctx: Context, client: ForgeClient, params: Mapping[str, Any], data: bytes) -> str:
    """The file on its branch, and one open pull request for it; its URL, "" when the result is merged already."""
    path, branch = str(_path(params)), _branch(params)
    if await _file(client, params, params["branch"]) is not None:
        ctx.say(f"{path} is on {params['branch']} already")
        return ""
    # Noted before: only a proposal that this run made is one that its undo may close.
    write_private(ctx.run.path / _OURS, branch.encode())
    await _put(ctx, client, params, data)
    pull = await _open_pull(client, params)
    if pull is None:
        title = f"release: {params['version']} result"
        text = f"The result of the release {params['version']}, run {ctx.run.id}."
        asked = {"title": title, "head": branch, "base": params["branch"], "body": text}
        work = client.post(f"{repo_path(params['repository'])}/pulls", asked)
        pull = await done_after_all(ctx, work, lambda: _open_pull(client, params))
    number = pull.get("number") if isinstance(pull, Mapping) else None
    ctx.say(f"proposed as pull request {number}")
    return f"{params['forge']}/{params['repository']}/pulls/{number}"


async def _put(ctx: Context, client: ForgeClient, params: Mapping[str, Any], data: bytes) -> None:
    """The file on its branch, as it is here: an earlier attempt may have left one that tells less."""
    root, path, branch = repo_path(params["repository"]), str(_path(params)), _branch(params)
    body = {
        "content": base64.b64encode(data).decode(),
        "message": f"release: {params['version']} result",
        "branch": branch,
    }

    async def there() -> Mapping[str, Any] | None:
        found = await _file(client, params, branch)
        return found if found is not None and _content(found) == data else None

    if await client.get_or_none(f"{root}/branches/{quoted(branch)}") is None:
        make = {**body, "branch": params["branch"], "new_branch": branch}
        await done_after_all(ctx, client.post(f"{root}/contents/{path}", make), there)
        return
    found = await _file(client, params, branch)
    if found is None:
        await done_after_all(ctx, client.post(f"{root}/contents/{path}", body), there)
    elif _content(found) != data:
        change = {**body, "sha": found.get("sha")}
        await done_after_all(ctx, client.put(f"{root}/contents/{path}", change), there)


async def _file(client: ForgeClient, params: Mapping[str, Any], ref: str) -> Mapping[str, Any] | None:
    path = f"{repo_path(params['repository'])}/contents/{_path(params)}"
    found = await client.get_or_none(path, {"ref": ref})
    return found if isinstance(found, Mapping) else None


def _content(file: Mapping[str, Any]) -> bytes:
    """A file's bytes as the forge tells them; b"" when it does not."""
    try:
        return base64.b64decode(str(file.get("content") or ""))
    except ValueError:
        return b""


async def _open_pull(client: ForgeClient, params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    opened = await client.get_all(f"{repo_path(params['repository'])}/pulls", {"state": "open"})
    for item in opened:
        if isinstance(item, Mapping) and (item.get("head") or {}).get("ref") == _branch(params):
            return item
    return None
