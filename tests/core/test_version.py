"""Strict versions, and the order of 50,000 tags."""

from __future__ import annotations

import copy
import itertools
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.errors import BadInput
from disinto_tui.core.version import TagKind, Version, classify_tag, next_versions, proposals, sort_tags

# SemVer 2.0.0 section 11, and the traps: rc.10 > rc.9 but rc10 < rc9; fewer identifiers are lower.
ASCENDING = [
    *(
        "v0.0.0-0",
        "v0.0.0",
        "v0.0.1",
        "v0.1.0",
        "v0.9.9",
        "v0.10.0",
        "v1.0.0--1",
        "v1.0.0-0A",
        "v1.0.0-alpha",
    ),
    *(
        "v1.0.0-alpha.1",
        "v1.0.0-alpha.1.0",
        "v1.0.0-alpha.beta",
        "v1.0.0-alpha0",
        "v1.0.0-beta",
        "v1.0.0-beta.2",
    ),
    *("v1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0-rc.9", "v1.0.0-rc.10", "v1.0.0-rc10", "v1.0.0-rc9", "v1.0.0"),
    *("v1.2.3-amd64", "v1.2.3", "v2.0.0", "v10.0.0", "v99999999999999999999.0.0"),
]

VALID = [
    *ASCENDING,
    "v1.0.0+build",
    "v1.0.0-rc.1+build.01",
    "v1.0.0-a-b.c--d",
    "v1.0.0+-",
    "v1.0.0-0a1",
    "v1.0.0--",
]
INVALID = [
    *(
        "",
        "v",
        "v1",
        "v1.2",
        "1.2.3",
        "V1.2.3",
        "v1.2.3.4",
        "v01.2.3",
        "v1.02.3",
        "v1.2.03",
        "v1.2.3-",
        "v1.2.3+",
    ),
    *(
        "v1.2.3-01",
        "v1.2.3-a..b",
        "v1.2.3-a.",
        "v1.2.3+a+b",
        "v1.2.3 ",
        " v1.2.3",
        "v1.2.3\n",
        "v-1.2.3",
        "v1.2.x",
    ),
    *(
        "latest",
        "main",
        "v1.2.3-ü",
        "v１.2.3",
        "v1.2.3-٣",
        "vv1.2.3",
        "v1.2.3-a_b",
        "v" + "9" * 5000 + ".0.0",
    ),
]

numbers = st.integers(0, 200).map(str)
pre_ids = st.one_of(numbers, st.from_regex(r"\A[0-9]*[A-Za-z-][0-9A-Za-z-]{0,3}\Z"))
versions = st.builds(
    lambda core, pre, build: (
        "v" + ".".join(core) + (f"-{'.'.join(pre)}" if pre else "") + (f"+{'.'.join(build)}" if build else "")
    ),
    st.tuples(numbers, numbers, numbers),
    st.lists(pre_ids, max_size=3),
    st.lists(st.from_regex(r"\A[0-9A-Za-z-]{1,4}\Z"), max_size=2),
)


def reference_key(version: Version) -> tuple[object, ...]:
    """Section 11 word for word, to compare the fast key with."""
    ids = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in version.pre.split(".") if part]
    return version.major, version.minor, version.patch, not version.pre, ids


@pytest.mark.parametrize("text", VALID)
def test_valid(text: str) -> None:
    assert str(Version.parse(text)) == text
    assert Version.try_parse(text) == Version(text)


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        Version.parse(text)
    assert caught.value.code == "version.grammar"
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
    assert Version.try_parse(text) is None
    assert classify_tag(text) is TagKind.OTHER


def test_parts() -> None:
    version = Version("v1.20.3-rc.1+5.x")
    assert (version.major, version.minor, version.patch, version.pre, version.build) == (
        1,
        20,
        3,
        "rc.1",
        "5.x",
    )
    assert version.is_prerelease and version.release == Version("v1.20.3")
    assert copy.deepcopy(version) == pickle.loads(pickle.dumps(version)) == version
    with pytest.raises(AttributeError):
        version.major = 2  # type: ignore[misc]


def test_order() -> None:
    for lower, higher in itertools.combinations(map(Version, ASCENDING), 2):
        assert lower < higher and higher > lower and lower != higher and lower <= higher
        assert lower.precedence != higher.precedence


def test_build_metadata_only_breaks_ties() -> None:
    plain, a, b = Version("v1.0.0"), Version("v1.0.0+a"), Version("v1.0.0+b")
    assert plain < a < b < Version("v1.0.1-0")
    assert plain.precedence == a.precedence == b.precedence
    assert a != b and len({plain, a, b}) == 3


@given(versions, versions)
def test_order_is_that_of_the_specification(one: str, other: str) -> None:
    a, b = Version(one), Version(other)
    if reference_key(a) == reference_key(b):
        assert a.precedence == b.precedence
    else:
        assert (reference_key(a) < reference_key(b)) == (a < b) == (a.precedence < b.precedence)
    assert (a < b) + (a == b) + (a > b) == 1


@given(versions)
def test_round_trip(text: str) -> None:
    assert str(Version(text)) == text


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("v0.3.0", TagKind.RELEASE),
        ("v0.3.0+b-1", TagKind.RELEASE),
        ("v0.4.0-rc.1", TagKind.PRE_RELEASE),
        ("v1.2.3-amd64", TagKind.PRE_RELEASE),
        ("latest", TagKind.OTHER),
        ("1.2.3", TagKind.OTHER),
        ("v1", TagKind.OTHER),
    ],
)
def test_classify(tag: str, kind: TagKind) -> None:
    assert classify_tag(tag) is kind


def test_newest_first_then_the_others() -> None:
    tags = [*ASCENDING, "main", "latest", "v1"]
    random.Random(1).shuffle(tags)
    assert sort_tags(tags) == [*reversed(ASCENDING), "latest", "main", "v1"]


@given(st.lists(st.one_of(versions, st.text(max_size=5))))
def test_sorting_loses_nothing_and_does_not_depend_on_the_order(tags: list[str]) -> None:
    once = sort_tags(tags)
    assert sorted(once) == sorted(tags)
    assert sort_tags(reversed(once)) == once


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("v1.2.3", "v1.2.4 v1.3.0 v2.0.0"),
        ("v1.2.3+b", "v1.2.4 v1.3.0 v2.0.0"),
        ("v1.2.3-rc.1", "v1.2.3 v1.3.0 v2.0.0"),
        ("v1.2.0-rc.1", "v1.2.0 v1.2.0 v2.0.0"),
        ("v2.0.0-rc.1", "v2.0.0 v2.0.0 v2.0.0"),
        ("v0.0.0", "v0.0.1 v0.1.0 v1.0.0"),
    ],
)
def test_next_versions(current: str, expected: str) -> None:
    assert " ".join(map(str, next_versions(Version(current)))) == expected


@given(versions)
def test_the_next_versions_are_newer_releases(text: str) -> None:
    version = Version(text)
    for candidate in next_versions(version):
        assert candidate > version and not candidate.pre and not candidate.build


@pytest.mark.parametrize(
    ("newest", "told", "expected"),
    [
        ("v0.3.0", "", "v0.3.1 patch, v0.4.0 minor, v1.0.0 major"),
        ("v0.3.0", "0.4.0\n", "v0.3.1 patch, v0.4.0 minor !, v1.0.0 major"),
        ("v0.3.0", "0.5.0-rc.1", "v0.5.0-rc.1 !, v0.3.1 patch, v0.4.0 minor, v1.0.0 major"),
        ("v0.3.0", "0.3.0", "v0.3.1 patch, v0.4.0 minor, v1.0.0 major"),  # not bumped yet
        ("v0.3.0", "v0.4.0", "v0.3.1 patch, v0.4.0 minor, v1.0.0 major"),  # preflight takes no v, either
        ("v0.3.0", "what", "v0.3.1 patch, v0.4.0 minor, v1.0.0 major"),
        ("v0.4.0-rc.1", "0.4.0", "v0.4.0 patch minor !, v1.0.0 major"),
        ("v1.0.0-rc.1", "", "v1.0.0 patch minor major"),
        ("", "", "v0.1.0 first"),
        ("", "0.1.0", "v0.1.0 first !"),
        ("", "2.0.0", "v2.0.0 first !"),
    ],
)
def test_what_may_be_released_next(newest: str, told: str, expected: str) -> None:
    found = proposals(Version(newest) if newest else None, told)
    shown = [" ".join([str(item.version), *item.kinds, *["!"][: item.told]]) for item in found]
    assert ", ".join(shown) == expected


@given(st.from_regex(r"\Av[0-9]{1,3}(\.(0|[1-9][0-9]{0,2})){2}(-rc\.[1-9])?\Z"), st.text(max_size=12))
def test_whatever_is_proposed_is_newer(text: str, told: str) -> None:
    newest = Version.try_parse(text)
    found = proposals(newest, told)
    assert found
    assert len({item.version for item in found}) == len(found)
    assert newest is None or all(item.version > newest for item in found)
