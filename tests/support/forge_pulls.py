"""Forge double: issues, pull requests, reviews and merges."""

from __future__ import annotations

from aiohttp import web

from tests.support.forge_git import may_merge
from tests.support.forge_http import (
    STATE,
    body,
    failure,
    may_admin,
    not_found,
    nothing,
    page,
    readable,
    reply,
    signed_in,
    writable,
)
from tests.support.forge_state import CREATED, Json, Pull, Repo, Review, User

routes = web.RouteTableDef()
REPO = "/repos/{owner}/{repo}"
ONE = f"{REPO}/pulls/{{number:\\d+}}"
STYLES = ("merge", "rebase", "rebase-merge", "squash", "fast-forward-only", "manually-merged")
EVENTS = {"APPROVED": "APPROVED", "REQUEST_CHANGES": "REQUEST_CHANGES", "COMMENT": "COMMENT", "": "PENDING"}


def pull_json(request: web.Request, repo: Repo, pull: Pull) -> Json:
    return {
        "id": pull.number,
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "html_url": f"{request.url.origin()}/{repo.full_name}/pulls/{pull.number}",
        "user": {"login": pull.user},
        "head": {"ref": pull.head, "sha": pull.head_sha, "label": pull.head},
        "base": {"ref": pull.base, "sha": repo.branches[pull.base][-1], "label": pull.base},
        "labels": [one for one in repo.labels if one["id"] in pull.labels],
        "draft": pull.title.startswith(("WIP:", "Draft:")),
        "mergeable": pull.mergeable and not pull.checking and pull.state == "open",
        "merged": pull.merged,
        "merged_at": CREATED if pull.merged else None,
        "merged_by": {"login": pull.merged_by} if pull.merged_by else None,
        "merge_commit_sha": pull.merge_sha,
        "created_at": CREATED,
    }


def _pull(request: web.Request, repo: Repo) -> Pull:
    found = repo.pulls.get(int(request.match_info["number"]))
    if found is None:
        raise not_found()
    return found


def _state_filter(request: web.Request, state: str) -> bool:
    wanted = request.query.get("state", "open")
    return wanted in ("all", state)


@routes.get(f"{REPO}/pulls")
async def pulls(request: web.Request) -> web.Response:
    repo = readable(request)
    chosen = [pull for pull in reversed(repo.pulls.values()) if _state_filter(request, pull.state)]
    return page(request, [pull_json(request, repo, pull) for pull in chosen])


@routes.post(f"{REPO}/pulls")
async def create_pull(request: web.Request) -> web.Response:
    repo, user = writable(request)
    given = await body(request)
    for key in ("title", "head", "base"):
        if not given.get(key):
            raise failure(422, f"[{key.title()}]: Required")
    head = str(given["head"]).rpartition(":")[2]
    if head not in repo.branches or given["base"] not in repo.branches:
        raise not_found("head or base branch does not exist")
    if head == given["base"] or repo.branches[head][-1] in repo.branches[given["base"]]:
        raise failure(422, "There are no changes between the head and the base")
    for other in repo.pulls.values():
        if other.state == "open" and (other.head, other.base) == (head, given["base"]):
            raise failure(409, "pull request already exists for these targets")
    labels = given.get("labels") or []
    if any(not isinstance(label, int) for label in labels):
        raise failure(422, "[Labels]: must be ids")
    number = repo.next_number
    repo.next_number += 1
    made = Pull(
        number,
        given["title"],
        given.get("body", ""),
        head,
        given["base"],
        user.login,
        repo.branches[head][-1],
        labels=labels,
        checking=request.app[STATE].checking,
    )
    repo.pulls[number] = made
    return reply(pull_json(request, repo, made), 201)


@routes.get(ONE)
async def pull(request: web.Request) -> web.Response:
    repo = readable(request)
    found = _pull(request, repo)
    answer = reply(pull_json(request, repo, found))
    found.checking = max(0, found.checking - 1)
    return answer


@routes.patch(ONE)
async def edit_pull(request: web.Request) -> web.Response:
    repo, _ = writable(request)
    found, given = _pull(request, repo), await body(request)
    found.title = given.get("title", found.title)
    found.body = given.get("body", found.body)
    if given.get("state") in ("open", "closed"):
        if found.merged:
            raise failure(412, "cannot change state of this pull request, it was already merged")
        found.state = given["state"]
    return reply(pull_json(request, repo, found), 201)


@routes.get(f"{ONE}/files")
async def files(request: web.Request) -> web.Response:
    repo = readable(request)
    found = _pull(request, repo)
    before, changed = repo.forks.get(found.head, {}), repo.changed_on(found.head)
    kinds = [
        "added" if name not in before else "deleted" if data is None else "changed"
        for name, data in changed.items()
    ]
    return page(
        request, [{"filename": name, "status": kind} for name, kind in zip(changed, kinds, strict=True)]
    )


# --- merging ----------------------------------------------------------------------------------


def _hindrance(repo: Repo, found: Pull, user: User, given: Json) -> tuple[int, str] | None:
    """Why it can be neither merged nor scheduled, as (status, message)."""
    if found.merged or found.state != "open":
        return 405, "The pull request is already merged or closed"
    rule = repo.rule_of(found.base)
    if not may_merge(rule, user):
        return 405, "User not allowed to merge PR"
    if found.title.startswith(("WIP:", "Draft:")):
        return 405, "Work in progress PRs cannot be merged"
    if given.get("head_commit_id") and given["head_commit_id"] != found.head_sha:
        return 409, "head out of date"
    if not found.mergeable or found.checking:
        return 405, "Please try again later"
    return None


def _protection(repo: Repo, found: Pull, user: User, given: Json) -> tuple[int, str] | None:
    """What the branch's rule still waits for: it holds up a merge, and not that one is scheduled."""
    rule = repo.rule_of(found.base)
    if rule is None or (
        given.get("force_merge") and may_admin(repo, user) and not rule.get("apply_to_admins")
    ):
        return None
    official = {
        review.user: review.state
        for review in found.reviews
        if review.state != "COMMENT"
        and not (rule["dismiss_stale_approvals"] and review.commit != found.head_sha)
    }
    if list(official.values()).count("APPROVED") < rule["required_approvals"]:
        return 405, "Does not have enough approvals"
    if rule["block_on_rejected_reviews"] and "REQUEST_CHANGES" in official.values():
        return 405, "There are requested changes"
    if rule["enable_status_check"]:
        states = {one["context"]: one["status"] for one in repo.statuses.get(found.head_sha, [])}
        if any(states.get(context) != "success" for context in rule["status_check_contexts"]):
            return 405, "Not all required status checks successful"
    return None


def merge_now(repo: Repo, found: Pull, user: str, style: str = "merge") -> None:
    """Bring it in: by a merge commit, or (squash, rebase) by commits of its own on the base, which has one parent."""
    tree = repo.trees.setdefault(found.base, {})
    for name, data in repo.changed_on(found.head).items():
        if data is None:
            tree.pop(name, None)
        else:
            tree[name] = data
    history = repo.branches[found.base]
    new = [commit for commit in repo.branches[found.head] if commit not in history]
    if style == "squash":
        found.merge_sha = repo.commit(found.base, f"{found.title} (#{found.number})")
    elif style in ("rebase", "fast-forward-only"):
        for commit in new:
            found.merge_sha = repo.commit(found.base, repo.commits[commit][1])
    else:
        tip = history[-1]
        history.extend(new)
        found.merge_sha = repo.commit(found.base, f"Merge pull request '{found.title}' (#{found.number})")
        repo.commits[found.merge_sha] = (tip, new[-1] if new else tip), repo.commits[found.merge_sha][1]
    found.state, found.merged, found.merged_by, found.scheduled = "closed", True, user, False


@routes.get(f"{ONE}/merge")
async def is_merged(request: web.Request) -> web.Response:
    if not _pull(request, readable(request)).merged:
        raise not_found()
    return nothing()


@routes.post(f"{ONE}/merge")
async def merge(request: web.Request) -> web.Response:
    repo, user = writable(request)
    found, given = _pull(request, repo), await body(request)
    if given.get("Do") not in STYLES:
        raise failure(422, "[Do]: In")
    hindrance, missing = _hindrance(repo, found, user, given), _protection(repo, found, user, given)
    if hindrance:
        raise failure(*hindrance)
    if given.get("merge_when_checks_succeed") and missing:
        if found.scheduled:
            raise failure(409, f"pull request is already scheduled to auto merge [pull_id: {found.number}]")
        found.scheduled, found.scheduled_by, found.style = True, user.login, str(given["Do"])
        return reply({}, 201)  # scheduled, not merged
    if missing:
        raise failure(*missing)
    merge_now(repo, found, user.login, str(given["Do"]))
    if given.get("delete_branch_after_merge") and found.head != repo.default_branch:
        repo.branches.pop(found.head, None)
        repo.trees.pop(found.head, None)
    return web.Response(status=200)


@routes.delete(f"{ONE}/merge")
async def cancel_merge(request: web.Request) -> web.Response:
    repo, _ = writable(request)
    found = _pull(request, repo)
    if not found.scheduled:
        raise not_found()
    found.scheduled = False
    return nothing()


# --- reviews ----------------------------------------------------------------------------------


def review_json(found: Pull, review: Review) -> Json:
    return {
        "id": review.id,
        "user": {"login": review.user},
        "state": review.state,
        "body": review.body,
        "commit_id": review.commit,
        "stale": review.commit != found.head_sha,
        "official": review.state in ("APPROVED", "REQUEST_CHANGES"),
        "submitted_at": CREATED,
    }


@routes.get(f"{ONE}/reviews")
async def reviews(request: web.Request) -> web.Response:
    found = _pull(request, readable(request))
    return page(request, [review_json(found, review) for review in found.reviews])


@routes.post(f"{ONE}/reviews")
async def create_review(request: web.Request) -> web.Response:
    repo = readable(request)
    user, found, given = signed_in(request), _pull(request, repo), await body(request)
    event = given.get("event", "")
    if event not in EVENTS:
        raise failure(422, "[Event]: In")
    if user.login == found.user and event in ("APPROVED", "REQUEST_CHANGES"):
        raise failure(422, f"{'approve' if event == 'APPROVED' else 'reject'} your own pull is not allowed")
    made = Review(
        request.app[STATE].next_id(), user.login, EVENTS[event], given.get("body", ""), found.head_sha
    )
    found.reviews.append(made)
    by = request.app[STATE].users.get(found.scheduled_by)
    if found.scheduled and by and not (_hindrance(repo, found, by, {}) or _protection(repo, found, by, {})):
        merge_now(repo, found, by.login, found.style)
    return reply(review_json(found, made))


# --- issues (as far as labels on pull requests need them) ----------------------------------------


@routes.get(f"{REPO}/issues")
async def issues(request: web.Request) -> web.Response:
    repo = readable(request)
    if request.query.get("type") == "issues":
        return page(request, [])
    chosen = [pull for pull in reversed(repo.pulls.values()) if _state_filter(request, pull.state)]
    return page(request, [pull_json(request, repo, pull) for pull in chosen])


@routes.post(f"{REPO}/issues/{{number:\\d+}}/labels")
async def add_labels(request: web.Request) -> web.Response:
    repo, _ = writable(request)
    found, given = _pull(request, repo), await body(request)
    wanted = given.get("labels")
    if not isinstance(wanted, list) or any(not isinstance(label, int) for label in wanted):
        raise failure(422, "[Labels]: must be a list of ids")
    found.labels = sorted(set(found.labels) | set(wanted))
    return reply([one for one in repo.labels if one["id"] in found.labels])
