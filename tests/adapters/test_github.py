"""What GitHub says about a token, and that it is asked nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from disinto_tui.adapters.github import (
    API,
    api_url,
    is_fine_grained,
    is_github_host,
    is_github_token,
    parse_expiry,
    token_facts,
)
from disinto_tui.core.errors import Refused, Unavailable
from disinto_tui.core.redact import Secret
from tests.support.github_double import GitHubDouble, Token

CLASSIC = "ghp_" + "a" * 36


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        yield double


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-01 10:00:00 UTC", 1_796_119_200.0),
        ("2026-12-01 11:00:00 +0100", 1_796_119_200.0),
        ("2026-12-01 05:00:00 -0500", 1_796_119_200.0),
        ("2026-12-01T10:00:00Z", 1_796_119_200.0),
        ("2026-13-01 10:00:00 UTC", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_the_header_is_read(text: str, at: float | None) -> None:
    assert parse_expiry(text) == at


def test_shapes_of_tokens_and_hosts() -> None:
    assert all(map(is_github_token, (CLASSIC, "github_pat_11A", "gho_x", "ghs_x", "ghu_x", "ghr_x")))
    assert not any(map(is_github_token, ("", "s3cret", "glpat-x", "x ghp_", "ghx_1")))
    assert is_fine_grained("github_pat_11A") and not is_fine_grained(CLASSIC)
    assert all(
        map(is_github_host, ("ghcr.io", "github.com", "GitHub.com:443", "api.github.com", "acme.ghe.com"))
    )
    assert not any(map(is_github_host, ("ghcr.io.example", "notgithub.com", "127.0.0.1:5000", "docker.io")))


def test_a_token_is_sent_over_https_or_stays_here() -> None:
    assert api_url({}) == API
    assert api_url({"GITHUB_API_URL": "https://ghe.example/api/v3/"}) == "https://ghe.example/api/v3"
    assert api_url({"GITHUB_API_URL": "http://127.0.0.1:1"}) == "http://127.0.0.1:1"
    for wrong in ("http://ghe.example", "ftp://x", "nonsense"):
        with pytest.raises(Refused):
            api_url({"GITHUB_API_URL": wrong})


async def test_whose_it_is_what_it_may_and_until_when(github: GitHubDouble) -> None:
    github.tokens[CLASSIC] = Token(expires=1_796_119_200.0)
    told = await token_facts(Secret(CLASSIC), api=github.url)
    assert (told.valid, told.login, told.expires) == (True, "octo-releaser", 1_796_119_200.0)
    assert told.scopes == {"repo", "write:packages"}
    github.tokens[CLASSIC] = Token(scopes="", expires=None)
    told = await token_facts(Secret(CLASSIC), api=github.url)
    assert (told.scopes, told.expires) == (frozenset(), None)
    github.tokens[CLASSIC] = Token(scopes=None)
    assert (await token_facts(Secret(CLASSIC), api=github.url)).scopes is None


async def test_an_expired_or_revoked_token_is_one_it_does_not_know(github: GitHubDouble) -> None:
    assert not (await token_facts(Secret(CLASSIC), api=github.url)).valid


async def test_the_token_of_an_app_may_not_ask_and_is_told_its_expiry(github: GitHubDouble) -> None:
    github.tokens["ghs_x"] = Token(scopes=None, expires=1_796_119_200.0, status=403)
    told = await token_facts(Secret("ghs_x"), api=github.url)
    assert (told.valid, told.login, told.expires) == (True, "", 1_796_119_200.0)


async def test_a_github_that_is_down_says_nothing(github: GitHubDouble) -> None:
    github.down = True
    with pytest.raises(Unavailable) as caught:
        await token_facts(Secret(CLASSIC), api=github.url)
    assert caught.value.code == "github.answer"
    assert CLASSIC not in f"{caught.value} {caught.value.details}"
