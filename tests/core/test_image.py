"""Image references: the grammar, the place of an error, and what an operator may type."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import ImageRef, parse_image, resolve_operator_input

SHA = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

GOOD = [
    ("busybox", "docker.io/library/busybox", "busybox"),
    ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
    ("org/app", "docker.io/org/app", "org/app"),
    ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
    ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
    ("docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
    ("library/busybox", "docker.io/library/busybox", "busybox"),
    ("library/org/busybox", "docker.io/library/org/busybox", "library/org/busybox"),
    ("library/localhost/x", "docker.io/library/localhost/x", "library/localhost/x"),
    ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x"),
    ("ghcr.io/org/app:v1", "ghcr.io/org/app:v1", "ghcr.io/org/app:v1"),
    ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
    ("localhost/app", "localhost/app", "localhost/app"),
    ("host:80/app", "host:80/app", "host:80/app"),
    ("Host/app", "Host/app", "Host/app"),
    ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"),
    ("[::1]:5000/app:v1", "[::1]:5000/app:v1", "[::1]:5000/app:v1"),
    ("a.b/c_d__e-f--g.h", "a.b/c_d__e-f--g.h", "a.b/c_d__e-f--g.h"),
    (f"app@{SHA}", f"docker.io/library/app@{SHA}", f"app@{SHA}"),
    (f"a.b/c:v1@{SHA}", f"a.b/c:v1@{SHA}", f"a.b/c:v1@{SHA}"),
    (f"a.b/c@{SHA512}", f"a.b/c@{SHA512}", f"a.b/c@{SHA512}"),
    ("app:_x.-", "docker.io/library/app:_x.-", "app:_x.-"),
    ("app:" + "x" * 128, "docker.io/library/app:" + "x" * 128, "app:" + "x" * 128),
    ("a.b/" + "c" * 251, "a.b/" + "c" * 251, "a.b/" + "c" * 251),
]

# The text, the column of the error (1-based), and a word of the reason.
BAD = [
    ("", 0, "empty"),
    (":v1", 1, "missing"),
    (f"@{SHA}", 1, "missing"),
    ("app:", 5, "tag is empty"),
    ("App", 1, "upper-case"),
    ("ghcr.io/Org/app", 9, "upper-case"),
    ("org/App:v1", 5, "upper-case"),
    ("app name", 4, "blank"),
    ("app\n", 4, "U+000A"),
    ("app:v1\n", 7, "U+000A"),
    (f"app@{SHA}\n", 76, "U+000A"),
    ("a//b", 3, "empty"),
    ("/app", 1, "empty"),
    ("a.b/", 5, "empty"),
    ("app/", 5, "empty"),
    ("-app", 1, "begins"),
    ("app-", 4, "ends"),
    ("a..b", 2, "joined"),
    ("a___b", 2, "joined"),
    ("a._b", 2, "joined"),
    ("äpp", 1, "“ä”"),
    ("a.b:x/c", 5, "port"),
    ("a.b:/c", 5, "port"),
    (":5000/c", 1, "host"),
    ("-a.b/c", 1, "host name"),
    ("a..b/c", 2, "host name"),
    ("a.b./c", 4, "host name"),
    ("a_b.c/d", 2, "host name"),
    ("Org_x/app", 4, "host name"),
    ("[::x]:1/a", 1, "IPv6"),
    ("app:v1.0.0+x", 11, "build metadata"),
    ("app:v1+x", 7, "“+”"),
    ("app:.v1", 5, "begins"),
    ("app:-v1", 5, "begins"),
    ("a.b/c:d:e", 8, "“:”"),
    ("app:" + "x" * 129, 133, "129"),
    ("a.b/" + "c" * 252, 1, "255"),
    ("app@", 5, "sha256"),
    ("app@md5:" + "0" * 32, 5, "sha256"),
    ("app@sha256:12", 14, "64"),
    ("app@" + SHA + "0", 76, "64"),
    ("app@" + SHA.upper(), 5, "sha256"),
    ("app@sha256:" + "A" * 64, 12, "small"),
    (f"app@{SHA}@{SHA}", 76, "“@”"),
    ("0" * 64, 1, "image ID"),
    ("https://ghcr.io/org/app", 6, "scheme"),
    ("a://b", 2, "scheme"),
    ("app:$X", 5, "“$”"),
    ("app:v1 # c", 7, "blank"),
]


@pytest.mark.parametrize(("text", "full", "familiar"), GOOD)
def test_good(text: str, full: str, familiar: str) -> None:
    ref = parse_image(text)
    assert str(ref) == full
    assert ref.familiar == familiar
    assert parse_image(full) == ref == parse_image(familiar)


@pytest.mark.parametrize(("text", "column", "reason"), BAD)
def test_bad(text: str, column: int, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_image(text)
    error = caught.value
    assert error.code == "image.grammar" and error.exit_code == 2
    assert reason in error.why
    if column:
        assert f"(column {column})" in error.why
        window, caret = error.details
        assert caret.strip() == "^" and len(window) <= 100
        at = caret.index("^")
        assert window[at : at + 1] in (text[column - 1 : column], "\ufffd")
    for sentence in (error.what, *error.details):
        assert sentence.isprintable() and len(sentence) < 200


class TestParts:
    def test_with_tag_drops_the_digest(self) -> None:
        ref = parse_image(f"a.b/c:v1@{SHA}")
        assert str(ref.with_tag("v2")) == "a.b/c:v2"
        assert str(ref.with_tag(None)) == "a.b/c"
        assert str(ref.with_digest(None)) == "a.b/c:v1"
        assert str(parse_image("a.b/c:v1").with_digest(SHA)) == f"a.b/c:v1@{SHA}"
        assert ref.name == "a.b/c" and ref.registry == "a.b" and ref.repository == "c"

    def test_they_check(self) -> None:
        ref = parse_image("a.b/c")
        with pytest.raises(BadInput):
            ref.with_tag("a b")
        with pytest.raises(BadInput):
            ref.with_tag("")
        with pytest.raises(BadInput):
            ref.with_digest("sha256:1")

    @pytest.mark.parametrize(
        "parts",
        [
            ("a.b", "C"),
            ("docker.io", "busybox"),
            ("nodot", "x"),
            ("a.b", "c", "d e"),
            ("a.b", "c", None, "sha256:1"),
            ("a.b", "c\n"),
            ("a.b", ""),
            ("index.docker.io", "a/b"),
        ],
    )
    def test_no_wrong_one_can_be_made_by_hand(self, parts: tuple[str, ...]) -> None:
        with pytest.raises(ValueError):
            ImageRef(*parts)


REPOSITORY = parse_image("reg.example:5000/org/agents:v0.1.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v0.1.1", "reg.example:5000/org/agents:v0.1.1"),
        ("  v0.1.1\n", "reg.example:5000/org/agents:v0.1.1"),
        ("latest", "reg.example:5000/org/agents:latest"),
        ("busybox", "reg.example:5000/org/agents:busybox"),
        ("Main_2", "reg.example:5000/org/agents:Main_2"),
        ("0" * 64, "reg.example:5000/org/agents:" + "0" * 64),
        (SHA, f"reg.example:5000/org/agents@{SHA}"),
        ("agents:v1", "docker.io/library/agents:v1"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("org/agents:v1", "docker.io/org/agents:v1"),
        ("ghcr.io/x/y:v1", "ghcr.io/x/y:v1"),
        (f"ghcr.io/x/y@{SHA}", f"ghcr.io/x/y@{SHA}"),
        (f"ghcr.io/x/y:v1@{SHA}", f"ghcr.io/x/y:v1@{SHA}"),
    ],
)
def test_operator_input(text: str, expected: str) -> None:
    assert str(resolve_operator_input(text, REPOSITORY)) == expected


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "image.grammar", "empty"),
        ("   ", "image.grammar", "empty"),
        ("v1.0.0+x", "image.grammar", "build metadata"),
        ("agents:v1.0.0+x", "image.grammar", "build metadata"),
        ("v1 2", "image.grammar", "blank"),
        (":v1", "image.grammar", "missing"),
        ("ghcr.io/x/y", "image.untagged", "latest"),
        ("sha256:abc", "image.grammar", "64"),
        ("SHA256:" + "0" * 64, "image.grammar", "sha256"),
        ("ünicode", "image.grammar", "“ü”"),
    ],
)
def test_operator_input_refused(text: str, code: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve_operator_input(text, REPOSITORY)
    assert caught.value.code == code
    assert reason in caught.value.why


# The grammar of the distribution project as one expression, to compare the parser with.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"\A(?P<name>(?:(?:{_DOMAIN}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[a-f0-9]{64}))?\Z"
)

near_misses = st.lists(
    st.sampled_from(
        [
            "a",
            "b1",
            "A",
            "localhost",
            ".",
            "..",
            "_",
            "__",
            "-",
            "/",
            ":",
            "5000",
            "@",
            SHA,
            "[::1]",
            "+",
            "\n",
            "é",
        ]
    ),
    max_size=9,
).map("".join)


def go_accepts(text: str) -> bool:
    """ParseNormalizedNamed of the Go library, in so many words."""
    if re.fullmatch("[a-f0-9]{64}", text):
        return False
    first, slash, rest = text.partition("/")
    if slash and (set(first) & set(".:") or first == "localhost" or first.lower() != first):
        domain, remainder = first, rest
    else:
        domain, remainder = "docker.io", text
    if domain == "docker.io" and "/" not in remainder:
        remainder = "library/" + remainder
    path = remainder.split(":")[0] if "@" not in remainder else remainder.split("@")[0].split(":")[0]
    if path.lower() != path:
        return False
    return bool(REFERENCE.match(f"{domain}/{remainder}"))


@given(near_misses)
def test_it_accepts_what_the_go_library_accepts(text: str) -> None:
    try:
        ref = parse_image(text)
    except BadInput:
        assert not go_accepts(text)
    else:
        assert go_accepts(text)
        assert REFERENCE.match(str(ref))


components = st.from_regex(rf"\A{_PATH}\Z").filter(lambda part: len(part) < 30)
references = st.builds(
    lambda host, path, tag, digest: "".join([host, "/".join(path), tag, digest]),
    st.sampled_from(
        ["", "docker.io/", "ghcr.io/", "localhost/", "localhost:5000/", "Host/", "[::1]:5000/", "x:1/"]
    ),
    st.lists(components, min_size=1, max_size=3),
    st.one_of(st.just(""), st.from_regex(r"\A:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")),
    st.sampled_from(["", f"@{SHA}"]),
)


@given(references)
def test_round_trip(text: str) -> None:
    first, slash, _ = text.partition("/")
    # Without a host before it, a first part with a dot is taken for one, and no host has a "_".
    assume(not (slash and "." in first and "_" in first))
    ref = parse_image(text)
    assert parse_image(str(ref)) == ref == parse_image(ref.familiar)
    assert str(parse_image(str(ref))) == str(ref)
    assert len(ref.familiar) <= len(str(ref))
    if ref.tag:
        assert resolve_operator_input(ref.tag, ref) == ref.with_tag(ref.tag)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for call in (lambda: parse_image(text), lambda: resolve_operator_input(text, REPOSITORY)):
        try:
            ref = call()
        except BadInput as error:
            assert all(line.isprintable() for line in error.details)
        else:
            assert parse_image(str(ref)) == ref
