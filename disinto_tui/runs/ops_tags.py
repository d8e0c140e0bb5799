"""Operations on tags: made on the forge at a recorded commit, pushed to the mirrors; never moved, never forced."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.git import (
    Login,
    place_of,
    push_command,
    push_refs,
    remote_refs,
    remote_refs_command,
)
from disinto_tui.adapters.instance import read_bytes, write_private
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused, Unavailable
from disinto_tui.core.redact import Secret
from disinto_tui.runs.observe import read_env
from disinto_tui.runs.runner import Context, Place

T = TypeVar("T")
_OURS = "tag-made.json"


def forge_token(place: Place) -> Secret | None:
    """The forge's token: handed to this run, else the instance's own; None without one."""
    value = place.secrets.get("FORGE_TOKEN") or read_env(place.instance).get("FORGE_TOKEN", "")
    return Secret(value) if value else None


async def done_after_all(ctx: Context, work: Awaitable[Any], look: Callable[[], Awaitable[T]]) -> T | Any:
    """The answer to a request that makes something; when none came, or a refusal, what `look` finds there.

    The forge may have done it all the same: the answer came too late, or somebody else was quicker. Raises what the
    request raised when there is nothing.
    """
    try:
        return await work
    except (Unavailable, Failed) as error:
        ctx.say(f"the forge did not say that it did it: {error.what} {error.why} Looking whether it did.")
        found = await look()
        if not found:
            raise
        ctx.say("it did")
        return found


async def tagged_commit(client: ForgeClient, slug: str, tag: str) -> str:
    """The commit a tag means on the forge, "" when there is no such tag.

    `GET /tags/{tag}`: `/git/tags/{x}` wants an annotated tag's own id and would always say that there is none.
    """
    found = await client.get_or_none(f"{repo_path(slug)}/tags/{quoted(tag)}")
    commit = found.get("commit") if isinstance(found, dict) else None
    sha = commit.get("sha") if isinstance(commit, dict) else None
    return sha if isinstance(sha, str) else ""


class TagMain:
    """`forge`, `repository`, `tag`, `sha`, `message`: the tag on the forge, at that very commit.

    A tag that is there at the same commit is done; at another one it is Refused and stays.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It is there, at our commit. Raises Refused `tag.elsewhere`."""
        ctx.result["head_sha"] = params["sha"]
        async with self._client(ctx, params) as client:
            return "It is there already." if await self._there(client, params) else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make it, and read it back. Raises Refused, Failed, Unavailable, BadInput (the token's rights)."""
        body = self._body(params)
        # Noted before it is made: only a tag that this run made is one that its undo may delete.
        note = json.dumps({"tag": params["tag"], "sha": params["sha"]})
        write_private(ctx.run.path / _OURS, note.encode())
        async with self._client(ctx, params) as client:
            work = client.post(f"{repo_path(params['repository'])}/tags", body)
            await done_after_all(ctx, work, lambda: self._there(client, params))
            if not await self._there(client, params):
                raise Failed(
                    f"The tag {params['tag']} is not on the forge.",
                    "The forge said that it made it, and does not have it.",
                    "Look at the forge's log, then `disinto resume`.",
                    code="tag.lost",
                )
        ctx.say(f"{params['tag']} is {params['sha']}")
        return {"head_sha": params["sha"]}

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Look for the tag; what would make it."""
        root = repo_path(params["repository"])
        async with self._client(place, params) as client:
            if await self._there(client, params):
                return "It is there already.", []
            made = f"POST {client.address(f'{root}/tags')} {json.dumps(self._body(params))}"
            back = f"GET {client.address(f'{root}/tags/' + quoted(params['tag']))}"
            return "", [would("write", made), would("read", back)]

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Delete the tag that this run made, when it still is at our commit."""
        noted = read_bytes(ctx.run.path / _OURS)
        if noted is None:
            return "This run made no tag."
        async with self._client(ctx, params) as client:
            try:
                there = await self._there(client, params)
            except Refused:
                return f"{params['tag']} is another commit by now, and stays."
            if not there:
                return "It is not there."
            await client.delete(f"{repo_path(params['repository'])}/tags/{quoted(params['tag'])}")
        return f"The tag {params['tag']} was deleted."

    def _body(self, params: Mapping[str, Any]) -> dict[str, str]:
        return {"tag_name": params["tag"], "target": params["sha"], "message": params.get("message", "")}

    def _client(self, place: Place, params: Mapping[str, Any]) -> ForgeClient:
        return ForgeClient(params["forge"], forge_token(place))

    async def _there(self, client: ForgeClient, params: Mapping[str, Any]) -> bool:
        found = await tagged_commit(client, params["repository"], params["tag"])
        if found and found != params["sha"]:
            raise Refused(
                f"The tag {params['tag']} means another commit.",
                f"On the forge it is {found}, and should be {params['sha']}.",
                "A tag is never moved: release the next version, or find out who made that tag.",
                code="tag.elsewhere",
            )
        return bool(found)


class PushMirrors:
    """`checkout`, `mirrors` (name: URL), `refs` (name: commit), `on_failure` ("stop" or "warn").

    Every mirror is tried, whatever the others do. The password of one is the secret `MIRROR_TOKEN_<NAME>`, else
    `GITHUB_TOKEN` or `CODEBERG_TOKEN` for those hosts; ssh URLs use the operator's own keys.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Each mirror is asked by `run` itself."""
        return None if params["mirrors"] else "There are no mirrors."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Push what is missing where it is missing. Raises Failed `mirrors` naming those that did not take it."""
        states: dict[str, str] = {}
        failures: dict[str, DisintoError] = {}
        for name, url in params["mirrors"].items():
            ctx.progress(name, 0, 1, f"asking {place_of(url)}", "")
            try:
                states[name] = await self._one(ctx, params, name, url)
            except DisintoError as error:
                failures[name], states[name] = error, f"failed: {error.why}"
                ctx.say(f"✗ {name}: {error.what} {error.why}", *error.details)
            ctx.progress(name, 1, 1, states[name], "")
        if failures and params.get("on_failure") != "warn":
            first = next(iter(failures.values()))
            raise Failed(
                f"{_list(failures)} did not take the tag.",
                f"{first.what} {first.why}",
                f"{first.now.rstrip('.')}, or `disinto resume` once it is mended; the other mirrors have it.",
                code="mirrors",
                details=[f"{name}: {text}" for name, text in states.items()],
            )
        warnings = [*ctx.result.get("warnings", ()), *(f"mirror {name}: {states[name]}" for name in failures)]
        return {"mirrors": states, **({"warnings": warnings} if warnings else {})}

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Ask every mirror what it has; the pushes that are missing. One that does not answer is a remark."""
        remarks, acts = list[str](), list[Asked]()
        for name, url in params["mirrors"].items():
            try:
                login = login_of(name, url, place.secrets)
                missing = await self._missing(name, url, dict(params["refs"]), login)
            except DisintoError as error:
                remarks.append(f"▲ {name}: {error.what} {error.why}")
                continue
            if not missing:
                remarks.append(f"{name}: has it already")
                continue
            back = remote_refs_command(url, [f"{ref}*" for ref in missing], login)
            acts += [would("write", str(push_command(params["checkout"], url, missing, login)))]
            acts += [would("read", str(back))]
        return " ".join(remarks), acts

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Others may have fetched it by now."""
        return "What mirrors took stays there."

    async def _one(self, ctx: Context, params: Mapping[str, Any], name: str, url: str) -> str:
        login = login_of(name, url, ctx.secrets)
        missing = await self._missing(name, url, dict(params["refs"]), login)
        if not missing:
            ctx.say(f"= {name}: has it already")
            return "has it already"
        await push_refs(Path(params["checkout"]), url, missing, login, on_lines=ctx.lines)
        after = await remote_refs(url, [f"{ref}*" for ref in missing], login)
        for ref, sha in missing.items():
            if after.get(ref) != sha:
                raise Failed(
                    f"{name} does not show what it took.",
                    f"{ref} is {after.get(ref, 'not there')} and should be {sha}.",
                    "Look at it there",
                    code="git.lost",
                )
        ctx.say(f"✓ {name}: pushed to {place_of(url)}")
        return "pushed"

    async def _missing(
        self, name: str, url: str, wanted: Mapping[str, str], login: Login | None
    ) -> dict[str, str]:
        """What a mirror does not have yet. Raises Refused `tag.elsewhere`."""
        there = await remote_refs(url, [f"{ref}*" for ref in wanted], login)
        for ref, sha in wanted.items():
            if ref.startswith("refs/tags/") and there.get(ref, sha) != sha:
                raise Refused(
                    f"{name} has {ref.removeprefix('refs/tags/')} already.",
                    f"There it is {there[ref]}, and should be {sha}.",
                    "A tag is never moved: find out who made it there",
                    code="tag.elsewhere",
                )
        return {ref: sha for ref, sha in wanted.items() if there.get(ref) != sha}


def login_of(name: str, url: str, secrets: Mapping[str, str]) -> Login | None:
    """The login for a mirror; None for ssh, for a path, and when no secret was handed over."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return None
    if parts.password:
        raise BadInput(
            f"The URL of the mirror {name} holds a password.",
            "It would be in the process list and in logs.",
            f"Take it out of the URL and hand it over as MIRROR_TOKEN_{_upper(name)}.",
            code="mirror.password",
        )
    for secret in secret_names(name, url):
        if secrets.get(secret):
            # Any user name goes with a token on GitHub and Forgejo; GitHub documents this one.
            return Login(parts.username or "x-access-token", Secret(secrets[secret]))
    return None


def secret_names(name: str, url: str) -> tuple[str, ...]:
    """Under which names a mirror's token is looked for, in this order; none for ssh and for a path."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ()
    known = {"github.com": ("GITHUB_TOKEN",), "codeberg.org": ("CODEBERG_TOKEN",)}
    return (f"MIRROR_TOKEN_{_upper(name)}", *known.get((parts.hostname or "").lower(), ()))


def _upper(name: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper()


def _list(names: Mapping[str, Any]) -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
