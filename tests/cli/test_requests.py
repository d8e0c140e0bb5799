"""`release --request` and `requests`: the command line as an API, with a forge that refuses as a forge does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from disinto_tui.cli.common import Session
from disinto_tui.cli.main import main
from disinto_tui.runs import request_state
from tests.support.factory import Cli, Said
from tests.support.filing import BRANCH, ID, OPS, PATH, TEXT, Filer, new_filer
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, default_state
from tests.support.pages import commands_in, lines_with, read

RESULT = f"vault/actions/{ID}.result.json"


@pytest.fixture
def filer(tmp_path: Path) -> Iterator[Filer]:
    with ForgeDouble(default_state()) as forge:
        found = new_filer(tmp_path, forge)
        found.protect()
        yield found


@pytest.fixture
def disinto(
    filer: Filer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """`disinto ARGV...` in this process, on the filer's instance; runs get one of their own all the same."""
    for name in ("FORGE_TOKEN", "DISINTO_DIR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(filer.directory.parent))
    monkeypatch.setattr(request_state, "POLL_SECONDS", 0.05)

    def invoke(*argv: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(["--dir", str(filer.directory), *argv])
        seen = capsys.readouterr()
        return Said(int(left.value.code or 0), seen.out, seen.err)

    return invoke


Call = Callable[..., Said]


def three_sentences(said: Said) -> str:
    lines = said.err.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("✗ "))
    assert len(lines) >= start + 3, said.err
    return "\n".join(lines[start : start + 3])


def executed(filer: Filer, exit_code: int) -> None:
    document = {
        "id": ID,
        "exit_code": exit_code,
        "timestamp": "2026-04-02T00:00:00Z",
        "logs": "last\x1b[2J words",
    }
    filer.commit(RESULT, json.dumps(document))


def test_a_request_is_filed_looked_at_and_listed(filer: Filer, disinto: Call) -> None:
    said = disinto("release", "v0.4.0", "--request", "--yes")
    assert said.code == 0, said.err
    url = f"{filer.forge.url}/{OPS}/pulls/{filer.pull.number}"
    assert url in said.out and "until then nobody executes it" in said.out
    assert 'secrets = ["GITHUB_TOKEN"]' in said.err  # the file is shown before anything is asked
    assert filer.ops.trees[BRANCH][PATH].decode() == TEXT and filer.pull.scheduled
    shown = disinto("requests", ID)
    assert shown.code == 0
    for words in ("Open: 0 of 1 approval.", "filed     by dev-bot", url, "· merged"):
        assert words in shown.out, shown.out
    filer.approve()
    assert "Filed, not executed." in disinto("requests", "v0.4.0").out
    listed = disinto("requests")
    assert listed.out.splitlines() == [
        f"▲ {ID}  v0.4.0     merged    Filed, not executed.  #{filer.pull.number}"
    ]
    again = disinto("release", "v0.4.0", "--request", "--yes")
    assert again.code == 0 and "Nothing to do." in again.err
    for text in (said, shown, listed):
        assert USER_TOKEN not in text.out + text.err


def test_a_dry_run_shows_everything_and_changes_nothing(filer: Filer, disinto: Call) -> None:
    filer.forge.state.calls.clear()
    said = disinto("release", "v0.4.0", "--request", "--dry-run")
    assert said.code == 0, said.err
    for words in (
        "Request the release of v0.4.0",
        f"+ {OPS}: {PATH}",
        'id = "release-v040"',
        "asks for 1 approval",
    ):
        assert words in said.out
    document = disinto("release", "v0.4.0", "--request", "--dry-run", "--json").document
    assert document["kind"] == "release-request"
    assert [step["op"] for step in document["steps"]][-1] == "request-merge"
    assert {method for method, _, _ in filer.forge.state.calls} == {"GET"}
    assert set(filer.ops.branches) == {"main"}


def test_protection_missing_is_refused_with_code_4_and_set_with_protect(filer: Filer, disinto: Call) -> None:
    filer.unprotect()
    filer.token(ADMIN_TOKEN)
    said = disinto("release", "v0.4.0", "--request", "--yes")
    assert said.code == 4
    assert "no protection at all (rule_name)" in three_sentences(said) and "--protect" in three_sentences(
        said
    )
    assert set(filer.ops.branches) == {"main"}
    said = disinto("release", "v0.4.0", "--request", "--protect", "--yes", "--json")
    assert said.code == 0, said.err
    ended = said.events[-1]
    assert (ended["kind"], ended["result"]["scheduled"], ended["result"]["protected"]) == (
        "run_ended",
        True,
        "main",
    )
    assert filer.ops.protections["main"]["required_approvals"] == 1


def test_what_the_operator_cannot_have_is_said_with_the_code_of_its_class(
    filer: Filer, disinto: Call
) -> None:
    said = disinto("release", "v0.4.0-rc.1", "--request", "--yes", "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "request.prerelease")
    for argv in (
        ("--request", "--no-restart"),
        ("--protect",),
        ("--request", "--from", "tag-main"),
        ("--request", "--repository", "acme/other"),
    ):
        said = disinto("release", "v0.4.0", *argv, "--yes")
        assert said.code == 2 and "do not go together" in three_sentences(said)
    said = disinto("requests", "release-v999")
    assert said.code == 2 and "There is no request release-v999." in three_sentences(said)
    assert disinto("requests", "--follow").code == 2
    other = TEXT.replace("release-v040", "release-v1210").replace("v0.4.0", "v1.21.0")
    filer.commit("vault/actions/release-v1210.toml", other)
    said = disinto("release", "v1.2.10", "--request", "--yes")
    assert said.code == 4 and "taken by another version" in three_sentences(said)
    said = disinto("release", "v1.2.10", "--request", "--id", "release-v1-2-10", "--yes")
    assert said.code == 0, said.err
    filer.forge.state.broken["/api/v1/user"] = 403
    assert disinto("release", "v0.4.0", "--request", "--yes").code == 3


def test_a_merge_405_fails_resumes_and_withdraws(filer: Filer, disinto: Call) -> None:
    def not_allowed() -> None:
        filer.ask("PATCH", "/branch_protections/main", {"merge_whitelist_usernames": ["disinto-admin"]})
        filer.forge.state.meanwhile.clear()

    filer.forge.state.meanwhile[("POST", "/pulls")] = not_allowed
    said = disinto("release", "v0.4.0", "--request", "--yes")
    assert said.code == 1 and "405" in three_sentences(said)
    filer.ask("PATCH", "/branch_protections/main", {"merge_whitelist_usernames": ["dev-bot"]})
    said = disinto("resume", "--yes")
    assert said.code == 0, said.err
    assert filer.pull.scheduled
    run = json.loads(disinto("runs", "--json").out)[0]["id"]
    said = disinto("resume", run, "--undo", "--yes")
    assert said.code == 0, said.err
    assert filer.pull.state == "closed" and set(filer.ops.branches) == {"main"}
    shown = disinto("requests", "v0.4.0")
    assert shown.code == 1 and "Closed without a merge" in shown.out


@pytest.mark.parametrize("exit_code", [0, 1])
def test_filing_and_following_to_the_end(filer: Filer, disinto: Call, exit_code: int) -> None:
    """The people act when the forge is asked: nobody has to wait for a clock."""

    def act() -> None:
        if filer.pull.scheduled and not filer.pull.merged:
            filer.forge.state.meanwhile.clear()
            filer.approve()
            executed(filer, exit_code)

    filer.forge.state.meanwhile[("GET", "/reviews")] = act
    said = disinto("release", "v0.4.0", "--request", "--yes", "--follow", "--json")
    assert said.code == exit_code, said.err
    records = [item for item in said.events if item["kind"] == "request"]
    assert records[-1]["stage"] == "executed" and records[-1]["exit_code"] == exit_code
    shown = disinto("requests", ID)
    assert shown.code == exit_code
    assert ("last words" in shown.out) == bool(exit_code) and "\x1b[2J" not in shown.out


def test_the_lines_of_the_page(filer: Filer, disinto: Call) -> None:
    """docs/releases.md: its block as it is typed, and the stages of its table, in their order."""
    page = read("docs/releases.md")
    lines = lines_with(page, "disinto release v0.4.0 --request --dry-run")
    look, file_, listed = (next(commands_in(line)) for line in lines)
    assert f"+ {OPS}: {PATH}" in disinto(*look).out and filer.ops.pulls == {}

    def act() -> None:
        if filer.pull.scheduled and not filer.pull.merged:
            filer.forge.state.meanwhile.clear()
            filer.approve()
            executed(filer, 0)

    filer.forge.state.meanwhile[("GET", "/reviews")] = act
    said = disinto(*file_, "--yes")
    assert said.code == 0, said.err
    assert ID in disinto(*listed).out
    (stages,) = (rows for rows in page.tables if rows[0][0] == "stage")
    shown = re.findall(r"^  [✓·] (\w+)", disinto("requests", "v0.4.0").out, re.MULTILINE)
    told = [row[0] for row in stages[1:]]
    assert told == ["open", *shown[1:], "closed"], "the table has the stages that are shown"


def test_until_waits_without_being_told_to_follow(filer: Filer, disinto: Call) -> None:
    assert disinto("release", "v0.4.0", "--request", "--yes").code == 0

    def approve() -> None:
        filer.forge.state.meanwhile.clear()
        filer.approve()

    filer.forge.state.meanwhile[("GET", "/reviews")] = approve
    said = disinto("requests", ID, "--until", "merged")
    assert said.code == 0 and "Filed, not executed." in said.out
    filer.commit(RESULT, "nobody can read this")
    said = disinto("requests", ID)
    assert said.code == 1 and "its result cannot be read" in said.out


def test_ctrl_c_before_it_is_filed_does_not_say_that_it_was(
    filer: Filer, disinto: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "confirm", interrupted)
    said = disinto("release", "v0.4.0", "--request", "--follow")
    assert said.code == 130 and "requests" not in said.err
    assert filer.ops.pulls == {}


def test_ctrl_c_ends_the_looking_with_130(filer: Filer, disinto: Call) -> None:
    assert disinto("release", "v0.4.0", "--request", "--yes").code == 0
    cli = Cli(filer.directory.parent, filer.directory)
    argv = [sys.executable, "-m", "disinto_tui", "--dir", str(filer.directory), "requests", ID, "--follow"]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.environment()
    )
    assert process.stdout is not None
    assert "Open: 0 of 1" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Left." in words and "Traceback" not in words
    assert filer.pull.state == "open"


def test_nothing_filed_is_said(disinto: Call) -> None:
    said = disinto("requests")
    assert (said.code, said.out) == (0, "") and "Nothing was filed" in said.err
    assert disinto("requests", "--json").document == []
