"""The reader of `.env` against the real `docker compose config` and the real python-dotenv.

Only the Compose plugin is needed here, no daemon; it is marked with the rest of the folder, so that a
machine without it says so instead of skipping in silence.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, Phase, given, settings

from disinto_tui.core.envfile import EnvFile, lint
from disinto_tui.core.errors import BadInput
from tests.core.env_cases import CASES, ENVIRON, ERR, env_files
from tests.support.factory import FRUGAL

KEYS = ("K", "A", "B", "T", "U")
STACK = (
    f"name: envtable\nservices:\n  a:\n    image: example.invalid/x\n    environment: [{', '.join(KEYS)}]\n"
)

# The plugin itself, where it is found: half the time of the way through `docker`.
PLUGINS = ("/usr/local/libexec", "/usr/local/lib", "/usr/libexec", "/usr/lib")
COMPOSE = next(
    (
        [str(path)]
        for path in (Path(place, "docker/cli-plugins/docker-compose") for place in PLUGINS)
        if os.access(path, os.X_OK)
    ),
    ["docker", "compose"],
)

Reading = dict[str, str] | str


def compose_reads(data: bytes, stack: str = STACK) -> Reading:
    """What `docker compose config` makes of `data`: the values of KEYS and the image, or ERR."""
    with tempfile.TemporaryDirectory(prefix="disinto-env-") as name:
        directory = Path(name)
        (directory / ".env").write_bytes(data)
        (directory / "compose.yaml").write_text(stack)
        done = subprocess.run(
            [*COMPOSE, "--project-directory", name, "config", "--format", "json"],
            check=False,
            # A scrubbed environment: the operator's own variables would win over the file.
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **FRUGAL, **ENVIRON},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )
    if done.returncode:
        return ERR
    service = json.loads(done.stdout)["services"]["a"]
    # `config` doubles every dollar; null is a name without a value.
    found = {
        key: value.replace("$$", "$") for key, value in service["environment"].items() if value is not None
    }
    return found if stack is STACK else {**found, "image": service["image"]}


def we_read(data: bytes) -> Reading:
    try:
        values = EnvFile.parse(data).values(ENVIRON)
    except BadInput:
        return ERR
    return {key: value for key, value in values.items() if key in KEYS}


def compose_reads_all(files: list[bytes], stack: str = STACK) -> list[Reading]:
    """Several at once: one takes 0.1 s, most of it waiting."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda data: compose_reads(data, stack), files))


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
    reading = compose_reads(after)
    assert reading == we_read(after)
    assert isinstance(reading, dict) and reading["K"] == value


PIN = "reg.example:5000/org/agents:v9.8.7"
AGENTS_STACK = (
    "name: envtable\nservices:\n  a:\n    image: ${AGENTS_IMAGE:?not set}\n"
    f"    environment: [{', '.join(KEYS[1:])}]\n"
)


def as_agents_image(data: bytes) -> bytes:
    """A case of the table with the product's own variable in the place of K."""
    return re.sub(rb"(?<![A-Za-z0-9_])K(?![A-Za-z0-9_])", b"AGENTS_IMAGE", data)


@pytest.fixture(scope="module")
def switched() -> dict[str, Reading]:
    """What Compose makes of each case that can be read, once `use` has set the pin in it."""
    files = {
        name: EnvFile.parse(as_agents_image(data)).set("AGENTS_IMAGE", PIN).data
        for name, data, expected in CASES
        if expected != ERR
    }
    return dict(zip(files, compose_reads_all(list(files.values()), AGENTS_STACK), strict=True))


@pytest.mark.parametrize(("name", "expected"), [(c[0], c[2]) for c in CASES], ids=[c[0] for c in CASES])
def test_use_writes_every_line_of_the_table_so_that_compose_runs_the_pin(
    name: str, expected: str | None, switched: dict[str, Reading], readings: dict[str, Reading]
) -> None:
    data = as_agents_image(next(case[1] for case in CASES if case[0] == name))
    if expected == ERR:
        with pytest.raises(BadInput) as refused:
            EnvFile.parse(data).values(ENVIRON)
        assert re.match(r"Line \d+: ", refused.value.why)
        return
    before = readings[name]
    assert isinstance(before, dict)
    others = {key: as_agents_image(value.encode()).decode() for key, value in before.items() if key != "K"}
    assert switched[name] == {**others, "image": PIN}, "the pin, and no other name has another value"
    written = EnvFile.parse(data).set("AGENTS_IMAGE", PIN)
    assert written.set("AGENTS_IMAGE", PIN) is written
    if utf8(data):
        assert python_dotenv(written.data).get("AGENTS_IMAGE") == PIN


def utf8(data: bytes) -> bool:
    """Whether python-dotenv reads the file at all."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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
