"""Operations on what stands between a request and its execution: the branch's protection, the scheduled merge."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from disinto_tui.adapters.forge import ForgeClient, quoted
from disinto_tui.core.approval import approvals_text, mended
from disinto_tui.core.errors import Failed, Refused, Unavailable
from disinto_tui.runs.ops_repository import (
    Protection,
    login_in,
    protection_of,
    pulls_from,
    repository,
    reviews_of,
)
from disinto_tui.runs.ops_request import MERGED, Filing, Made, closed, is_merged, open_forge, pull_result
from disinto_tui.runs.runner import Context

CHECKING_SECONDS = 30.0
"""How long a forge may take to find out whether a new pull request can be merged."""
POLL_SECONDS = 0.5


class RequestProtection:
    """A `Filing`, `set` (whether its base may be protected), `mergers` (who may merge there from then on).

    The branch that requests are merged into asks for an approval. Without `set` a branch that does not is Refused
    `request.protection`, naming what is missing.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It does already; or the request is merged, and how that came about is judged by the last step."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            if await is_merged(client, filing):
                return MERGED
            found = await self._look(client, filing)
        lacking = found.gaps if params["set"] else found.essential
        return None if lacking else f"{filing.base} asks for {approvals_text(found.approvals)} already."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set what is missing, and nothing else; read it back. Raises Refused, Failed `request.protection`."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            found = await self._look(client, filing)
            if not params["set"]:
                raise unprotected(filing.repository, filing.base, found)
            ctx.say(*(f"missing: {gap.key} ({gap.words})" for gap in found.gaps))
            try:
                await self._set(client, filing, mended(found.rule, filing.base, params["mergers"]))
            except (Unavailable, Failed) as error:
                # It may have been set all the same (an answer that came too late).
                ctx.say(f"the forge did not say that it set it: {error.what} Looking at it.")
                if (await self._look(client, filing)).gaps:
                    raise
            found = await self._look(client, filing)
            if found.gaps:
                raise Failed(
                    f"{filing.base} of {filing.repository} is not protected as asked.",
                    f"After it was set, {found.words}.",
                    "Set it on the forge's page of the repository, then `disinto resume`.",
                    code="request.protection",
                )
        ctx.say(f"{filing.base} asks for {approvals_text(found.approvals)} now")
        return {"protected": filing.base}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It stays: a merge that waits for an approval elsewhere in the repository would happen without it."""
        return f"The protection of {params['base']} stays." if params["set"] else None

    async def _look(self, client: ForgeClient, filing: Filing) -> Protection:
        repo = await repository(client, filing.repository)
        return await protection_of(client, filing.repository, filing.base, admin=repo.admin)

    async def _set(self, client: ForgeClient, filing: Filing, body: Mapping[str, Any]) -> None:
        path = f"{filing.root}/branch_protections"
        if "rule_name" not in body:
            await client.patch(f"{path}/{quoted(filing.base)}", body)
            return
        try:
            await client.post(path, body)
        except Unavailable as error:
            if error.code != "forge.forbidden":
                raise
            # 403 is also "there is a rule already", made since it was looked at.
            if await client.get_or_none(f"{path}/{quoted(filing.base)}") is None:
                raise
            await client.patch(f"{path}/{quoted(filing.base)}", body)


def unprotected(slug: str, branch: str, found: Protection) -> Refused:
    """The error for a branch that would take a request without anybody's approval."""
    return Refused(
        f"{branch} of {slug} would take a request without an approval.",
        f"{found.words[0].upper()}{found.words[1:]}.",
        "Have it set along with the request (--protect), or set it on the forge's page of the repository.",
        code="request.protection",
        details=[f"missing: {gap.key} ({gap.words})" for gap in found.gaps],
    )


class RequestMerge:
    """A `Filing`: the forge merges the pull request by itself once it is approved.

    201 is scheduled. 200 is merged: without an approval that is an alarm. 405 is neither (facts: 8.2, 10.3).
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is merged. Whether it is scheduled the forge does not say. Raises Failed `request.unapproved|closed`."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            if found and found[0].get("state") == "open":
                return None
            merged = next((item for item in found if item.get("merged")), None)
            if merged is not None and await is_merged(client, filing):
                return await self._judged(ctx, client, filing, merged)
            if await is_merged(client, filing):
                return MERGED
            raise closed(filing, found[0] if found else {"number": Made(ctx.run).get("pull") or "?"})

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Schedule it. Raises Failed `request.unapproved|unscheduled|moved`, Unavailable."""
        filing = Filing.of(params)
        async with open_forge(ctx, filing.forge) as client:
            pull = await self._mergeable(ctx, client, filing)
            number, made = int(pull["number"]), Made(ctx.run)
            ours = made.get("merge") is not None
            made.note("merge", str(number))
            try:
                return await self._schedule(ctx, client, filing, pull, ours=ours)
            except Unavailable as error:
                ctx.say(
                    f"the forge did not say that it scheduled it: {error.what} Looking, and asking once more."
                )
                merged = await self._merged(ctx, client, filing, number)
                return merged or await self._schedule(ctx, client, filing, pull, ours=True)

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Cancel the schedule that this run made."""
        filing, noted = Filing.of(params), Made(ctx.run).get("merge")
        if not noted:
            return "This run scheduled no merge."
        async with open_forge(ctx, filing.forge) as client:
            pull = await client.get_or_none(f"{filing.root}/pulls/{noted}")
            if not isinstance(pull, Mapping) or pull.get("state") != "open":
                return "There is nothing to take back."
            gone = await client.delete(f"{filing.root}/pulls/{noted}/merge")
        return "The scheduled merge was cancelled." if gone else "It was not scheduled."

    async def _mergeable(self, ctx: Context, client: ForgeClient, filing: Filing) -> Mapping[str, Any]:
        """The open pull request once the forge has found out that it can be merged, which it does afterwards."""
        left = CHECKING_SECONDS
        while True:
            found = await pulls_from(client, filing.repository, filing.branch, filing.base)
            pull = await client.get(f"{filing.root}/pulls/{found[0]['number']}") if found else {}
            if pull.get("state") != "open":
                raise Failed(
                    "The pull request is not open any more.",
                    "It was closed or merged while this ran.",
                    f"Look at it ({filing.page}/pulls), then `disinto resume`.",
                    code="request.closed",
                )
            if pull.get("mergeable") or left <= 0:
                return dict(pull)
            ctx.progress("merge", 0, 1, "the forge checks for conflicts", "")
            await asyncio.sleep(POLL_SECONDS)
            left -= POLL_SECONDS

    async def _merged(
        self, ctx: Context, client: ForgeClient, filing: Filing, number: int
    ) -> Mapping[str, Any] | None:
        """The step's result when the pull request is merged by now. Raises Failed `request.unapproved`."""
        pull = await client.get(f"{filing.root}/pulls/{number}")
        if not pull.get("merged"):
            return None
        ctx.say(await self._judged(ctx, client, filing, pull))
        return {"scheduled": False, "merged": True}

    async def _schedule(
        self, ctx: Context, client: ForgeClient, filing: Filing, pull: Mapping[str, Any], *, ours: bool
    ) -> Mapping[str, Any]:
        """Ask for it. `ours` is whether this run asked before: then a schedule that is there already may be its own,
        and else its undo leaves it."""
        number, head = int(pull["number"]), pull.get("head")
        sha = str(head.get("sha", "")) if isinstance(head, Mapping) else ""
        body = {"Do": "merge", "merge_when_checks_succeed": True, "head_commit_id": sha}
        answer = await client.call("POST", f"{filing.root}/pulls/{number}/merge", body=body)
        if answer.status == 201:
            ctx.say(f"201: pull request {number} is merged by the forge once it is approved")
            return self._scheduled(filing, number)
        if answer.status == 200:
            ctx.say(f"200: pull request {number} was merged at once")
            now = await client.get(f"{filing.root}/pulls/{number}")
            ctx.say(await self._judged(ctx, client, filing, now))
            return {"scheduled": False, "merged": True}
        error = client.error_of(answer)
        said = " ".join(error.details)
        if answer.status in (405, 409) and not ours:
            Made(ctx.run).forget("merge")
        if answer.status == 409 and "already scheduled" in said.lower():
            ctx.say(f"409: {said}")
            return self._scheduled(filing, number)
        if answer.status == 409:
            raise Failed(
                f"Pull request {number} is not what was filed any more.",
                f"Its branch moved, or it conflicts: {said or 'HTTP 409'}.",
                "Look at it; once it is as it should be, `disinto resume` schedules its merge.",
                code="request.moved",
                details=error.details,
            )
        if answer.status == 405:
            # Also what a forge says of one that was merged since it was looked at.
            merged = await self._merged(ctx, client, filing, number)
            if merged is not None:
                return merged
            raise Failed(
                f"Pull request {number} is filed, and its merge is not scheduled.",
                f"The forge does not allow it (405): {said or 'it says no more'}.",
                "Somebody who may merge there does it by hand once it is approved; or mend it, then `disinto resume`.",
                code="request.unscheduled",
                details=error.details,
            )
        raise error

    def _scheduled(self, filing: Filing, number: int) -> Mapping[str, Any]:
        return {
            "scheduled": True,
            "summary": [
                f"{filing.id} is filed: {filing.page}/pulls/{number}",
                "Once somebody approves it, the forge merges it by itself; until then nobody executes it.",
                f"`disinto requests {filing.id} --follow` shows what becomes of it.",
            ],
        }

    async def _judged(
        self, ctx: Context, client: ForgeClient, filing: Filing, pull: Mapping[str, Any]
    ) -> str:
        """A merge is well when somebody approved, or another than us merged. Raises Failed `request.unapproved`."""
        number = int(pull["number"])
        ctx.result.update(pull_result(filing, pull))
        approved = (await reviews_of(client, filing.repository, number)).approved_by
        if approved:
            return f"Pull request {number} was approved by {', '.join(approved)}, and is merged."
        by = login_in(pull, "merged_by")
        if by and by != (await client.whoami()).login:
            return f"Pull request {number} was merged by {by}, without a review."
        ctx.result["unapproved"] = True
        raise Failed(
            f"ALARM: pull request {number} was merged without anybody's approval.",
            f"The forge merged it at once instead of scheduling it: {filing.base} does not ask for an approval.",
            f"Remove {filing.path} from {filing.base} now, before it is executed (within a minute); then --protect.",
            code="request.unapproved",
            details=[
                f"{filing.page}/pulls/{number}",
                f"{filing.page}/src/branch/{filing.base}/{filing.path}",
                "What executes actions looks every 60 s, and takes the merge of an admin for an approval.",
            ],
        )
