"""Operations that file a request for approval: branch, commit, pull request (`ops_approval` has the rest).

Each looks first what is there: the same is done, something else stops. Only what a run noted before it made it is
taken back by its undo. The forge is asked after every answer that did not come: it may have done the work.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.instance import read_bytes, write_private
from disinto_tui.adapters.journal import REQUEST_MADE, RunDir
from disinto_tui.core.action import Action, read_action, refuse_collision
from disinto_tui.core.errors import DisintoError, Failed, Refused, Unavailable
from disinto_tui.runs.ops_repository import (
    file_at,
    files_of,
    pulls_from,
    tip_of,
)
from disinto_tui.runs.ops_tags import forge_token
from disinto_tui.runs.runner import Context

_LABELS = ("vault", "pending-approval")
"""Labels a request gets where the repository has them (facts: 8.2)."""


@dataclass(frozen=True, slots=True)
class Filing:
    """A request, whole: the parameters of every step that files it. `base` is the branch it is to be merged into,
    `branch` the one it is proposed from, `text` the action file at `path`."""

    forge: str
    repository: str
    base: str
    branch: str
    id: str
    version: str
    path: str
    text: str
    title: str
    body: str

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Filing:
        """From a step's parameters, which may hold more."""
        return cls(**{key: params[key] for key in cls.__dataclass_fields__})

    def params(self) -> dict[str, Any]:
        """For a step's parameters."""
        return asdict(self)

    @property
    def root(self) -> str:
        """The repository's path in the API."""
        return repo_path(self.repository)

    @property
    def page(self) -> str:
        """The repository for a browser."""
        return f"{self.forge.rstrip('/')}/{self.repository}"

    def refuse_other(self, data: bytes, where: str) -> None:
        """Raise Refused `request.id` or `request.other` when the file at `path` is not this request."""
        if data == self.text.encode():
            return
        action = read_action(data, self.path).action
        if action is not None:
            refuse_collision(Action(self.id, "release", f"Release {self.version}"), action, where)
        raise Refused(
            f"{self.path} is there already, and says something else.",
            f"It is in {where}; a request that others may be looking at is not overwritten.",
            f"Look at it ({self.page}); close that request and delete its branch, or give this one --id.",
            code="request.other",
        )


class Made:
    """What this run made, noted before it makes it: only that is taken back."""

    def __init__(self, run: RunDir) -> None:
        self._path = run.path / REQUEST_MADE
        found = read_bytes(self._path)
        self._notes: dict[str, str] = json.loads(found) if found else {}

    def get(self, key: str) -> str | None:
        """What was noted, "" when only that it would be made; None when nothing was."""
        return self._notes.get(key)

    def note(self, key: str, value: str) -> None:
        """Note it, on the disk. Raises Failed `disk.*`."""
        self._notes[key] = value
        self._write()

    def forget(self, key: str) -> None:
        """Take the note back: what is there is somebody else's. Raises Failed `disk.*`."""
        self._notes.pop(key, None)
        self._write()

    def not_by_us(self, key: str, before: str | None, error: DisintoError) -> None:
        """Forget it where the forge refused to make it: what is there then is somebody else's, unless it was noted
        `before` already. An answer that did not come says nothing."""
        if isinstance(error, Failed) and before is None:
            self.forget(key)

    def _write(self) -> None:
        write_private(self._path, json.dumps(self._notes).encode())


def open_forge(ctx: Context, forge: str) -> ForgeClient:
    """The forge with this run's token."""
    return ForgeClient(forge, forge_token(ctx))


async def is_merged(client: ForgeClient, filing: Filing) -> bool:
    """Whether the base has the request already. Raises Refused when it has another one under its name."""
    data = await file_at(client, filing.repository, filing.path, filing.base)
    if data is not None:
        filing.refuse_other(data, f"{filing.base} of {filing.repository}")
    return data is not None


MERGED = "The request is merged already."
"""What a step says that has nothing left to do."""


class RequestBranch:
    """A `Filing`: the branch the request is proposed from, at the head of its base."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is there, and holds nothing but the request. Raises Refused `request.branch|other|id`."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            if await is_merged(client, filing):
                return MERGED
            return "It is there already." if await self._there(ctx, client, filing) else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make it. Raises Failed, Unavailable, Refused."""
        filing, made = Filing.of(params), Made(ctx.run)
        async with open_forge(ctx, filing.forge) as client:
            before = made.get("branch")
            tip = await tip_of(client, filing.repository, filing.base) or filing.base
            made.note("branch", tip)
            # At this very commit: the base may go on, and a branch elsewhere would be taken for somebody else's.
            body = {"new_branch_name": filing.branch, "old_ref_name": tip}
            try:
                await client.post(f"{filing.root}/branches", body)
            except (Unavailable, Failed) as error:
                made.not_by_us("branch", before, error)
                ctx.say(f"the forge did not say that it made it: {error.what} Looking for the branch.")
                if not await self._there(ctx, client, filing):
                    raise
        ctx.say(f"branch {filing.branch} of {filing.repository}")
        return {"branch": filing.branch}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Delete it when this run made it and nobody went on there."""
        filing, made = Filing.of(params), Made(ctx.run)
        if made.get("branch") is None:
            return "This run made no branch."
        async with open_forge(ctx, filing.forge) as client:
            tip = await tip_of(client, filing.repository, filing.branch)
            if tip is None:
                return "It is not there."
            if tip not in (made.get("branch"), made.get("file")) and not await self._ours(
                client, filing, made
            ):
                return f"Somebody went on on {filing.branch}; it stays."
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            if found and found[0].get("state") == "open":
                return f"Pull request {found[0]['number']} is open on {filing.branch}; it stays."
            await client.delete(f"{filing.root}/branches/{quoted(filing.branch)}")
        return f"The branch {filing.branch} was deleted."

    async def _ours(self, client: ForgeClient, filing: Filing, made: Made) -> bool:
        """A run that was killed may have committed without noting the commit: the only one on the branch then."""
        if made.get("file") != "":
            return False
        commits = await client.get(f"{filing.root}/commits", {"sha": filing.branch, "limit": 2})
        shas = [item.get("sha") for item in commits if isinstance(item, Mapping)]
        data = await file_at(client, filing.repository, filing.path, filing.branch)
        return shas[1:] == [made.get("branch")] and data == filing.text.encode()

    async def _there(self, ctx: Context, client: ForgeClient, filing: Filing) -> bool:
        tip = await tip_of(client, filing.repository, filing.branch)
        if tip is None:
            return False
        data = await file_at(client, filing.repository, filing.path, filing.branch)
        if data is not None:
            filing.refuse_other(data, f"the branch {filing.branch} of {filing.repository}")
            return True
        if tip in (await tip_of(client, filing.repository, filing.base), Made(ctx.run).get("branch")):
            return True
        raise Refused(
            f"There is a branch {filing.branch} already, with something else on it.",
            f"In {filing.repository} it is at {tip[:12]}, and does not hold {filing.path}.",
            "Delete it if nobody needs it, or give this request another name with --id.",
            code="request.branch",
        )


class RequestFile:
    """A `Filing`: the action file, committed on the branch."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is there, with this content. Raises Refused `request.other|id`."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            if await is_merged(client, filing):
                return MERGED
            return "It is committed already." if await self._there(client, filing) else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Commit it, and read it back. Raises Failed, Unavailable, Refused."""
        filing, made = Filing.of(params), Made(ctx.run)
        before = made.get("file")
        made.note("file", "")
        body = {
            "content": base64.b64encode(filing.text.encode()).decode(),
            "message": f"{filing.title}\n\nAction {filing.id}.",
            "branch": filing.branch,
        }
        async with open_forge(ctx, filing.forge) as client:
            try:
                await client.post(f"{filing.root}/contents/{filing.path}", body)
            except (Unavailable, Failed) as error:
                made.not_by_us("file", before, error)
                ctx.say(f"the forge did not say that it took it: {error.what} Looking for the file.")
                if not await self._there(client, filing):
                    raise
            if not await self._there(client, filing):
                raise Failed(
                    f"{filing.path} is not on {filing.branch}.",
                    "The forge said that it committed it, and does not have it.",
                    "Look at the forge's log, then `disinto resume`.",
                    code="request.lost",
                )
            tip = await tip_of(client, filing.repository, filing.branch) or ""
        if made.get("file") is not None:
            made.note("file", tip)
        ctx.say(f"{filing.path} on {filing.branch}", *filing.text.splitlines())
        return {"commit": tip}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It goes with its branch; from a branch of somebody else's it is removed."""
        filing, made = Filing.of(params), Made(ctx.run)
        if made.get("file") is None or made.get("branch") is not None:
            return None
        path = f"{filing.root}/contents/{filing.path}"
        async with open_forge(ctx, filing.forge) as client:
            found = await client.get_or_none(path, {"ref": filing.branch})
            if not isinstance(found, Mapping) or await is_merged(client, filing):
                return "There is nothing to take back."
            body = {"sha": found.get("sha"), "branch": filing.branch, "message": f"Take back {filing.id}"}
            answer = await client.call("DELETE", path, body=body, retry=False)
            if answer.status >= 400:
                raise client.error_of(answer)
        return f"{filing.path} was removed from {filing.branch}."

    async def _there(self, client: ForgeClient, filing: Filing) -> bool:
        data = await file_at(client, filing.repository, filing.path, filing.branch)
        if data is not None:
            filing.refuse_other(data, f"the branch {filing.branch} of {filing.repository}")
        return data is not None


class RequestPull:
    """A `Filing`: the pull request, which changes nothing but the action file."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is open, or merged. Raises Refused `request.foreign`, Failed `request.closed`."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            if found and found[0].get("state") == "open":
                return f"It is open already: pull request {await self._found(ctx, client, filing, found[0])}."
            if not await is_merged(client, filing):
                if found and str(found[0]["number"]) == Made(ctx.run).get("pull"):
                    raise closed(filing, found[0])
                return None
            merged = next((item for item in found if item.get("merged")), None)
            if merged is not None:
                ctx.result.update(pull_result(filing, merged))
            return MERGED

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open it. Raises Failed, Unavailable, Refused `request.foreign`."""
        filing, made = Filing.of(params), Made(ctx.run)
        before = made.get("pull")
        made.note("pull", "")
        async with open_forge(ctx, filing.forge) as client:
            body: dict[str, Any] = {
                "title": filing.title,
                "head": filing.branch,
                "base": filing.base,
                "body": filing.body,
                "labels": await self._labels(client, filing),
            }
            failed: DisintoError | None = None
            try:
                await client.post(f"{filing.root}/pulls", body)
            except (Unavailable, Failed) as error:
                made.not_by_us("pull", before, error)
                ctx.say(f"the forge did not say that it opened it: {error.what} Looking for it.")
                failed = error
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            if not found or found[0].get("state") != "open":
                raise failed or Failed(
                    "The pull request is not there.",
                    "The forge said that it opened it, and does not have it.",
                    "Look at the forge's log, then `disinto resume`.",
                    code="request.lost",
                )
            if made.get("pull") is not None:
                made.note("pull", str(found[0]["number"]))
            await self._found(ctx, client, filing, found[0])
        ctx.say(f"pull request {ctx.result['pull']}: {ctx.result['url']}")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Close it when this run opened it and nobody merged it."""
        filing, noted = Filing.of(params), Made(ctx.run).get("pull")
        if noted is None:
            return "This run opened no pull request."
        async with open_forge(ctx, filing.forge) as client:
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            pull = next((item for item in found if noted in ("", str(item["number"]))), None)
            if pull is None:
                return "It is not there."
            name = f"Pull request {pull['number']}"
            if pull.get("merged"):
                return f"{name} is merged, and stays: remove {filing.path} from {filing.base} by hand."
            if pull.get("state") != "open":
                return f"{name} is closed already."
            await client.patch(f"{filing.root}/pulls/{pull['number']}", {"state": "closed"})
        return f"{name} was closed."

    async def _found(self, ctx: Context, client: ForgeClient, filing: Filing, pull: Mapping[str, Any]) -> int:
        """Note it for the result. What else it would bring into the repository is nothing anybody asked for."""
        number = int(pull["number"])
        others = [name for name in await files_of(client, filing.repository, number) if name != filing.path]
        ctx.result.update(pull_result(filing, pull))
        if others:
            raise Refused(
                f"Pull request {number} changes more than the request.",
                f"Besides {filing.path} it changes {', '.join(others[:3])}.",
                f"Look at it ({ctx.result['url']}); close it and delete its branch, then `disinto resume`.",
                code="request.foreign",
            )
        return number

    async def _labels(self, client: ForgeClient, filing: Filing) -> list[int]:
        with contextlib.suppress(DisintoError):  # a nicety
            found = await client.get_all(f"{filing.root}/labels")
            ids = {item["name"]: item["id"] for item in found if isinstance(item, Mapping)}
            return [ids[name] for name in _LABELS if name in ids]
        return []


def closed(filing: Filing, pull: Mapping[str, Any]) -> Failed:
    """The error for a request that somebody closed: that is an answer, and it is not filed anew unasked."""
    return Failed(
        "The request was closed without a merge.",
        f"Pull request {pull['number']} was closed by somebody, and what it asks for is not executed.",
        f"Ask who closed it; `disinto release {filing.version} --request` files it anew.",
        code="request.closed",
        details=[f"{filing.page}/pulls/{pull['number']}"],
    )


def pull_result(filing: Filing, pull: Mapping[str, Any]) -> dict[str, Any]:
    """What the run's result tells of a pull request: number, URL, and what an operator reads at the end."""
    number = pull["number"]
    # As an operator reaches the forge, not as it thinks it is called.
    url = f"{filing.page}/pulls/{number}"
    return {
        "pull": number,
        "url": url,
        "summary": [
            f"{filing.id} is filed: {url}",
            "It is executed by nobody until it is approved and merged.",
            f"`disinto requests {filing.id} --follow` shows what becomes of it.",
        ],
    }
