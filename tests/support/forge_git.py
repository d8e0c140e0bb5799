"""Forge double: repositories, branches and their protection, tags, contents, commits.

What a forge does not have is not here either, so it answers 404: `/git/branches`, any verb on
`/branches/{branch}/protection`, `POST /git/refs`; and `GET /git/tags/{x}` wants the id of an annotated tag.
"""

from __future__ import annotations

import base64
import binascii
import re

from aiohttp import web

from tests.support.forge_http import (
    STATE,
    administrable,
    body,
    failure,
    may_admin,
    may_write,
    not_found,
    nothing,
    page,
    readable,
    reply,
    signed_in,
    who,
    writable,
)
from tests.support.forge_state import CREATED, Json, Repo, Tag, User, sha
from tests.support.forge_users import repo_json

routes = web.RouteTableDef()
REPO = "/repos/{owner}/{repo}"
# What git itself refuses in the name of a reference.
BAD_REF = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{|//|^[/.-]|[/.]$|\.lock$|^$")


@routes.get(REPO)
async def repo(request: web.Request) -> web.Response:
    return reply(repo_json(request, readable(request), who(request)))


@routes.patch(REPO)
async def edit_repo(request: web.Request) -> web.Response:
    found, user = administrable(request)
    given = await body(request)
    found.private = bool(given.get("private", found.private))
    found.description = given.get("description", found.description)
    found.default_branch = given.get("default_branch", found.default_branch)
    return reply(repo_json(request, found, user))


@routes.delete(REPO)
async def delete_repo(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    del request.app[STATE].repos[found.full_name.lower()]
    return nothing()


@routes.get(f"{REPO}/collaborators/{{login}}")
async def collaborator(request: web.Request) -> web.Response:
    found = readable(request)
    signed_in(request)
    if request.match_info["login"] not in found.collaborators:
        raise not_found()
    return nothing()


@routes.put(f"{REPO}/collaborators/{{login}}")
async def add_collaborator(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    given = await body(request)
    permission = given.get("permission", "write")
    login = request.match_info["login"]
    if login not in request.app[STATE].users or permission not in ("read", "write", "admin"):
        raise failure(422, "user does not exist or permission unknown")
    found.collaborators[login] = permission
    return nothing()


@routes.get(f"{REPO}/labels")
async def labels(request: web.Request) -> web.Response:
    return page(request, readable(request).labels)


@routes.post(f"{REPO}/labels")
async def create_label(request: web.Request) -> web.Response:
    found, _ = writable(request)
    given = await body(request)
    if not given.get("name") or not re.fullmatch(r"#?[0-9a-fA-F]{6}", str(given.get("color", ""))):
        raise failure(422, "[Color]: invalid")
    made = {"id": request.app[STATE].next_id(), "name": given["name"], "color": given["color"].lstrip("#")}
    found.labels.append(made)  # a second one of the same name is allowed
    return reply(made, 201)


# --- branches ---------------------------------------------------------------------------------


def branch_json(found: Repo, name: str, asking: User | None) -> Json:
    """A branch as the one who asks sees it: the rule's name is for admins, the rest for everybody."""
    rule = found.rule_of(name)
    return {
        "name": name,
        "commit": {"id": found.branches[name][-1], "message": "", "timestamp": CREATED},
        "protected": rule is not None,
        "required_approvals": rule.get("required_approvals", 0) if rule else 0,
        "enable_status_check": bool(rule and rule["enable_status_check"]),
        "effective_branch_protection_name": rule["rule_name"] if rule and may_admin(found, asking) else "",
        "user_can_push": may_push(found, name, asking),
        "user_can_merge": may_write(found, asking) and may_merge(rule, asking),
    }


def may_push(found: Repo, branch: str, user: User | None) -> bool:
    rule = found.rule_of(branch)
    if user is None or not may_write(found, user):
        return False
    if rule is None:
        return True
    if not rule["enable_push"]:
        return may_admin(found, user) and not rule["apply_to_admins"]
    return not rule["enable_push_whitelist"] or user.login in rule["push_whitelist_usernames"]


def may_merge(rule: Json | None, user: User | None) -> bool:
    if rule is None or not rule["enable_merge_whitelist"]:
        return True
    return user is not None and user.login in rule["merge_whitelist_usernames"]


@routes.get(f"{REPO}/branches")
async def branches(request: web.Request) -> web.Response:
    found = readable(request)
    return page(request, [branch_json(found, name, who(request)) for name in sorted(found.branches)])


@routes.post(f"{REPO}/branches")
async def create_branch(request: web.Request) -> web.Response:
    found, user = writable(request)
    given = await body(request)
    new = str(given.get("new_branch_name", ""))
    old = str(given.get("old_ref_name") or given.get("old_branch_name") or found.default_branch)
    if BAD_REF.search(new):
        raise failure(422, "[NewBranchName]: GitRefName")
    if new in found.branches:
        raise failure(409, "The branch already exists.")
    commit = found.resolve(old)
    if commit is None:
        raise not_found("The old branch does not exist")
    source = next(name for name, history in found.branches.items() if commit in history)
    found.fork_branch(new, old if old in found.branches else source)
    history = found.branches[new]
    del history[history.index(commit) + 1 :]
    return reply(branch_json(found, new, user), 201)


# A branch name may hold slashes; without `.+` `feature/x` would be unknown. It must come after every
# longer path of the same beginning, so it is registered last by `add_greedy`.
async def branch(request: web.Request) -> web.Response:
    found, name = readable(request), request.match_info["branch"]
    if name not in found.branches:
        raise not_found()
    return reply(branch_json(found, name, who(request)))


async def delete_branch(request: web.Request) -> web.Response:
    found, _ = writable(request)
    name = request.match_info["branch"]
    if name not in found.branches:
        raise not_found()
    if name == found.default_branch or found.rule_of(name):
        raise failure(403, "branch protected")
    del found.branches[name]
    for pull in found.pulls.values():
        if pull.head == name and pull.state == "open":
            pull.state = "closed"
    found.trees.pop(name, None)
    return nothing()


# --- protection -------------------------------------------------------------------------------

RULE_DEFAULTS: Json = {
    "enable_push": False,
    "enable_push_whitelist": False,
    "push_whitelist_usernames": [],
    "enable_merge_whitelist": False,
    "merge_whitelist_usernames": [],
    "required_approvals": 0,
    "enable_status_check": False,
    "status_check_contexts": [],
    "apply_to_admins": False,
    "dismiss_stale_approvals": False,
    "block_on_rejected_reviews": False,
}


def _check_rule(request: web.Request, given: Json) -> None:
    named = [*given.get("merge_whitelist_usernames", []), *given.get("push_whitelist_usernames", [])]
    for login in named:
        if login not in request.app[STATE].users:
            raise failure(422, f"user does not exist [name: {login}]")


@routes.get(f"{REPO}/branch_protections")
async def protections(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    return reply(list(found.protections.values()))


@routes.post(f"{REPO}/branch_protections")
async def create_protection(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    given = await body(request)
    name = given.get("rule_name") or given.get("branch_name")
    if not name:
        raise failure(400, "both rule_name and branch_name are empty")
    if name in found.protections:
        raise failure(403, "Branch protection already exist")
    _check_rule(request, given)
    found.protections[name] = RULE_DEFAULTS | given | {"rule_name": name, "created_at": CREATED}
    return reply(found.protections[name], 201)


@routes.get(f"{REPO}/branch_protections/{{rule}}")
async def protection(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    if request.match_info["rule"] not in found.protections:
        raise not_found()
    return reply(found.protections[request.match_info["rule"]])


@routes.patch(f"{REPO}/branch_protections/{{rule}}")
async def edit_protection(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    name = request.match_info["rule"]
    if name not in found.protections:
        raise not_found()
    given = await body(request)
    _check_rule(request, given)
    found.protections[name].update(given)
    return reply(found.protections[name])


@routes.delete(f"{REPO}/branch_protections/{{rule}}")
async def delete_protection(request: web.Request) -> web.Response:
    found, _ = administrable(request)
    if found.protections.pop(request.match_info["rule"], None) is None:
        raise not_found()
    return nothing()


# --- tags -------------------------------------------------------------------------------------


def tag_json(request: web.Request, found: Repo, tag: Tag) -> Json:
    root = f"{request.url.origin()}/api/v1/repos/{found.full_name}"
    return {
        "name": tag.name,
        "message": tag.message,
        "id": tag.id,
        "commit": {"url": f"{root}/git/commits/{tag.commit}", "sha": tag.commit, "created": CREATED},
        "zipball_url": f"{root}/archive/{tag.name}.zip",
        "tarball_url": f"{root}/archive/{tag.name}.tar.gz",
    }


@routes.get(f"{REPO}/tags")
async def tags(request: web.Request) -> web.Response:
    found = readable(request)
    newest_first = list(reversed(found.tags.values()))
    return page(request, [tag_json(request, found, tag) for tag in newest_first])


@routes.post(f"{REPO}/tags")
async def create_tag(request: web.Request) -> web.Response:
    found, _ = writable(request)
    given = await body(request)
    name = given.get("tag_name")
    if not name:
        raise failure(422, "[TagName]: Required")
    if BAD_REF.search(name):
        raise failure(422, "Target is invalid: not a valid tag name")
    commit = found.resolve(given.get("target") or found.default_branch)
    if commit is None:
        raise not_found("target not found")
    if name in found.tags:
        raise failure(409, "tag exists")
    message = given.get("message", "")
    # With a message the tag is an object of its own (annotated), without one it is the commit's name.
    identity = sha("tag", found.full_name, name, message) if message else commit
    found.tags[name] = Tag(name, message, commit, identity)
    return reply(tag_json(request, found, found.tags[name]), 201)


async def tag(request: web.Request) -> web.Response:
    found, name = readable(request), request.match_info["tag"]
    if name not in found.tags:
        raise not_found()
    return reply(tag_json(request, found, found.tags[name]))


async def delete_tag(request: web.Request) -> web.Response:
    found, _ = writable(request)
    name = request.match_info["tag"]
    if name not in found.tags:
        raise not_found()
    if found.tags[name].released:
        raise failure(409, "a tag attached to a release cannot be deleted directly")
    del found.tags[name]
    return nothing()


@routes.get(f"{REPO}/git/tags/{{id}}")
async def annotated_tag(request: web.Request) -> web.Response:
    found = readable(request)
    for one in found.tags.values():
        if one.id == request.match_info["id"] and one.id != one.commit:
            return reply(
                {
                    "tag": one.name,
                    "sha": one.id,
                    "message": one.message,
                    "object": {"type": "commit", "sha": one.commit},
                }
            )
    raise not_found()


@routes.get(f"{REPO}/releases")
async def releases(request: web.Request) -> web.Response:
    found = readable(request)
    return page(request, [{"tag_name": tag.name} for tag in found.tags.values() if tag.released])


# --- contents and commits ---------------------------------------------------------------------


def _content_json(path: str, data: bytes) -> Json:
    return {
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": sha("blob", data),
        "type": "file",
        "size": len(data),
        "encoding": "base64",
        "content": base64.b64encode(data).decode(),
    }


async def contents(request: web.Request) -> web.Response:
    found, path = readable(request), request.match_info.get("path", "").strip("/")
    tree = found.tree_at(request.query.get("ref") or found.default_branch)
    if tree is None:
        raise not_found("object does not exist")
    if path in tree:
        return reply(_content_json(path, tree[path]))
    prefix = f"{path}/" if path else ""
    entries: dict[str, Json] = {}
    for full, data in sorted(tree.items()):
        if full.startswith(prefix):
            head, _, rest = full[len(prefix) :].partition("/")
            entries[head] = (
                {"name": head, "path": prefix + head, "type": "dir"} if rest else _content_json(full, data)
            )
            entries[head].pop("content", None)
    if not entries:
        raise not_found("object does not exist")
    return reply(list(entries.values()))


async def write_contents(request: web.Request) -> web.Response:
    """POST makes a file, PUT changes one (its `sha` proves that it was read), DELETE removes one."""
    found, user = writable(request)
    given, path = await body(request), request.match_info["path"].strip("/")
    base = given.get("branch") or found.default_branch
    tree = found.trees.get(base)
    if tree is None and found.branches:
        raise not_found(f"branch does not exist [name: {base}]")
    current = (tree or {}).get(path)
    verb = request.method
    if verb == "POST" and current is not None:
        raise failure(422, f"repository file already exists [path: {path}]")
    if verb != "POST":
        if not given.get("sha"):
            raise failure(422, "[SHA]: Required")
        if current is None:
            raise not_found(f"file does not exist [path: {path}]")
        if given["sha"] != sha("blob", current):
            raise failure(
                409, f"sha does not match [given: {given['sha']}, expected: {sha('blob', current)}]"
            )
    try:
        data = None if verb == "DELETE" else base64.b64decode(given.get("content", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise failure(422, f"illegal base64 data: {error}") from error
    branch = given.get("new_branch") or base
    if branch != base:
        if branch in found.branches:
            raise failure(422, f"branch already exists [name: {branch}]")
        found.fork_branch(branch, base)
    else:
        if not may_push(found, base, user):
            raise failure(403, "branch is protected: direct push is not allowed")
    commit = found.write(branch, path, data, str(given.get("message", "")))
    for pull in found.pulls.values():
        if pull.state == "open" and pull.head == branch:
            pull.head_sha = commit
    answer: Json = {"content": None if data is None else _content_json(path, data), "commit": {"sha": commit}}
    return reply(answer, 201 if verb == "POST" else 200)


@routes.get(f"{REPO}/commits/{{ref}}/status")
async def commit_status(request: web.Request) -> web.Response:
    found = readable(request)
    commit = found.resolve(request.match_info["ref"])
    if commit is None:
        raise not_found()
    statuses = found.statuses.get(commit, [])
    states = [one["status"] for one in statuses]
    state = next(
        (bad for bad in ("error", "failure", "pending") if bad in states), "success" if states else ""
    )
    return reply({"sha": commit, "state": state, "total_count": len(states), "statuses": statuses})


@routes.post(f"{REPO}/statuses/{{commit}}")
async def set_status(request: web.Request) -> web.Response:
    found, _ = writable(request)
    given = await body(request)
    made = {"status": given.get("state", "pending"), "context": given.get("context", "default")}
    found.statuses.setdefault(request.match_info["commit"], []).append(made)
    return reply(made, 201)


@routes.get(f"{REPO}/commits")
async def commits(request: web.Request) -> web.Response:
    found = readable(request)
    history = found.branches.get(request.query.get("sha") or found.default_branch)
    if history is None:
        raise not_found()
    return page(request, [{"sha": one, "created": CREATED} for one in reversed(history)])


@routes.get(f"{REPO}/git/commits/{{sha}}")
async def one_commit(request: web.Request) -> web.Response:
    found = readable(request)
    identity = found.resolve(request.match_info["sha"])
    if identity is None:
        raise not_found()
    parents, message = found.commits[identity]
    return reply(
        {"sha": identity, "parents": [{"sha": one} for one in parents], "commit": {"message": message}}
    )


def add_greedy(router: web.UrlDispatcher, prefix: str) -> None:
    """Paths whose last part may hold slashes; after all others."""
    for method, path, handler in (
        ("GET", "tags/{tag:.+}", tag),
        ("DELETE", "tags/{tag:.+}", delete_tag),
        ("GET", "contents/{path:.*}", contents),
        ("GET", "contents", contents),
        ("POST", "contents/{path:.+}", write_contents),
        ("PUT", "contents/{path:.+}", write_contents),
        ("DELETE", "contents/{path:.+}", write_contents),
        # `{branch}/protection` stays unknown, as on a forge.
        ("GET", "branches/{branch:(?!.*/protection$).+}", branch),
        ("DELETE", "branches/{branch:(?!.*/protection$).+}", delete_branch),
    ):
        router.add_route(method, f"{prefix}{REPO}/{path}", handler)
