"""`disinto docs`: the list, a page behind a pipe and on a terminal, a topic that is none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.ptykit import terminal
from disinto_tui.cli.docs import for_terminal, laid_out, pages, title_of
from disinto_tui.cli.main import COMMANDS
from tests.cli.test_contract import Call, call, three_sentences
from tests.cli.test_imports import loaded_by_command

__all__ = ["call"]  # a fixture
ROOT = Path(__file__).resolve().parents[2]
TOPICS = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


def test_the_list_has_every_page_once_with_a_line_of_its_own(call: Call) -> None:
    said = call("docs")
    assert said.code == 0
    rows = [line.split("  ", 1) for line in said.out.splitlines()]
    assert sorted(row[0].strip() for row in rows) == TOPICS
    assert [row[0].strip() for row in rows[:3]] == ["bootstrap", "operating", "versions"]
    titles = [row[1].strip() for row in rows]
    assert not any("`" in title for title in titles)
    assert all(titles) and len(set(titles)) == len(titles)
    assert max(map(len, said.out.splitlines())) <= 80
    listed = json.loads(call("docs", "--json").out)
    assert [item["topic"] for item in listed] == [row[0].strip() for row in rows]
    assert [item["title"] for item in listed] == titles


@pytest.mark.parametrize("topic", ["bootstrap", "Bootstrap", "bootstrap.md"])
def test_behind_a_pipe_a_page_is_the_markdown_it_was_written_in(call: Call, topic: str) -> None:
    said = call("docs", topic)
    assert (said.code, said.err) == (0, "")
    assert said.out == (ROOT / "docs" / "bootstrap.md").read_text()
    told = json.loads(call("docs", topic, "--json").out)
    assert told == {"topic": "bootstrap", "title": "A new factory", "markdown": said.out}


@pytest.mark.parametrize(
    ("topic", "word"),
    [
        ("configration", "The nearest is configuration."),
        ("xyzzy", "The pages are bootstrap, "),
        ("use", "It is a command, and versions tells of it."),
        ("init", "It is a command, and bootstrap tells of it."),
        ("../README", "The pages are"),
    ],
)
def test_a_topic_that_is_none_names_the_nearest(call: Call, topic: str, word: str) -> None:
    said = call("docs", topic)
    assert said.code == 2
    assert said.out == ""
    lines = three_sentences(said)
    assert topic in lines[0] and word in lines[1] and "disinto docs" in lines[2]
    assert json.loads(call("docs", topic, "--json").out)["error"]["code"] == "docs.topic"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "docs"])
def test_every_command_leads_to_a_page(call: Call, name: str) -> None:
    said = call("docs", name)
    assert said.code == (0 if name in TOPICS else 2)
    assert name in TOPICS or re.search(r"It is a command, and \w+ tells of it\.", said.err), said.err


def test_the_list_and_a_page_behind_a_pipe_need_nothing_that_draws() -> None:
    for arguments in (("docs", "--json"), ("docs", "security")):
        loaded, _ = loaded_by_command(*arguments)
        assert not loaded & {"rich", "textual", "yaml", "docker", "aiohttp"}


def completed(words: str, at: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "disinto_tui"],
        env={**os.environ, "_DISINTO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_topics_are_completed() -> None:
    assert completed("disinto docs cre", 2) == ["credentials"]
    assert sorted(completed("disinto docs ", 2)) == TOPICS


# -- on a terminal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("width", [40, 80, 132])
def test_a_page_laid_out_loses_no_word(topic: str, width: int) -> None:
    text = (ROOT / "docs" / f"{topic}.md").read_text()
    shown = laid_out(text, width, color=False)
    assert "\x1b" not in shown
    # Whitespace and Markdown's own signs aside, and wherever a long word was broken.
    lines = shown.splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert shown.count("…") == for_terminal(text).count("…")
    whole = re.sub(r"\W", "", shown)
    for word in re.findall(r"^\s*(?:#+|-|\d+\.) .*?(\w{4,}).*$", for_terminal(text), flags=re.MULTILINE):
        assert word in whole


def test_links_become_what_can_be_typed_and_pictures_go() -> None:
    text = (
        "# A\n\n![The screen](home.svg)\n\n"
        "See [there](versions.md#the-list), [how](from-build.md), [below](#b), [it](../x), [web](https://a.example).\n"
    )
    assert for_terminal(text) == (
        "# A\n\n\n"
        "See there (`disinto docs versions`), how (`disinto docs from-build`), below, it, web (https://a.example).\n"
    )


def on_terminal(home: Path, *argv: str, rows: int = 24, **env: str) -> str:
    """What `disinto docs ARGV` leaves on a terminal of 80 columns, when it has ended."""
    base = {"HOME": str(home), "PYTHONPATH": str(ROOT), "LESS": ""}
    command = [sys.executable, "-m", "disinto_tui", "docs", *argv]
    with terminal(command, env={**base, **env}, columns=80, rows=rows, cwd=home) as shown:
        while shown.alive and shown.elapsed() < 20:
            shown.pump(0.25)
        assert not shown.alive, "it waits for somebody"
        return bytes(shown.out).decode()


def test_a_long_page_goes_through_the_pager_of_the_shell(tmp_path: Path) -> None:
    pager = tmp_path / "my pager"
    pager.write_text(f'#!/bin/sh\ncat >"{tmp_path}/paged"\necho "$@" "LESS=$LESS"\n')
    pager.chmod(0o755)
    said = on_terminal(tmp_path, "security", PAGER=f"'{pager}' -x", LESS="S")
    assert said.strip() == "-x LESS=S"
    paged = (tmp_path / "paged").read_text()
    assert "Security" in paged and "\x1b[1m" in paged
    # One that is shorter than the terminal, or that was not to be paged, is only printed.
    for argv, rows in ((["bootstrap"], 300), (["bootstrap", "--no-pager"], 24)):
        (tmp_path / "paged").unlink(missing_ok=True)
        said = on_terminal(tmp_path, *argv, rows=rows, PAGER=f"'{pager}'")
        assert "A new factory" in said and not (tmp_path / "paged").exists()


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager -R", "un'closed"])
def test_without_a_pager_a_page_is_printed(tmp_path: Path, pager: str) -> None:
    said = on_terminal(tmp_path, "operating", PAGER=pager, NO_COLOR="1")
    assert "Every day" in said and "Keys and looks" in said
    assert "\x1b" not in said and "Traceback" not in said


def test_a_pager_that_is_left_early_is_no_error(tmp_path: Path) -> None:
    said = on_terminal(tmp_path, "security", PAGER="head -n 3")
    assert "Security" in said and "Traceback" not in said and "✗" not in said


def test_where_pages_come_from() -> None:
    assert {topic: path.read_bytes() for topic, path in pages().items()} == {
        topic: (ROOT / "docs" / f"{topic}.md").read_bytes() for topic in TOPICS
    }
    assert title_of(ROOT / "docs" / "adopt.md") == "Moving an existing factory over"
