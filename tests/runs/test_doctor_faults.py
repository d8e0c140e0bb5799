"""False alarms of the doctor, and faults that it passed over: each once, as it was found on a stack that ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, create_run
from disinto_tui.core.errors import DisintoError, Failed, Refused, Unavailable
from disinto_tui.core.events import RunStarted, StepStarted
from disinto_tui.core.lineage import LEGACY
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs import doctor_host, doctor_keep, doctor_stack
from disinto_tui.runs.doctor import Report, examine, plan_fix
from disinto_tui.runs.doctor_model import Check, Ground, Remark, carried_out
from disinto_tui.runs.env import Env
from disinto_tui.runs.holder import HolderView
from disinto_tui.runs.project import STEERING, ByHand, Found
from tests.support.doctor import container, states

NOW = 1_764_000_000.0
PIN = "ghcr.io/acme/agents:v0.2.0"


def ended(service: str, code: int = 0, policy: str = "no", **more: Any) -> dict[str, Any]:
    host = {"RestartPolicy": {"Name": policy}, **more.pop("host", {})}
    return container(service, "exited", state={"ExitCode": code}, HostConfig=host, **more)


RUNS = container("agents", health="healthy")


# -- health --------------------------------------------------------------------------------------------------------


def test_a_job_that_has_ended_with_code_0_is_done_and_does_not_ail() -> None:
    active = {"agents": {}, "job": {}}
    assert states(doctor_stack.health_remarks(active, [RUNS, ended("job")])) == ["ok"]
    assert states(doctor_stack.health_remarks(active, [RUNS, ended("job", policy="on-failure")])) == ["ok"]
    assert states(doctor_stack.health_remarks(active, [RUNS, ended("job", code=3)])) == ["problem"]


def test_what_others_wait_for_to_end_is_done_although_it_has_ports() -> None:
    waits = {"depends_on": {"job": {"condition": "service_completed_successfully"}}}
    done = ended("job", host={"PortBindings": {"80/tcp": [{}]}})
    assert states(doctor_stack.health_remarks({"agents": waits, "job": {}}, [RUNS, done])) == ["ok"]


def test_a_service_with_ports_that_ended_with_code_0_is_no_job() -> None:
    """Edge of the first generator has no restart policy: it is down after a reboot of the host, with exit code 0."""
    edge = ended("edge", host={"PortBindings": {"443/tcp": [{"HostPort": "443"}]}})
    (remark,) = doctor_stack.health_remarks({"agents": {}, "edge": {}}, [RUNS, edge])
    assert (remark.state, remark.text) == ("problem", "edge does not run (exited)")
    agents = ended("agents-two")
    assert states(doctor_stack.health_remarks({"agents": {}, "agents-two": {}}, [RUNS, agents])) == [
        "problem"
    ]


@pytest.mark.parametrize("off", [{"scale": 0}, {"deploy": {"replicas": 0}}])
def test_a_service_that_is_scaled_to_nothing_is_not_missed(off: dict[str, Any]) -> None:
    assert states(doctor_stack.health_remarks({"agents": {}, "off": off}, [RUNS])) == ["ok"]
    (remark,) = doctor_stack.health_remarks({"agents": {}, "on": {"scale": 1}}, [RUNS])
    assert remark.text == "on does not run (absent)"


def test_one_sick_replica_is_not_hidden_by_its_sister() -> None:
    pair = [
        container("web", health="unhealthy", Name="/p-web-1"),
        container("web", health="healthy", Name="/p-web-2"),
    ]
    for order in (pair, pair[::-1]):
        (remark,) = doctor_stack.health_remarks({"web": {}}, order)
        assert (remark.state, remark.text) == ("problem", "web (p-web-1) is unhealthy")


def test_why_a_container_could_not_be_started_is_said() -> None:
    error = "unable to apply caps:\noperation not permitted " + "x" * 300
    (remark,) = doctor_stack.health_remarks(
        {"agents": {}, "ci": {}}, [RUNS, container("ci", "created", state={"Error": error})]
    )
    assert remark.text.startswith(
        "ci does not run (created: unable to apply caps: operation not permitted xxx"
    )
    assert len(remark.text) < 250


def test_what_a_recreate_left_does_not_stand_for_the_service() -> None:
    half = container("agents", "created", Name="/0123456789ab_p-agents")
    for order in ([RUNS, half], [half, RUNS]):
        assert states(doctor_stack.health_remarks({"agents": {}}, order)) == ["ok"]


def test_a_paused_container_is_named_in_the_command_that_wakes_it() -> None:
    (remark,) = doctor_stack.health_remarks({"agents": {}}, [container("agents", "paused")])
    assert remark.cure == "docker unpause p-agents", "it works in any directory"


def test_a_crash_loop_that_is_caught_between_two_deaths_is_a_problem() -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 5)) + ".123456789Z"
    young = container("a", RestartCount=4, state={"StartedAt": stamp})
    assert states(doctor_stack.restart_remarks([young], NOW)) == ["problem"]
    assert states(doctor_stack.restart_remarks([young], NOW + 3600)) == ["warning"], "it has recovered"


# -- the pin -------------------------------------------------------------------------------------------------------


class Looked(Ground):
    """A ground whose answers are given; what Compose says may be an error."""

    def __init__(
        self, path: Path, values: dict[str, str], services: Any, containers: Sequence[Any] = ()
    ) -> None:
        super().__init__(Instance.at(path), offline=True)
        self._values, self._services, self._containers = values, services, containers

    async def env(self) -> Env:
        return Env("clear", values=self._values)

    async def found(self) -> Found:
        return Found("p", tuple(self._containers), (), ByHand("p", ()), await self.env())

    async def endpoint(self) -> str:
        return "unix:///nowhere.sock"

    async def definitions(self) -> Any:
        if isinstance(self._services, DisintoError):
            raise self._services
        return self._services


INVALID = Failed("Docker Compose does not accept this project.", "It says: no.", "n", code="compose.invalid")


def pin(path: Path, values: dict[str, str], services: Any, containers: Sequence[Any] = ()) -> Remark:
    return asyncio.run(doctor_stack.pin(Looked(path, values, services, containers)))[-1]  # type: ignore[return-value]


def test_a_pin_that_is_a_version_alone_is_called_that(tmp_path: Path) -> None:
    remark = pin(tmp_path, {"AGENTS_IMAGE": "v0.3.0"}, {"agents": {"image": "v0.3.0"}})
    assert remark.state == "problem" and "docker.io/library/v0.3.0" in remark.text
    assert remark.cure == "disinto use v0.3.0"


def test_a_pin_that_is_not_set_is_said_although_compose_refuses_the_file(tmp_path: Path) -> None:
    remark = pin(tmp_path, {"A": "1"}, INVALID)
    assert (remark.state, remark.text) == ("problem", "AGENTS_IMAGE is not set in .env")


def test_a_file_that_does_not_read_the_pin_is_for_adopting(tmp_path: Path) -> None:
    services = {"agents": {"image": "disinto/agents:latest"}}
    for values in ({"A": "1"}, {"AGENTS_IMAGE": PIN}):
        remark = pin(tmp_path, values, services, [RUNS])
        assert (remark.state, remark.cure) == ("warning", "disinto adopt")
        assert "as its compose file says" in remark.text


def test_the_same_version_of_another_repository_is_told_by_its_whole_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        async def image(self, _: str) -> None:
            return None

    async def engine(_: Ground) -> Any:
        return Empty()

    monkeypatch.setattr(Ground, "engine", engine)
    config = {"Labels": {"com.docker.compose.service": "agents"}, "Image": "mirror.lan/acme/agents:v0.2.0"}
    runs = container("agents", Config=config, Image="sha256:1")
    remark = pin(tmp_path, {"AGENTS_IMAGE": PIN}, {"agents": {"image": PIN}}, [runs])
    assert remark.text == f"{PIN} is pinned, and agents runs mirror.lan/acme/agents:v0.2.0"


def test_a_stack_without_agents_has_no_pin_to_miss(tmp_path: Path) -> None:
    assert pin(tmp_path, {"A": "1"}, {"forgejo": {"image": "forgejo:11"}}).state == "ok"


# -- what many checks run into, and what others can be looked at in spite of ----------------------------------------


@pytest.mark.parametrize(
    ("error", "owner"),
    [
        (INVALID, "compose"),
        (Refused("Several.", "y", "n", code="project.several"), "compose"),
        (Unavailable("Sealed.", "y", "n", code="sops.missing"), "env"),
        (Unavailable("No engine.", "y", "n", code="engine.down"), "engine"),
    ],
)
def test_one_fault_is_told_once_and_not_by_every_check(
    tmp_path: Path, error: DisintoError, owner: str
) -> None:
    async def look(_: Ground) -> Sequence[Remark]:
        raise error

    ground = Ground(Instance.at(tmp_path))
    other = asyncio.run(carried_out(Check("pin", "P", "w", look), ground)).remarks[0]
    assert (other.state, other.cure) == ("unknown", f"disinto doctor {owner}")
    assert (
        asyncio.run(carried_out(Check(owner, "O", "w", look), ground)).remarks[0].text.startswith(error.what)
    )


def test_sick_containers_are_seen_although_compose_refuses_the_file(tmp_path: Path) -> None:
    sick = container("agents", health="unhealthy")
    remarks = asyncio.run(doctor_stack.health(Looked(tmp_path, {}, INVALID, [sick])))
    assert [item.text for item in remarks] == ["agents is unhealthy"]


def test_a_silent_engine_is_called_that_and_the_disk_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def look(ground: Ground) -> Sequence[Remark]:
        await ground._once("info", never)
        return []

    monkeypatch.setattr("disinto_tui.runs.doctor_model._BRIEF_SECONDS", 0.01)
    monkeypatch.setattr(Ground, "info", lambda self: self._once("info", never))
    checks = [Check("engine", "E", "w", look, 0.05), Check("pin", "P", "w", look, 0.05)]
    report = asyncio.run(
        examine(Instance.at(tmp_path), checks=[*checks, Check("disk", "D", "w", doctor_host.disk)])
    )
    engine, other, disk = (item.remarks[0] for item in report.results)
    assert "takes connections, and said nothing" in engine.text and "systemctl status docker" in engine.cure
    assert (other.state, other.cure) == ("unknown", "disinto doctor engine")
    assert "free for the instance; where the engine keeps its own, it did not say" in disk.text


def test_a_disk_that_hangs_holds_up_no_other_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: Ground) -> None:
        return None

    monkeypatch.setattr(Ground, "brief_info", none)
    monkeypatch.setattr(doctor_host, "free_bytes", lambda path: time.sleep(5))

    async def fine(_: Ground) -> Sequence[Remark]:
        return [Remark("ok", "well")]

    began = time.monotonic()
    checks = (Check("disk", "D", "w", doctor_host.disk, 0.05), Check("b", "B", "w", fine, 0.05))
    report = asyncio.run(examine(Instance.at(tmp_path), checks=checks))
    assert [item.state for item in report.results] == ["unknown", "ok"]
    assert time.monotonic() - began < 2


# -- the environment file ------------------------------------------------------------------------------------------


def env(tmp_path: Path) -> list[Remark]:
    return list(asyncio.run(doctor_host.env(Ground(Instance.at(tmp_path)))))


def test_an_env_that_is_a_directory_is_told_as_what_docker_made(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (remark,) = env(tmp_path)
    assert remark.state == "problem" and remark.cure.startswith(f"rmdir {tmp_path}/.env")
    rights = asyncio.run(doctor_host.permissions(Ground(Instance.at(tmp_path))))
    assert not any(item.steps for item in rights), "a directory is not closed as if it were the file"


def test_a_sealed_env_that_cannot_be_opened_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no sops
    (tmp_path / ".env.enc").write_text("sealed")
    result = asyncio.run(carried_out(Check("env", "E", "w", doctor_host.env), Ground(Instance.at(tmp_path))))
    assert result.state != "ok" and "sops" in result.remarks[0].text


def test_names_that_have_no_business_in_env_are_told_without_their_values(tmp_path: Path) -> None:
    lines = ["ENABLE_LLAMA_AGENT=1", "GITHUB_TOKEN=hunter2", "REVIEW_BOT_TOKEN=hunter2"]
    (tmp_path / ".env").write_text("\n".join(lines) + "\n")
    remarks = [item for item in env(tmp_path) if item.state != "ok"]
    assert states(remarks) == ["problem", "warning", "warning"]
    assert [line.partition("=")[0] in item.text for line, item in zip(
        ["ENABLE_LLAMA_AGENT", "REVIEW_BOT_TOKEN", "GITHUB_TOKEN"], remarks, strict=True
    )] == [True] * 3  # fmt: skip
    assert "hunter2" not in repr(remarks)
    (tmp_path / ".env").write_text("REVIEW_BOT_TOKEN=a\nFORGE_REVIEW_TOKEN=a\nENABLE_LLAMA_AGENT=0\n")
    assert states(env(tmp_path)) == ["ok", "ok"], "the new name counts, and nothing is switched on"
    assert "REVIEW_BOT_TOKEN is from earlier times: an old name, FORGE_REVIEW_TOKEN counts" in repr(
        env(tmp_path)
    )


def test_every_old_name_is_known() -> None:
    assert set(LEGACY) == doctor_host.OLD_NAMES
    values = dict.fromkeys(LEGACY, "hunter2")
    told = repr(doctor_host.name_remarks(values)) + repr(
        doctor_stack._of_tag({**values, "AGENTS_IMAGE": PIN})
    )
    assert all(name in told for name in LEGACY if name != "ENABLE_LLAMA_AGENT")
    assert "hunter2" not in told.replace("DISINTO_IMAGE_TAG is hunter2", ""), "a tag is no secret"


def test_a_command_for_a_path_with_a_blank_in_it_works_as_printed(tmp_path: Path) -> None:
    import shlex

    place = tmp_path / "my factory"
    place.mkdir()
    (place / ".env").write_text("A=1\n")
    (place / ".env").chmod(0o644)
    (remark,) = asyncio.run(doctor_host.permissions(Ground(Instance.at(place))))
    assert shlex.split(remark.cure) == ["chmod", "600", str(place / ".env")]
    run = place / ".disinto/runs/20990101-000000-up-dead"
    run.mkdir(parents=True)
    (run / "plan.json").write_text("{")
    (remark,) = asyncio.run(doctor_keep.journal(Ground(Instance.at(place))))
    assert shlex.split(remark.cure)[:3] == ["mv", str(run), f"{place}/.disinto/"]


def test_a_variable_that_the_shell_exports_differently_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("FORGE_TOKEN=hunter2\nPOLL_INTERVAL=300\nEMPTY=x\n")
    monkeypatch.setenv("POLL_INTERVAL", "300")
    assert states(env(tmp_path)) == ["ok"], "the same value is no matter"
    monkeypatch.setenv("FORGE_TOKEN", "hunter3")
    monkeypatch.setenv("EMPTY", "")
    remark = env(tmp_path)[-1]
    assert (remark.state, remark.cure) == ("warning", "unset EMPTY FORGE_TOKEN")
    assert "hunter" not in repr(remark)


def test_what_a_hand_typed_compose_would_read_instead_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in STEERING:
        monkeypatch.delenv(name, raising=False)
    assert doctor_host.by_hand_remarks(tmp_path, {}) == []
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    monkeypatch.setenv("COMPOSE_PROFILES", "vault")
    shell, file = doctor_host.by_hand_remarks(tmp_path, {})
    assert (shell.state, shell.cure) == ("warning", "unset COMPOSE_PROFILES")
    assert file.state == "warning" and "there is a compose.yaml" in file.text
    assert len(doctor_host.by_hand_remarks(tmp_path, {"COMPOSE_FILE": "docker-compose.yml"})) == 1


def test_every_port_that_is_taken_is_named(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        numbers = [item.getsockname()[1] for item in (one, two)]
        ports = [{"published": str(number), "host_ip": "127.0.0.1", "target": 80} for number in numbers]
        ground = Looked(tmp_path, {}, {"edge": {"ports": ports}})
        (remark,) = asyncio.run(doctor_host.ports(ground))  # type: ignore[misc]
    assert remark.state == "problem" and all(str(number) in remark.text for number in numbers)


# -- the journal ---------------------------------------------------------------------------------------------------


def test_a_run_that_stands_half_way_is_a_problem_with_two_commands(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    plan = Plan(
        "switch", "Switch acme to v2", str(tmp_path), "acme", "unix:///s", (Step("pin", "P", "files"),)
    )
    writer = JournalWriter(create_run(instance, plan))
    writer.write(RunStarted(100.0, "r", 1, 1.0, "an earlier boot"))
    writer.write(StepStarted(100.0, "pin"))
    writer.close()
    (remark,) = asyncio.run(doctor_keep.journal(Ground(instance)))
    assert remark.state == "problem" and "stopped half-way" in remark.text
    assert remark.cure == "disinto resume, or disinto resume --undo"
    with pytest.raises(Refused):
        asyncio.run(plan_fix(instance, Report(str(tmp_path), (), 0.0)))


@pytest.mark.parametrize(("state", "found"), [("left", "problem"), ("unknown", "warning"), ("busy", "ok")])
def test_who_holds_the_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Any, found: str
) -> None:
    held = HolderView(state, "pid 7 of root@vm", "root@vm", pid=7)
    monkeypatch.setattr(doctor_keep, "describe", lambda _: held)
    (remark,) = asyncio.run(doctor_keep.journal(Ground(Instance.at(tmp_path))))
    assert remark.state == found
    assert found == "ok" or remark.cure.startswith("disinto unlock")
