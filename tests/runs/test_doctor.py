"""The doctor's checks as far as they are data, each well and ill, and its machinery."""

from __future__ import annotations

import asyncio
import http.server
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance, unfinished
from disinto_tui.core.envfile.lint import lint
from disinto_tui.core.errors import BadInput, ExitCode, Refused, Unavailable
from disinto_tui.core.expiry import DAY, expiry_text, severity_of
from disinto_tui.core.plan import Step
from disinto_tui.runs import doctor_host, doctor_keep, doctor_remote, doctor_stack
from disinto_tui.runs.credentials import FoundCredential
from disinto_tui.runs.doctor import CHECKS, Report, chosen, examine
from disinto_tui.runs.doctor_model import Check, Ground, Remark, carried_out
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.release_checks import Finding
from tests.support.doctor import container, states

NOW = 1_764_000_000.0


def looked(tmp_path: Path, *checks: Check) -> Report:
    return asyncio.run(examine(Instance.at(tmp_path), checks=checks))


# -- the machinery -------------------------------------------------------------------------------------------------


async def fine(_: Ground) -> Sequence[Remark]:
    return [Remark("ok", "well")]


async def never(_: Ground) -> Sequence[Remark]:
    await asyncio.Event().wait()
    return []


def test_a_check_that_hangs_times_out_alone(tmp_path: Path) -> None:
    began = time.monotonic()
    report = looked(tmp_path, Check("a", "A", "w", never, timeout=0.05), Check("b", "B", "w", fine))
    assert [(item.id, item.state) for item in report.results] == [("a", "unknown"), ("b", "ok")]
    assert "no answer within 0.05 s" in report.results[0].remarks[0].text
    assert time.monotonic() - began < 2


def test_what_is_asked_for_once_survives_the_time_of_the_check_that_asked_first(tmp_path: Path) -> None:
    asked = 0

    async def slow() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return 7

    async def look(ground: Ground) -> Sequence[Remark]:
        return [Remark("ok", str(await ground._once("slow", slow)))]

    report = looked(tmp_path, Check("a", "A", "w", look, timeout=0.01), Check("b", "B", "w", look))
    assert [item.state for item in report.results] == ["unknown", "ok"]
    assert report.results[1].remarks[0].text == "7" and asked == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unavailable("w", "y", "n", code="engine.down"), "unknown"),
        (Unavailable("w", "y", "n", code="compose.old"), "problem"),
        (BadInput("w", "y", "n", code="x"), "problem"),
        (PermissionError(13, "Permission denied", "/f"), "unknown"),
        (KeyError("what nobody foresaw"), "unknown"),
    ],
)
def test_an_error_is_the_checks_answer(tmp_path: Path, error: Exception, state: str) -> None:
    async def look(_: Ground) -> Sequence[Remark]:
        raise error

    result = asyncio.run(carried_out(Check("a", "A", "w", look), Ground(Instance.at(tmp_path))))
    assert result.state == state


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (["ok", "warning"], ExitCode.DONE),
        (["ok", "unknown"], ExitCode.UNAVAILABLE),
        (["problem", "unknown"], ExitCode.FAILED),
    ],
)
def test_the_exit_code_is_the_heaviest(tmp_path: Path, found: list[Any], code: ExitCode) -> None:
    def check(state: Any) -> Check:
        async def look(_: Ground) -> Sequence[Remark]:
            return [Remark(state, "t")]

        return Check(state, state, "w", look)

    report = looked(tmp_path, *(check(state) for state in found))
    assert report.exit_code == code
    assert sum(report.to_json()["counts"].values()) == 2


def test_names_choose_and_offline_leaves_out_what_crosses_the_network() -> None:
    assert [check.id for check in chosen(["disk", "engine"])] == ["engine", "disk"]
    assert {check.id for check in CHECKS} - {check.id for check in chosen([], offline=True)} == {
        "tokens",
        "registry",
    }
    with pytest.raises(BadInput, match="There is no check shadow"):
        chosen(["shadow"])


def test_every_step_of_a_fix_is_an_operation_there_is() -> None:
    steps = [*doctor_keep._remove(["a" * 64], "why"), Step("m", "t", "modes"), Step("k", "t", "keep-image")]
    assert {step.op for step in steps} <= set(OPERATIONS)


# -- the host ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "state"), [(50_000_000_000, "ok"), (4_000_000_000, "warning"), (900_000_000, "problem")]
)
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setattr(doctor_host, "free_bytes", lambda path: free)
    remarks = asyncio.run(doctor_host.disk(Ground(Instance.at(tmp_path))))
    assert states(remarks) == [state], "also without an engine"


def test_clock() -> None:
    assert states(doctor_host.clock_remarks({"the engine": 0.2, "r": -20.0})) == ["ok"]
    (late,) = doctor_host.clock_remarks({"the forge": 45.0})
    assert (late.state, late.text) == ("warning", "this host's clock is 45 s behind the forge")
    (wrong,) = doctor_host.clock_remarks({"ghcr.io": -3600.0})
    assert (wrong.state, wrong.text) == ("problem", "this host's clock is 3600 s ahead of ghcr.io")
    assert states(doctor_host.clock_remarks({})) == ["unknown"]


def test_env_lint_names_lines_and_no_value() -> None:
    assert states(doctor_host.env_remarks(".env", lint(b"A=1\n"))) == ["ok"]
    data = b"A=hunter2 b\n" * 9 + b"C='hunter2\n"
    remarks = doctor_host.env_remarks(".env", lint(data))
    assert remarks[0].state == "problem" and remarks[0].text.startswith(".env line 10")
    assert "more lines" in remarks[-1].text
    assert not any("hunter2" in item.text + item.cure for item in remarks)


def test_permissions(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("A=1\n")
    env.chmod(0o600)
    ground = Ground(Instance.at(tmp_path))
    assert states(asyncio.run(doctor_host.permissions(ground))) == ["ok"]
    env.chmod(0o640)
    (tmp_path / "secrets").mkdir(mode=0o755)
    key = tmp_path / "secrets/KEY.enc"
    key.write_text("x")
    key.chmod(0o604)
    remarks = asyncio.run(doctor_host.permissions(ground))
    assert [item.text.partition(" ")[0] for item in remarks] == [".env", "secrets", "secrets/KEY.enc"]
    assert all(item.steps[0].op == "modes" for item in remarks)


# -- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [(30, "ok", "in 30 days"), (13.5, "warning", "in 13 days"), (6.5, "warning", "in 6 days"),
     (0.5, "warning", "in 12 hours"), (-1, "problem", "expired on")],
)  # fmt: skip
def test_tokens_say_their_end_14_7_and_1_days_ahead(days: float, state: Any, words: str) -> None:
    at = NOW + days * DAY
    item = _credential(Finding("credential", severity_of(at, NOW), expiry_text(at, NOW), "new"), expires=at)
    remark = doctor_remote.credential_remark(item)
    assert remark.state == state and words in remark.text


def test_a_factory_is_well_without_what_only_a_release_needs() -> None:
    problem = Finding("credential", "problem", "it was found nowhere", "put")
    assert doctor_remote.credential_remark(_credential(problem, source="none")).state == "ok"
    forge = _credential(problem, source="none", purpose="forge")
    assert doctor_remote.credential_remark(forge).state == "problem"
    silent = _credential(Finding("credential", "warning", "t"), unanswered=True)
    assert doctor_remote.credential_remark(silent).state == "unknown"


def _credential(finding: Finding, **more: Any) -> FoundCredential:
    known: dict[str, Any] = {
        "purpose": "push",
        "source": "file",
        "expires": None,
        "unanswered": False,
        **more,
    }
    return FoundCredential(
        "GITHUB_TOKEN", known["purpose"], "ghcr.io/a/b", known["source"], "w", "u", True, known["expires"], finding,
        known["unanswered"],
    )  # fmt: skip


# -- what runs -----------------------------------------------------------------------------------------------------


def test_healthchecks_present_and_well() -> None:
    active = {"agents": {}, "edge": {}}
    well = [container("agents", health="healthy"), container("edge", health="starting")]
    assert states(doctor_stack.health_remarks(active, well)) == ["ok"]
    (none,) = doctor_stack.health_remarks(active, [well[0], container("edge")])
    assert none.state == "warning" and "edge has no healthcheck" in none.text
    (sick,) = doctor_stack.health_remarks(active, [well[0], container("edge", health="unhealthy")])
    assert (sick.state, sick.cure) == ("problem", "disinto logs edge")
    (gone,) = doctor_stack.health_remarks(active, well[:1])
    assert gone.text == "edge does not run (absent)"
    (stopped,) = doctor_stack.health_remarks(active, [])
    assert (stopped.state, stopped.text) == ("warning", "the factory is stopped")


def test_heartbeat() -> None:
    assert doctor_stack.heartbeat_remark("agents", 3, 30).state == "ok"
    assert doctor_stack.heartbeat_remark("agents", 31, 30).state == "problem"
    assert doctor_stack.heartbeat_remark("agents", None, 30).state == "ok", "older images have none"


def test_restarts() -> None:
    assert states(doctor_stack.restart_remarks([container("a", RestartCount=2)], NOW)) == ["ok"]
    assert states(doctor_stack.restart_remarks([container("a", RestartCount=3)], NOW)) == ["warning"]
    assert states(doctor_stack.restart_remarks([container("a", "restarting")], NOW)) == ["problem"]
    (killed,) = doctor_stack.restart_remarks([container("a", state={"OOMKilled": True})], NOW)
    assert "too much memory" in killed.text


# -- what was left and what is kept --------------------------------------------------------------------------------


def test_leftovers_and_orphans() -> None:
    services = {"agents": {}}
    assert doctor_keep.container_remarks([container("agents")], services) == []
    half = container("agents", "created", Name="/0123456789ab_p-agents")
    (left,) = doctor_keep.container_remarks([half], services)
    assert left.steps[0].op == "remove-leftovers"
    running = container("agents", Name="/0123456789ab_p-agents")
    assert doctor_keep.container_remarks([running], services) == [], "it may be the only one there is"
    (orphan,) = doctor_keep.container_remarks([container("chat")], services)
    assert "in no compose file" in orphan.text and not orphan.steps
    once = container("runner", "exited", labels={"com.docker.compose.oneoff": "True"})
    assert "docker compose run" in doctor_keep.container_remarks([once], services)[0].text
    assert doctor_keep.container_remarks([container("chat")], {}) == [], "a file nobody can read says nothing"


def test_files_that_were_being_written(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    assert doctor_keep.unfinished_files(instance) == []
    unfinished(instance.env_file).write_text("half")
    assert doctor_keep.unfinished_files(instance) == [unfinished(instance.env_file)]


def test_no_run_no_backup_no_version_to_keep(tmp_path: Path) -> None:
    ground = Ground(Instance.at(tmp_path))
    assert states(doctor_keep.backup_remarks(ground.instance, NOW)) == ["ok"]
    assert states(asyncio.run(doctor_keep.journal(ground))) == ["ok"]


class _Late(http.server.BaseHTTPRequestHandler):
    """Answers 401 like a registry, an hour late."""

    def do_HEAD(self) -> None:
        self.send_response_only(401)
        self.send_header("Date", self.date_time_string(int(time.time()) - 3600))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_clock_of_a_server_is_read_from_any_answer_of_its() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v2/"
        name, offset = asyncio.run(doctor_host._of_server("the registry", url))
    finally:
        server.shutdown()
        server.server_close()
    assert offset is not None and -3605 < offset < -3595
    assert states(doctor_host.clock_remarks({name: offset})) == ["problem"]
    assert asyncio.run(doctor_host._of_server("the registry", url)) == ("the registry", None), "it is gone"


# -- what --fix does -----------------------------------------------------------------------------------------------


def _context(tmp_path: Path) -> Any:
    return SimpleNamespace(instance=Instance.at(tmp_path), say=lambda *_: None)


def test_modes_are_narrowed_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o464)
    ctx, params = _context(tmp_path), {"files": [{"path": ".env", "before": "464", "mode": "600"}]}
    modes = OPERATIONS["modes"]
    assert asyncio.run(modes.check(ctx, params)) is None
    asyncio.run(modes.run(ctx, params))
    assert path.stat().st_mode & 0o777 == 0o400, "the owner's own rights stay as they are"
    assert asyncio.run(modes.check(ctx, params))
    asyncio.run(modes.undo(ctx, params))
    assert path.stat().st_mode & 0o777 == 0o464


def test_modes_do_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "elsewhere").chmod(0o644)
    (tmp_path / ".env").symlink_to("elsewhere")
    params = {"files": [{"path": ".env", "before": "644", "mode": "600"}]}
    with pytest.raises(Refused, match="is a link"):
        asyncio.run(OPERATIONS["modes"].run(_context(tmp_path), params))
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644
    (remark,) = asyncio.run(doctor_host.permissions(Ground(Instance.at(tmp_path))))
    assert remark.state == "warning" and not remark.steps, "told, and not offered"
