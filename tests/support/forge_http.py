"""How the forge double speaks: who is asking, pages, and errors as JSON {message, url}."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.support.forge_state import ForgeState, Json, Repo, User

STATE: web.AppKey[ForgeState] = web.AppKey("state", ForgeState)
MAX_LIMIT = 50


def failure(status: int, message: str) -> web.HTTPException:
    """An API error to raise; aiohttp needs the class of the status, so build it from the generic one."""
    body = json.dumps({"message": message, "url": "/api/swagger"})
    kind = type("ForgeError", (web.HTTPException,), {"status_code": status})
    return kind(text=body, content_type="application/json")  # type: ignore[no-any-return]


def not_found(what: str = "The target couldn't be found.") -> web.HTTPException:
    return failure(404, what)


def reply(data: object, status: int = 200) -> web.Response:
    return web.json_response(data, status=status)


def nothing(status: int = 204) -> web.Response:
    return web.Response(status=status)


def page(request: web.Request, items: Sequence[Any]) -> web.Response:
    """One page of a list: `page` from 1, `limit` at most 50, the total in X-Total-Count, a Link header."""
    number = max(1, integer(request, "page", 1))
    limit = integer(request, "limit", 30)
    limit = MAX_LIMIT if limit > MAX_LIMIT or limit < 1 else limit
    part = items[(number - 1) * limit : number * limit]
    headers = {"X-Total-Count": str(len(items))}
    if number * limit < len(items):
        url = request.url.update_query(page=str(number + 1), limit=str(limit))
        headers["Link"] = f'<{url}>; rel="next"'
    return web.json_response(list(part), headers=headers)


def integer(request: web.Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        return default


async def body(request: web.Request) -> Json:
    try:
        data = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise failure(422, f"[]: {error}") from error
    if not isinstance(data, dict):
        raise failure(422, "[]: not an object")
    return data


def credentials(request: web.Request) -> tuple[str, str, str]:
    """("token", value, "") or ("basic", user, password) or ("", "", "")."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() in ("token", "bearer"):
        return "token", value.strip(), ""
    if kind.lower() == "basic":
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "basic", "", ""
        return "basic", name, password
    return "", "", ""


def who(request: web.Request) -> User | None:
    """The user asking; None for the anonymous. 401 when credentials are given and wrong."""
    state = request.app[STATE]
    kind, first, second = credentials(request)
    if not kind:
        return None
    if kind == "token":
        user = state.user_of_token(first)
    else:
        user = state.users.get(first)
        # A token is accepted as the password too, as a forge does.
        if user and second != user.password and state.user_of_token(second) is not user:
            user = None
    if user is None:
        raise failure(401, "invalid username, password or token")
    return user


def signed_in(request: web.Request) -> User:
    user = who(request)
    if user is None:
        raise failure(401, "token is required")
    return user


def admin(request: web.Request) -> User:
    user = signed_in(request)
    if not user.is_admin:
        raise failure(403, "user should be an admin")
    return user


def basic_as(request: web.Request, login: str) -> User:
    """Tokens are made and removed with a password only: a token may not breed tokens."""
    kind, _, _ = credentials(request)
    user = signed_in(request)
    if kind != "basic":
        raise failure(401, "auth required")
    if user.login != login and not user.is_admin:
        raise failure(403, "you are not allowed to do that")
    owner = request.app[STATE].users.get(login)
    if owner is None:
        raise not_found("user does not exist")
    return owner


def may_write(repo: Repo, user: User | None) -> bool:
    if user is None:
        return False
    return (
        user.is_admin or user.login == repo.owner or repo.collaborators.get(user.login) in ("write", "admin")
    )


def may_admin(repo: Repo, user: User | None) -> bool:
    return user is not None and (
        user.is_admin or user.login == repo.owner or repo.collaborators.get(user.login) == "admin"
    )


def readable(request: web.Request) -> Repo:
    """The repository of the path; a private one that may not be seen looks like a missing one."""
    repo = request.app[STATE].repo(request.match_info["owner"], request.match_info["repo"])
    user = who(request)
    if repo is None or (
        repo.private and not (may_write(repo, user) or (user and user.login in repo.collaborators))
    ):
        raise not_found()
    return repo


def writable(request: web.Request) -> tuple[Repo, User]:
    repo = readable(request)
    user = signed_in(request)
    if not may_write(repo, user):
        raise failure(403, "user should have a permission to write to a repo")
    return repo, user


def administrable(request: web.Request) -> tuple[Repo, User]:
    repo = readable(request)
    user = signed_in(request)
    if not may_admin(repo, user):
        raise failure(403, "user should be an owner or a collaborator with admin write of a repository")
    return repo, user
