"""The command line as an API: exit codes, what goes to which stream, three sentences, JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from disinto_tui import __version__
from disinto_tui.cli.main import COMMANDS, main
from disinto_tui.core.catalog import Catalog, Marks, Meta, Past
from disinto_tui.core.project import read_project
from tests.runs.test_runner import plan, touch
from tests.support.factory import Said

Call = Callable[..., Said]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """`disinto ARGV...` in this process, in an empty directory, without an engine or a token about."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORGE_TOKEN", "AGENTS_IMAGE", "DISINTO_DIR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    def invoke(*argv: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        seen = capsys.readouterr()
        return Said(int(left.value.code or 0), seen.out, seen.err)

    return invoke


def three_sentences(said: Said) -> list[str]:
    lines = said.err.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("✗ "))
    assert len(lines) >= start + 3, said.err
    return lines[start : start + 3]


def test_version(call: Call) -> None:
    said = call("--version")
    assert (said.code, said.out.strip()) == (0, f"disinto, version {__version__}")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_every_command_goes_to_stdout(call: Call, command: str) -> None:
    for flag in ("--help", "-h"):
        said = call(*filter(None, [command, flag]))
        assert said.code == 0
        assert said.out.startswith("Usage: disinto")
        assert said.err == ""


def test_the_table_of_commands_says_what_the_commands_say() -> None:
    """The list of `--help` is written apart, so that nothing is imported for it: every entry is one."""
    import importlib

    for name, (module, text) in COMMANDS.items():
        command = getattr(importlib.import_module(module), name)
        assert command.name == name
        assert text.endswith(".")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["statsu"], "status"),
        (["--frobnicate"], "--frobnicate"),
        (["init", "--token-file"], "--token-file"),
        (["logs", "--tail", "many"], "--tail"),
        (["init"], "No config file"),
        (["init", "nowhere.toml"], "nowhere.toml"),
        (["up"], "There is no factory"),
        (["status"], "There is no factory"),
        (["logs", "--no-follow"], "There is no factory"),
        (["logs", "--tail", "-5"], "--tail"),
        (["resume"], "nothing to resume"),
        (["attach"], "run"),
        (["attach", "20260101-000000-up-0000"], "There is no run"),
        ([], "needs a terminal"),
    ],
)
def test_bad_input_is_three_sentences_and_code_2(
    call: Call, tmp_path: Path, argv: list[str], word: str
) -> None:
    said = call(*argv)
    assert said.code == 2, said.err
    assert word in "\n".join(three_sentences(said))
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []  # looking, or failing, leaves no trace


def test_an_error_with_json_is_a_document_on_stdout_too(call: Call) -> None:
    said = call("status", "--json")
    assert said.code == 2
    error = json.loads(said.out)["error"]
    assert error["code"] == "instance.none"
    assert error["exit_code"] == 2
    assert {"what", "why", "now"} <= set(error)


@pytest.mark.parametrize("place", ["before", "after", "environment"])
def test_the_directory_may_be_named_in_three_places(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    target = str(tmp_path / "there")
    if place == "environment":
        monkeypatch.setenv("DISINTO_DIR", target)
        said = call("status")
    else:
        said = call(*(["--dir", target, "status"] if place == "before" else ["status", "--dir", target]))
    assert target in said.err


def test_the_sample_config_is_one_that_reads(call: Call) -> None:
    said = call("init", "--sample")
    assert said.code == 0
    found = read_project(said.out.encode(), "sample.toml")
    assert found.project is not None, found.problems


# -- tokens: never on the command line, never shown ------------------------------------------------------------


def test_there_is_no_option_that_takes_a_secret(call: Call) -> None:
    said = call("init", "--help")
    assert "--token-file" in said.out
    assert "--token-stdin" in said.out
    assert "--token " not in said.out
    assert "--registry-password " not in said.out


@pytest.mark.parametrize(
    ("argv", "content", "word"),
    [
        (["--token-file", "t", "--token-stdin"], "x", "twice"),
        (["--token-file", "t"], "", "empty"),
        (["--token-file", "t"], "two words", "not a token"),
        (["--token-file", "t"], "tab\there", "not a token"),
        (["--token-file", "absent"], "x", "absent cannot be read"),
        (["--registry-user", "me"], "x", "half"),
    ],
)
def test_a_token_that_cannot_be_one(
    call: Call, tmp_path: Path, argv: list[str], content: str, word: str
) -> None:
    (tmp_path / "t").write_text(content)
    (tmp_path / "c.toml").write_text("x = 1\n")
    said = call("init", "c.toml", *argv)
    assert said.code == 2
    assert word in said.err
    assert content == "x" or not content or content not in said.err


def test_every_problem_of_a_config_at_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('nam = "shop"\nrepo = "acme"\n[factory]\nforge = "somewhere"\n')
    (tmp_path / "t").write_text("a-token\n")
    said = call("init", "c.toml", "--token-file", "t", "--json")
    assert said.code == 2
    details = "\n".join(json.loads(said.out)["error"]["details"])
    for word in ("nam", "repo", "forge", "c.toml"):
        assert word in details


def test_a_file_that_cannot_be_a_config_is_not_read_to_its_end(call: Call, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("".join(f"key{number} = 1\n" for number in range(200_000)))
    said = call("init", "c.toml")
    assert said.code == 2
    assert "too large" in said.err


def test_no_engine_is_code_3(call: Call, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    said = call("up")
    assert said.code == 3
    assert "No Docker Engine answers" in said.err
    said = call("status", "--offline", "--json")
    assert said.code == 3
    assert json.loads(said.out)["engine_error"]


def test_an_engine_that_accepts_and_never_answers_does_not_hold_up_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        env = {**environment(), "DOCKER_HOST": f"tcp://127.0.0.1:{silent.getsockname()[1]}"}
        argv = [sys.executable, "-m", "disinto_tui", "--dir", str(tmp_path), "up"]
        asking = subprocess.Popen(
            argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env, cwd=tmp_path
        )
        silent.settimeout(20)
        accepted, _ = silent.accept()
        asking.send_signal(signal.SIGINT)
        said = asking.communicate(timeout=8)[1]
        accepted.close()
    assert asking.returncode == 130, said
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("host", "tls", "word"),
    [("ssh://box", "", "ssh"), ("tcp://10.0.0.1:2376", "1", "TLS"), ("rubbish", "", "rubbish")],
)
def test_an_engine_of_a_kind_that_is_not_spoken_here(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, tls: str, word: str
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", tls)
    said = call("up")
    assert said.code == 2
    assert word in "\n".join(three_sentences(said))


def test_what_stands_where_a_file_should_is_said(call: Call, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / ".env").mkdir()
    said = call("status", "--offline")
    assert said.code in (2, 3)
    assert ".env" in said.err + said.out
    assert "did not foresee" not in said.err
    said = call("up", "--dir", str(tmp_path / "docker-compose.yml"))
    assert said.code == 2
    three_sentences(said)


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m disinto_tui status"
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 2, done.stderr
    assert "The current directory is gone." in done.stderr


# -- runs ------------------------------------------------------------------------------------------------------


def test_runs_of_an_instance_without_any(call: Call) -> None:
    said = call("runs", "--json")
    assert said.code == 0
    assert json.loads(said.out) == []
    said = call("runs")
    assert said.code == 0
    assert said.out == ""
    assert said.err.strip()


def test_runs_and_attach_show_what_was_done(call: Call, tmp_path: Path) -> None:
    import asyncio

    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.journal import create_run
    from disinto_tui.runs.runner import execute
    from tests.runs.test_runner import OPS

    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a"), touch("b")))
    asyncio.run(execute(run, instance, OPS))
    said = call("runs")
    assert run.id in said.out
    assert "done" in said.out
    said = call("attach", run.id)
    assert said.code == 0
    assert "✓ a" in said.err
    said = call("attach", run.id, "--json")
    kinds = [json.loads(line)["kind"] for line in said.out.splitlines()]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"


# -- streams and signals -----------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`disinto init --sample | head -1`."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "disinto_tui", "init", "--sample"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    said = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(20) == 0
    assert said == b""


def test_a_terminal_of_another_encoding_gets_question_marks_not_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "disinto_tui", "nonsense"],
        capture_output=True,
        check=False,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert b"? There is no command" in done.stderr
    assert b"Traceback" not in done.stderr


def test_completion_for_the_shells_there_are() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "disinto_tui"],
            capture_output=True,
            text=True,
            check=False,
            env={**environment(), "_DISINTO_COMPLETE": f"{shell}_source"},
        )
        assert done.returncode == 0 or shell == "bash"  # bash itself is asked for its version
        assert "disinto" in done.stdout


def test_completion_offers_commands_and_options() -> None:
    words = {"COMP_WORDS": "disinto sta", "COMP_CWORD": "1", "_DISINTO_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "disinto_tui"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), **words},
    )
    assert "status" in done.stdout


# -- files of another user ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["is_dir", "iterdir"])
@pytest.mark.parametrize("argv", [["runs"], ["versions", "--offline"], ["attach"], ["resume"]])
def test_a_private_directory_of_another_user_is_said(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], method: str
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / ".disinto" / "runs").mkdir(parents=True)
    real = getattr(Path, method)

    def denied(path: Path) -> object:
        if ".disinto" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, method, denied)
    said = call(*argv)
    assert said.code == 2, said.err
    what, why, now = three_sentences(said)
    assert ".disinto/runs cannot be used." in what
    assert "Permission denied" in why
    assert "as the user who owns" in now


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (PermissionError(13, "Permission denied", "/x/.disinto"), 2, "files.rights"),
        (NotADirectoryError(20, "Not a directory", "/x/.disinto"), 2, "files.rights"),
        (OSError(28, "No space left on device", "/x/.disinto"), 1, "disk.full"),
        (OSError(5, "Input/output error"), 1, "internal"),
    ],
)
def test_a_file_that_nobody_expected_to_be_unusable_is_named(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: OSError, exit_code: int, code: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.delenv("DISINTO_DEBUG", raising=False)
    monkeypatch.setattr("disinto_tui.cli.main.cli.main", broken)
    said = call("status", "--json")
    assert said.code == exit_code
    assert json.loads(said.out)["error"]["code"] == code
    three_sentences(said)


# -- versions ----------------------------------------------------------------------------------------------------


class Versions:
    """Stands in for `runs.catalog.VersionSource`."""

    catalog = Catalog("r.example/a")
    metas: Mapping[str, Meta] = {}
    wanted: Sequence[str] = ()

    def __init__(self, *_: object) -> None:
        pass

    async def asked(self, *, offline: bool = False) -> Catalog:
        return self.catalog

    async def details(
        self, tags: Sequence[str], *, offline: bool = False
    ) -> AsyncIterator[Mapping[str, Meta]]:
        Versions.wanted = list(tags)
        yield {tag: self.metas.get(tag, Meta(digest="sha256:1", pull=0)) for tag in tags}

    def entries(self, tag: str) -> list[object]:
        return []

    async def close(self) -> None:
        pass


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> type[Versions]:
    monkeypatch.setattr("disinto_tui.runs.catalog.VersionSource", Versions)
    monkeypatch.setattr(Versions, "metas", {})
    return Versions


def test_foreign_text_in_the_version_list_drives_no_terminal(
    call: Call, listed: type[Versions], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "a\r\x1b]0;owned\x07\x1b[2Jv9\u202e\nv0.0.1 fake"
    past = Past("reverted", 1.0, evil, evil)
    found = Catalog(
        evil, (evil, "v1.0.0"), 2, {evil: Marks(running=True, past=past)}, undo=evil, engine_error=evil
    )
    meta = Meta(digest="sha256:1", title=evil, labels={evil: evil}, created=evil, error=evil)
    monkeypatch.setattr(listed, "catalog", found)
    monkeypatch.setattr(listed, "metas", {evil: meta, "v1.0.0": meta})
    for argv in ([], ["v1.0.0"], [evil]):
        said = call("versions", *argv)
        for text in (said.out, said.err):
            assert "\x1b" not in text
            assert "\x07" not in text
            assert "\u202e" not in text
        assert not argv or said.out.startswith("version  ")
        assert not any(line.startswith("v0.0.1") for line in said.out.splitlines())
    assert "\x1b" not in call("versions", "--json").out


def test_versions_without_an_engine_say_so(
    call: Call, listed: type[Versions], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Catalog("r/a", ("v1.0.0",), 1, {"v1.0.0": Marks(running=True)}, 1.0, engine_error="No engine.")
    monkeypatch.setattr(listed, "catalog", found)
    said = call("versions")
    assert said.code == 3
    assert "● running" in said.out
    assert "No engine." in said.err
    assert "No engine." not in said.out
    said = call("versions", "--json")
    assert said.code == 3
    assert json.loads(said.out)["engine_error"] == "No engine."


def test_the_real_version_list_without_an_engine(call: Call, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    said = call("versions", "--offline")
    assert said.code == 3
    assert "No Docker Engine answers" in said.err


def test_of_thousands_of_versions_the_first_are_asked_about(
    call: Call, listed: type[Versions], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = tuple(f"v1.0.{number}" for number in range(3000, 0, -1))
    monkeypatch.setattr(listed, "catalog", Catalog("r/a", tags, len(tags), {}, 1.0))
    said = call("versions", "-n", "0")
    assert said.code == 0
    assert list(listed.wanted) == list(tags[:200])
    lines = said.out.splitlines()
    assert len(lines) == 3000
    assert "first 200" in said.err
    assert "…" not in lines[-1]
    assert lines[-1].split() == ["v1.0.1", "-", "?"]
    assert "first 200" not in call("versions", "-n", "200").err
