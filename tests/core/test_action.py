"""Actions: written as the oldest validator reads them, judged by what each generation accepts, and ids that collide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.action import (
    NEW,
    OLD,
    Action,
    Generation,
    action_text,
    allowlist_in,
    branch_of,
    check_action,
    clear_id,
    id_of_branch,
    read_action,
    read_result,
    refuse_collision,
    release_id,
)
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.toml_read import loads
from disinto_tui.core.version import Version

PATH = "vault/actions/release-v120.toml"


def release(version: str = "v1.2.0", **more: object) -> Action:
    values: dict[str, object] = {"secrets": ("GITHUB_TOKEN",), **more}
    return Action(release_id(Version(version)), "release", f"Release {version}", **values)  # type: ignore[arg-type]


def test_what_is_written_is_what_every_validator_reads() -> None:
    assert action_text(release(mounts=("ssh",))) == (
        'id = "release-v120"\n'
        'formula = "release"\n'
        'context = "Release v1.2.0"\n'
        'secrets = ["GITHUB_TOKEN"]\n'
        'mounts = ["ssh"]\n'
    )
    assert "secrets = []\n" in action_text(release(secrets=()))


_words = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\#'), min_size=1, max_size=40
)


@given(
    st.builds(
        Action,
        id=st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True),
        formula=st.sampled_from(["release", "run-publish-site"]),
        context=_words,
        secrets=st.lists(_words, max_size=3).map(tuple),
        mounts=st.lists(_words, max_size=2).map(tuple),
        model=st.sampled_from(["", "opus"]),
        tools=st.lists(_words, max_size=2).map(tuple),
        timeout_minutes=st.integers(0, 600),
        blast_radius=st.sampled_from(["", "low", "high"]),
    )
)
def test_an_action_comes_back_as_it_was_written(action: Action) -> None:
    text = action_text(action)
    reading = read_action(text, action.path)
    assert reading.action == action
    assert not reading.problems
    assert loads(text)["context"] == action.context  # plain TOML, too


@pytest.mark.parametrize(
    "context", ['say "go"', "a # comment", "two\nlines", "back\\slash", "bell\x07", "naïve"]
)
def test_a_text_that_a_line_based_validator_misreads_is_not_written(context: str) -> None:
    with pytest.raises(BadInput) as error:
        action_text(Action("a-1", "release", context))
    assert error.value.code == "action.unwritable"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('id = "release-v120"\nformula = "release"\ncontext = "x"\n', 1, "secrets is missing"),
        ('id = "r"\nformula = "f"\ncontext = "x"\nsecrets = []\nsecret = []\n', 5, "no such key"),
        ('id = "r"\nformula = "f"\ncontext = "x"\nsecrets = [\n  "A"\n]\n', 4, "several lines"),
        ('id = "r"\nformula = "f"\ncontext = "x"\n  secrets = []\n', 4, "start of a line"),
        ('id = "r"\nformula = "f"\ncontext = 1\nsecrets = []\n', 3, "a text belongs here"),
        ('id = "r"\nformula = "f"\ncontext = "x"\nsecrets = "A"\n', 4, "a list of texts"),
        (
            'id = "r"\nformula = "f"\ncontext = "x"\nsecrets = []\ntimeout_minutes = true\n',
            5,
            "whole number",
        ),
        ('id = "r\nformula = "f"\n', 1, ""),
    ],
)
def test_a_file_that_a_validator_would_refuse_says_where(text: str, line: int, words: str) -> None:
    problems = read_action(text, PATH).errors
    assert any(problem.line == line and words in problem.message for problem in problems), problems


def test_a_file_of_another_name_than_its_id_is_refused() -> None:
    text = action_text(release())
    assert [problem.key for problem in read_action(text, "vault/actions/other.toml").errors] == ["id"]


def test_a_file_without_an_id_is_no_action() -> None:
    assert read_action("", PATH).action is None
    assert read_action(b"\xff\xfe", PATH).action is None
    assert {str(problem).partition(": ")[2] for problem in read_action("", PATH).problems} == {
        f"{key} is missing" for key in ("id", "formula", "context", "secrets")
    }


# -- ids ---------------------------------------------------------------------------------------------------------


def test_ids_and_branches_are_those_of_every_tool() -> None:
    assert release_id(Version("v1.2.0")) == "release-v120"
    assert branch_of("release-v120") == "release/v120"
    assert branch_of("publish-20260401") == "vault/publish-20260401"
    for action_id in ("release-v120", "publish-20260401", clear_id(Version("v1.2.10"))):
        assert id_of_branch(branch_of(action_id)) == action_id
    assert id_of_branch("main") == id_of_branch("release/") == ""


def test_an_id_collision_of_two_versions_is_detected() -> None:
    mine, other = release("v1.2.10"), release("v1.21.0")
    assert mine.id == other.id == "release-v1210"
    with pytest.raises(Refused) as error:
        refuse_collision(mine, other, "main of acme/shop-ops")
    assert error.value.code == "request.id"
    assert "“Release v1.21.0”" in error.value.why
    assert "--id release-v1-2-10" in error.value.now
    refuse_collision(mine, release("v1.2.10"), "main")  # the same request
    refuse_collision(release("v1.2.11"), other, "main")  # another id


@given(st.tuples(*[st.integers(0, 300)] * 3), st.tuples(*[st.integers(0, 300)] * 3))
def test_the_id_offered_instead_never_collides(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    first, second = (Version("v{}.{}.{}".format(*numbers)) for numbers in (one, two))
    assert (clear_id(first) == clear_id(second)) == (first == second)


@pytest.mark.parametrize("version", ["v1.2.0-rc.1", "v1.2.0+5"])
def test_a_version_that_an_executor_would_misread_is_not_requested(version: str) -> None:
    assert Action("a", "release", f"Release {version}").version == "v1.2.0"
    with pytest.raises(BadInput) as error:
        release_id(Version(version))
    assert error.value.code == "request.prerelease"
    assert "v1.2.0" in error.value.why


# -- what each generation's validator accepts ---------------------------------------------------------------------


def severities(action: Action, generation: Generation | None, **more: frozenset[str]) -> dict[str, str]:
    return {problem.key: problem.severity for problem in check_action(action, generation, **more)}


@pytest.mark.parametrize("generation", [OLD, NEW, None])
def test_the_default_credential_is_accepted_by_every_generation(generation: Generation | None) -> None:
    assert check_action(release(), generation) == []


def test_the_validator_of_the_old_generation_refuses_the_secret_and_the_mounts_of_the_new() -> None:
    action = release(secrets=("GITHUB_TOKEN", "CODEBERG_TOKEN"), mounts=("ssh",))
    assert severities(action, NEW) == {}
    assert severities(action, OLD) == {"secrets": "error", "mounts": "error"}
    assert severities(action, None) == {"secrets": "warning", "mounts": "warning"}
    told = "\n".join(str(problem) for problem in check_action(action, OLD))
    assert "CODEBERG_TOKEN is refused by the validator of factories with vault/" in told
    assert "action-vault/" in told


@pytest.mark.parametrize("generation", [OLD, NEW, None])
def test_another_name_of_the_credential_is_a_warning_that_existing_validators_refuse_it(
    generation: Generation | None,
) -> None:
    found = check_action(release(secrets=("GHCR_TOKEN",)), generation)
    assert [(item.key, item.severity) for item in found] == [("secrets", "warning")]
    assert "no existing validator accepts GHCR_TOKEN" in found[0].message


def test_a_validator_that_could_be_read_is_believed() -> None:
    code = [
        "#!/bin/bash\n# CLAWHUB_TOKEN GITHUB_TOKEN DEPLOY_KEY NPM_TOKEN DOCKER_HUB_TOKEN once\n",
        'ALLOWED="CLAWHUB_TOKEN GITHUB_TOKEN DEPLOY_KEY NPM_TOKEN DOCKER_HUB_TOKEN GHCR_TOKEN"\n',
    ]
    accepted = allowlist_in(code)
    assert accepted is not None
    assert severities(release(secrets=("GHCR_TOKEN",)), OLD, accepted=accepted) == {}
    assert severities(release(secrets=("CODEBERG_TOKEN",)), NEW, accepted=accepted) == {"secrets": "error"}
    assert allowlist_in(code[:1]) is None
    assert allowlist_in(["echo GITHUB_TOKEN", ""]) is None


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"dispatch_mode": "direct"}, "dispatch_mode"),
        ({"dispatch_mode": "later"}, "dispatch_mode"),
        ({"blast_radius": "huge"}, "blast_radius"),
        ({"mounts": ("root",)}, "mounts"),
        ({"secrets": ("ghp_a value",)}, "secrets"),
        ({"timeout_minutes": -1}, "timeout_minutes"),
    ],
)
def test_what_no_generation_may_execute_is_an_error(more: dict[str, object], key: str) -> None:
    assert severities(release(**more), NEW) == {key: "error"}


def test_an_action_without_a_name_or_a_reason_is_an_error() -> None:
    found = check_action(Action("../x", "Release me", " "), NEW)
    assert {item.key for item in found} == {"id", "formula", "context"}


def test_results_are_read_and_what_is_none_is_none() -> None:
    found = read_result('{"id": "a", "exit_code": 1, "timestamp": "2026-04-01T00:00:00Z", "logs": "no"}')
    assert found is not None and (found.exit_code, found.logs) == (1, "no")
    for text in ("", "[]", "{}", '{"exit_code": true}', '{"exit_code": "0"}', "[" * 100_000):
        assert read_result(text) is None
