"""The doctor's look at tokens: whose, what each may, when it ends; well and ill, at a forge and a CI that answer."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput
from disinto_tui.core.expiry import DAY
from disinto_tui.runs import doctor_remote
from disinto_tui.runs.doctor_model import Ground, Remark
from tests.support.doctor import states
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, Token, default_state, sha

NOW = time.time()


@pytest.fixture(scope="module")
def forge() -> Iterator[ForgeDouble]:
    with ForgeDouble(default_state()) as double:
        yield double


class _CI(http.server.BaseHTTPRequestHandler):
    """Woodpecker as far as it is asked: its web page with 200 for what it does not know."""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        html = not self.path.startswith("/api/user")
        known = html or token.startswith("good") or token.count(".") == 2
        body = b"<html></html>" if html else json.dumps({"login": "ci-bot"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.end_headers()
        self.wfile.write(body if known else b"")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def ci() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _CI)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def looked(tmp_path: Path, *lines: str) -> list[Remark]:
    (tmp_path / ".env").write_text("\n".join(lines) + "\n")
    found: Sequence[Remark] = asyncio.run(doctor_remote.tokens(Ground(Instance.at(tmp_path), now=NOW)))
    return list(found)


def bot(forge: ForgeDouble, name: str, *scopes: str) -> str:
    """A token of a user who is no administrator, with these scopes."""
    user = forge.state.users.get("review-bot") or forge.state.add_user("review-bot", "password-1")
    value = sha("doctor", name)
    user.tokens.append(Token(len(user.tokens) + 900, name, value, list(scopes)))
    return value


def test_a_token_that_may_do_everything(tmp_path: Path, forge: ForgeDouble) -> None:
    (remark,) = looked(tmp_path, f"FORGE_URL={forge.url}", f"FORGE_TOKEN={ADMIN_TOKEN}")
    assert remark.state == "ok", "also where there is no project to release from"
    assert "FORGE_TOKEN is disinto-admin's, an administrator, and may do everything" in remark.text


@pytest.mark.parametrize("basic", [False, True])
def test_a_token_without_the_scopes_that_an_agent_needs(
    tmp_path: Path, forge: ForgeDouble, basic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge.state, "basic_for_tokens", basic)
    value = bot(forge, f"few-{basic}", "read:repository", "read:user", "write:issue")
    (remark,) = looked(tmp_path, f"FORGE_URL={forge.url}", f"FORGE_REVIEW_TOKEN={value}")
    assert remark.state == "warning"
    assert (
        "(scopes: read:repository, read:user, write:issue), and an agent needs write:repository"
        in remark.text
    )
    assert "/user/settings/applications" in remark.cure
    assert value not in remark.text + remark.cure
    enough = bot(forge, f"enough-{basic}", "write:repository", "write:issue", "read:user")
    assert states(looked(tmp_path, f"FORGE_URL={forge.url}", f"FORGE_REVIEW_TOKEN={enough}")) == ["ok"]


def test_the_operators_own_token_needs_no_scope_of_an_agent(tmp_path: Path, forge: ForgeDouble) -> None:
    value = bot(forge, "human", "read:user")
    (remark,) = looked(tmp_path, f"FORGE_URL={forge.url}", f"HUMAN_TOKEN={value}")
    assert remark.state == "ok" and "(scopes: read:user)" in remark.text


def test_a_token_whose_scopes_the_forge_does_not_tell_is_no_fault(
    tmp_path: Path, forge: ForgeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(forge.state.broken, "/api/v1/users/", 403)
    (remark,) = looked(tmp_path, f"FORGE_URL={forge.url}", f"FORGE_TOKEN={ADMIN_TOKEN}")
    assert remark.state == "ok" and "the forge does not say" in remark.text


def test_a_token_that_the_forge_does_not_know_without_a_project_to_release_from(
    tmp_path: Path, forge: ForgeDouble
) -> None:
    (remark,) = looked(tmp_path, f"FORGE_URL={forge.url}", "FORGE_TOKEN=" + "0" * 40)
    assert remark.state == "problem" and "does not accept the token" in remark.text


# -- the CI's ------------------------------------------------------------------------------------------------------


def session(ends: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"type": "sess", "exp": int(ends)}).encode()).decode()
    return f"e30.{claims.rstrip('=')}.c2ln"


def test_the_cis_token_that_is_taken_and_one_that_is_not(tmp_path: Path, ci: str) -> None:
    (fine,) = looked(tmp_path, f"WOODPECKER_HOST={ci}", "WOODPECKER_TOKEN=good")
    assert (fine.state, fine.text) == ("ok", "WOODPECKER_TOKEN is ci-bot's")
    (ill,) = looked(tmp_path, f"WOODPECKER_HOST={ci}", "WOODPECKER_TOKEN=hunter2")
    assert ill.state == "problem" and "does not accept it" in ill.text and f"{ci}/user" in ill.cure
    assert "hunter2" not in repr(ill)
    assert states(looked(tmp_path, "WOODPECKER_TOKEN=good")) == ["ok"], "nobody says where to ask"


@pytest.mark.parametrize(
    ("days", "state"), [(30, "ok"), (13.5, "warning"), (6.5, "warning"), (0.5, "warning"), (-1, "problem")]
)
def test_the_cis_token_that_is_a_sessions_says_its_end(
    tmp_path: Path, ci: str, days: float, state: str
) -> None:
    remarks = looked(tmp_path, f"WOODPECKER_HOST={ci}", f"WOODPECKER_TOKEN={session(NOW + days * DAY)}")
    assert remarks[-1].state == state
    assert ("expired on" if days < 0 else "expires") in remarks[-1].text


def test_a_web_page_is_not_taken_for_the_ci(tmp_path: Path, ci: str) -> None:
    (remark,) = looked(tmp_path, f"WOODPECKER_HOST={ci}/elsewhere", "WOODPECKER_TOKEN=good")
    assert remark.state == "problem" and "There is no Woodpecker at" in remark.text


def test_a_ci_that_is_away_is_no_verdict_on_its_token(tmp_path: Path) -> None:
    assert states(looked(tmp_path, "WOODPECKER_HOST=http://127.0.0.1:1", "WOODPECKER_TOKEN=good")) == [
        "unknown"
    ]


def test_a_forge_that_takes_connections_and_is_silent_takes_nothing_from_the_others(
    tmp_path: Path, ci: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_remote, "PART_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        lines = [f"FORGE_URL={url}", f"FORGE_TOKEN={ADMIN_TOKEN}", f"WOODPECKER_HOST={ci}"]
        monkeypatch.setattr(doctor_remote, "find_credentials", _no_project)
        remarks = looked(tmp_path, *lines, "WOODPECKER_TOKEN=good")
    assert [(item.state, item.text) for item in remarks] == [
        ("unknown", "no answer about the forge's tokens within 0.3 s"),
        ("ok", "WOODPECKER_TOKEN is ci-bot's"),
    ]


async def _no_project(*_: object, **__: object) -> object:
    raise BadInput("None.", "y", "n", code="release.project")
