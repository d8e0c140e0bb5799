"""The double is only worth something if it is wrong where a forge is wrong: these hold it to that."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.forge_double import ADMIN_TOKEN, USER_TOKEN, ForgeDouble, default_state
from tests.support.forge_state import ADMIN_PASSWORD

Answer = tuple[int, Any, dict[str, str]]


@pytest.fixture
def double() -> Iterator[ForgeDouble]:
    with ForgeDouble() as running:
        yield running


def ask(
    double: ForgeDouble, method: str, path: str, data: object = None, auth: str = f"token {ADMIN_TOKEN}"
) -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Authorization": auth} if auth else {})
    request = urllib.request.Request(
        f"{double.url}/api/v1{path}",
        None if data is None else json.dumps(data).encode(),
        headers,
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None, dict(error.headers)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_tokens(double: ForgeDouble) -> None:
    assert ask(double, "GET", "/user")[1]["is_admin"] is True
    status, user, _ = ask(double, "GET", "/user", auth=f"token {USER_TOKEN}")
    assert (status, user["login"], user["is_admin"]) == (200, "dev-bot", False)
    status, error, _ = ask(double, "GET", "/user", auth="token wrong")
    assert status == 401 and set(error) == {"message", "url"}
    assert ask(double, "GET", "/user", auth="")[0] == 401
    assert ask(double, "GET", "/admin/users?limit=1", auth=f"token {USER_TOKEN}")[0] == 403


def test_a_token_may_not_breed_tokens(double: ForgeDouble) -> None:
    wanted = {"name": "new", "scopes": ["all"]}
    path = "/users/disinto-admin/tokens"
    assert ask(double, "POST", path, wanted)[0] == 401
    status, made, _ = ask(double, "POST", path, wanted, basic("disinto-admin", ADMIN_PASSWORD))
    assert status == 201 and len(made["sha1"]) == 40
    assert ask(double, "GET", "/user", auth=f"token {made['sha1']}")[0] == 200
    assert ask(double, "POST", path, wanted, basic("disinto-admin", ADMIN_PASSWORD))[0] == 400
    assert ask(double, "DELETE", f"{path}/new", auth=basic("disinto-admin", ADMIN_PASSWORD))[0] == 204
    assert ask(double, "GET", "/user", auth=f"token {made['sha1']}")[0] == 401


def test_signin_required_hides_even_the_version() -> None:
    with ForgeDouble(default_state(require_signin=True)) as double:
        assert ask(double, "GET", "/version", auth="")[0] == 403
        assert ask(double, "GET", "/version")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/repos/acme/shop/git/branches"),
        ("GET", "/repos/acme/shop/git/branches/main"),
        ("POST", "/repos/acme/shop/git/branches"),
        ("GET", "/repos/acme/shop/branches/main/protection"),
        ("PUT", "/repos/acme/shop/branches/main/protection"),
        ("DELETE", "/repos/acme/shop/branches/main/protection"),
        ("POST", "/repos/acme/shop/git/refs"),
        ("GET", "/repos/acme/shop/git/tags/v1.0.0"),
        ("GET", "/repos/acme/absent"),
        ("GET", "/nothing/like/it"),
    ],
)
def test_what_a_forge_does_not_have_is_404(double: ForgeDouble, method: str, path: str) -> None:
    assert ask(double, "POST", "/repos/acme/shop/tags", {"tag_name": "v1.0.0"})[0] == 201
    status, error, _ = ask(double, method, path, {} if method in ("POST", "PUT") else None)
    assert status in (404, 405)
    assert status == 404 or method != "GET"
    assert set(error or {"message": 1, "url": 1}) == {"message", "url"}


def test_tags(double: ForgeDouble) -> None:
    path = "/repos/acme/shop/tags"
    head = ask(double, "GET", "/repos/acme/shop/branches/main")[1]["commit"]["id"]
    status, tag, _ = ask(double, "POST", path, {"tag_name": "v0.1.0", "message": "First", "target": head})
    assert (status, tag["commit"]["sha"]) == (201, head)
    assert tag["id"] != head, "with a message the tag is an object of its own"
    assert ask(double, "POST", path, {"tag_name": "v0.1.0"})[0] == 409
    assert ask(double, "POST", path, {"tag_name": "v0.2.0", "target": "absent"})[0] == 404
    assert ask(double, "POST", path, {"message": "no name"})[0] == 422
    assert ask(double, "POST", path, {"tag_name": "bad..name"})[0] == 422
    assert ask(double, "POST", path, {"tag_name": "v0.3.0"}, f"token {USER_TOKEN}")[0] == 201
    assert ask(double, "GET", f"{path}/v0.1.0")[1]["message"] == "First"
    assert ask(double, "DELETE", f"{path}/v0.1.0")[0] == 204
    assert ask(double, "GET", f"{path}/v0.1.0")[0] == 404


def test_pages_hold_fifty_at_most(double: ForgeDouble) -> None:
    for number in range(60):
        ask(double, "POST", "/repos/acme/shop/tags", {"tag_name": f"v0.0.{number}"})
    status, first, headers = ask(double, "GET", "/repos/acme/shop/tags?limit=1000&page=1")
    assert (status, len(first), headers["X-Total-Count"]) == (200, 50, "60")
    assert 'rel="next"' in headers["Link"]
    assert len(ask(double, "GET", "/repos/acme/shop/tags?limit=1000&page=2")[1]) == 10


def test_contents_want_the_sha(double: ForgeDouble) -> None:
    path = "/repos/acme/shop-ops/contents/vault/actions/release.toml"
    one, two = (base64.b64encode(text).decode() for text in (b"one", b"two"))
    status, made, _ = ask(double, "POST", path, {"content": one, "branch": "main", "new_branch": "ask"})
    assert status == 201
    assert ask(double, "GET", path)[0] == 404, "it is on the new branch only"
    found = ask(double, "GET", f"{path}?ref=ask")[1]
    assert (base64.b64decode(found["content"]), found["sha"]) == (b"one", made["content"]["sha"])
    assert ask(double, "POST", path, {"content": two, "branch": "ask"})[0] == 422
    assert ask(double, "PUT", path, {"content": two, "branch": "ask", "overwrite": True})[0] == 422
    assert ask(double, "PUT", path, {"content": two, "branch": "ask", "sha": "0" * 40})[0] == 409
    assert ask(double, "PUT", path, {"content": two, "branch": "ask", "sha": found["sha"]})[0] == 200
    assert [
        entry["type"] for entry in ask(double, "GET", "/repos/acme/shop-ops/contents/vault?ref=ask")[1]
    ] == ["dir"]


def test_a_pull_request_from_branch_to_merge(double: ForgeDouble) -> None:
    repo, bot = "/repos/acme/shop-ops", f"token {USER_TOKEN}"
    rule = {"rule_name": "main", "required_approvals": 1}
    assert ask(double, "POST", f"{repo}/branch_protections", rule)[0] == 201
    assert ask(double, "POST", f"{repo}/branch_protections", rule)[0] == 403
    assert ask(double, "POST", f"{repo}/branches", {"new_branch_name": "feature/x"}, bot)[0] == 201
    assert ask(double, "POST", f"{repo}/branches", {"new_branch_name": "feature/x"}, bot)[0] == 409
    wanted = {"title": "X", "head": "feature/x", "base": "main"}
    assert ask(double, "POST", f"{repo}/pulls", wanted, bot)[0] == 422, "nothing changed yet"
    content = {"content": base64.b64encode(b"x").decode(), "branch": "feature/x"}
    assert ask(double, "POST", f"{repo}/contents/x", content, bot)[0] == 201
    assert ask(double, "POST", f"{repo}/contents/y", content | {"branch": "main"}, bot)[0] == 403
    status, pull, _ = ask(double, "POST", f"{repo}/pulls", wanted, bot)
    assert status == 201 and pull["state"] == "open" and pull["head"]["ref"] == "feature/x"
    assert ask(double, "POST", f"{repo}/pulls", wanted, bot)[0] == 409
    one = f"{repo}/pulls/{pull['number']}"
    assert ask(double, "POST", f"{one}/reviews", {"event": "APPROVED"}, bot)[0] == 422
    assert ask(double, "POST", f"{one}/merge", {"Do": "merge"}, bot)[0] == 405
    assert (
        ask(double, "POST", f"{one}/merge", {"Do": "merge", "merge_when_checks_succeed": True}, bot)[0] == 201
    )
    assert (
        ask(double, "POST", f"{one}/merge", {"Do": "merge", "merge_when_checks_succeed": True}, bot)[0] == 409
    )
    assert ask(double, "GET", f"{one}/merge")[0] == 404
    assert ask(double, "DELETE", f"{one}/merge", auth=bot)[0] == 204
    assert ask(double, "POST", f"{one}/reviews", {"event": "APPROVED"})[0] == 200
    assert ask(double, "POST", f"{one}/merge", {"Do": "merge", "head_commit_id": "0" * 40}, bot)[0] == 409
    assert ask(double, "POST", f"{one}/merge", {"Do": "merge"}, bot)[0] == 200
    assert ask(double, "POST", f"{one}/merge", {"Do": "merge"}, bot)[0] == 405
    merged = ask(double, "GET", one)[1]
    assert merged["merged"] and merged["merged_by"]["login"] == "dev-bot"
    assert ask(double, "GET", f"{one}/merge")[0] == 204
    assert ask(double, "GET", f"{repo}/contents/x")[0] == 200


def test_it_remembers_what_was_asked_and_breaks_on_order(double: ForgeDouble) -> None:
    ask(double, "GET", "/version", auth="")
    ask(double, "GET", "/user")
    assert double.state.calls == [("GET", "/api/v1/version", ""), ("GET", "/api/v1/user", "disinto-admin")]
    double.state.broken["/api/v1/user"] = 502
    assert ask(double, "GET", "/user")[0] == 502


def proposed(double: ForgeDouble, branch: str = "ask") -> str:
    """A pull request with one file, by the bot; its path."""
    repo, bot = "/repos/acme/shop-ops", f"token {USER_TOKEN}"
    content = {"content": base64.b64encode(b"x").decode(), "branch": "main", "new_branch": branch}
    assert ask(double, "POST", f"{repo}/contents/{branch}.txt", content, bot)[0] == 201
    status, pull, _ = ask(
        double, "POST", f"{repo}/pulls", {"title": "X", "head": branch, "base": "main"}, bot
    )
    assert status == 201
    return f"{repo}/pulls/{pull['number']}"


SCHEDULE = {"Do": "merge", "merge_when_checks_succeed": True}


def test_a_schedule_on_an_unprotected_branch_is_a_merge(double: ForgeDouble) -> None:
    one = proposed(double)
    assert ask(double, "POST", f"{one}/merge", SCHEDULE)[0] == 200
    assert ask(double, "GET", one)[1]["merged"] is True


def test_what_a_schedule_does_not_wait_for_is_405(double: ForgeDouble) -> None:
    rule = {
        "rule_name": "main",
        "required_approvals": 1,
        "enable_merge_whitelist": True,
        "merge_whitelist_usernames": ["disinto-admin"],
    }
    assert ask(double, "POST", "/repos/acme/shop-ops/branch_protections", rule)[0] == 201
    one = proposed(double)
    branch = "/repos/acme/shop-ops/branches/main"
    assert ask(double, "GET", branch, auth=f"token {USER_TOKEN}")[1]["user_can_merge"] is False
    assert ask(double, "GET", branch)[1]["user_can_merge"] is True
    assert ask(double, "POST", f"{one}/merge", SCHEDULE, f"token {USER_TOKEN}")[0] == 405
    repo = double.state.repo("acme", "shop-ops")
    assert repo is not None
    pull = next(iter(repo.pulls.values()))
    pull.checking = 1  # a forge looks for conflicts after it has answered
    assert ask(double, "POST", f"{one}/merge", SCHEDULE)[0] == 405
    assert ask(double, "GET", one)[1]["mergeable"] is False
    assert ask(double, "POST", f"{one}/merge", SCHEDULE)[0] == 201
    double.state.add_user("lead", token="c" * 40)
    repo.collaborators["lead"] = "write"
    assert ask(double, "POST", f"{one}/reviews", {"event": "APPROVED"}, f"token {'c' * 40}")[0] == 200
    assert ask(double, "GET", one)[1]["merged_by"]["login"] == "disinto-admin", "who scheduled it merges it"


def test_a_pattern_protects_too_and_only_admins_see_its_name(double: ForgeDouble) -> None:
    rule = {"rule_name": "m*", "required_approvals": 1}
    assert ask(double, "POST", "/repos/acme/shop-ops/branch_protections", rule)[0] == 201
    seen = ask(double, "GET", "/repos/acme/shop-ops/branches/main")[1]
    assert (seen["protected"], seen["effective_branch_protection_name"]) == (True, "m*")
    assert ask(double, "GET", "/repos/acme/shop-ops/branch_protections/m*")[1]["required_approvals"] == 1
    seen = ask(double, "GET", "/repos/acme/shop-ops/branches/main", auth=f"token {USER_TOKEN}")[1]
    assert (seen["protected"], seen["effective_branch_protection_name"]) == (True, "")
    assert (seen["required_approvals"], seen["user_can_push"]) == (1, False)


def test_a_merge_keeps_what_came_to_the_base_meanwhile(double: ForgeDouble) -> None:
    one, two = proposed(double, "one"), proposed(double, "two")
    for path in (one, two):
        assert ask(double, "POST", f"{path}/merge", {"Do": "merge"})[0] == 200
    assert [item["filename"] for item in ask(double, "GET", f"{two}/files")[1]] == ["two.txt"]
    for name in ("one.txt", "two.txt"):
        assert ask(double, "GET", f"/repos/acme/shop-ops/contents/{name}")[0] == 200


def test_a_late_answer_comes_after_the_work(double: ForgeDouble) -> None:
    double.state.late.append(("POST", "/tags"))
    with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
        ask(double, "POST", "/repos/acme/shop/tags", {"tag_name": "v1.0.0"})
    assert ask(double, "GET", "/repos/acme/shop/tags/v1.0.0")[0] == 200
