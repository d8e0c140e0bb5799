"""The reader of `.env` against the real `docker compose config` and the real python-dotenv.

Only the Compose plugin is needed here, no daemon; it is marked with the rest of the folder, so that a
machine without it says so instead of skipping in silence.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, Phase, given, settings

from disinto_tui.core.envfile import EnvFile, lint
from disinto_tui.core.errors import BadInput
from tests.core.env_cases import CASES, ENVIRON, ERR, env_files

KEYS = ("K", "A", "B", "T", "U")
STACK = (
    f"name: envtable\nservices:\n  a:\n    image: example.invalid/x\n    environment: [{', '.join(KEYS)}]\n"
)

Reading = dict[str, str] | str


def compose_reads(data: bytes) -> Reading:
    """What `docker compose config` makes of `data`: the values of KEYS, or ERR."""
    with tempfile.TemporaryDirectory(prefix="disinto-env-") as name:
        directory = Path(name)
        (directory / ".env").write_bytes(data)
        (directory / "compose.yaml").write_text(STACK)
        done = subprocess.run(
            ["docker", "compose", "--project-directory", name, "config", "--format", "json"],
            check=False,
            # A scrubbed environment: the operator's own variables would win over the file.
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **ENVIRON},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
    if done.returncode:
        return ERR
    found = json.loads(done.stdout)["services"]["a"]["environment"]
    # `config` doubles every dollar; null is a name without a value.
    return {key: value.replace("$$", "$") for key, value in found.items() if value is not None}


def we_read(data: bytes) -> Reading:
    try:
        values = EnvFile.parse(data).values(ENVIRON)
    except BadInput:
        return ERR
    return {key: value for key, value in values.items() if key in KEYS}


def compose_reads_all(files: list[bytes]) -> list[Reading]:
    """Several at once: one takes 0.1 s, most of it waiting."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(compose_reads, files))


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    """Compose's reading of each case."""
    return dict(zip([c[0] for c in CASES], compose_reads_all([c[1] for c in CASES]), strict=True))


# 2.40 reads on where 2.26 refuses.
LENIENT = {
    "bare name as last line without newline",
    "no name",
    "no name, colon",
    "NUL in another value",
    "octal, NUL",
    "export without a name",
    "export as last word",
    "text after a closing quote, no newline",
}


@pytest.fixture(scope="module")
def lenient() -> bool:
    """Whether this Compose is one that reads a bare last name."""
    return compose_reads(b"A=1\nB") != ERR


@pytest.mark.parametrize(("name", "data", "expected"), CASES, ids=[c[0] for c in CASES])
def test_the_table_is_what_compose_reads(
    name: str, data: bytes, expected: str | None, readings: dict[str, Reading], lenient: bool
) -> None:
    reading = readings[name]
    if lenient and name in LENIENT:
        assert reading != ERR, "this Compose is newer than 2.26 and reads on here"
        return
    assert reading == we_read(data)
    assert (reading if isinstance(reading, str) else reading.get("K")) == expected


def test_files_of_everything_that_can_go_wrong(lenient: bool) -> None:
    files: list[bytes] = []

    @settings(
        max_examples=60, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(env_files)
    def collect(data: bytes) -> None:
        files.append(data)

    collect()
    refused = 0
    for data, theirs in zip(files, compose_reads_all(files), strict=True):
        ours = we_read(data)
        refused += ours == ERR
        if lenient and ours == ERR:
            continue
        assert theirs == ours, data
    assert 0 < refused < len(files)


@pytest.mark.parametrize(
    "before", [b"", b"K: v # c\r\n", b"A='1' K=v\t# c\n", b"K='v'B=1\n", b"\xef\xbb\xbfK= # c"]
)
@pytest.mark.parametrize(
    "value", ["", "reg.example:5000/a/b:v1@sha256:" + "0" * 64, "a # b", "$T${U", "two\nlines"]
)
def test_what_we_write_is_what_compose_reads(before: bytes, value: str) -> None:
    env = EnvFile.parse(before)
    if "${" in value:
        with pytest.raises(BadInput):
            env.set("K", value)
        return
    after = env.set("K", value).data
    assert compose_reads(after) == we_read(after)
    reading = compose_reads(after)
    assert isinstance(reading, dict) and reading["K"] == value


def python_dotenv(data: bytes) -> dict[str, str | None]:
    return dotenv_values(stream=io.StringIO(data.decode(), newline=None))


@pytest.mark.parametrize(("name", "data"), [c[:2] for c in CASES], ids=[c[0] for c in CASES])
def test_the_lint_names_each_case_that_compose_and_python_dotenv_read_differently(
    name: str, data: bytes, readings: dict[str, Reading]
) -> None:
    reading = readings[name]
    if isinstance(reading, str):
        return
    try:
        theirs = {
            key: value for key, value in python_dotenv(data).items() if key in KEYS and value is not None
        }
    except UnicodeDecodeError:
        theirs = {}
    found = {f.problem for f in lint(data, environ=ENVIRON, second_reader=python_dotenv)}
    differ = reading != theirs and reading
    assert not differ or found - {"undefined-variable"}
