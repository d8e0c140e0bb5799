"""What the tree promises as a whole: nothing of this machine in it, no file that grows without end, and no test left
out. (That the documentation names only what there is: `tests/pages`.)"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.engine import ROOT

MOST_LINES = 500
# Made by tools.
GENERATED = ("requirements.lock", "*/__snapshots__/*", "*.svg", "docs/configuration.md", "docs/keys.md")
# In two parts, so that this file does not name them itself.
PACKAGE_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("golang", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
        ("alpinelinux", "org"),
    )
)
# A directory of this machine at the beginning of a path; `$tree/root/usr` and `"$1"/root/usr` are not.
OUR_PATHS = re.compile(r'(?<![\w$/.}):])(?<!\w")/(?:work|root)/[\w.]')
NOTES_TO_SELF = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
NO_ENGINE = "no Docker Engine answers"
LEAVING_OUT = {"skip", "skipif", "xfail", "importorskip"}


def tracked() -> list[str]:
    """What git has of the tree; without git (an unpacked archive) what .gitignore leaves."""
    if shutil.which("git") and (ROOT / ".git").exists():
        argv = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
        listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    ignored = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not any(fnmatch.fnmatch(name, one) for one in ignored)]
        found += [
            str(Path(directory, name).relative_to(ROOT))
            for name in names
            if not any(fnmatch.fnmatch(name, one) for one in ignored)
        ]
    return found


FILES = tracked()
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in FILES}


def written() -> dict[str, str]:
    """The files that people write."""
    return {
        name: text for name, text in TEXTS.items() if not any(fnmatch.fnmatch(name, g) for g in GENERATED)
    }


def places(texts: dict[str, str], found: re.Pattern[str]) -> list[str]:
    """`file:line: text` of everything the pattern finds."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if found.search(line)
    ]


def machine_hosts() -> set[str]:
    """Hosts that this machine gets its packages from, by the settings of pip and of apt."""
    said = [value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "NPM_", "npm_"))]
    sources = [
        Path("/etc/pip.conf"),
        Path("/etc/apt/sources.list"),
        *Path("/etc/apt").glob("sources.list.d/*"),
    ]
    sources += [
        Path(os.environ.get(name, "/nowhere")) for name in ("PIP_CONFIG_FILE", "NPM_CONFIG_USERCONFIG")
    ]
    said += [
        file.read_text(errors="replace") for file in sources if file.is_file() and os.access(file, os.R_OK)
    ]
    hosts = {urlsplit(url).hostname for text in said for url in re.findall(r"https?://[^\s\"']+", text)}
    return {host for host in hosts if host and "." in host and not host.startswith("127.")}


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the machine's affair: pip and apt know it."""
    hosts = sorted({*PACKAGE_HOSTS, *machine_hosts()})
    assert places(TEXTS, re.compile("|".join(map(re.escape, hosts)), re.IGNORECASE)) == []


def test_no_path_of_this_machine() -> None:
    here = re.escape(str(ROOT)) if len(ROOT.parts) > 2 else r"(?!)"
    assert places(TEXTS, re.compile(f"{OUR_PATHS.pattern}|{here}")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cd /" + "work/main", True),
        ('"/' + 'root/.docker"', True),
        ("file:///" + "root/x", False),
        ("- ${HOME}/x:/" + "root/x", False),
        ('"$1"/' + "root/usr", False),
        ("$work/" + "root/x", False),
        ("root:x:0:0:root:/root:/bin/sh", False),
    ],
)
def test_what_counts_as_a_path_of_this_machine(line: str, found: bool) -> None:
    assert bool(OUR_PATHS.search(line)) is found


def test_no_file_grows_without_end() -> None:
    long = {name: len(text.splitlines()) for name, text in written().items()}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


def test_nothing_is_left_for_later() -> None:
    assert places(written(), NOTES_TO_SELF) == []


def left_out(text: str) -> Iterator[tuple[int, str]]:
    """Lines that skip a test for another reason than the missing engine, which is counted and named."""
    excused = set()
    for node in ast.walk(ast.parse(text)):
        # The call comes before its function: ast.walk goes from the outside in.
        if isinstance(node, ast.Call) and NO_ENGINE in ast.unparse(node):
            excused.add(id(node.func))
        named = isinstance(node, ast.Attribute) and node.attr in LEAVING_OUT and id(node) not in excused
        if named and ast.unparse(node).startswith(("pytest.", "unittest.")):
            yield node.lineno, ast.unparse(node)


def test_no_test_is_left_out() -> None:
    tests = {name: text for name, text in TEXTS.items() if name.startswith("tests/") and name.endswith(".py")}
    assert [f"{name}:{line}: {what}" for name, text in tests.items() for line, what in left_out(text)] == []


def test_the_engine_is_the_only_excuse() -> None:
    excused = f'pytest.skip("{NO_ENGINE}")\n@pytest.mark.skipif(x, reason="{NO_ENGINE}")\ndef f(): pass\n'
    assert list(left_out(excused)) == []
    mark = "import pytest\npytest.mark.xfail\npytest.skip('later')\npytest.importorskip('x')\n"
    assert [line for line, _ in left_out(mark)] == [2, 3, 4]


@pytest.mark.parametrize(
    "name",
    [
        "formulas/",
        "templates/",
        "docker/agents/Dockerfile",
        "docker/agents/entrypoint.sh",
        "docker/engine/up.sh",
        "docker/sample/Dockerfile",
        "requirements.lock",
        "README.md",
        ".ci/run",
        "docs/",
        "bench/",
    ],
)
def test_what_a_clone_must_have(name: str) -> None:
    """Git keeps no empty directory: what is on this disk alone is missing from every clone."""
    assert any(file.startswith(name) for file in FILES)


@pytest.mark.parametrize("name", [name for name in FILES if TEXTS[name].startswith("#!")])
def test_scripts_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


def test_make_lists_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)$", TEXTS["Makefile"], re.MULTILINE)[0].split())
    targets = set(re.findall(r"^([a-z][a-z-]*):", TEXTS["Makefile"], re.MULTILINE))
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## ", TEXTS["Makefile"], re.MULTILINE))
    assert phony == targets == explained
