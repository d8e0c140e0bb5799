"""What the headless half loads: never Textual, and nothing heavy where an answer must be instant."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import disinto_tui

HEADLESS = ("core", "adapters", "runs", "cli")
HEAVY = {"aiohttp", "asyncio", "docker", "dotenv", "requests", "urllib3", "yaml"}


def headless_modules() -> list[str]:
    base = Path(disinto_tui.__file__).parent
    return [
        item.name
        for floor in HEADLESS
        for item in pkgutil.walk_packages([str(base / floor)], f"disinto_tui.{floor}.")
    ]


def loaded_by(code: str, *arguments: str) -> tuple[set[str], str]:
    """Top-level modules that an interpreter of its own has loaded after `code`, and what it printed."""
    tail = (
        "\nimport json, sys\n"
        "sys.stderr.write(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr)), done.stdout


def loaded_by_command(*arguments: str) -> tuple[set[str], str]:
    """The same for a command line, run by the entry point."""
    return loaded_by(
        "from disinto_tui.cli.entry import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code",
        *arguments,
    )


def test_no_headless_module_loads_the_terminal_ui() -> None:
    names = headless_modules()
    assert "disinto_tui.core.plan" in names and "disinto_tui.cli.main" in names
    loaded, _ = loaded_by(
        "import importlib\n" + "\n".join(f"importlib.import_module('{name}')" for name in names)
    )
    assert not loaded & {"textual", "rich"}


def test_version_is_answered_before_anything_is_loaded() -> None:
    loaded, said = loaded_by_command("--version")
    assert said == f"disinto, version {disinto_tui.__version__}\n"
    assert not loaded & (HEAVY | {"textual", "rich", "click"})


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--json", "--version")])
def test_what_the_command_line_says_of_itself_needs_click_alone(arguments: tuple[str, ...]) -> None:
    loaded, said = loaded_by_command(*arguments)
    assert "disinto" in said.lower()
    assert not loaded & (HEAVY | {"textual", "rich"})


def test_both_ways_to_ask_for_the_version_say_the_same() -> None:
    assert loaded_by_command("--version")[1] == loaded_by_command("--json", "--version")[1]


def test_the_core_loads_no_network_and_no_event_loop() -> None:
    names = [name for name in headless_modules() if name.startswith("disinto_tui.core.")]
    loaded, _ = loaded_by("\n".join(f"import {name}" for name in names))
    assert not loaded & {"aiohttp", "docker", "asyncio", "click", "textual", "rich", "subprocess"}


@pytest.mark.parametrize("where", ["stdout is closed", "its reader has left", "the disk is full"])
def test_the_version_never_ends_in_a_traceback(where: str) -> None:
    command = f"'{sys.executable}' -m disinto_tui --version"
    line = {
        "stdout is closed": f"{command} >&-",
        "its reader has left": f"{{ sleep 0.3; {command}; }} | true",
        "the disk is full": f"{command} >/dev/full; test $? = 1",
    }[where]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert ("No space left" in done.stderr) == (where == "the disk is full")


def test_a_screen_can_be_opened_twice() -> None:
    """Importing `screens/run.py` puts the module where a function `screens.run` was: the second call fails."""
    code = (
        "from disinto_tui.tui import screens\n"
        "screens.home_screen()\nscreens.home_screen()\n"
        "import pkgutil, types\n"
        "modules = {item.name for item in pkgutil.iter_modules(screens.__path__)}\n"
        "functions = {name for name, it in vars(screens).items() if isinstance(it, types.FunctionType)}\n"
        "assert not modules & functions, modules & functions"
    )
    loaded_by(code)
