"""A factory to release from: its checkout, its forge, a registry that wants a login, mirrors that want a password."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.engine import ROOT, Engine, inspect
from tests.support.factory import QUICK, Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import Repo, default_state
from tests.support.git_server import PASSWORD, GitServer, checkout, commit, git, git_server
from tests.support.processes import poll
from tests.support.registries import Registry, push_samples, push_token, token_registry
from tests.support.slow_proxy import SlowProxy, slow_proxy

DOCKERFILE = "docker/agents/Dockerfile"
REPOSITORY = "pub/agents"
PUSH_SECRET = "s3cret"  # alice's, at the token server
SECRETS = {"MIRROR_TOKEN_ONE": PASSWORD, "MIRROR_TOKEN_TWO": PASSWORD, "GITHUB_TOKEN": PUSH_SECRET}
STEPS = (
    *("preflight", "tag-main", "push-mirrors", "build-image"),
    *("tag-image", "push-image", "restart-agents", "commit-result"),
)
MARK = "the-build-has-come-this-far"
"""What a slow build says before it waits."""


@dataclass
class ReleaseGround:
    """`tree` is the checkout; `images` the repository in the registry, by way of `proxy`."""

    factory: Factory
    tree: Path
    forge: ForgeDouble
    mirrors: GitServer
    registry: Registry
    proxy: SlowProxy
    engine: Engine
    mirrored: tuple[str, ...]
    alias: str
    line: str = "v0.4"
    made: int = -1
    shas: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> str:
        return f"{self.proxy.address}/{REPOSITORY}"

    @property
    def repo(self) -> Repo:
        found = self.forge.state.repo("acme", "shop")
        assert found is not None
        return found

    def cut(
        self, version: str = "", *, more: str = "", behavior: str = "ok", files: Mapping[str, str] = {}
    ) -> str:
        """Commit what belongs to a version (the next one), on the checkout and on the forge; the version.

        `more` and `behavior` are for `dockerfile`.
        """
        if not version:
            self.made += 1
            version = f"{self.line}.{self.made}"
        files = {"VERSION": f"{version[1:]}\n", DOCKERFILE: self.dockerfile(more, behavior), **files}
        sha = commit(self.tree, files, f"release {version}")
        self.repo.branches["main"].append(sha)
        self.shas[version] = sha
        return version

    def dockerfile(self, more: str = "", behavior: str = "ok") -> str:
        """The sample's Dockerfile, its images labelled as this session's; `more` are lines before its last one."""
        text = (ROOT / "docker" / "sample" / "Dockerfile").read_text()
        head, volumes, tail = text.replace("BEHAVIOR=ok", f"BEHAVIOR={behavior}").rpartition("VOLUME")
        return f"{head}LABEL {self.engine.label}\n{more}{volumes}{tail}"

    def argv(self, version: str, *more: str) -> list[str]:
        return ["release", version, "--checkout", str(self.tree), "--user", "alice", "--yes", *more]

    def release(self, version: str, *more: str, secrets: Mapping[str, str] = SECRETS) -> Said:
        return self.factory.cli(*self.argv(version, *more), env=secrets)

    def resume(self, *more: str, secrets: Mapping[str, str] = SECRETS) -> Said:
        return self.factory.cli("resume", "--yes", *more, env=secrets)

    def planned(self, version: str, *more: str) -> Path:
        """The run directory of a release that was planned and confirmed, its process not started."""
        return self.factory.cli.planned(*self.argv(version, *more), env=SECRETS)

    def start(self, run: Path, when: Mapping[str, Any] = {}) -> subprocess.Popen[str]:
        """The run's process, to be killed at a moment (`tests.support.kill_run`)."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kill_run", str(run), json.dumps(when)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.factory.cli.environment({"PYTHONPATH": str(ROOT)}),
            cwd=self.factory.directory,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(SECRETS) + "\n")
        process.stdin.flush()
        return process

    def killed(self, run: Path, when: Mapping[str, Any]) -> int:
        """Execute it until then; its return code."""
        argv = ("-m", "tests.support.kill_run", str(run), json.dumps(when))
        done = self.factory.cli.python(*argv, stdin=json.dumps(SECRETS) + "\n", env={"PYTHONPATH": str(ROOT)})
        assert "Traceback" not in done.stdout + done.stderr, done
        return done.returncode

    def until(self, run: Path, seen: Callable[[dict[str, Any]], bool], within: float = 300) -> None:
        """Wait for an event of the run."""

        def came() -> bool:
            with contextlib.suppress(FileNotFoundError):
                lines = (run / "events.ndjson").read_bytes().split(b"\n")
                return any(seen(json.loads(line)) for line in lines if line.endswith(b"}"))
            return False

        assert poll(within, came), (run / "log").read_text()

    def error(self, run: Path) -> dict[str, Any]:
        """The error that ended a run."""
        last = json.loads((run / "events.ndjson").read_text().splitlines()[-1])
        assert last["kind"] == "run_ended" and last["error"], last
        found: dict[str, Any] = last["error"]
        return found

    def newest_run(self) -> Path:
        """The directory of the newest run."""
        return max((self.factory.directory / ".disinto" / "runs").iterdir())

    def outside(self) -> dict[str, Any]:
        """All that a release could change outside of its own directory."""
        return {
            "tags": {name: tag.commit for name, tag in self.repo.tags.items()},
            "branches": {name: list(history) for name, history in self.repo.branches.items()},
            "pulls": {number: pull.state for number, pull in self.repo.pulls.items()},
            "mirrors": {name: self.mirrors.refs(name) for name in self.mirrored},
            "published": self.tags(),
            "local": sorted(name for name in self.engine.references() if self._ours(name)),
            "pin": self.pin(),
            "running": self.image_running(),
            "results": sorted(path.name for path in (self.factory.directory / "release").glob("*")),
            "tree": [git(self.tree, "status", "--porcelain"), git(self.tree, "for-each-ref")],
        }

    def tags(self) -> dict[str, str]:
        """What is in the registry: tags and their digests."""
        request = urllib.request.Request(f"http://{self.registry.address}/v2/{REPOSITORY}/tags/list")
        request.add_header("Authorization", push_token(self.registry, REPOSITORY))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return {tag: self.published(tag) for tag in sorted(json.load(answer)["tags"])}

    def _ours(self, name: str) -> bool:
        return name.startswith((self.images, self.alias))

    def running(self) -> list[str]:
        found: list[str] = self.factory.cli("status", "--offline", "--json").document["running_versions"]
        return found

    def pin(self) -> str:
        lines = (self.factory.directory / ".env").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("AGENTS_IMAGE="))

    def result(self, version: str) -> dict[str, Any]:
        path = self.factory.directory / "release" / f"{version}.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def published(self, tag: str) -> str:
        """The digest that a tag has in the registry, "" when it is not there."""
        request = urllib.request.Request(
            f"http://{self.registry.address}/v2/{REPOSITORY}/manifests/{tag}", method="HEAD"
        )
        request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        request.add_header("Authorization", push_token(self.registry, REPOSITORY))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            return ""

    def world(self, version: str) -> dict[str, Any]:
        """All that a finished release has changed, with what differs from one to the next named instead of shown."""
        sha, result = self.shas[version], self.result(version)
        container: Any = inspect(self.engine, "container", f"{self.factory.project}-agents")
        names = {name: self.local(name) for name in (f"{self.images}:{version}", f"{self.alias}:{version}")}
        pulls = [pull for pull in self.repo.pulls.values() if pull.head == f"release-result/{version}"]
        file = self.repo.trees.get(f"release-result/{version}", {}).get(f"release/{version}.json", b"")
        known = {
            sha: "SHA",
            str(result.get("image_id")): "IMAGE",
            self.published(version) or "-": "DIGEST",
            version: "VERSION",
            result["run"]: "RUN",
        }

        def named(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: named(item) for key, item in value.items()}
            if isinstance(value, (list, tuple)):
                return [named(item) for item in value]
            for text, name in known.items():
                value = value.replace(text, name) if isinstance(value, str) else value
            return value

        # When it was, and whether a step or its check found it done, is the one thing that may differ.
        told = {key: value for key, value in result.items() if key != "timestamp"}
        told["steps"] = [[step["id"], step["status"] in ("done", "skipped")] for step in told["steps"]]
        told["mirrors"] = {
            name: state in ("pushed", "has it already") for name, state in told["mirrors"].items()
        }
        found = {
            "tag": self.repo.tags[version].commit if version in self.repo.tags else "",
            "mirrors": {name: self.mirrors.refs(name).get(f"refs/tags/{version}") for name in self.mirrored},
            "local names": list(names.values()),
            "published": [self.published(version), self.published("latest")],
            "result": told,
            "pulls": [(pull.state, pull.base, pull.title) for pull in pulls],
            "the same result is proposed": file
            == (self.factory.directory / "release" / f"{version}.json").read_bytes(),
            "pin": self.pin().replace(self.images, "IMAGES"),
            "running": [container["State"]["Running"], container["Image"]],
            "left over": self.leftovers(),
        }
        shown: dict[str, Any] = named(found)
        return shown

    def image_running(self) -> str:
        """The image id of the agents that run."""
        name = f"{self.factory.project}-agents"
        return self.engine.docker("inspect", name, "--format", "{{.State.Running}} {{.Image}}").stdout.strip()

    def local(self, name: str) -> str:
        """The image id of a name on the engine, "" when there is none."""
        done = self.engine.docker("image", "inspect", "--format", "{{.Id}}", name, check=False)
        return done.stdout.strip()

    def leftovers(self) -> list[str]:
        """What should not be there any more when nobody works: exports, files to be, half-made containers."""
        found = [
            str(path.relative_to(self.factory.directory))
            for run in (self.factory.directory / ".disinto" / "runs").iterdir()
            for path in run.iterdir()
            if path.name.startswith("export") or path.name == "staged"
        ]
        names = self.engine.docker(
            "ps", "-a", "--filter", f"label=com.docker.compose.project={self.factory.project}",
            "--format", "{{.Names}}",
        ).stdout.split()  # fmt: skip
        return [*found, *(name for name in names if not name.startswith(self.factory.project))]


@contextlib.contextmanager
def release_ground(
    engine: Engine,
    home: Path,
    name: str,
    stand_ins: Mapping[str, str],
    mirrored: tuple[str, ...] = ("one", "two"),
) -> Iterator[ReleaseGround]:
    """A factory on v0.2.0, running, for the length of a `with`; nothing of it is left on the engine."""
    project = f"{engine.prefix}-{name}"
    with (
        token_registry(home / "registry") as registry,
        slow_proxy(registry.address) as proxy,
        ForgeDouble(default_state()) as forge,
        git_server(home / "mirrors") as mirrors,
    ):
        push_samples(registry, ["v0.2.0"], repository=REPOSITORY)
        for one in mirrored:
            mirrors.make(one)
        text = config_text(project, f"{proxy.address}/{REPOSITORY}", forge.url, stand_ins)
        text += "[mirrors]\n" + "".join(f'{one} = "{mirrors.url(one)}"\n' for one in mirrored)
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        made.directory.mkdir()
        (made.directory / "docker-compose.override.yml").write_text(QUICK)
        alias = f"{engine.prefix}/{name}"
        own_formula(made.directory, alias)
        try:
            said = made.init()
            assert said.code == 0, said.err
            tree = checkout(home / "tree")
            found = ReleaseGround(made, tree, forge, mirrors, registry, proxy, engine, mirrored, alias)
            lay_out(tree, found.dockerfile())
            yield found
        finally:
            engine.remove(f"label=com.docker.compose.project={project}")
            ours = (proxy.address, registry.address, alias, f"disinto-kept/{project}")
            names = [one for one in engine.references() if one.startswith(ours)]
            if names:
                engine.docker("rmi", *names, check=False)


def own_formula(directory: Path, alias: str) -> None:
    """The release's formula as it comes (an instance's own counts), but for the time that a new version is watched, and
    the local name, which other sessions on this engine would have, too."""
    text = (ROOT / "formulas" / "release.toml").read_text()
    assert 'default = "disinto-agents"' in text
    text = text.replace('default = "disinto-agents"', f'default = "{alias}"')
    at = 'uses = "restart-agents"\n\n[steps.with]\n'
    assert at in text
    (directory / "formulas").mkdir()
    (directory / "formulas" / "release.toml").write_text(text.replace(at, f"{at}soak = 0\n"))


def lay_out(tree: Path, dockerfile: str) -> None:
    """The sample agents image in a checkout."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copytree(ROOT / "docker" / "sample" / "agents", tree / "agents")
    shutil.copy(busybox, tree / "busybox")
    commit(tree, {DOCKERFILE: dockerfile}, "the image")
