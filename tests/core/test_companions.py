"""The files beside the compose file."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from disinto_tui.adapters.resources import template
from disinto_tui.core.companions import TEMPLATES, companions, edited_by_hand
from disinto_tui.core.model import Factory, Images, Project
from disinto_tui.core.stack import StackInputs, build_stack
from disinto_tui.core.stack_forms import mounts

APP = Project("app", "acme/app", "acme/app-ops", forge_url="https://forge.example.org")
TEXTS = {name: template(name) for name in TEMPLATES}
EXTERNAL = Factory(forge="external")
FULL = Factory(images=Images(edge="a/edge:v1"))


def files(*projects: Project, factory: Factory | None = None) -> dict[str, str]:
    given = tuple(replace(p, factory=factory) if factory else p for p in projects or (APP,))
    return {file.path: file.text for file in companions(StackInputs(given), TEXTS)}


def test_they_stand_where_the_stack_mounts_them() -> None:
    services = build_stack(StackInputs((APP,)))["services"]
    edge, staging = mounts(services["edge"]["volumes"]), mounts(services["staging"]["volumes"])
    assert edge["/etc/caddy/Caddyfile"].source.removeprefix("./") in files()
    assert f"{staging['/srv/site'].source.removeprefix('./')}/index.html" in files()


def test_the_bundled_routes() -> None:
    text = files()["docker/Caddyfile"]
    assert "redir / /forge/ 302" in text
    assert "reverse_proxy forgejo:3000" in text
    assert "reverse_proxy woodpecker:8000" in text
    assert "/chat" not in text
    assert "#?" not in text


def test_the_routes_of_an_external_forge_name_no_service_that_is_not_there() -> None:
    text = files(factory=EXTERNAL)["docker/Caddyfile"]
    assert "forgejo" not in text
    assert "woodpecker" not in text
    assert "redir /forge https://forge.example.org 302" in text
    assert "reverse_proxy staging:80" in text


def test_the_full_edges_routes_keep_the_chat_behind_a_login() -> None:
    text = files(factory=FULL)["docker/Caddyfile"]
    assert "uri /chat/auth/verify" in text
    assert "{$FORWARD_AUTH_SECRET}" in text


@pytest.mark.parametrize("factory", [Factory(), EXTERNAL, FULL])
def test_braces_are_balanced(factory: Factory) -> None:
    text = files(factory=factory)["docker/Caddyfile"]
    assert text.count("{") == text.count("}")
    assert "\n\n\n" not in text


def test_an_edited_caddyfile_is_known() -> None:
    text = files()["docker/Caddyfile"]
    assert not edited_by_hand(text)
    assert not edited_by_hand(text.replace("\n", "\r\n"))
    assert edited_by_hand(text.replace(":80", ":81"))
    assert edited_by_hand(text + "# more\n")
    assert edited_by_hand(":80 {\n}\n")


def test_the_site_page_is_whole_escaped_and_loads_nothing() -> None:
    page = files(replace(APP, name="a<b"))["site/index.html"]
    assert "<h1>a&lt;b</h1>" in page
    assert "http" not in page
    assert "<script" not in page
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "link"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []
    assert 'href="https://forge.example.org"' in files(factory=EXTERNAL)["site/index.html"]


def test_what_git_must_not_see() -> None:
    lines = files()[".gitignore"].splitlines()
    assert {".env", ".env.*", "secrets/", ".disinto/", "state/", "projects/*.toml"} <= set(lines)


def test_what_is_the_operators_is_kept() -> None:
    kinds = {file.path: file.existing for file in companions(StackInputs((APP,)), TEXTS)}
    assert kinds == {"docker/Caddyfile": "replace", "site/index.html": "keep", ".gitignore": "keep"}
