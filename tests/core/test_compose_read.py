"""Compose files as Compose reads them: plain words and numbers, its own tags, and what is refused as not understood."""

from __future__ import annotations

import pytest

from disinto_tui.core import stack_forms as forms
from disinto_tui.core.compose_read import merge, read_compose
from disinto_tui.core.lineage import recognise
from disinto_tui.core.stack_dump import dump_override
from tests.support.plain_scalars import PLAIN_SCALARS


def service(text: str) -> dict[str, object]:
    body = "".join(f"    {line}\n" for line in text.splitlines())
    reading = read_compose(f"services:\n  agents:\n{body}")
    assert not reading.error, reading.error
    found = reading.data["services"]["agents"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("written", "meant"), PLAIN_SCALARS.items())
def test_a_plain_scalar_is_what_compose_takes_it_for(written: str, meant: str) -> None:
    found = service(f"environment:\n  MINE: {written}\n")
    assert forms.environment(found["environment"]) == {"MINE": meant}
    # And so it stays in the override.
    again = read_compose(dump_override({"services": {"a": {"environment": {"MINE": meant}}}})).data
    assert again["services"]["a"]["environment"]["MINE"] == meant


def test_a_port_in_base_60_and_a_variable_called_no_keep_their_names() -> None:
    found = service("ports:\n  - 2222:22\n  - 3000:30\nenvironment:\n  NO: no\n  ON: x\n")
    assert forms.ports(found["ports"]) == {"22/tcp": "2222", "30/tcp": "3000"}
    assert forms.environment(found["environment"]) == {"NO": "no", "ON": "x"}


def test_a_key_that_is_no_text_is_refused() -> None:
    found = recognise([("f.yml", "services:\n  agents:\n    environment:\n      true: x\n")], {})
    assert "line 4" in found.refusals[0].text and "quotes" in found.refusals[0].text


def test_override_tags_replace_tables_and_nested_resets_take_out() -> None:
    base = read_compose(
        "services:\n  a:\n    environment: {A: '1', B: '2'}\n    logging: {driver: x, options: {p: '1', q: '2'}}\n"
        "volumes:\n  data: {driver: local, driver_opts: {o: bind}}\n"
    ).data
    over = read_compose(
        "services:\n  a:\n    environment: !override {C: '3'}\n    logging: {options: {p: !reset null}}\n"
        "volumes:\n  data: {name: mine}\n"
    ).data
    found = merge(base, over)
    assert found["services"]["a"]["environment"] == {"C": "3"}
    assert found["services"]["a"]["logging"] == {"driver": "x", "options": {"q": "2"}}
    assert found["volumes"]["data"] == {"driver": "local", "driver_opts": {"o": "bind"}, "name": "mine"}


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("include: [more.yml]\nservices:\n  agents:\n    image: a\n", "include"),
        ("services:\n  agents:\n    image: a\n    extends: {service: base}\n", "extends"),
        ("services:\n  agents:\n    image: a\n    volumes: {x: /home}\n", "shape"),
        ("services:\n  agents:\n    image: a\n    volumes: [{type: volume, source: x}]\n", "shape"),
        ("services:\n  agents:\n    image: a\n    ports: '80:80'\n", "shape"),
        ("services:\n  agents:\n    image: a\n    environment: A=1\n", "shape"),
        ("services:\n  agents:\n    image: a\n    environment: [{A: 1}]\n", "shape"),
        ("services:\n  agents:\n    image: a\n    depends_on: forgejo\n", "shape"),
        ("services:\n  agents:\n    image: a\n    networks: mine\n", "shape"),
    ],
)
def test_what_would_be_read_as_nothing_is_refused(text: str, slug: str) -> None:
    found = recognise([("docker-compose.yml", text)], {})
    assert [item.slug for item in found.refusals] == [slug]
    assert all(item.now for item in found.refusals)


def test_an_override_of_comments_alone_is_no_fault() -> None:
    files = [("docker-compose.yml", "services:\n  agents:\n    image: a\n"), ("over.yml", "# nothing yet\n")]
    assert not recognise(files, {}).refusals
    assert recognise([("docker-compose.yml", "# nothing yet\n")], {}).refusals[0].slug == "unreadable"
