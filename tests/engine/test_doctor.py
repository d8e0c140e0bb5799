"""`disinto doctor` on a factory that runs: each check well, then each made ill, on one factory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from disinto_tui.adapters.engine_look import LOOK_LABEL
from disinto_tui.adapters.instance import Instance
from disinto_tui.runs import doctor, doctor_model, doctor_remote
from disinto_tui.runs.doctor import examine
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect
from tests.support.factory import Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.processes import poll

QUICK = (
    "services:\n  agents:\n    healthcheck:\n      start_period: 1s\n      interval: 1s\n      retries: 3\n"
)


# A machine that stalls lets a check time out, which is said and is no fault of the factory (tests/runs proves that).
PATIENCE = """
import sys
from dataclasses import replace
from disinto_tui.runs import doctor, doctor_model, doctor_remote

doctor.CHECKS = tuple(replace(check, timeout=90) for check in doctor.CHECKS)
doctor_model._BRIEF_SECONDS = doctor_remote.PART_SECONDS = 90
"""
COMMAND = f"{PATIENCE}\nfrom disinto_tui.cli.main import main\nmain(sys.argv[1:])\n"


@dataclass
class Ground:
    """The factory, what it stands on, and how it is looked at."""

    factory: Factory
    engine: Engine
    forge: ForgeDouble
    images: SampleImages

    @property
    def agents(self) -> str:
        """The agents' container."""
        return f"{self.factory.project}-agents"

    def doctor(self, *argv: str, env: Mapping[str, str] = {}) -> Said:
        """`disinto doctor ARGV`, patient."""
        argv = ("-c", COMMAND, "--dir", str(self.factory.directory), "doctor", *argv)
        done = self.factory.cli.python(*argv, env=env)
        return Said(done.returncode, done.stdout, done.stderr)

    def look(self, *names: str, offline: bool = False) -> dict[str, dict[str, Any]]:
        """Results by check, looked at in this process: a command line each time would take most of the time."""
        report = asyncio.run(examine(Instance.at(self.factory.directory), names, offline=offline))
        return {item["id"]: item for item in report.to_json()["checks"]}

    def remark(self, check: str) -> dict[str, Any]:
        """A check's first remark that is not well; its state stands for the check's."""
        result = self.look(check)[check]
        ill = [item for item in result["remarks"] if item["state"] != "ok"]
        assert ill and result["state"] != "ok", result
        return dict(ill[0])

    @contextmanager
    def env(self, change: Callable[[str], str]) -> Iterator[None]:
        """The environment file changed, for a while."""
        path = self.factory.directory / ".env"
        before = path.read_text()
        path.write_text(change(before))
        try:
            yield
        finally:
            path.write_text(before)

    @contextmanager
    def override(self, text: str) -> Iterator[None]:
        """More in the override file, for a while."""
        path = self.factory.directory / "docker-compose.override.yml"
        path.write_text(text)
        try:
            yield
        finally:
            path.write_text(QUICK)


@pytest.fixture(scope="module")
def ground(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """A factory that was switched once, so that there is a version to go back to."""
    home = tmp_path_factory.mktemp("home")
    project = f"{engine.prefix}-doctor"
    with ForgeDouble(default_state()) as forge:
        text = config_text(
            project, sample_images.repository, forge.url, sample_images.stand_ins, version="v0.1.0"
        )
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        made.directory.mkdir()
        (made.directory / "docker-compose.override.yml").write_text(QUICK)
        assert made.init().code == 0
        said = made.cli("use", "v0.2.0", "--yes", "--soak", "0.1")
        assert said.code == 0, said.err
        with pytest.MonkeyPatch.context() as patch:
            for name, value in made.cli.environment().items():
                patch.setenv(name, value)
            for name in ("AGENTS_IMAGE", "GITHUB_TOKEN", "DOCKER_CONTEXT"):
                patch.delenv(name, raising=False)
            for module, name in (
                (doctor, "CHECKS"),
                (doctor_model, "_BRIEF_SECONDS"),
                (doctor_remote, "PART_SECONDS"),
            ):
                patch.setattr(module, name, getattr(module, name))  # as it was, afterwards
            exec(PATIENCE, {})
            yield Ground(made, engine, forge, sample_images)
    engine.remove(f"label=com.docker.compose.project={project}")


def test_a_healthy_factory_is_well_in_every_check(ground: Ground) -> None:
    said = ground.doctor()
    assert said.code == 0, said.out + said.err
    assert "20 ok" in said.err
    found = ground.look()
    assert {name: item["remarks"] for name, item in found.items() if item["state"] != "ok"} == {}
    assert len(found) == 20
    assert all(item["why"] and item["remarks"] for item in found.values())


def test_offline_asks_nobody_and_is_well_too(ground: Ground) -> None:
    said = ground.doctor("--offline", "--json")
    assert said.code == 0
    assert {"tokens", "registry"} & {item["id"] for item in said.document["checks"]} == set()
    assert said.document["counts"] == {"ok": 18, "warning": 0, "problem": 0, "unknown": 0}


def test_engine_that_does_not_answer_is_unknown_and_files_are_still_looked_at(ground: Ground) -> None:
    said = ground.doctor("--json", "--offline", env={"DOCKER_HOST": "unix:///nowhere.sock"})
    states = {item["id"]: item["state"] for item in said.document["checks"]}
    assert said.code == 3
    assert states["engine"] == states["pin"] == states["shadows"] == "unknown"
    assert states["env"] == states["permissions"] == states["journal"] == states["backups"] == "ok"


def test_compose_that_refuses_the_files(ground: Ground) -> None:
    with ground.override("services:\n  agents:\n    depends_on: [nobody]\n"):
        remark = ground.remark("compose")
    assert remark["state"] == "problem" and "nobody" in remark["text"]


def test_port_that_another_program_holds(ground: Ground) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with ground.override(f'services:\n  staging:\n    ports: ["127.0.0.1:{port}:80"]\n'):
            remark = ground.remark("ports")
    assert remark["state"] == "problem" and str(port) in remark["text"]


def test_env_that_is_misread_shows_lines_and_never_a_value(ground: Ground) -> None:
    with ground.env(lambda text: text + "ODD=hunter2 two words\n"):
        said = ground.doctor("env")
    assert said.code == 0 and "ODD" in said.out and "▲" in said.out
    assert "hunter2" not in said.out + said.err
    with ground.env(lambda text: text + "BROKEN='hunter2\n"):
        said = ground.doctor("env")
    assert said.code == 1 and "✗" in said.out
    assert "hunter2" not in said.out + said.err


def test_permissions_and_backups_are_mended_by_fix_as_a_run(ground: Ground) -> None:
    env = ground.factory.directory / ".env"
    backup = next((ground.factory.directory / ".disinto/runs").glob("*-switch-*/backup/.env"))
    env.chmod(0o644)
    backup.chmod(0o644)
    remark = ground.remark("permissions")
    assert remark["fixable"] and "chmod 600" in remark["cure"]
    assert ground.remark("backups")["fixable"]
    said = ground.doctor("permissions", "backups", "--fix", "--dry-run")
    assert "mode 644" in said.out and env.stat().st_mode & 0o777 == 0o644
    said = ground.doctor("permissions", "backups", "--fix", "--yes", "--json")
    assert said.code == 0, said.err
    assert said.events[-1]["kind"] == "run_ended", "with --json the run's events are all there is"
    assert {path.stat().st_mode & 0o777 for path in (env, backup)} == {0o600}
    states = {item["state"] for item in ground.look("permissions", "backups").values()}
    assert states == {"ok"}


def test_fix_with_nothing_to_mend_says_so(ground: Ground) -> None:
    said = ground.doctor("disk", "--fix")
    assert said.code == 0 and "Nothing of it" in said.err


def test_token_that_the_forge_does_not_know(ground: Ground) -> None:
    with ground.env(lambda text: text + "FORGE_REVIEW_TOKEN=" + "0" * 40 + "\n"):
        remark = ground.remark("tokens")
    assert remark["state"] == "problem" and "FORGE_REVIEW_TOKEN" in remark["text"]
    assert "0" * 40 not in json.dumps(remark)


def test_registry_without_the_pinned_version_and_registry_that_is_away(ground: Ground) -> None:
    pin = f"{ground.images.repository}:v0.2.0"
    with ground.env(lambda text: text.replace(pin, pin.replace("v0.2.0", "v9.9.9"))):
        assert ground.remark("registry")["state"] == "warning"
    with ground.env(lambda text: text.replace(pin, "127.0.0.1:1/acme/agents:v0.2.0")):
        said = ground.doctor("registry")
    assert said.code == 3, said.out


def test_image_for_another_processor(ground: Ground) -> None:
    from tests.support.registries import push_samples

    address, _, path = ground.images.repository.partition("/")
    push_samples(address, ["v3.0.0"], repository=path, options=["--arch", "s390x"])
    pin = f"{ground.images.repository}:v0.2.0"
    with ground.env(lambda text: text.replace(pin, pin.replace("v0.2.0", "v3.0.0"))):
        remark = ground.remark("platform")
    assert remark["state"] == "problem" and "s390x" in remark["text"]


def test_another_version_is_pinned_than_runs(ground: Ground) -> None:
    with ground.env(lambda text: text.replace("agents:v0.2.0", "agents:v0.1.0")):
        remark = ground.remark("pin")
    assert "v0.1.0 is pinned, and agents runs v0.2.0" in remark["text"]
    assert remark["cure"] == "disinto up"


def test_the_pinned_name_means_another_image_by_now(ground: Ground) -> None:
    reference = ground.images.reference("v0.2.0")
    kept = inspect(ground.engine, "image", reference)["Id"]
    ground.engine.docker("tag", ground.images.reference("v0.1.0"), reference)
    try:
        assert "means another image by now" in ground.remark("pin")["text"]
    finally:
        ground.engine.docker("tag", str(kept), reference)


def test_two_variables_that_say_different_versions(ground: Ground) -> None:
    with ground.env(lambda text: text + "DISINTO_IMAGE_TAG=v0.1.0\n"):
        assert "DISINTO_IMAGE_TAG is v0.1.0" in ground.remark("pin")["text"]


def test_drift_of_a_file_and_of_a_container(ground: Ground) -> None:
    path = ground.factory.directory / "docker-compose.yml"
    before = path.read_text()
    path.write_text(before + "# by hand\n")
    try:
        assert "edited by hand" in ground.remark("drift")["text"]
    finally:
        path.write_text(before)
    with ground.override(QUICK + '  staging:\n    labels: {a: "b"}\n'):
        remark = ground.remark("drift")
    assert remark["text"].startswith("staging:")


def test_shadow_of_a_file_written_to_no_mount(ground: Ground) -> None:
    ground.engine.docker("exec", ground.agents, "sh", "-c", "mkdir /made; echo x >/made/x")
    try:
        assert "/made/x was written" in ground.remark("shadows")["text"]
    finally:
        ground.engine.docker("exec", ground.agents, "rm", "-r", "/made")


def test_shadow_that_a_switch_would_make_is_said_in_its_plan(ground: Ground) -> None:
    other = ground.images.reference("v0.9.0")
    ground.engine.docker("commit", "--change", "VOLUME /extra", ground.agents, other)
    try:
        said = ground.factory.cli("use", "v0.9.0", "--dry-run")
    finally:
        ground.engine.docker("rmi", other)
    assert "/extra is a volume of its image since this version" in said.out, said.out + said.err


def test_a_mount_over_the_code_that_a_switch_changes_is_said_in_its_plan(ground: Ground) -> None:
    """A checkout mounted over the image's code, as early files have it: the switch would run the old one."""
    code = f"    volumes: ['{ground.factory.directory}/site:/home/agent/disinto']\n"
    with ground.override(QUICK + code):
        said = ground.factory.cli("use", "v0.1.0", "--dry-run")
    assert "is mounted over /home/agent/disinto, where" in said.out, said.out + said.err
    assert "(VERSION)" in said.out and "they are hidden" in said.out
    said = ground.factory.cli("use", "v0.1.0", "--dry-run")
    assert said.code == 0 and "is mounted over" not in said.out


def test_service_that_is_stopped(ground: Ground) -> None:
    staging = ground.engine.ids(
        "container",
        f"label=com.docker.compose.project={ground.factory.project}",
        "label=com.docker.compose.service=staging",
    )[0]
    ground.engine.docker("stop", "-t", "0", staging)
    try:
        remark = ground.remark("health")
    finally:
        ground.engine.docker("start", staging)
    assert remark["state"] == "problem" and remark["text"] == "staging does not run (exited)"
    assert poll(120, lambda: ground.look("health")["health"]["state"] == "ok")


def test_heartbeat_that_stands_still(ground: Ground) -> None:
    turned = "the loop of agents turned"
    assert poll(60, lambda: turned in ground.look("heartbeat")["heartbeat"]["remarks"][0]["text"])

    def tell(signal: str) -> int:
        """Send the loop a signal; how many processes it is. The sample image has no pgrep."""
        script = (
            "for d in /proc/[0-9]*; do case $(tr '\\0' ' ' <$d/cmdline) in "
            f'"/bin/sh /entrypoint.sh "*) kill -{signal} ${{d#/proc/}}; echo $d;; esac; done'
        )
        return len(ground.engine.docker("exec", "-u", "0", ground.agents, "sh", "-c", script).stdout.split())

    assert tell("STOP") >= 1
    try:
        ground.engine.docker("exec", "-u", "0", ground.agents, "touch", "-d", "2001-01-01", "/tmp/heartbeat")
        # A look that an engine under load did not answer in time says so, and is made again.
        assert poll(60, lambda: ground.look("heartbeat")["heartbeat"]["state"] == "problem")
        remark = ground.remark("heartbeat")
    finally:
        assert tell("CONT") >= 1
    assert remark["state"] == "problem" and "has stood still for" in remark["text"]
    assert poll(60, lambda: ground.look("heartbeat")["heartbeat"]["state"] == "ok")
    assert poll(60, lambda: ground.look("health")["health"]["state"] == "ok")


def test_a_service_that_dies_and_comes_back(ground: Ground) -> None:
    project = ground.factory.project
    made = ground.engine.docker(
        "run", "-d", "--restart", "always", "--label", f"com.docker.compose.project={project}",
        "--label", "com.docker.compose.oneoff=False", "--label", "com.docker.compose.service=dies",
        "--label", f"com.docker.compose.project.working_dir={ground.factory.directory}",
        "--entrypoint", "sh", ground.images.reference("v0.2.0"), "-c", "exit 3",
    ).stdout.strip()  # fmt: skip
    try:
        assert poll(120, lambda: int(str(inspect(ground.engine, "container", made)["RestartCount"])) > 2)
        remark = ground.remark("restarts")
        orphan = ground.remark("leftovers")
    finally:
        ground.engine.docker("rm", "-fv", made)
    assert remark["state"] == "problem" and "dies restarts in a loop" in remark["text"]
    assert "is in no compose file any more" in orphan["text"] and not orphan["fixable"]


def test_leftover_of_a_recreate_and_an_image_without_its_name_are_mended_by_fix(ground: Ground) -> None:
    project = ground.factory.project
    kept = f"disinto-kept/{project}:v0.1.0"
    names = {name for name in ground.engine.references() if name.startswith(kept)}
    assert names, "the switch kept what it replaced"
    ground.engine.docker("rmi", *names)
    remark = ground.remark("kept")
    assert remark["fixable"] and "a prune may take it" in remark["text"]
    made = ground.engine.docker(
        "create", "--name", f"0123456789ab_{project}-agents",
        "--label", f"com.docker.compose.project={project}", "--label", "com.docker.compose.oneoff=False",
        "--label", "com.docker.compose.service=edge",
        "--label", f"com.docker.compose.project.working_dir={ground.factory.directory}",
        ground.images.reference("v0.2.0"),
    ).stdout.strip()  # fmt: skip
    look = ground.engine.docker(
        "create", "-v", "/of-the-image", "--label", f"{LOOK_LABEL}=1000", "--label", ground.engine.label,
        ground.images.reference("v0.2.0"),
    ).stdout.strip()  # fmt: skip
    volume = inspect(ground.engine, "container", look)["Mounts"][0]["Name"]  # type: ignore[index]
    try:
        remark = ground.remark("leftovers")
        assert remark["fixable"] and "left by a recreate" in remark["text"]
        said = ground.doctor("leftovers", "kept", "--fix", "--yes")
        assert said.code == 0, said.out + said.err
        assert ground.engine.docker("inspect", made, check=False).returncode != 0
        assert ground.engine.docker("inspect", look, check=False).returncode != 0
        assert ground.engine.docker("volume", "inspect", volume, check=False).returncode != 0
        assert ground.engine.docker("inspect", ground.agents).returncode == 0
        assert names <= ground.engine.references()
    finally:
        ground.engine.docker("rm", "-fv", made, look, check=False)


def test_journal_with_a_run_that_cannot_be_read(ground: Ground) -> None:
    run = ground.factory.directory / ".disinto/runs/20990101-000000-up-dead"
    run.mkdir()
    (run / "plan.json").write_text("{")
    try:
        assert "cannot be read" in ground.remark("journal")["text"]
    finally:
        (run / "plan.json").unlink()
        run.rmdir()


def test_backup_that_is_gone(ground: Ground) -> None:
    backup = next((ground.factory.directory / ".disinto/runs").glob("*-switch-*/backup/.env"))
    away = backup.rename(ground.factory.directory / "away")
    try:
        assert "is gone: it cannot be taken back" in ground.remark("backups")["text"]
    finally:
        away.rename(backup)


def test_an_unknown_check_is_refused_with_the_nearest(ground: Ground) -> None:
    said = ground.doctor("shadow")
    assert said.code == 2 and "The nearest is shadows." in said.err
