"""Redaction: every form, every cut, nothing held for longer than needed; and control characters."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.redact import MARK, Redactor, Secret
from disinto_tui.core.text import json_text, neutralise

TOKEN = "f3c9a1b2d4e5f60718293a4b5c6d7e8f90a1b2c3"
AWKWARD = 'pä"ss/w\\o$rd &<+>?'

secret_texts = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=4, max_size=40
).filter(lambda text: len(text.strip()) >= 4 and text.strip() == text)
token_texts = st.text(alphabet="abcdef0123456789-_+/=", min_size=4, max_size=40)
# A secret that is part of the mark itself cannot be told from a mark in the result.
secrets_strategy = st.lists(st.one_of(secret_texts, token_texts), min_size=1, max_size=5).map(
    lambda found: [text for text in found if not (set(text) <= set(MARK))]
)


def spellings(secret: str) -> dict[str, str]:
    data = secret.encode()
    return {
        "plain": secret,
        "base64": base64.b64encode(data).decode(),
        "base64 unpadded": base64.b64encode(data).decode().rstrip("="),
        "urlsafe": base64.urlsafe_b64encode(data).decode(),
        "percent": urllib.parse.quote(secret),
        "percent all": urllib.parse.quote(secret, safe=""),
        "percent plus": urllib.parse.quote_plus(secret),
        "percent small": urllib.parse.quote(secret, safe="").lower() if data.islower() else secret,
        "json": json.dumps(secret)[1:-1],
        "json unicode": json.dumps(secret, ensure_ascii=False)[1:-1],
        "compose": secret.replace("$", "$$"),
    }


@pytest.mark.parametrize("secret", [TOKEN, AWKWARD, "1234", "tøken"])
@pytest.mark.parametrize("form", list(spellings("x")))
def test_every_form_is_redacted(secret: str, form: str) -> None:
    text = f"before {spellings(secret)[form]} after"
    assert Redactor([secret]).redact(text) == f"before {MARK} after"


@pytest.mark.parametrize("secret", [TOKEN, AWKWARD, "hunter2!"])
@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
def test_base64_inside_a_longer_text(secret: str, user: str, after: str) -> None:
    """The Authorization header of user:token, whatever the user's length."""
    encoded = base64.b64encode(f"{user}:{secret}{after}".encode()).decode()
    shown = Redactor([secret]).redact(f"Authorization: Basic {encoded}")
    assert MARK in shown
    head, tail = shown.removeprefix("Authorization: Basic ").split(MARK)
    # At most one character on each side shares bits with the secret.
    assert len(head) <= (len(user) + 1) * 8 // 6 + 1
    assert len(tail.rstrip("=")) <= (len(after) * 8 + 5) // 6 + 1


def test_go_escapes_of_json() -> None:
    assert Redactor(["a<b>c&d"]).redact(r'"a\u003cb\u003ec\u0026d"') == f'"{MARK}"'
    assert Redactor(["a/b/c"]).redact(r'"a\/b\/c"') == f'"{MARK}"'


def test_the_lines_of_a_key_are_secrets() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nshort\n-----END KEY-----\n"
    redactor = Redactor([key])
    assert "abcdefghijkl" not in redactor.redact("error in line abcdefghijkl")
    assert redactor.redact(key) == MARK + "\n"
    assert redactor.redact(key.replace("\n", "\r\n")) == MARK + "\r\n"


def test_short_and_blank_secrets_are_ignored() -> None:
    redactor = Redactor(["", "abc", "   ", " ab\n"])
    assert not redactor
    text = "abc ab"
    assert redactor.redact(text) is text


def test_clean_text_comes_back_as_the_same_object() -> None:
    redactor = Redactor([TOKEN, "hunter2!"])
    text, data = "nothing here, at all", b"nothing here, at all"
    assert redactor.redact(text) is text
    assert redactor.redact_bytes(data) is data
    assert redactor.stream().feed(data + b"\n") == data + b"\n"


def test_overlapping_secrets_become_one_mark() -> None:
    assert Redactor(["abcdef", "defghi"]).redact("-abcdefghi-") == f"-{MARK}-"
    assert Redactor(["abcd"]).redact("abcdabcd") == MARK * 2


def test_a_stream_shows_a_prompt_at_once() -> None:
    stream = Redactor([TOKEN]).stream()
    assert stream.feed(b"Password: ") == b"Password: "
    assert stream.feed(TOKEN[:10].encode()) == b""
    assert stream.feed(b"!") == TOKEN[:10].encode() + b"!"
    assert stream.close() == b""


def test_a_stream_never_holds_more_than_the_longest_form() -> None:
    redactor = Redactor([TOKEN, AWKWARD])
    stream = redactor.stream()
    longest = max(len(form) for form in redactor._needles)
    shown = 0
    for fed, byte in enumerate((TOKEN[:-1] * 50).encode(), 1):
        shown += len(stream.feed(bytes([byte])))
        assert fed - shown < longest


@given(st.data(), secrets_strategy)
def test_a_stream_equals_the_whole_however_it_is_cut(data: st.DataObject, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    alphabet = sorted(set("".join(secrets))) or ["x"]
    pieces = data.draw(
        st.lists(
            st.one_of(
                st.sampled_from([form for s in secrets for form in spellings(s).values()] or ["x"]),
                st.sampled_from([s[: len(s) // 2] for s in secrets] or ["x"]),
                st.text(alphabet=alphabet, max_size=6),
                st.sampled_from(["\n", " ", "é"]),
            ),
            max_size=8,
        )
    )
    text = "".join(pieces)
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    stream = redactor.stream()
    out = b""
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        out += stream.feed(whole[start:end])
    out += stream.close()
    assert out == redactor.redact_bytes(whole)
    clean = out.replace(MARK.encode(), b"\n")
    for secret in secrets:
        assert secret.encode() not in clean
        assert base64.b64encode(secret.encode()).rstrip(b"=") not in clean

    text_stream = redactor.text_stream()
    shown = "".join(text_stream.feed(text[i : i + 3]) for i in range(0, len(text), 3)) + text_stream.close()
    assert shown == redactor.redact(text) == out.decode()


@given(secrets_strategy, st.text(), st.text())
def test_no_secret_survives_in_arbitrary_text(secrets: list[str], before: str, after: str) -> None:
    redactor = Redactor(secrets)
    for secret in secrets:
        shown = redactor.redact(before + secret + after)
        assert secret not in shown.replace(MARK, "\n")


def test_many_secrets_of_all_lengths() -> None:
    """Each way of the first look (one by one, words of 4 and of 8 bytes) finds each length at each place."""
    for count in (1, 60):
        secrets = [f"{n:02d}{'qwertyuiopasdfghjklzxcvbnm'[: n % 30]}{n:02d}" for n in range(count)]
        redactor = Redactor(secrets)
        for secret in secrets:
            for place in range(34):
                assert redactor.redact("." * place + secret + "." * 9) == "." * place + MARK + "." * 9


class TestSecret:
    def test_it_shows_itself_nowhere(self) -> None:
        secret = Secret(TOKEN)
        for shown in (
            str(secret),
            repr(secret),
            f"{secret}",
            f"{secret!r:>20}",
            repr([secret]),
        ):
            assert TOKEN not in shown and MARK in shown
        assert secret.reveal() == TOKEN

    def test_it_goes_nowhere_by_accident(self) -> None:
        secret = Secret(TOKEN)
        with pytest.raises(TypeError):
            json.dumps({"token": secret})
        with pytest.raises(TypeError):
            pickle.dumps(secret)
        with pytest.raises(TypeError):
            "".join(["a", secret])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            "a" + secret  # type: ignore[operator]
        with pytest.raises(TypeError):
            pickle.dumps(Redactor([secret]))
        assert not hasattr(secret, "__dict__")
        assert copy.deepcopy([secret])[0] is secret and copy.copy(secret) is secret

    def test_equality(self) -> None:
        assert Secret(TOKEN) == Secret(TOKEN) and hash(Secret(TOKEN)) == hash(Secret(TOKEN))
        assert Secret(TOKEN) != Secret("other") and Secret(TOKEN) != TOKEN
        assert Secret("é") == Secret("é")
        assert not Secret("") and Secret("x")

    def test_a_redactor_takes_it(self) -> None:
        redactor = Redactor([Secret(TOKEN)])
        assert redactor.redact(TOKEN) == MARK
        assert TOKEN not in repr(redactor)
        assert redactor.with_secrets(["another"]).redact(f"another {TOKEN}") == f"{MARK} {MARK}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ttext\nüñí €", "plain\ttext\nüñí €"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2\x1b\\x", "x"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("\x9b31mred\x9d0;t\x9cx", "redx"),
        ("\x1bcreset\x1b(Bx", "resetx"),
        ("\x1b[2J\x1b[1;1H\x1b[?1049hx", "x"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("done\r\nnext\r\n", "done\nnext\n"),
        ("a\x07b\x08c\x00d\x7fe", "a␇b␈c␀d␡e"),
        ("a\x85b\x80c", "a\ufffdb\ufffdc"),
        ("user\u202eexe.txt\u2066\u200f", "user\ufffdexe.txt\ufffd\ufffd"),
        ("cut \x1b", "cut "),
        ("cut \x1b[3", "cut "),
        ("\udcff", "\ufffd"),
    ],
)
def test_neutralise(text: str, expected: str) -> None:
    assert neutralise(text) == expected


def test_neutralise_gives_a_clean_text_back() -> None:
    text = "clean\tline of text"
    assert neutralise(text) is text


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]\x07\r\n;m\\\x9b\u202e"))))
def test_neutralised_text_is_harmless_and_stays_so(text: str) -> None:
    shown = neutralise(text)
    assert neutralise(shown) == shown
    shown.encode()
    for char in shown:
        assert char in "\n\t" or (char >= " " and char != "\x7f" and not "\x80" <= char <= "\x9f")


@given(st.text())
def test_json_is_harmless_and_comes_back_unchanged(text: str) -> None:
    for indent in (None, 2):
        shown = json_text({"text": text}, indent=indent)
        assert neutralise(shown) == shown
        assert json.loads(shown) == {"text": text}
