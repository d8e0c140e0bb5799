"""Where requests for approval stand: open, approved, merged, executed, result; looked at, listed, followed.

    place = await ops_place(instance)
    state = await request_state(place, "release-v040")        # or the version
    async for state in follow_request(place, "v0.4.0"): ...   # each time it changed, until it is over

Everything is read from the forge, whoever filed it from wherever. That the forge merges a request by itself it tells
nobody: there the journals of this instance are asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.journal import REQUEST, list_runs
from disinto_tui.adapters.secrets import secrets_in
from disinto_tui.core.action import (
    DIRECTORY,
    OLD,
    Action,
    action_path,
    branch_of,
    id_of_branch,
    read_action,
    read_result,
    result_path,
)
from disinto_tui.core.approval import ORDER, RequestState, Reviews, Stage, seconds_of
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.events import RunEnded
from disinto_tui.core.redact import Redactor, Secret
from disinto_tui.core.version import Version
from disinto_tui.runs.credentials import project_of
from disinto_tui.runs.env import load_env
from disinto_tui.runs.ops_repository import (
    base_in,
    branch_in,
    file_at,
    login_in,
    names_in,
    pulls,
    repository,
    reviews_of,
)
from disinto_tui.runs.ops_tags import tagged_commit
from disinto_tui.runs.request import admins_of

POLL_SECONDS = 5.0
PATIENCE_SECONDS = 600.0
"""How long a forge that does not answer is waited for while a request is followed."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class OpsPlace:
    """Where requests are filed, and with what they are looked at. `code` is the project's own repository, `branch`
    its primary one; `admins` are the users whose word an executor takes (FORGE_ADMIN_USERS), `executes` is whether
    this factory has one (its edge)."""

    instance: Instance
    forge: str
    repository: str
    code: str
    branch: str
    admins: tuple[str, ...]
    executes: bool
    token: Secret | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """The factory's secrets: what was executed may have printed one."""


async def ops_place(instance: Instance) -> OpsPlace:
    """The place of an instance's first project. Raises BadInput `release.project`, what `load_env` raises."""
    project = project_of(instance)
    env = (await load_env(instance)).values
    token = env.get("FORGE_TOKEN", "")
    return OpsPlace(
        instance,
        project.forge_url.rstrip("/"),
        project.ops_repo,
        project.repo,
        project.primary_branch,
        tuple(admins_of(env)),
        bool(project.factory.images.edge),
        Secret(token) if token else None,
        tuple(secrets_in(env)),
    )


async def request_state(place: OpsPlace, name: str) -> RequestState:
    """One request, whole, by its id or its version. Raises BadInput `request.unknown`, Unavailable."""
    async with ForgeClient(place.forge, place.token) as client:
        return await _state(place, client, name)


async def list_requests(place: OpsPlace) -> list[RequestState]:
    """Every action that is filed or was: open ones first, then by pull request, newest first. Raises Unavailable."""
    async with ForgeClient(place.forge, place.token) as client:
        look = await _Look.at(place, client)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(action_id: str) -> RequestState:
            async with gate:
                return await look.state(action_id, brief=True)

        found = await asyncio.gather(*(one(item) for item in look.ids()))
    return sorted(found, key=lambda item: (item.over, -item.pull, item.id))


async def follow_request(
    place: OpsPlace, name: str, *, until: Stage = "result", seconds: float | None = None
) -> AsyncIterator[RequestState]:
    """The request each time something about it changed, beginning with now, until it is over or got to `until`.

    It is looked at every `seconds` (`POLL_SECONDS`). A forge that does not answer is waited for: the last state comes
    again with a warning. Raises BadInput `request.unknown`, and Unavailable once it has not answered for
    `PATIENCE_SECONDS`.
    """
    last: RequestState | None = None
    quiet_since = 0.0
    async with ForgeClient(place.forge, place.token) as client:
        while True:
            try:
                state = await _state(place, client, name)
                quiet_since = 0.0
            except Unavailable as error:
                if error.code == "forge.forbidden":
                    raise
                quiet_since = quiet_since or time.monotonic()
                if last is None or time.monotonic() - quiet_since > PATIENCE_SECONDS:
                    raise
                state = replace(last, warnings=(*_without_silence(last), f"{_SILENT}: {error.why}"))
            if last is None or not state.same_as(last):
                yield state
            last = state
            if state.over or (until in ORDER and state.reached(until)):
                return
            await asyncio.sleep(POLL_SECONDS if seconds is None else seconds)


_SILENT = "The forge does not answer, and is asked again"


def _without_silence(state: RequestState) -> list[str]:
    return [text for text in state.warnings if not text.startswith(_SILENT)]


async def _state(place: OpsPlace, client: ForgeClient, name: str) -> RequestState:
    look = await _Look.at(place, client)
    ids = look.ids()
    if name in ids:
        return await look.state(name)
    if Version.try_parse(name) is not None:
        plain = f"release-{name.replace('.', '')}"
        # Usually it is the one of that name; two versions may share it, and then it is some other.
        closed: RequestState | None = None
        for action_id in sorted(look.releases(), key=lambda item: item != plain):
            found = await look.state(action_id)
            if found.version == name and found.stage != "closed":
                return found
            if found.version == name:
                closed = closed or found
        if closed is not None:
            return closed
    raise BadInput(
        f"There is no request {name}.",
        f"{place.repository} has neither an action of that name nor a pull request for one.",
        "List them with `disinto requests`; `disinto release VERSION --request` files one.",
        code="request.unknown",
    )


class _Look:
    """One look at the ops repository: its actions, its pull requests, and what this instance's runs remember."""

    def __init__(
        self,
        place: OpsPlace,
        client: ForgeClient,
        base: str,
        needed: int,
        names: Sequence[str],
        found: Sequence[Mapping[str, Any]],
    ) -> None:
        self.place, self.client, self.base, self.needed = place, client, base, needed
        self.names = set(names)
        self.pulls: dict[str, Mapping[str, Any]] = {}
        for pull in reversed(found):  # the newest last, and an open one beats it
            action_id = id_of_branch(branch_in(pull, place.repository))
            if (
                action_id
                and base_in(pull) == base
                and not (self.pulls.get(action_id, {}).get("state") == "open" != pull.get("state"))
            ):
                self.pulls[action_id] = pull
        self.filed = _filed_here(place.instance)

    @classmethod
    async def at(cls, place: OpsPlace, client: ForgeClient) -> _Look:
        """Ask for what every request needs."""
        base = (await repository(client, place.repository)).default_branch or "main"
        names, found, branch = await asyncio.gather(
            names_in(client, place.repository, DIRECTORY, base),
            pulls(client, place.repository),
            client.get_or_none(f"{repo_path(place.repository)}/branches/{quoted(base)}"),
        )
        number = branch.get("required_approvals") if isinstance(branch, Mapping) else None
        return cls(place, client, base, max(1, number) if isinstance(number, int) else 1, names, found)

    def ids(self) -> list[str]:
        """The actions there are: files of the base, and branches that are proposed."""
        merged = [name.removesuffix(".toml") for name in sorted(self.names) if name.endswith(".toml")]
        return list(dict.fromkeys([*self.pulls, *merged]))

    def releases(self) -> list[str]:
        """Those that may request a release: by their name, or by the title that tools give them."""
        return [
            item
            for item in self.ids()
            if item.startswith("release-")
            or str(self.pulls.get(item, {}).get("title", "")).startswith("release")
        ]

    async def state(self, action_id: str, *, brief: bool = False) -> RequestState:
        """One of them, whole; `brief` leaves out of those that were executed who approved and what they released."""
        found = await self._state(action_id, brief)
        return replace(found, now=_now(found, self.place))

    async def _state(self, action_id: str, brief: bool) -> RequestState:
        pull = self.pulls.get(action_id)
        number = int(pull["number"]) if pull else 0
        on_base = f"{action_id}.toml" in self.names
        if not on_base and pull and pull.get("merged"):
            # It may have been merged between two questions. One that was taken out again is not executed.
            there = await file_at(self.client, self.place.repository, action_path(action_id), self.base)
            on_base = there is not None or f"{action_id}.result.json" in self.names
        brief = brief and on_base and f"{action_id}.result.json" in self.names
        branch = self.base if on_base else branch_of(action_id)
        text, reviews = await asyncio.gather(
            file_at(self.client, self.place.repository, action_path(action_id), branch),
            self._reviews(0 if brief else number),
        )
        action = read_action(text or b"", action_path(action_id)).action
        mine = self.filed.get((action_id, number), {})
        state = replace(
            _filed(action_id, action, pull, reviews, self.place),
            approvals_needed=self.needed,
            scheduled=mine.get("scheduled"),
            silent=mine.get("generation") == OLD.name,
            at=time.time(),
        )
        if brief:
            executed = await self._execution(action_id) or {}
            return replace(state, stage="executed", **executed)
        return await self._merged(replace(state, stage="merged"), pull) if on_base else _unmerged(state, pull)

    async def _reviews(self, number: int) -> Reviews:
        return await reviews_of(self.client, self.place.repository, number) if number else Reviews()

    async def _merged(self, state: RequestState, pull: Mapping[str, Any] | None) -> RequestState:
        executed, release, tagged, authorised, flat = await asyncio.gather(
            self._execution(state.id),
            self._release(state),
            self._tagged(state),
            self._authorised(state),
            self._flat(pull or {}),
        )
        state = replace(state, tagged=tagged, authorised=False if flat else authorised)
        warnings = list(state.warnings)
        if pull is not None and pull.get("merged") and not state.approved_by:
            warnings.append(f"It was merged by {state.merged_by or 'somebody'} without anybody's approval.")
        if flat and executed is None:
            warnings.append(
                f"{flat}, so what executes actions does not find who approved it, and refuses it."
            )
        elif authorised is False and executed is None:
            warnings.append("No admin approved or merged it, so what executes actions refuses it.")
        state = replace(state, warnings=tuple(warnings))
        if executed is not None:
            state = replace(state, stage="executed", **executed)
        if release is not None:
            state = replace(state, stage="result", **release)
        return state

    async def _execution(self, action_id: str) -> dict[str, Any] | None:
        if f"{action_id}.result.json" not in self.names:
            return None
        data = await file_at(self.client, self.place.repository, result_path(action_id), self.base)
        found = read_result(data or b"")
        said = (data or b"").decode(errors="replace") if found is None else found.logs
        logs = Redactor(self.place.hidden).redact(said)[-1000:]
        if found is None:
            return {"logs": logs}
        return {"exit_code": found.exit_code, "executed_at": seconds_of(found.timestamp), "logs": logs}

    async def _release(self, state: RequestState) -> dict[str, Any] | None:
        """`release/<version>.json`, from where it is seen first; one from before the merge is another's."""
        if state.formula != "release" or not state.version:
            return None
        path = f"release/{state.version}.json"
        here = read_bytes(self.place.instance.path / path)
        found = [(here, "as it ran here")]
        for ref, where in (
            (self.place.branch, f"{path} of {self.place.code}"),
            (f"release-result/{state.version}", f"proposed to {self.place.code}"),
        ):
            found.append((await self._code_file(path, ref), where))
        for data, where in found:
            document = _document(data)
            at = seconds_of(document.get("timestamp"))
            if document.get("version") != state.version or (at and at < state.merged_at):
                continue
            status = document.get("status")
            return {
                "status": status if status in ("success", "failed") else "",
                "reference": str(document.get("image_ref") or ""),
                "digest": str(document.get("image_digest") or ""),
                "executed_at": state.executed_at or at,
                "where": where,
            }
        return None

    async def _code_file(self, path: str, ref: str) -> bytes | None:
        with contextlib.suppress(DisintoError):  # the project's own repository may be another's
            return await file_at(self.client, self.place.code, path, ref)
        return None

    async def _tagged(self, state: RequestState) -> str:
        if state.formula != "release" or not state.version:
            return ""
        with contextlib.suppress(DisintoError):
            return await tagged_commit(self.client, self.place.code, state.version)
        return ""

    async def _flat(self, pull: Mapping[str, Any]) -> str:
        """Why what executes actions does not find the pull request of a merge: it looks for the commit of a merge that
        names its number (facts: 8.3), and a squash or a rebase makes none. "" when it does, or nobody knows."""
        sha = pull.get("merge_commit_sha")
        if not pull.get("merged") or not isinstance(sha, str) or not sha:
            return ""
        with contextlib.suppress(DisintoError):
            path = f"{repo_path(self.place.repository)}/git/commits/{quoted(sha)}"
            found = await self.client.get_or_none(path)
            if not isinstance(found, Mapping) or not isinstance(found.get("parents"), list):
                return ""
            if len(found["parents"]) < 2:
                return "It was merged by a squash or a rebase, without a commit of the merge"
            inner = found.get("commit")
            message = inner.get("message") if isinstance(inner, Mapping) else None
            if isinstance(message, str) and not re.search(rf"#{pull['number']}\b", message):
                return f"The commit of its merge does not name #{pull['number']}"
        return ""

    async def _authorised(self, state: RequestState) -> bool | None:
        """Whether an admin approved or, with nobody's approval, merged (facts: 8.3)."""
        whose = [*state.approved_by, *([state.merged_by] if state.merged_by else [])]
        if not whose:
            return None
        if any(login in self.place.admins for login in whose):
            return True
        with contextlib.suppress(DisintoError):
            me = await self.client.whoami()
            for login in whose:
                user = await self.client.get_or_none(f"/users/{quoted(login)}")
                if isinstance(user, Mapping) and user.get("is_admin") is True:
                    return True
            return False if me.is_admin else None  # who is an admin, the forge tells admins alone
        return None


def _filed(
    action_id: str,
    action: Action | None,
    pull: Mapping[str, Any] | None,
    reviews: Reviews,
    place: OpsPlace,
) -> RequestState:
    """What the file and the pull request say, before anything of what became of it."""
    pull = pull or {}
    warnings = []
    if action is not None and action.dispatch_mode == "direct":
        warnings.append("It says `direct`: it is executed without anybody's approval.")
    merged, title = bool(pull.get("merged")), str(pull.get("title", ""))
    if action is None and title.startswith("release"):  # its branch is gone, and it was never merged
        action = Action(action_id, "release", title)
    number = int(pull.get("number", 0))
    return RequestState(
        action_id,
        "open",
        version=action.version if action is not None and action.formula == "release" else "",
        formula=action.formula if action else "",
        context=action.context if action else title,
        secrets=action.secrets if action else (),
        pull=number,
        url=f"{place.forge}/{place.repository}/pulls/{number}" if number else "",
        author=login_in(pull, "user"),
        filed_at=seconds_of(pull.get("created_at")),
        approved_by=reviews.approved_by,
        rejected_by=reviews.rejected_by,
        merged_by=login_in(pull, "merged_by") if merged else "",
        merged_at=seconds_of(pull.get("merged_at")) if merged else 0.0,
        warnings=tuple(warnings),
    )


def _unmerged(state: RequestState, pull: Mapping[str, Any] | None) -> RequestState:
    if pull is not None and pull.get("merged"):
        text = f"It was merged, and {action_path(state.id)} was removed again."
        return replace(state, stage="closed", warnings=(*state.warnings, text))
    if pull is not None and pull.get("state") != "open":
        return replace(state, stage="closed")
    enough = len(state.approved_by) >= state.approvals_needed and not state.rejected_by
    return replace(state, stage="approved" if enough else "open")


def _now(state: RequestState, place: OpsPlace) -> str:
    """What is to be done, or waited for, in one sentence; "" when nothing is."""
    if state.stage == "open":
        whose = (
            "Its author answers the rejection"
            if state.rejected_by
            else f"Somebody else than {state.author} approves it"
        )
        return f"{whose}: {state.url}"
    if state.stage == "approved":
        return "" if state.scheduled else f"Somebody who may merges it: {state.url}"
    release = state.formula == "release" and bool(state.version)
    if state.stage == "merged" and place.executes and state.authorised is False:
        other = (
            f"`disinto release {state.version}` does it from here; or" if release else "To have it executed,"
        )
        return f"{other} remove {action_path(state.id)} from {place.repository}, and file it again."
    if state.stage == "merged" and place.executes:
        return "What executes actions looks every 60 s."
    if state.stage == "merged" and release:
        return f"Nothing here executes it; `disinto release {state.version}` does."
    if state.stage == "closed" and release:
        return f"`disinto release {state.version} --request` files it anew."
    if state.stage == "executed" and state.good is False:
        other = f"`disinto release {state.version}` does it from here; " if release else ""
        again = f"removing {result_path(state.id)} of {place.repository} has it executed again."
        return f"{other}{again}" if other else f"{again[0].upper()}{again[1:]}"
    if state.stage == "result" and state.good is False:
        return f"`disinto release {state.version}` goes on from what is already true."
    return ""


def _document(data: bytes | None) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(data or b"")
        if isinstance(found, dict):
            return found
    return {}


def _filed_here(instance: Instance) -> dict[tuple[str, int], dict[str, Any]]:
    """By id and pull request, what a run of this instance knows: `scheduled`, whether it had its merge scheduled, and
    the `generation` it was filed with."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for run in list_runs(instance):
        if f"-{REQUEST}-" not in run.id:
            continue
        ended = next((item for item in reversed(run.events()) if isinstance(item, RunEnded)), None)
        if ended is None or not isinstance(ended.result.get("pull"), int):
            continue
        key = (str(ended.result.get("id", "")), int(ended.result["pull"]))
        scheduled = ended.state == "done" and bool(ended.result.get("scheduled"))
        found.setdefault(key, {"scheduled": scheduled, "generation": ended.result.get("generation", "")})
    return found
