"""Forge double: version, users, tokens, OAuth applications, organisations, packages."""

from __future__ import annotations

from aiohttp import web

from tests.support.forge_http import (
    STATE,
    admin,
    basic_as,
    body,
    credentials,
    failure,
    may_write,
    not_found,
    nothing,
    page,
    reply,
    signed_in,
    who,
)
from tests.support.forge_state import Json, Repo, Token, User, sha

routes = web.RouteTableDef()


@routes.get("/version")
async def version(request: web.Request) -> web.Response:
    return reply({"version": request.app[STATE].version})


@routes.get("/user")
async def me(request: web.Request) -> web.Response:
    return reply(signed_in(request).to_json(to_admin=True))


@routes.get("/user/repos")
async def my_repos(request: web.Request) -> web.Response:
    user = signed_in(request)
    mine = [
        repo.full_name
        for repo in request.app[STATE].repos.values()
        if repo.owner == user.login or user.login in repo.collaborators
    ]
    return page(request, [{"full_name": name} for name in mine])


@routes.get("/users/{login}")
async def user(request: web.Request) -> web.Response:
    found = request.app[STATE].users.get(request.match_info["login"])
    if found is None:
        raise not_found("user does not exist")
    asking = who(request)
    return reply(found.to_json(to_admin=bool(asking and (asking.is_admin or asking is found))))


@routes.get("/admin/users")
async def users(request: web.Request) -> web.Response:
    admin(request)
    return page(request, [one.to_json(to_admin=True) for one in request.app[STATE].users.values()])


@routes.post("/admin/users")
async def create_user(request: web.Request) -> web.Response:
    admin(request)
    state, given = request.app[STATE], await body(request)
    for key in ("username", "email"):
        if not given.get(key):
            raise failure(422, f"[{key.title()}]: Required")
    if given["username"] in state.users or given["username"] in state.orgs:
        raise failure(422, f"user already exists [name: {given['username']}]")
    if len(given.get("password", "")) < 8:
        raise failure(422, "PasswordTooShort")
    made = state.add_user(given["username"], given["password"])
    made.email = given["email"]
    return reply(made.to_json(to_admin=True), 201)


@routes.patch("/admin/users/{login}")
async def edit_user(request: web.Request) -> web.Response:
    admin(request)
    found = request.app[STATE].users.get(request.match_info["login"])
    if found is None:
        raise not_found("user does not exist")
    given = await body(request)
    if "login_name" not in given or "source_id" not in given:
        raise failure(422, "[LoginName]: Required")
    found.password = given.get("password") or found.password
    found.email = given.get("email") or found.email
    found.is_admin = bool(given.get("admin", found.is_admin))
    return reply(found.to_json(to_admin=True))


@routes.delete("/admin/users/{login}")
async def delete_user(request: web.Request) -> web.Response:
    admin(request)
    if request.app[STATE].users.pop(request.match_info["login"], None) is None:
        raise not_found("user does not exist")
    return nothing()


@routes.get("/users/{login}/tokens")
async def tokens(request: web.Request) -> web.Response:
    owner = request.app[STATE].users.get(request.match_info["login"])
    asking = signed_in(request)
    if request.app[STATE].basic_for_tokens and credentials(request)[0] != "basic":
        raise failure(401, "auth required")
    if owner is None:
        raise not_found("user does not exist")
    if asking is not owner and not asking.is_admin:
        raise failure(403, "you are not allowed to do that")
    return page(request, [token.to_json() for token in owner.tokens])


@routes.post("/users/{login}/tokens")
async def create_token(request: web.Request) -> web.Response:
    state = request.app[STATE]
    owner = basic_as(request, request.match_info["login"])
    given = await body(request)
    name = given.get("name")
    if not name:
        raise failure(422, "[Name]: Required")
    if any(token.name == name for token in owner.tokens):
        raise failure(400, "access token name has been used already")
    if not given.get("scopes"):
        raise failure(400, "access token must have a scope")
    number = state.next_id()
    token = Token(number, name, sha(owner.login, name, number), list(given["scopes"]))
    owner.tokens.append(token)
    # The one time that the value is shown.
    return reply(token.to_json() | {"sha1": token.value}, 201)


@routes.delete("/users/{login}/tokens/{which}")
async def delete_token(request: web.Request) -> web.Response:
    owner = basic_as(request, request.match_info["login"])
    which = request.match_info["which"]
    for token in owner.tokens:
        if which in (str(token.id), token.name):
            owner.tokens.remove(token)
            return nothing()
    raise not_found()


APPLICATIONS: web.AppKey[dict[str, list[Json]]] = web.AppKey("applications", dict)


def _application(request: web.Request, given: Json, number: int, client: str) -> Json:
    # A new secret at every edit: the only way to recover a lost one.
    secret = sha("oauth", number, request.app[STATE].next_id())
    return {
        "id": number,
        "name": given["name"],
        "client_id": client,
        "client_secret": f"gto_{secret}",
        "redirect_uris": given.get("redirect_uris", []),
        "confidential_client": bool(given.get("confidential_client")),
    }


def _without_secret(application: Json) -> Json:
    return application | {"client_secret": ""}


@routes.get("/user/applications/oauth2")
async def applications(request: web.Request) -> web.Response:
    mine = request.app[APPLICATIONS].get(signed_in(request).login, [])
    return page(request, [_without_secret(one) for one in mine])


@routes.post("/user/applications/oauth2")
async def create_application(request: web.Request) -> web.Response:
    user, given = signed_in(request), await body(request)
    if not given.get("name"):
        raise failure(422, "[Name]: Required")
    number = request.app[STATE].next_id()
    made = _application(request, given, number, f"client-{number}")
    request.app[APPLICATIONS].setdefault(user.login, []).append(made)
    return reply(made, 201)


@routes.patch("/user/applications/oauth2/{id:\\d+}")
async def edit_application(request: web.Request) -> web.Response:
    user, given = signed_in(request), await body(request)
    mine = request.app[APPLICATIONS].get(user.login, [])
    for place, one in enumerate(mine):
        if str(one["id"]) == request.match_info["id"]:
            mine[place] = _application(request, one | given, one["id"], one["client_id"])
            return reply(mine[place])
    raise not_found()


@routes.get("/orgs/{org}")
async def org(request: web.Request) -> web.Response:
    found = request.app[STATE].orgs.get(request.match_info["org"])
    if found is None:
        raise not_found()
    return reply(found)


@routes.post("/orgs")
async def create_org(request: web.Request) -> web.Response:
    signed_in(request)
    state, given = request.app[STATE], await body(request)
    name = given.get("username")
    if not name:
        raise failure(422, "[UserName]: Required")
    if name in state.orgs or name in state.users:
        raise failure(422, f"user already exists [name: {name}]")
    state.orgs[name] = {
        "id": state.next_id(),
        "username": name,
        "visibility": given.get("visibility", "public"),
    }
    return reply(state.orgs[name], 201)


def repo_json(request: web.Request, repo: Repo, asking: User | None) -> Json:
    root = str(request.url.origin())
    return {
        "id": repo.id,
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": {"login": repo.owner},
        "description": repo.description,
        "private": repo.private,
        "empty": not repo.branches,
        "default_branch": repo.default_branch,
        "clone_url": f"{root}/{repo.full_name}.git",
        "html_url": f"{root}/{repo.full_name}",
        "permissions": {
            "pull": True,
            "push": may_write(repo, asking),
            "admin": bool(asking and (asking.is_admin or asking.login == repo.owner)),
        },
    }


async def _create_repo(request: web.Request, owner: str, asking: User) -> web.Response:
    state, given = request.app[STATE], await body(request)
    if not given.get("name"):
        raise failure(422, "[Name]: Required")
    if state.repo(owner, given["name"]):
        raise failure(409, "The repository with the same name already exists.")
    made = state.add_repo(
        owner,
        given["name"],
        private=bool(given.get("private")),
        branch=given.get("default_branch") or "main",
        init=bool(given.get("auto_init")),
    )
    made.description = given.get("description", "")
    return reply(repo_json(request, made, asking), 201)


@routes.post("/user/repos")
async def create_my_repo(request: web.Request) -> web.Response:
    user = signed_in(request)
    return await _create_repo(request, user.login, user)


@routes.post("/orgs/{org}/repos")
async def create_org_repo(request: web.Request) -> web.Response:
    user = signed_in(request)
    if request.match_info["org"] not in request.app[STATE].orgs:
        raise not_found()  # also for the name of a user: that is another endpoint
    return await _create_repo(request, request.match_info["org"], user)


@routes.post("/admin/users/{login}/repos")
async def create_repo_for(request: web.Request) -> web.Response:
    user = admin(request)
    state, login = request.app[STATE], request.match_info["login"]
    if login not in state.users and login not in state.orgs:
        raise not_found("user does not exist")
    return await _create_repo(request, login, user)


@routes.post("/repos/migrate")
async def migrate(request: web.Request) -> web.Response:
    user, given = signed_in(request), await body(request)
    owner, name = given.get("repo_owner") or user.login, given.get("repo_name")
    if not name or not given.get("clone_addr"):
        raise failure(422, "[RepoName]: Required")
    state = request.app[STATE]
    if state.repo(owner, name):
        raise failure(409, "The repository with the same name already exists.")
    return reply(repo_json(request, state.add_repo(owner, name), user), 201)


@routes.get("/packages/{owner}")
async def packages(request: web.Request) -> web.Response:
    state, owner = request.app[STATE], request.match_info["owner"]
    if owner not in state.users and owner not in state.orgs:
        raise not_found()
    found = state.packages.get(owner, [])
    kind, part = request.query.get("type"), request.query.get("q", "")
    return page(
        request, [one for one in found if kind in (None, "", one.get("type")) and part in one.get("name", "")]
    )
