"""No secret of a release is anywhere it was not sent: one whole release, with each secret kept in another place.

The push credential comes on standard input, the mirrors' tokens from the environment, the keyring and a file of age;
all of them are of nasty shape. One mirror refuses at first and repeats in its answer what it was given, so the release
stops and is resumed. While that happens every process of the machine is watched; afterwards everything is read that it
left.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, list_runs
from disinto_tui.core.expiry import DAY
from tests.support import keyring_double
from tests.support.engine import ROOT, Engine
from tests.support.factory import QUICK, Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.git_server import GitServer, checkout, commit, git_server
from tests.support.github_double import GitHubDouble, Token
from tests.support.process_watch import ProcessWatch
from tests.support.registries import Registry, push_samples, push_stand_ins, token_registry
from tests.support.release_ground import lay_out, own_formula
from tests.support.token_server import Policy

pytestmark = pytest.mark.slow

SECRETS = {
    "PUSH_TOKEN": "ghp_Pu/sh+cre=den%41tial no 1",
    "MIRROR_TOKEN_SHELL": "in/the+en=vironment%2B no 2&$x",
    "MIRROR_TOKEN_RING": "of/the+ke=yring%20 no 3'\"",
    "MIRROR_TOKEN_FILE": "in/a+fi=le%3D no 4\\?#@:",
}


def forms(secret: str) -> set[str]:
    """Plain, percent-encoded and base64 at each of its three alignments, in both alphabets."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), quote(secret, safe="/+=:@")}
    data = secret.encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        whole = encoded[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found


NEEDLES = sorted({form for secret in SECRETS.values() for form in forms(secret)})


def test_the_forms_that_are_looked_for() -> None:
    """What would be found: the header of basic authentication, a URL, a line of a log."""
    for secret in SECRETS.values():
        for user in ("x", "me", "bot", "x-access-token"):
            header = base64.b64encode(f"{user}:{secret}".encode()).decode()
            assert any(form in header for form in forms(secret))
        assert any(form in f"https://u:{quote(secret, safe='')}@host/" for form in forms(secret))
        assert min(map(len, forms(secret))) > 20


@dataclass
class Ground:
    """A factory with everything that a release needs, and what was said while it was made."""

    factory: Factory
    tree: Path
    forge: ForgeDouble
    registry: Registry
    mirrors: dict[str, GitServer]
    engine: Engine
    kept: set[Path]
    said: list[Said] = field(default_factory=list)
    watch: ProcessWatch = field(default_factory=lambda: ProcessWatch([], b""))

    def disinto(self, *argv: str, stdin: str = "") -> Said:
        """A command as the operator gives it, with one of the secrets in the shell."""
        env = {"MIRROR_TOKEN_SHELL": SECRETS["MIRROR_TOKEN_SHELL"]}
        done = self.factory.cli(*argv, stdin=stdin, env=env)
        self.said.append(done)
        return done


def _run(ground: Ground) -> RunDir:
    """The release's run."""
    runs = list_runs(Instance.at(ground.factory.directory))
    return next(item for item in runs if item.plan().kind == "release")


def _age(home: Path, factory: Path) -> Path:
    if shutil.which("age") is None:
        pytest.skip(
            "no Docker Engine answers"
        )  # the ground is missing as a whole: up.sh installs age with it
    key = home / "keys.txt"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    to = subprocess.run(
        ["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True
    ).stdout.strip()
    (factory / "secrets").mkdir()
    file = factory / "secrets" / "MIRROR_TOKEN_FILE.enc"
    subprocess.run(
        ["age", "-r", to, "-o", str(file)], input=SECRETS["MIRROR_TOKEN_FILE"].encode(), check=True
    )
    return key


def _remove(engine: Engine, project: str, before: set[str], names: tuple[str, ...]) -> None:
    """What it left on the engine, also when it failed."""
    engine.remove(f"label=com.docker.compose.project={project}")
    mine = [
        name for name in engine.references() - before if name.startswith((*names, f"disinto-kept/{project}"))
    ]
    if mine:
        engine.docker("rmi", *mine, check=False)


@pytest.fixture(scope="module")
def released(
    engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """The release: begun, stopped by a mirror, resumed, done."""
    home = tmp_path_factory.mktemp("home")
    outside = tmp_path_factory.mktemp("outside")
    project = f"{engine.prefix}-secrets"
    before = engine.references()
    with ExitStack() as stack:
        forge = stack.enter_context(ForgeDouble(default_state()))
        policy = Policy(passwords={"alice": SECRETS["PUSH_TOKEN"]})
        guarded = stack.enter_context(token_registry(outside / "registry", policy))
        images = f"{guarded.address}/pub/agents"
        stack.callback(_remove, engine, project, before, (images, f"{engine.prefix}/secrets"))
        push_samples(guarded, ["v0.2.0"], repository="pub/agents")
        tokens = {SECRETS["PUSH_TOKEN"]: Token(expires=time.time() + 5.5 * DAY)}
        github = stack.enter_context(GitHubDouble(tokens))
        mirrors = {}
        for name in ("shell", "ring", "file"):
            secret = SECRETS[f"MIRROR_TOKEN_{name.upper()}"]
            mirrors[name] = stack.enter_context(git_server(outside / f"mirror-{name}", secret))
            mirrors[name].make(name)
        text = config_text(project, images, forge.url, push_stand_ins(registry))
        text += "[mirrors]\n" + "".join(f'{name} = "{one.url(name)}"\n' for name, one in mirrors.items())
        made = new_factory(home, engine.endpoint, project, text)
        made.directory.mkdir()
        (made.directory / "docker-compose.override.yml").write_text(QUICK)
        own_formula(made.directory, f"{engine.prefix}/secrets")
        ring = keyring_double.install(outside)
        ring.hold({"MIRROR_TOKEN_RING": SECRETS["MIRROR_TOKEN_RING"]})
        (home / "tmp").mkdir()
        made.cli.env |= {"PATH": ring.path, "TMPDIR": str(home / "tmp"), "GITHUB_API_URL": github.url}
        made.cli.env["SOPS_AGE_KEY_FILE"] = str(_age(home, made.directory))
        said = made.init()
        assert said.code == 0, said.err
        tree = checkout(home / "tree")
        lay_out(tree, (ROOT / "docker" / "sample" / "Dockerfile").read_text())
        sha = commit(tree, {"VERSION": "0.4.0\n"}, "release v0.4.0")
        repo = forge.state.repo("acme", "shop")
        assert repo is not None
        repo.branches["main"].append(sha)
        ground = Ground(made, tree, forge, guarded, mirrors, engine, set())
        ground.watch = ProcessWatch([needle.encode() for needle in NEEDLES], b"disinto_tui\0--dir\0")
        with ground.watch:
            _release(ground)
        yield ground


def _release(ground: Ground) -> None:
    token = f"{SECRETS['PUSH_TOKEN']}\n"
    how = ("--secret", "PUSH_TOKEN", "--user", "alice")
    ground.disinto("credentials", *how, "--secret-stdin", "PUSH_TOKEN", stdin=token)
    ground.mirrors["file"].closed.add("file")
    ground.mirrors["file"].tells = True
    more = ("--checkout", str(ground.tree), "--yes", *how, "--secret-stdin", "PUSH_TOKEN")
    ground.disinto("release", "v0.4.0", *more, stdin=token)
    ground.mirrors["file"].closed.clear()
    ground.disinto("resume", "--json", "--yes", "--secret-stdin", "PUSH_TOKEN", stdin=token)
    ground.disinto("runs", "--log", _run(ground).id)
    ground.disinto("attach")
    ground.disinto("status", "--offline")


def test_it_was_released_with_every_one_of_them(released: Ground) -> None:
    """Otherwise the rest of this file proves nothing."""
    credentials, release, resumed = released.said[:3]
    assert credentials.code == 0, credentials.out + credentials.err
    for place in (
        "handed over for this command",
        "the environment",
        "the keyring",
        "secrets/MIRROR_TOKEN_FILE.enc (age)",
    ):
        assert f"({place}): may push to " in credentials.out, credentials.out
    assert "; expires on " in credentials.out and ", in 5 days" in credentials.out
    assert "Make a new one this week" in credentials.out
    assert release.code == 1, release.err
    assert "file did not take the tag." in release.err
    assert "▲ credential     PUSH_TOKEN (handed over for this command): expires on " in release.err
    assert resumed.code == 0, resumed.err
    assert "PUSH_TOKEN expires on " in released.said[-1].out
    for name, mirror in released.mirrors.items():
        assert list(mirror.refs(name)) == ["refs/tags/v0.4.0"]
    assert released.registry.tokens is not None
    assert ("alice", "repository:pub/agents:pull,push", ["pull", "push"]) in released.registry.tokens.grants


def test_no_process_list_shows_one(released: Ground) -> None:
    watch = released.watch
    for word in ("disinto_tui.runs.process", "git", "git-remote-http", "buildx"):
        assert watch.ran(word), f"{word} was not seen in {watch.looks} looks"
    assert watch.hits == []


def test_a_watch_like_that_would_see_it() -> None:
    secret = "wa/tch+me=%41 please"
    for argv, env in ((["sleep", "90", secret], {}), (["sleep", "80"], {"TOKEN": secret})):
        child = subprocess.Popen(
            argv[:2] if env else ["sh", "-c", "sleep 90", secret], env={**os.environ, **env}
        )
        try:
            with ProcessWatch([secret.encode()], b"nothing of the kind") as watch:
                end = time.monotonic() + 60
                while not watch.hits and time.monotonic() < end:
                    time.sleep(0.01)
            assert [kind for _, kind in watch.hits] == ["environ" if env else "argv"]
        finally:
            child.kill()
            child.wait()


def test_no_file_holds_one(released: Ground) -> None:
    """The factory with its journal and logs, the checkout, the home, what was temporary, the engine's own log."""
    home = released.factory.cli.home
    ground = Path(os.environ.get("DISINTO_GROUND", ROOT / ".ground"))
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "events.ndjson" for path in files) and any(path.name == "log" for path in files)
    for path in [*files, *(path for path in [ground / "dockerd.log"] if path.is_file())]:
        data = path.read_bytes()
        assert [form for form in NEEDLES if form.encode() in data] == [], path


def test_the_log_repeats_what_a_server_said_without_it(released: Ground) -> None:
    """The mirror's refusal held the login in plain and in base64: what is left of it are marks."""
    run = _run(released)
    text = run.log_path.read_text()
    assert "no pushing here for x-access-token:[redacted]" in text
    assert text.count("[redacted]") >= 2
    assert run.plan().facts["credentials"] == sorted(SECRETS)


def test_nothing_that_was_said_holds_one(released: Ground) -> None:
    for said in released.said:
        for text in (said.out, said.err):
            assert [form for form in NEEDLES if form in text] == []


def test_no_container_and_no_image_has_one(released: Ground, engine: Engine) -> None:
    label = f"label=com.docker.compose.project={released.factory.project}"
    containers = engine.docker("ps", "--all", "--quiet", "--filter", label).stdout.split()
    assert containers
    text = engine.docker("inspect", *containers).stdout
    text += engine.docker("image", "inspect", f"{engine.prefix}/secrets:v0.4.0").stdout
    text += engine.docker("history", "--no-trunc", f"{engine.prefix}/secrets:v0.4.0").stdout
    assert "org.opencontainers.image.revision" in text
    assert [form for form in NEEDLES if form in text] == []


async def test_no_screen_shows_one(released: Ground) -> None:
    """The run's screen, its log page by page, as text and as it is exported."""
    from disinto_tui.tui.log.view import LogView
    from disinto_tui.tui.screens.run import RunScreen
    from tests.tui.support import app_on, screen_text, shows, until

    run = _run(released)
    app = app_on(released.factory.directory, lambda: RunScreen(run))
    pages: list[str] = []
    async with app.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: shows(pilot, "commit-result", "is released"))
        view = app.screen.query_one(LogView)
        last = len(run.log_path.read_text().splitlines()) - 1
        for number in [*range(0, last, 15), last]:
            view.go_to(number)
            await pilot.pause()
            pages.append("\n".join(screen_text(pilot)))
            exported = app.export_screenshot().replace("&#160;", " ")
            assert [form for form in NEEDLES if form in pages[-1] + exported] == []
    for words in (
        "no pushing here for x-access-token:[redacted]",
        "PUSH_TOKEN (handed over",
        "proposed as pull",
    ):
        assert any(words in page for page in pages), words
