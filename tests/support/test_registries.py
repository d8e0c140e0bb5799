"""The registries of the tests keep out whom they should."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.registries import (
    open_registry,
    password_registry,
    push_samples,
    push_token,
    registry_binary,
    token_registry,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(registry_binary() is None, reason="no Docker Engine answers"),
]


def ask(url: str, authorization: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Www-Authenticate", "")


def test_open(tmp_path: Path) -> None:
    with open_registry(tmp_path) as registry:
        pushed = push_samples(registry, ["v0.1.0", "v0.2.0"])
        status, text = ask(f"http://{registry.address}/v2/disinto/agents/tags/list")
    assert (status, json.loads(text)["tags"]) == (200, ["v0.1.0", "v0.2.0"])
    assert "@sha256:" in pushed["v0.1.0"]
    assert ask_fails(f"http://{registry.address}/v2/"), "it ends with its block"


def ask_fails(url: str) -> bool:
    try:
        ask(url)
    except OSError:
        return True
    return False


def test_password(tmp_path: Path) -> None:
    with password_registry(tmp_path) as registry:
        assert ask(f"http://{registry.address}/v2/")[1].startswith("Basic realm")
        push_samples(registry, ["v0.1.0"])
        url = f"http://{registry.address}/v2/disinto/agents/tags/list"
        assert ask(url)[0] == 401
        assert ask(url, push_token(registry, ""))[0] == 200


def test_tokens(tmp_path: Path) -> None:
    with token_registry(tmp_path) as registry:
        assert registry.tokens is not None
        assert ask(f"http://{registry.address}/v2/")[1].startswith(f'Bearer realm="{registry.tokens.realm}"')
        push_samples(registry, ["v0.1.0"])
        push_samples(registry, ["v0.1.0"], repository="pub/agents")

        def bearer(repository: str, basic: str = "") -> str:
            assert registry.tokens is not None
            answer = registry.tokens.answer(f"/token?scope=repository:{repository}:pull", basic)[2]
            return f"Bearer {answer['token']}"

        url = f"http://{registry.address}/v2/{{}}/tags/list"
        assert ask(url.format("pub/agents"), bearer("pub/agents"))[0] == 200
        status, challenge = ask(url.format("disinto/agents"), bearer("disinto/agents"))
        assert status == 401 and "insufficient_scope" in challenge
        assert registry.tokens.answer("/token", "Basic d3Jvbmc6d3Jvbmc=")[0] == 401
