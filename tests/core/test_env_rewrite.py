"""Changing one value of a `.env` and no other byte."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from disinto_tui.core.envfile import EnvFile, Quoting, lint
from disinto_tui.core.errors import BadInput
from disinto_tui.core.redact import Secret

from .env_cases import CASES, ERR, PIN, env_files

NEW = "reg.example/org/agents:v0.2.0"

values = st.one_of(
    st.sampled_from(
        [
            "",
            "v",
            NEW,
            PIN,
            "a b",
            "#",
            "# c",
            " lead",
            "tab\t",
            "$X",
            "$$",
            "a\nb",
            '"',
            "ü",
            "~",
            "\\",
            "x\\",
        ]
    ),
    st.text(max_size=20),
)


def _set(data: bytes, value: str = NEW, quoting: Quoting = Quoting.AUTO) -> bytes:
    return EnvFile.parse(data).set("K", value, quoting).data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"K=v\n", b"K=NEW\n"),
        (b"K=v", b"K=NEW"),
        (b"", b"K=NEW\n"),
        (b"A=1", b"A=1\nK=NEW\n"),
        (b"A=1\r\nB=2", b"A=1\r\nB=2\r\nK=NEW\r\n"),
        (b"A=1\r\n", b"A=1\r\nK=NEW\r\n"),
        (b"A=1\r", b"A=1\r\nK=NEW\n"),
        (b"# K=old", b"# K=old\nK=NEW\n"),
        (b"\xef\xbb\xbf", b"\xef\xbb\xbfK=NEW\n"),
        (b"\xef\xbb\xbfK=v\r\n", b"\xef\xbb\xbfK=NEW\r\n"),
        (b"A=caf\xe9\nK=v\n# \xff\n", b"A=caf\xe9\nK=NEW\n# \xff\n"),
        ("Ä=ö\nK=ü # ß\n".encode(), "Ä=ö\nK=NEW # ß\n".encode()),
        (b"\n\n  export K = v   # c\n\n", b"\n\n  export K = NEW   # c\n\n"),
        (b"K='v'\n", b"K='NEW'\n"),
        (b'K="v" # c\n', b'K="NEW" # c\n'),
        (b"K='a\nb\nc' # d\nB=1\n", b"K='NEW' # d\nB=1\n"),
        (b"K=v\t# c\n", b"K=NEW\t # c\n"),
        (b"K= # c\n", b"K=NEW # c\n"),
        (b"K=\t# c\n", b"K=NEW\t # c\n"),
        (b"K=#c\n", b"K=NEW\n"),
        (b"K=v#c\n", b"K=NEW\n"),
        (b"K='v'#c\n", b"K='NEW' #c\n"),
        (b"K=\n", b"K=NEW\n"),
        (b"K=   \n", b"K=   NEW\n"),
        (b"K=\r\nA=1\r\n", b"K=NEW\r\nA=1\r\n"),
        (b"K= \r\n", b"K= NEW\r\n"),
        (b"K: \r\nA=1\r\n", b"K=NEW\r\nA=1\r\n"),
        (b"A=1\r\nK=\r\n", b"A=1\r\nK=NEW\r\n"),
        (b"K=\r", b"K=NEW\r"),
        (b"K: v # c\n", b"K=NEW # c\n"),
        (b"K : v\n", b"K=NEW\n"),
        (b"K:\t# c\n", b"K=NEW\t # c\n"),
        (b"  export K\n", b"  export K=NEW\n"),
        (b"K\r\n", b"K=NEW\r\n"),
        (b"K=1\nK=2\nB=${K}\n", b"K=1\nK=NEW\nB=${K}\n"),
        (b"K=1\nK\n", b"K=1\nK=NEW\n"),
        (b"A='K=1\n'\nK=2\n", b"A='K=1\n'\nK=NEW\n"),
        (b"K='v'junk\n", b"K='NEW'\njunk\n"),
        (b"K='v' B=2\n", b"K='NEW'\nB=2\n"),
        (b"A='1' K=v # c\n", b"A='1'\nK=NEW # c\n"),
        (b"A='1' K='v' B='2'\r\nC=3\r\n", b"A='1'\r\nK='NEW'\r\nB='2'\r\nC=3\r\n"),
        (b"A='1'K=v\n", b"A='1'\nK=NEW\n"),
        (b"K=${A:-x}\n", b"K=NEW\n"),
        (b"K2=1\nAK=1\nK=v\n", b"K2=1\nAK=1\nK=NEW\n"),
        (b"k=1\n", b"k=1\nK=NEW\n"),
    ],
)
def test_set(before: bytes, after: bytes) -> None:
    after = after.replace(b"NEW", NEW.encode())
    assert _set(before) == after
    assert _set(before, quoting=Quoting.PLAIN) == after
    assert _set(after) == after


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"K=v\n", "a b", b"K='a b'\n"),
        (b"K=v\n", "", b"K=\n"),
        (b"K=v # c\n", "", b"K='' # c\n"),
        (b"K=v\t# c\n", "", b"K=''\t # c\n"),
        (b"K= # c\n", "", b"K='' # c\n"),
        (b"K: # c\n", "", b"K='' # c\n"),
        (b"K='v'\n", "", b"K=''\n"),
        (b"K=v # c\n", "a # b", b"K='a # b' # c\n"),
        (b'K="v"\n', "it's", b'K="it\'s"\n'),
        (b'K="v"\n', "a$b", b"K='a$b'\n"),
        (b"K=v\n", "two\nlines", b"K='two\nlines'\n"),
        (b"K=v\n", "~/x", b"K='~/x'\n"),
        (b"K=v\n", "$2y$05$abc", b"K='$2y$05$abc'\n"),
        (b"K=v\n", "ü", "K='ü'\n".encode()),
        (b"K=v\n", "a\\b", b"K='a\\b'\n"),
    ],
)
def test_quotes_come_when_the_value_needs_them(before: bytes, value: str, after: bytes) -> None:
    assert _set(before, value) == after
    assert _set(after, value) == after


def test_a_secret_is_always_in_single_quotes() -> None:
    token = Secret("abc123")
    for before in (b"", b"K=v\n", b'K="v"\n', b"K='v'\n", b"K: v\n", b"K=abc123\n"):
        assert EnvFile.parse(before).set("K", token).data == b"K='abc123'\n"


@pytest.mark.parametrize("value", ["it's", "a\\", "a\\\\b", "${X}", "a\0", "a\rb", "\x1b[0m", "\udcff"])
def test_what_cannot_be_written_is_refused(value: str) -> None:
    with pytest.raises(BadInput) as caught:
        _set(b"K=v\n", value)
    assert caught.value.code == "env.value"
    assert value not in str(caught.value)
    with pytest.raises(BadInput):
        EnvFile.parse(b"").set("K", Secret(value))


@pytest.mark.parametrize("value", ["a b", "ü", "a#b", "$X", "a\nb"])
def test_plain_refuses_what_needs_quotes(value: str) -> None:
    with pytest.raises(BadInput):
        _set(b"K=v\n", value, Quoting.PLAIN)


@pytest.mark.parametrize("key", ["", "1A", "A-B", "A B", "A=", "Ä", "A\n", "A.B"])
def test_a_name_that_no_shell_takes_is_refused(key: str) -> None:
    with pytest.raises(BadInput) as caught:
        EnvFile.parse(b"").set(key, "v")
    assert caught.value.code == "env.key"


def test_the_same_object_when_nothing_changes() -> None:
    env = EnvFile.parse(b"K=v # c\n")
    assert env.set("K", "v") is env
    assert env.unset("A") is env


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"K=v\n", b""),
        (b"A=1\nK=v # c\nB=2\n", b"A=1\nB=2\n"),
        (b"A=1\r\nK=v\r\nB=2\r\n", b"A=1\r\nB=2\r\n"),
        (b"A=1\nK=v", b"A=1\n"),
        (b"\xef\xbb\xbfK=v\nA=1\n", b"\xef\xbb\xbfA=1\n"),
        (b"# c\n\n  export K='a\nb' # c\n\nA=1", b"# c\n\n\nA=1"),
        (b"K=1\nA=2\nK\nK: 3\n", b"A=2\n"),
        (b"A='1' K=v # c\nB=1\n", b"A='1'\nB=1\n"),
        (b"A='1' K=v\r\nB=1\r\n", b"A='1'\r\nB=1\r\n"),
        (b"K='1' A=v # c\n", b"A=v # c\n"),
        (b"K='1' K='2' K='3'\nB=1\n", b"B=1\n"),
        (b"A='1' K='2' B='3'\n", b"A='1' B='3'\n"),
        (b"A='K=1\n'\nK=v\n", b"A='K=1\n'\n"),
    ],
)
def test_unset(before: bytes, after: bytes) -> None:
    assert EnvFile.parse(before).unset("K").data == after


def _others(env: EnvFile) -> list[tuple[str, str, str]]:
    last = env.last("K")
    return [(s.key, s.quote, s.raw) for s in env.statements if s is not last]


def _parsed(data: bytes) -> EnvFile:
    try:
        return EnvFile.parse(data)
    except BadInput:
        assume(False)
        raise


files = st.one_of(st.sampled_from([data for _, data, expected in CASES if expected != ERR]), env_files)
thorough = settings(suppress_health_check=[HealthCheck.filter_too_much])


@thorough
@given(files, values, st.sampled_from(Quoting))
def test_one_value_changes_and_nothing_else(data: bytes, value: str, quoting: Quoting) -> None:
    env = _parsed(data)
    try:
        changed = env.set("K", value, quoting)
    except BadInput as error:
        assert error.code == "env.value"
        return
    # Every other statement is what it was, the value is what was asked for, whatever the environment.
    again = EnvFile.parse(changed.data)
    assert again == changed
    assert _others(changed) == (
        _others(env) if env.last("K") else [(s.key, s.quote, s.raw) for s in env.statements]
    )
    last = changed.last("K")
    assert last is not None and last.template == value
    assert changed.set("K", value, quoting) is changed

    # Every byte outside of the statement's line is what it was; the comment is still there.
    old = env.last("K")
    if old is None:
        assert changed.data.startswith(data)
        return
    line_start = data.rfind(b"\n", 0, old.start) + 1
    line_end = data.find(b"\n", old.end)
    line_end = len(data) if line_end < 0 else line_end
    assert changed.data.startswith(data[:line_start])
    assert changed.data.endswith(data[line_end:])
    comment = data[old.end : line_end]
    if comment.strip().startswith(b"#"):
        assert comment.strip() in changed.data[line_start:]


@thorough
@given(files, values)
def test_values_of_other_names_stay(data: bytes, value: str) -> None:
    env = _parsed(data)
    assume("$" not in data.decode("latin-1"))  # a value may depend on K, and then it does change
    try:
        changed = env.set("K", value)
    except BadInput:
        return
    before, after = env.values({}), changed.values({})
    assert after.pop("K") == value
    before.pop("K", None)
    assert after == before


@thorough
@given(files)
def test_unset_takes_out_one_name(data: bytes) -> None:
    env = _parsed(data)
    changed = env.unset("K")
    assert changed.last("K") is None
    assert _others(changed) == [(s.key, s.quote, s.raw) for s in env.statements if s.key != "K"]
    assert changed.unset("K") is changed


@given(
    values,
    st.sampled_from([b"", b"K=v\n", b'K="v"\n', b"K='v' # c\n", b"# c\nexport K=v # c\nA=1\n", b"K: v\n"]),
)
def test_compose_and_python_dotenv_read_it_alike(value: str, data: bytes) -> None:
    try:
        env = EnvFile.parse(data).set("K", value)
    except BadInput:
        return
    assert env.values({})["K"] == value
    theirs = dotenv_values(stream=io.StringIO(env.data.decode(), newline=None))
    assert theirs["K"] == value
    assert not [f for f in lint(env.data) if f.problem not in ("odd-blank", "lone-cr")]


def test_bash_reads_it_alike(tmp_path: Path) -> None:
    """Scripts of a factory source the file with `set -a`."""
    printable = "".join(map(chr, range(0x20, 0x7F)))
    wanted: dict[str, str] = {}
    env = EnvFile.parse(b"")
    for n, value in enumerate(
        [
            *printable,
            *(f"a{c}b" for c in printable),
            "",
            "a  b",
            "a\n\tb",
            "~:~",
            "ü€",
            "$(false)",
            "`x`",
            "!!",
            NEW,
        ]
    ):
        for quoting in (Quoting.AUTO, Quoting.SINGLE):
            try:
                env = env.set(f"V{n}_{quoting.name}", value, quoting)
            except BadInput:
                continue
            wanted[f"V{n}_{quoting.name}"] = value
    path = tmp_path / "env"
    path.write_bytes(env.data)
    out = subprocess.run(
        ["bash", "--norc", "-c", 'set -a; . "$1"; env -0', "bash", str(path)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/elsewhere", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert not out.stderr
    got = dict(item.split("=", 1) for item in out.stdout.decode().split("\0") if item)
    assert {key: got.get(key) for key in wanted} == wanted
    assert len(wanted) > 350
