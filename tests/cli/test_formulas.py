"""`formulas` and `run`: what there is, what is wrong with it, and executing it, without an engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from disinto_tui.adapters.process import process_start
from tests.support.factory import Cli
from tests.support.git_server import checkout, git

TOKEN = "s3cr3t-" + "value-of-a-token"
NIGHTLY = """
name = "nightly"
description = "Looks around."

[vars.who]
description = "whom to greet"
required = true

[vars.greeting-word]
default = "hello"

[[steps]]
id = "greet"
title = "Say hello"
run = '''
echo "$GREETING_WORD $WHO from $PLACE"
echo "with $MY_TOKEN"
echo "${OF_THE_SHELL-nothing else}"
'''
env = { PLACE = "${vars.who}-land" }
secrets = ["MY_TOKEN"]

[[steps]]
id = "note"
title = "Take a note"
run = "date +%N >> notes"

[[steps]]
id = "gate"
title = "Wait for the gate"
needs = ["note"]
run = "test -e gate"

[[steps]]
id = "once"
title = "Done when its check says so"
run = "echo made >> made"
check = "test -e made"
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    directory = tmp_path / "factory"
    (directory / "formulas").mkdir(parents=True)
    (directory / "formulas" / "nightly.toml").write_text(NIGHTLY)
    return Cli(tmp_path, directory, "unix:///nonexistent/docker.sock", warm=True)


def formula(cli: Cli, name: str, text: str) -> None:
    (cli.directory / "formulas" / f"{name}.toml").write_text(f'name = "{name}"\n{text}')


def test_formulas_are_listed_and_a_broken_one_does_not_hide_the_others(cli: Cli) -> None:
    formula(cli, "prose", '[[steps]]\nid = "a"\ntitle = "Think"\n')
    formula(cli, "broken", '[[steps]]\nid = "a"\nneeds = ["z"]\n')
    (cli.directory / "formulas" / "odd.toml").write_text('name = "odd"\ndescription = """\n\\d\n"""\n')
    said = cli("formulas")
    assert said.code == 0, said.err
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert "4 steps" in lines["nightly"]
    assert "prose" in lines["prose"]
    assert "line 4: there is no step z" in lines["broken"]
    assert "line 3" in lines["odd"]
    document = {item["name"]: item for item in cli("formulas", "--json").document}
    assert document["nightly"]["executable"] is True
    assert document["broken"]["valid"] is False
    assert document["broken"]["problems"][0]["line"] == 4


def test_one_formula_is_shown_whole(cli: Cli) -> None:
    said = cli("formulas", "nightly")
    assert said.code == 0
    for words in ("--set who=…  required", "1. greet", "secrets MY_TOKEN", "│ test -e gate", "needs note"):
        assert words in said.out
    formula(cli, "broken", "foo = 1\n[[steps]]\n")
    said = cli("formulas", "broken")
    assert said.code == 2
    assert "broken.toml:2: foo" in said.err
    assert "broken.toml:3: steps.0: a step has no id" in said.err
    none = cli("formulas", "nosuch")
    assert none.code == 2
    assert "nightly" in none.err


def test_one_in_the_place_of_a_shipped_one_counts_and_is_named_before_it_runs(cli: Cli) -> None:
    formula(cli, "release", '[[steps]]\nid = "a"\nrun = "echo mine"\n')
    said = cli("formulas")
    assert len([line for line in said.out.splitlines() if line.startswith("release ")]) == 2
    assert said.out.count("(another one of this name comes before)") == 1
    # Nor do two of one name in the same directory count both: the first by its file does.
    formula(cli, "zz-copy", NIGHTLY)
    assert cli("formulas").out.count("(another one of this name comes before)") == 2
    (cli.directory / "formulas" / "zz-copy.toml").unlink()
    said = cli("run", "release", "--dry-run")
    assert said.code == 0, said.err
    path = cli.directory / "formulas" / "release.toml"
    assert f"the formula release is your own: {path}" in said.out + said.err
    assert "│ echo mine" in said.out


def test_a_run_goes_on_from_where_it_failed(cli: Cli) -> None:
    env = {"MY_TOKEN": TOKEN, "OF_THE_SHELL": "a stray variable"}
    said = cli("run", "nightly", "--set", "who=ops", "--yes", env=env)
    assert said.code == 1, said.err
    assert "hello ops from ops-land" in said.err
    assert "nothing else" in said.err
    assert "The step gate failed." in said.err
    assert not (cli.directory / "made").exists()
    (cli.directory / "gate").touch()
    again = cli("resume", "--yes", env=env)
    assert again.code == 0, again.err
    assert len((cli.directory / "notes").read_text().splitlines()) == 1  # done before, and not done twice
    assert (cli.directory / "made").read_text() == "made\n"
    assert "nightly is done." in again.out + again.err


def test_a_check_says_that_a_step_is_done(cli: Cli) -> None:
    (cli.directory / "made").write_text("by hand\n")
    (cli.directory / "gate").touch()
    said = cli("run", "nightly", "--set", "who=ops", "--yes", env={"MY_TOKEN": TOKEN})
    assert said.code == 0, said.err
    assert "Its check says that it is done." in said.err
    assert (cli.directory / "made").read_text() == "by hand\n"


def test_a_secret_reaches_its_step_and_nothing_else(cli: Cli) -> None:
    text = '[[steps]]\nid = "a"\nrun = "echo [$MY_TOKEN]; printenv MY_TOKEN | md5sum >sum"\nsecrets = ["MY_TOKEN"]\n'
    text += '[[steps]]\nid = "b"\nrun = "echo left: ${MY_TOKEN-nothing}"\n'
    formula(cli, "keep", text)
    said = cli("run", "keep", "--yes", env={"MY_TOKEN": TOKEN})
    assert said.code == 0, said.err
    assert "left: nothing" in said.err
    assert (cli.directory / "sum").exists()
    assert TOKEN not in said.err + said.out
    for path in cli.directory.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    missing = cli("run", "keep", "--yes")
    assert missing.code == 2
    assert "The secret MY_TOKEN is missing." in missing.err


def test_a_formula_whose_first_step_failed_is_gone_on_with(cli: Cli) -> None:
    """What its error says to do: `disinto resume`. It holds up nothing else, and another run of it takes its place."""
    path = cli.directory / "formulas" / "one.toml"
    path.write_text('description = "d"\n[[steps]]\nid = "only"\nrun = "test -e gate"\n')
    failed = cli("run", "one", "--yes")
    assert failed.code == 1 and "`disinto resume` goes on from this step" in failed.err
    assert cli("resume", "--yes").code == 1
    (cli.directory / "gate").touch()
    assert cli("resume", "--yes").code == 0
    assert "nothing to resume" in cli("resume", "--yes").err
    (cli.directory / "gate").unlink()
    assert cli("run", "one", "--yes").code == 1
    (cli.directory / "gate").touch()
    assert cli("run", "one", "--yes").code == 0
    assert "nothing to resume" in cli("resume", "--yes").err


def test_a_secret_on_standard_input_wins_and_is_asked_for_again_by_resume(cli: Cli) -> None:
    text = '[[steps]]\nid = "first"\nrun = "true"\n[[steps]]\nid = "a"\n'
    text += 'run = "printenv MY_TOKEN >got; test -e gate"\nsecrets = ["MY_TOKEN"]\n'
    formula(cli, "keep", text)
    how = ("--yes", "--secret-stdin", "MY_TOKEN")
    said = cli("run", "keep", *how, stdin=f"{TOKEN}\n", env={"MY_TOKEN": "of-the-shell"})
    assert (said.code, (cli.directory / "got").read_text()) == (1, f"{TOKEN}\n")
    (cli.directory / "gate").touch()
    assert "The secret MY_TOKEN is missing." in cli("resume", "--yes").err
    said = cli("resume", *how, stdin="the-second-one\n")
    assert (said.code, (cli.directory / "got").read_text()) == (0, "the-second-one\n")
    empty = cli("run", "keep", *how, stdin="\n")
    assert (empty.code, "MY_TOKEN is empty." in empty.err) == (2, True)


def test_a_secret_that_is_there_and_cannot_be_read_is_not_passed_over(cli: Cli) -> None:
    formula(cli, "keep", '[[steps]]\nid = "a"\nrun = "true"\nsecrets = ["MY_TOKEN"]\n')
    (cli.directory / "secrets").mkdir()
    (cli.directory / "secrets" / "MY_TOKEN.enc").write_text("in clear")
    said = cli("run", "keep", "--yes")
    assert (said.code, "in clear" in said.out + said.err) == (2, False)
    assert "secrets/MY_TOKEN.enc holds no credential." in said.err


def test_a_script_that_hangs_is_ended_with_its_children(cli: Cli) -> None:
    formula(cli, "slow", '[[steps]]\nid = "a"\nrun = "sleep 300 & echo $! >pid; wait"\ntimeout = 1\n')
    said = cli("run", "slow", "--yes")
    assert said.code == 1
    assert "still running after 1 s" in said.err
    pid = int((cli.directory / "pid").read_text())
    assert process_start(pid) == 0.0  # gone, or dead and not yet collected by whoever adopted it


def test_retries_and_a_failure_that_only_warns(cli: Cli) -> None:
    text = '[[steps]]\nid = "a"\nrun = "echo x >>tries; test $(wc -l <tries) -gt 1"\nretries = 2\n'
    text += '[[steps]]\nid = "b"\nrun = "exit 7"\non_failure = "warn"\n[[steps]]\nid = "c"\nrun = "touch c"\n'
    formula(cli, "patient", text)
    said = cli("run", "patient", "--yes", "--json")
    assert said.code == 0, said.err
    ended = said.events[-1]
    assert ended["result"]["warnings"] == ["b: Its script ended with exit code 7."]
    assert (cli.directory / "tries").read_text() == "x\nx\n"
    assert (cli.directory / "c").exists()


def test_a_pipe_that_breaks_in_the_middle_is_a_failure(cli: Cli) -> None:
    formula(cli, "pipes", '[[steps]]\nid = "a"\nrun = "false | cat; echo never >never"\n')
    assert cli("run", "pipes", "--yes").code == 1
    assert not (cli.directory / "never").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "nightly"], "who is not set"),
        (["run", "nightly", "--set", "who"], "has no name and value"),
        (["run", "nightly", "--set", "who=x", "--set", "hwo=y"], "has no variable hwo"),
        (["run", "nosuch"], "There is no formula nosuch"),
        (["run", "/nowhere/x.toml"], "There is no file"),
        (["run", "prose"], "nothing to execute"),
        (["run", "broken"], "cannot be run"),
    ],
)
def test_what_cannot_be_run_is_three_sentences_and_code_2(cli: Cli, argv: list[str], words: str) -> None:
    formula(cli, "prose", '[[steps]]\nid = "a"\n')
    formula(cli, "broken", "foo = 1\n")
    said = cli(*argv, "--yes")
    assert said.code == 2, said.err
    assert words in said.err
    assert not (cli.directory / ".disinto").exists()


def test_a_dry_run_shows_every_script_and_executes_none(cli: Cli) -> None:
    said = cli("run", "nightly", "--set", "who=ops", "--dry-run")
    assert said.code == 0, said.err
    assert re.search(r"│ date \+%N >> notes", said.out)
    assert "who = ops" in said.out
    assert not (cli.directory / "notes").exists()


def test_a_step_may_use_what_is_built_in(cli: Cli, tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    sha = git(tree, "rev-parse", "HEAD")
    git(tmp_path, "init", "--quiet", "--bare", "mirror.git")
    text = f"""
[vars.tag]
required = true
[[steps]]
id = "mirror"
uses = "push-mirrors"
[steps.with]
checkout = "{tree}"
mirrors = {{ here = "{tmp_path}/mirror.git" }}
refs = {{ "refs/tags/${{vars.tag}}" = "{sha}" }}
"""
    formula(cli, "tagging", text)
    said = cli("run", "tagging", "--set", "tag=v1.0.0", "--yes")
    assert said.code == 0, said.err
    assert git(tmp_path / "mirror.git", "rev-parse", "refs/tags/v1.0.0") == sha
    formula(cli, "half", '[[steps]]\nid = "a"\nuses = "tag-main"\nwith = { tag = "v1" }\n')
    said = cli("run", "half", "--yes")
    assert said.code == 2
    assert "needs forge, repository, sha" in said.err
