"""Docker's stored logins: the file, the helpers, and what is wrong with either."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from disinto_tui.adapters.dockerconfig import (
    HUB_KEY,
    DockerConfig,
    docker_login_command,
    helper_command,
    registry_of,
)
from disinto_tui.core.errors import BadInput
from disinto_tui.core.redact import Secret

SECRET = "s3cret:with/colon"


def auth(user: str = "alice", secret: str = SECRET) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


def config(directory: Path, data: object) -> DockerConfig:
    (directory / "config.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return DockerConfig.load(directory)


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`docker-credential-fake` on the PATH: answers from `answers/<key with slashes as _>`, logs its argv."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "answers").mkdir()
    script = programs / "docker-credential-fake"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$@ $KEYRING_ADDRESS" >>{tmp_path}/argv\n'
        "key=$(cat | tr / _)\n"
        f'[ -e "{tmp_path}/answers/$key" ] || '
        '{ echo "credentials not found in native keychain"; exit 1; }\n'
        f'cat "{tmp_path}/answers/$key"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "answers"


def answers(directory: Path, key: str, user: str, secret: str) -> None:
    text = json.dumps({"ServerURL": key, "Username": user, "Secret": secret})
    (directory / key.replace("/", "_")).write_text(text)


async def test_no_file_means_no_logins(tmp_path: Path) -> None:
    found = DockerConfig.load(tmp_path / "absent")
    assert await found.credential("ghcr.io") is None
    assert found.remark("ghcr.io") == ""


async def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    (home / ".docker").mkdir(parents=True)
    other.mkdir()
    config(home / ".docker", {"auths": {"ghcr.io": {"auth": auth("home")}}})
    config(other, {"auths": {"ghcr.io": {"auth": auth("other")}}})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    found = await DockerConfig.load().credential("ghcr.io")
    assert found is not None
    assert found.username == "home"
    monkeypatch.setenv("DOCKER_CONFIG", str(other))
    found = await DockerConfig.load().credential("ghcr.io")
    assert found is not None
    assert found.username == "other"
    assert found.origin == str(other / "config.json")


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        (HUB_KEY, "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
async def test_a_login_in_the_file(tmp_path: Path, key: str, host: str) -> None:
    assert registry_of(key) == host
    found = await config(tmp_path, {"auths": {"else.io": {}, key: {"auth": auth()}}}).credential(host)
    assert found is not None
    assert (found.username, found.secret.reveal(), found.identity) == ("alice", SECRET, False)
    assert SECRET not in repr(found)


async def test_the_exact_key_counts_first(tmp_path: Path) -> None:
    auths = {"https://ghcr.io/v1/": {"auth": auth("old")}, "ghcr.io": {"auth": auth("new")}}
    found = await config(tmp_path, {"auths": auths}).credential("ghcr.io")
    assert found is not None
    assert found.username == "new"


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"auth": ""},
        {"auth": "not base64!"},
        {"auth": base64.b64encode(b"\xff\xfe").decode()},
        {"auth": 3},
        {"auth": base64.b64encode(b"user-without-secret").decode()},
    ],
)
async def test_entries_without_a_usable_login(tmp_path: Path, entry: object) -> None:
    found = config(tmp_path, {"auths": {"ghcr.io": entry}})
    assert await found.credential("ghcr.io") is None
    damaged = isinstance(entry, dict) and str(entry.get("auth", "")).startswith(("not", "//4"))
    assert bool(found.remark("ghcr.io")) is damaged


async def test_other_spellings_of_a_login(tmp_path: Path) -> None:
    plain = {"auths": {"ghcr.io": {"username": "bob", "password": "pw"}}}
    found = await config(tmp_path, plain).credential("ghcr.io")
    assert found is not None
    assert (found.username, found.secret.reveal()) == ("bob", "pw")
    identity = {"auths": {"ghcr.io": {"auth": auth("bob", ""), "identitytoken": "refresh"}}}
    found = await config(tmp_path, identity).credential("ghcr.io")
    assert found is not None
    assert (found.secret.reveal(), found.identity) == ("refresh", True)


@pytest.mark.parametrize("data", ["", "{", "[]", "[" * 100_000, '"x"'])
def test_a_file_that_is_not_one(tmp_path: Path, data: str) -> None:
    with pytest.raises(BadInput) as caught:
        config(tmp_path, data)
    assert caught.value.code == "docker.config"


@pytest.mark.parametrize(
    "data", [{"auths": 3}, {"auths": {"ghcr.io": "x"}, "credHelpers": [], "credsStore": 1}, {}]
)
async def test_a_file_with_strange_parts(tmp_path: Path, data: object) -> None:
    assert await config(tmp_path, data).credential("ghcr.io") is None


async def test_a_helper_for_one_registry_and_a_store_for_the_rest(
    tmp_path: Path, helper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRING_ADDRESS", "unix:here")
    answers(helper, "ghcr.io", "alice", "from-helper")
    answers(helper, HUB_KEY, "<token>", "hub-identity")
    stored = {
        "auths": {"ghcr.io": {}, "r.example": {"auth": auth("file")}},
        "credHelpers": {"ghcr.io": "fake"},
        "credsStore": "fake",
    }
    found = config(tmp_path, stored)
    github = await found.credential("ghcr.io")
    assert github is not None
    assert (github.username, github.secret.reveal()) == ("alice", "from-helper")
    assert github.origin == "docker-credential-fake"
    hub = await found.credential("docker.io")
    assert hub is not None
    assert (hub.secret.reveal(), hub.identity) == ("hub-identity", True)
    # As for the CLI: with a store, logins in the file do not count.
    assert await found.credential("r.example") is None
    assert found.remark("r.example") == ""
    assert (tmp_path / "argv").read_text().splitlines() == ["get unix:here"] * 3


@pytest.mark.parametrize(
    ("name", "word"), [("absent", "not installed"), ("../evil", "cannot be one"), ("", "")]
)
async def test_a_helper_that_is_not_there(tmp_path: Path, name: str, word: str) -> None:
    found = config(tmp_path, {"credHelpers": {"ghcr.io": name}})
    assert await found.credential("ghcr.io") is None
    assert word in found.remark("ghcr.io")
    assert bool(found.remark("ghcr.io")) is bool(word)


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"Username": "a", "Secret": ""}', "[]"])
async def test_a_helper_that_says_nothing_useful(tmp_path: Path, helper: Path, text: str) -> None:
    (helper / "ghcr.io").write_text(text)
    found = config(tmp_path, {"credsStore": "fake"})
    assert await found.credential("ghcr.io") is None
    assert "gave no secret" in found.remark("ghcr.io")


def test_commands_hold_no_secret() -> None:
    ask = helper_command("pass", "ghcr.io")
    assert ask.argv == ("docker-credential-pass", "get")
    assert ask.stdin == b"ghcr.io"
    assert not ask.writes
    login = docker_login_command("ghcr.io", "alice", Secret(SECRET))
    assert login.argv == ("docker", "login", "--username=alice", "--password-stdin", "ghcr.io")
    assert login.stdin == SECRET.encode()
    assert login.writes
    assert SECRET not in repr(login) + str(login)
    assert docker_login_command("127.0.0.1:5000", "-u").argv[2] == "--username=-u"


@pytest.mark.parametrize(
    ("host", "user"), [("-h", "a"), ("", "a"), ("a b", "a"), ("ghcr.io", ""), ("ghcr.io", "a\n")]
)
def test_logins_that_could_be_read_as_options(host: str, user: str) -> None:
    with pytest.raises(BadInput) as caught:
        docker_login_command(host, user)
    assert caught.value.code == "registry.login"
