"""The credentials of a release, asked about: a real registry with tokens, real git behind http, doubles of GitHub and
the forge.

No engine is needed for it, but the registry is a part of the same ground.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from disinto_tui.core.expiry import DAY
from tests.support.factory import Cli, Said
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import USER_TOKEN, default_state
from tests.support.git_server import GitServer, git_server
from tests.support.github_double import GitHubDouble, Token
from tests.support.keyring_double import Keyring, install
from tests.support.processes import free_port
from tests.support.registries import Registry, token_registry
from tests.support.token_server import Policy

PUSH = "ghp_Na/sty+pu=sh%41 one"
MIRROR = "mi/rr+or=%2B two"


@dataclass
class Ground:
    """An instance that was never started, and everything that a release of it would ask."""

    cli: Cli
    registry: Registry
    forge: ForgeDouble
    github: GitHubDouble
    mirrors: GitServer
    ring: Keyring
    asked: list[Said] = field(default_factory=list)

    def __call__(self, *argv: str, env: dict[str, str] | None = None, stdin: str = "") -> Said:
        said = self.cli("credentials", *argv, env=env or {}, stdin=stdin)
        self.asked.append(said)
        return said

    def found(
        self, *argv: str, env: dict[str, str] | None = None, stdin: str = ""
    ) -> dict[str, dict[str, object]]:
        """The document, by place."""
        return {item["place"]: item for item in self("--json", *argv, env=env, stdin=stdin).document}

    @property
    def images(self) -> str:
        return f"{self.registry.address}/pub/agents"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    policy = Policy(passwords={"alice": PUSH, "reader": "r3ad-only"})
    with token_registry(tmp_path_factory.mktemp("guarded"), policy) as running:
        yield running


@pytest.fixture
def ground(registry: Registry, tmp_path: Path) -> Iterator[Ground]:
    home = tmp_path / "home"
    factory = home / "factory"
    (factory / "projects").mkdir(parents=True)
    ring = install(home)
    with (
        ForgeDouble(default_state()) as forge,
        GitHubDouble({PUSH: Token(expires=time.time() + 300 * DAY)}) as github,
        git_server(home / "mirrors", MIRROR) as mirrors,
    ):
        mirrors.make("one")
        (factory / "projects" / "shop.toml").write_text(
            f'name = "shop"\nrepo = "acme/shop"\nforge_url = "{forge.url}"\nprimary_branch = "main"\n'
            f'[mirrors]\none = "{mirrors.url("one")}"\nkeys = "git@codeberg.example:acme/shop.git"\n'
        )
        (factory / ".env").write_text(
            f"FORGE_TOKEN={USER_TOKEN}\nAGENTS_IMAGE={registry.address}/pub/agents:v0.1.0\n"
        )
        more = {"GITHUB_API_URL": github.url, "PATH": ring.path, "DOCKER_CONFIG": str(home / "docker")}
        ground = Ground(Cli(home, factory, "", more, warm=True), registry, forge, github, mirrors, ring)
        yield ground
        for secret in (PUSH, MIRROR):
            forms = (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("="))
            for said in ground.asked:
                assert not any(form in said.out + said.err for form in forms)
            for call in ground.ring.calls:
                assert secret not in json.dumps(call)


BOTH = {"PUSH_TOKEN": PUSH, "MIRROR_TOKEN_ONE": MIRROR}
ASK = ("--secret", "PUSH_TOKEN", "--user", "alice")


def test_everything_a_release_needs(ground: Ground) -> None:
    said = ground(*ASK, env=BOTH)
    assert said.code == 0, said.out + said.err
    assert f"✓ PUSH_TOKEN (the environment): may push to {ground.images}; expires on " in said.out
    assert "✓ MIRROR_TOKEN_ONE (the environment): may push to mirror one (127.0.0.1)." in said.out
    assert "✓ ssh keys (your own): mirror keys (codeberg.example) is reached with them" in said.out
    assert "✓ FORGE_TOKEN (the factory's environment file): " in said.out
    found = ground.found(*ASK, env=BOTH)
    push = found[ground.images]
    assert (push["name"], push["purpose"], push["source"]) == ("PUSH_TOKEN", "push", "environment")
    assert (push["user"], push["may_push"], push["severity"]) == ("alice", True, "ok")
    assert str(push["expires"]).endswith("Z")
    assert ground.github.asked == 2  # once for each command
    assert ground.mirrors.refs("one") == {}


def test_from_standard_input_and_the_keyring(ground: Ground) -> None:
    ground.ring.hold({"MIRROR_TOKEN_ONE": MIRROR, "PUSH_TOKEN": "of-the-keyring"})
    found = ground.found(*ASK, "--secret-stdin", "PUSH_TOKEN", stdin=f"{PUSH}\n")
    assert (found[ground.images]["source"], found[ground.images]["may_push"]) == ("handed over", True)
    mirror = found["mirror one (127.0.0.1)"]
    assert (mirror["source"], mirror["where"], mirror["may_push"]) == ("keyring", "the keyring", True)


def test_standard_input_that_is_empty(ground: Ground) -> None:
    said = ground(
        *ASK, "--secret-stdin", "PUSH_TOKEN", "--secret-stdin", "MIRROR_TOKEN_ONE", stdin=f"{PUSH}\n"
    )
    assert said.code == 2
    assert "MIRROR_TOKEN_ONE is empty." in said.err
    assert ground.github.asked == 0
    assert ground("--secret-stdin", "no name", stdin="x\n").code == 2


def test_a_credential_without_the_push_scope(ground: Ground) -> None:
    said = ground(*ASK[:2], "--user", "reader", env={**BOTH, "PUSH_TOKEN": "r3ad-only"})
    assert said.code == 1
    assert f"✗ PUSH_TOKEN (the environment): {ground.registry.address} does not let it push" in said.out
    assert "write:packages" in said.out


def test_a_token_whose_user_nobody_named(ground: Ground) -> None:
    said = ground(*ASK[:2], env=BOTH)
    assert said.code == 1
    assert f"{ground.registry.address} does not let it push" in said.out
    assert "Name whose token it is (--user" in said.out


def test_a_token_that_github_does_not_know_any_more(ground: Ground) -> None:
    ground.github.tokens.clear()
    said = ground(*ASK, env=BOTH)
    assert said.code == 1
    assert "✗ PUSH_TOKEN" in said.out
    assert "it expired, was revoked, or is mistyped" in said.out
    assert "`disinto docs credentials`" in said.out


@pytest.mark.parametrize(
    ("days", "code", "mark", "words"),
    [
        (13.5, 0, "▲", ", in 13 days."),
        (6.5, 0, "▲", "Make a new one this week"),
        (0.5, 0, "▲", "in 11 hours."),
        (-0.5, 1, "✗", "; expired on "),
    ],
)
def test_a_token_that_expires(ground: Ground, days: float, code: int, mark: str, words: str) -> None:
    ground.github.tokens[PUSH] = Token(expires=time.time() + days * DAY)
    said = ground(*ASK, env=BOTH)
    assert said.code == code, said.out
    assert f"{mark} PUSH_TOKEN" in said.out
    assert words in said.out


def test_a_github_that_does_not_answer_decides_nothing(ground: Ground) -> None:
    ground.github.down = True
    said = ground(*ASK, env=BOTH)
    assert said.code == 3
    assert "▲ PUSH_TOKEN" in said.out
    assert "when it expires is not known" in said.out
    assert ground.found(*ASK, env=BOTH)[ground.images]["may_push"] is True


def test_a_registry_that_does_not_answer(ground: Ground) -> None:
    nobody = f"127.0.0.1:{free_port()}/pub/agents"
    said = ground(*ASK, "--images", nobody, env=BOTH)
    assert said.code == 3
    assert f"▲ PUSH_TOKEN (the environment): whether it may push to {nobody} could not be asked" in said.out


def test_a_keyring_that_is_locked_and_one_that_is_not_there(ground: Ground) -> None:
    ground.ring.hold({"PUSH_TOKEN": PUSH}, locked=True)
    said = ground(*ASK, env={"MIRROR_TOKEN_ONE": MIRROR})
    assert said.code == 1
    assert "The keyring is locked, and PUSH_TOKEN is in it." in said.out
    ground.ring.hold({}, state="no bus")
    said = ground(*ASK, env={"MIRROR_TOKEN_ONE": MIRROR})
    assert said.code == 1
    assert f"✗ PUSH_TOKEN: it was found nowhere, and {ground.registry.address} wants a login" in said.out


def test_a_file_that_cannot_be_decrypted(ground: Ground) -> None:
    secrets = ground.cli.directory / "secrets"
    secrets.mkdir()
    (secrets / "PUSH_TOKEN.enc").write_bytes(b"age-encryption.org/v1\n-> X25519 nonsense\n")
    said = ground(*ASK, env={"MIRROR_TOKEN_ONE": MIRROR})
    assert said.code == 1
    assert "✗ PUSH_TOKEN: PUSH_TOKEN.enc cannot be decrypted. There is no key" in said.out


def test_without_one_dockers_own_login_is_looked_at(ground: Ground) -> None:
    docker = Path(ground.cli.env["DOCKER_CONFIG"])
    docker.mkdir()
    login = base64.b64encode(f"alice:{PUSH}".encode()).decode()
    (docker / "config.json").write_text(json.dumps({"auths": {ground.registry.address: {"auth": login}}}))
    push = ground.found(env={"MIRROR_TOKEN_ONE": MIRROR})[ground.images]
    assert (push["name"], push["source"], push["user"], push["may_push"]) == (
        "docker login",
        "docker",
        "alice",
        True,
    )
    # A token of GitHub under its usual name is not shown to a registry that is not GitHub's.
    before = len(ground.registry.tokens.grants) if ground.registry.tokens else 0
    lying = "ghp_" + "lies-about-in-this-shell"
    push = ground.found(env={"MIRROR_TOKEN_ONE": MIRROR, "GITHUB_TOKEN": lying})[ground.images]
    assert (push["source"], push["may_push"], push["severity"]) == ("docker", True, "warning")
    assert f"GITHUB_TOKEN is a token of GitHub and is not sent to {ground.registry.address}" in str(
        push["text"]
    )
    assert ground.registry.tokens is not None
    assert {user for user, _, _ in ground.registry.tokens.grants[before:]} == {"alice"}


def test_mirrors_that_refuse(ground: Ground) -> None:
    place = "mirror one (127.0.0.1)"
    assert ground.found(*ASK, env={**BOTH, "MIRROR_TOKEN_ONE": "wr0ng"})[place]["may_push"] is False
    ground.mirrors.closed.add("one")
    found = ground.found(*ASK, env=BOTH)[place]
    assert (found["may_push"], found["severity"]) == (False, "problem")
    assert "does not let it push there" in str(found["text"])
    nothing = ground.found(*ASK, env={"PUSH_TOKEN": PUSH})[place]
    assert "wants a login, and MIRROR_TOKEN_ONE is found nowhere" in str(nothing["text"])


def test_a_forge_token_that_may_not_tag(ground: Ground) -> None:
    env = ground.cli.directory / ".env"
    env.write_text(env.read_text().replace(USER_TOKEN, "0" * 40))
    found = ground.found(*ASK, env=BOTH)["acme/shop on the forge"]
    assert (found["may_push"], found["severity"]) == (None, "problem")
