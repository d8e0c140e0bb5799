"""Reading a `.env` as Compose reads it, and what the lint says of it."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from dotenv import dotenv_values

from disinto_tui.core.envfile import EnvFile, lint
from disinto_tui.core.errors import BadInput

from .env_cases import CASES, ENVIRON, ERR


@pytest.mark.parametrize(("data", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_table(data: bytes, expected: str | None) -> None:
    try:
        value = EnvFile.parse(data).values(ENVIRON).get("K")
    except BadInput as error:
        assert error.code == "env.unreadable"
        assert expected == ERR, error
    else:
        assert value == expected


@pytest.mark.parametrize(
    "data", [c[1] for c in CASES if c[2] == ERR], ids=[c[0] for c in CASES if c[2] == ERR]
)
def test_what_is_refused_is_found_by_the_lint(data: bytes) -> None:
    assert "unreadable" in {finding.problem for finding in lint(data, environ=ENVIRON)}


@pytest.mark.parametrize(
    "data", [c[1] for c in CASES if c[2] != ERR], ids=[c[0] for c in CASES if c[2] != ERR]
)
def test_what_is_read_is_not_called_unreadable(data: bytes) -> None:
    assert "unreadable" not in {finding.problem for finding in lint(data, environ=ENVIRON)}


class TestErrors:
    def test_it_names_the_line_and_never_the_value(self) -> None:
        with pytest.raises(BadInput) as caught:
            EnvFile.parse(b"A=1\n\n# c\nFORGE_TOKEN='s3cr3tvalue\nB=2\n")
        error = caught.value
        assert "Line 4" in error.why and "single quote" in error.why and "s3cr3t" not in str(error)
        assert error.exit_code == 2

    def test_all_problems_at_once(self) -> None:
        with pytest.raises(BadInput) as caught:
            EnvFile.parse(b"hello world\nA=1\na/b=2\nC=${D\nE=5\nF='x\n")
        lines = [line.split(":")[0] for line in caught.value.details]
        assert lines == ["line 1", "line 3", "line 4", "line 6"]

    def test_a_forgotten_quote_is_named_where_it_was_opened(self) -> None:
        with pytest.raises(BadInput) as caught:
            EnvFile.parse(b"A=1\nB='v\n# c\n# it's not so\nC=2\n")
        assert "Line 4" in caught.value.why and "The quote that line 2 opens is closed" in caught.value.why

    def test_a_piece_of_a_secret_that_looks_like_a_name_is_not_shown(self) -> None:
        data = b"KEY=-----BEGIN\nMIIEvQIBADANBg+kqh\nabcdefsecret\n"
        with pytest.raises(BadInput) as caught:
            EnvFile.parse(data)
        shown = str(caught.value) + repr(caught.value.details) + repr(lint(data))
        assert "MIIE" not in shown and "abcdefsecret" not in shown

    def test_a_missing_required_variable_names_its_line(self) -> None:
        env = EnvFile.parse(b"A=1\nB=${NEEDED:?text}\n")
        with pytest.raises(BadInput) as caught:
            env.values({})
        assert "Line 2" in caught.value.why and "NEEDED" in caught.value.why
        assert env.values({"NEEDED": "x"}) == {"A": "1", "B": "x"}

    def test_nesting_without_end_is_refused_and_not_a_recursion_error(self) -> None:
        with pytest.raises(BadInput):
            EnvFile.parse(b"K=" + b"${A:-" * 3000 + b"}" * 3000 + b"\n")


def test_spans_and_lines() -> None:
    data = "\ufeff# ü\nexport  ÄÖ = 'mehr\nzeilen' # c\nB: x\nC\n".encode()
    env = EnvFile.parse(data)
    assert [(s.key, s.line, s.separator, s.quote) for s in env.statements] == [
        ("ÄÖ", 2, "=", "'"),
        ("B", 4, ":", ""),
        ("C", 5, "", ""),
    ]
    first = env.statements[0]
    assert data[first.start : first.end].decode() == "export  ÄÖ = 'mehr\nzeilen'"
    assert data[first.key_start : first.key_end].decode() == "ÄÖ"
    assert data[first.value_start : first.end].decode() == "'mehr\nzeilen'"
    assert env.get_raw("ÄÖ") == "'mehr\nzeilen'"
    assert env.get_raw("C") is None and env.get_raw("nothing") is None
    assert env.get("B") == "x" and env.get("C") is None and env.get("C", {"C": "y"}) == "y"


def test_a_repr_holds_no_value() -> None:
    assert "s3cr3t" not in repr(EnvFile.parse(b"TOKEN='s3cr3t'\nB=s3cr3t\n"))


def test_a_large_file_is_read_in_linear_time() -> None:
    data = b"".join(b"KEY_%d=value number %d # \xc3\xa4\n" % (n, n) for n in range(20000))
    env = EnvFile.parse(data)
    assert len(env.values({})) == 20000
    assert env.statements[-1].line == 20000


def _problems(data: bytes) -> set[str]:
    return {finding.problem for finding in lint(data)}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"K=v\nexport L='a b' # c\n# c\n\nM=${K}\nN=${K:-d}\nO=\nP= \n", set()),
        (b"K= # c\n", {"comment-as-value"}),
        (b"K=#c\n", set()),
        (b"K=v\t# c\n", {"comment-as-value"}),
        (b"K: v\n", {"colon"}),
        (b"K\n", {"bare-name"}),
        (b"K = v\n", {"blank-around-equals"}),
        (b"K= v\n", {"blank-around-equals"}),
        (b"K=a b\n", {"blank-in-value"}),
        (b"K=1\nK=2\n", {"duplicate"}),
        (b"K=1\nK\n", {"duplicate", "bare-name"}),
        (b"K='v'junk\n", {"text-after-quote"}),
        (b"A='1' K=v\n", {"text-after-quote"}),
        (b"K='v'#c\n", {"comment-touches-quote"}),
        (b"T=x\nK=$T\n", {"dollar"}),
        (b"T=x\nK=${T-d}\n", {"dollar"}),
        (b"K=a$$b\n", {"dollar"}),
        (b"K='a$$b'\n", set()),
        (b"T=1\nK='${T}'\n", {"single-quoted-variable"}),
        (b"K=${NOT_SET}\n", {"undefined-variable"}),
        (b"K=${BELOW}\nBELOW=1\n", {"undefined-variable"}),
        (b"K=${A:-x}\n", set()),
        (b'K="a\\nb"\n', {"escape"}),
        (b'K="a\\"b\\\\c"\n', set()),
        (b"K='a\\\\b'\n", {"escape"}),
        (b"K=`id`\n", {"shell-syntax"}),
        (b"K=$(id)\n", {"shell-syntax", "dollar"}),
        (b'K="`id`"\n', {"shell-syntax"}),
        (b"K=a;b\n", {"shell-syntax"}),
        (b"K=r/'a':v1\n", {"shell-syntax"}),
        (b"a-b=1\n", {"odd-name"}),
        (b"1a=1\n", {"odd-name"}),
        (b"COMPOSE_FILE=x.yml\n", {"compose-setting"}),
        (b"\xef\xbb\xbfK=v\n", {"bom"}),
        (b"K=v\r\n", {"crlf"}),
        (b"A=1\rK=v\n", {"lone-cr", "blank-in-value"}),
        (b"# caf\xe9\n", {"not-utf8"}),
        ("K=v\u00a0\n".encode(), {"odd-blank"}),
        ("K='a\u2028b'\n".encode(), {"odd-blank"}),
    ],
)
def test_lint(data: bytes, expected: set[str]) -> None:
    assert _problems(data) == expected


def test_lint_never_shows_a_value() -> None:
    secret = "s3cr3tvalue"
    for _, data, _ in CASES:
        # Every value of the table replaced by a secret, in every place where one can be.
        for finding in lint(data.replace(b"v", secret.encode()), second_reader=_dotenv):
            assert secret not in repr(finding)


def _dotenv(data: bytes) -> Mapping[str, str | None]:
    return dotenv_values(stream=io.StringIO(data.decode(), newline=None), interpolate=True)


class TestSecondReader:
    def test_it_is_named_with_the_line_that_counts(self) -> None:
        found = lint(b"A=1\nK=1\nK=v # c\nB: 2\n", second_reader=_dotenv)
        assert [(f.line, f.key) for f in found if f.problem == "readers-disagree"] == [(4, "B")]

    def test_one_that_gives_up(self) -> None:
        found = lint(b"A=caf\xe9\n", second_reader=_dotenv)
        assert [f.line for f in found if f.problem == "readers-disagree"] == [1]

    def test_a_value_only_the_other_sees(self) -> None:
        found = lint(b"A=1\rK=v\r", second_reader=_dotenv)
        assert {f.key for f in found if f.problem == "readers-disagree"} == {"A", "K"}

    @pytest.mark.parametrize(("name", "data", "expected"), CASES, ids=[c[0] for c in CASES])
    def test_where_the_lint_is_silent_the_two_agree(
        self, name: str, data: bytes, expected: str | None
    ) -> None:
        """The rules know every disagreement of the table, so an adapter without python-dotenv misses none."""
        if expected == ERR or name == "soft default, empty":
            return  # whether `${T:-d}` is read alike depends on T; only the second reader can tell
        found = lint(data, second_reader=_dotenv)
        disagreements = {f.line for f in found if f.problem == "readers-disagree"}
        explained = {f.line for f in found if f.problem != "readers-disagree"}
        assert not disagreements or explained
