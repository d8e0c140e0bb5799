"""Formulas: upstream's as they are, ours with what makes a step executable, and every mistake at its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.formula import Formula, filled, read_formula

UPSTREAM = '''
# formulas/dev.toml — as agents read it
name = "dev"
description = """
Pick up an issue and
work on it."""
version = 4
model = "opus"

[context]
files = ["AGENTS.md", "docs/VISION.md"]

[vars.rpc_name]
description = "the method"
required = true

[vars.depth]
default = "1"

[[steps]]
id = "preflight"
title = "Look around"
description = """
Read the issue. Then `curl -s "$FORGE_URL/api"`.
"""

[[steps]]
id = "implement"
title = "Do it"
description = "Write it."
needs = ["preflight"]
'''

OURS = '''
name = "nightly"
version = 1

[vars.version]
description = "what to build"
required = true

[[steps]]
id = "build"
title = "Build it"
run = """
set -x
make "$VERSION"
"""
check = "test -e out/$VERSION"
env = { TARGET = "release-${vars.version}" }
secrets = ["GITHUB_TOKEN"]
timeout = "30 min"
retries = 2

[[steps]]
id = "push"
uses = "push-image"
with = { reference = "ghcr.io/x/y:${vars.version}", quiet = true }
needs = ["build"]
on_failure = "warn"

[[steps]]
id = "rest"
title = "Have a rest"
'''


def lines(formula: Formula) -> list[str]:
    return [str(problem) for problem in formula.problems]


def test_upstreams_schema_is_read_as_it_is_and_executes_nothing() -> None:
    found = read_formula(UPSTREAM, "formulas/dev.toml")
    assert lines(found) == []
    assert (found.name, found.version, found.model) == ("dev", 4, "opus")
    assert found.files == ("AGENTS.md", "docs/VISION.md")
    assert [(item.name, item.required, item.default) for item in found.variables] == [
        ("rpc_name", True, None),
        ("depth", False, "1"),
    ]
    assert [step.id for step in found.steps] == ["preflight", "implement"]
    assert found.valid
    assert not found.executable


def test_rarer_keys_of_upstreams_are_no_mistakes() -> None:
    text = """
name = "reproduce"
version = 1
stack_script = "x.sh"
tools = ["a"]
timeout_minutes = 15
allowed_tools = ["Read"]
disallowed_commands = ["rm"]
[context]
graph_report = "prose"
"""
    assert read_formula(text, "reproduce.toml").valid


def test_our_steps_say_what_they_do() -> None:
    found = read_formula(OURS, "nightly.toml", operations=None)
    assert lines(found) == []
    assert found.executable
    assert found.secrets == ("GITHUB_TOKEN",)
    build, push, rest = found.steps
    assert build.run.startswith("set -x")
    assert (build.timeout, build.retries, build.on_failure) == (1800.0, 2, "stop")
    assert (push.timeout, push.on_failure, push.title) == (None, "warn", "push")
    assert read_formula(step('run = "x"\ntimeout = 90'), "x.toml").steps[0].timeout == 90.0
    assert not rest.executable
    values = filled(push.parameters, {"version": "v1.0.0"})
    assert values == {"reference": "ghcr.io/x/y:v1.0.0", "quiet": True}
    assert filled(build.env, {"version": "v1"}) == {"TARGET": "release-v1"}
    assert found.variables[0].env_name == "VERSION"


def step(text: str) -> str:
    return f'name = "x"\n[[steps]]\nid = "a"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('nmae = "x"', "x.toml:1: nmae: this key is not known here (did you mean name?)"),
        ("version = 1.5", "x.toml:1: version: a whole number belongs here"),
        (
            "[context]\nfiels = []",
            "x.toml:2: context.fiels: this key is not known here (did you mean files?)",
        ),
        ('[vars]\nx = "1"', "x.toml:2: vars.x: a table belongs here (write it as [vars.x])"),
        ("[vars.x]\ndefault = 1", "x.toml:2: vars.x.default: a text belongs here"),
        ('[[steps]]\ntitle = "x"', "x.toml:1: steps.0: a step has no id"),
        (
            '[[steps]]\nid = "Big Step"',
            "x.toml:2: steps.0.id: an id is small letters, digits and single dashes",
        ),
        (
            '[[steps]]\nid = "a"\n[[steps]]\nid = "a"',
            "x.toml:4: steps.1.id: the id a is there already, in line 1",
        ),
        (step('needs = ["b"]'), "x.toml:4: steps.0.needs.0: there is no step b"),
        (step('needs = ["a"]'), "x.toml:4: steps.0.needs.0: a step cannot need itself"),
        (step('run = "x"\nuses = "y"'), "x.toml:5: steps.0.uses: a step has `run` or `uses`, not both"),
        (
            step('uses = "push-imgae"'),
            "x.toml:4: steps.0.uses: there is no operation push-imgae (did you mean push-image?)",
        ),
        (step("timeout = 5"), "x.toml:4: steps.0.timeout: `timeout` says nothing without `run` or `uses`"),
        (step('run = "x"\ntimeout = "soon"'), "x.toml:5: steps.0.timeout: a span belongs here"),
        (step('run = "x"\ntimeout = 0'), "x.toml:5: steps.0.timeout: a timeout is more than nothing"),
        (step('run = "x"\nretries = 99'), "x.toml:5: steps.0.retries: between 0 and 10 retries are possible"),
        (
            step('run = "x"\non_failure = "cry"'),
            "x.toml:5: steps.0.on_failure: `stop` or `warn` belongs here",
        ),
        (
            step('run = "x"\nsecrets = ["ghp_abc.def"]'),
            "x.toml:5: steps.0.secrets.0: names of secrets belong here, never values",
        ),
        (
            step('run = "x"\nenv = { A = 1 }'),
            'x.toml:5: steps.0.env.A: a text belongs here (write A = "1")',
        ),
        (
            step('run = "x"\nenv = { A = "${vars.b}" }'),
            "x.toml:5: steps.0.env.A: there is no variable b (declare it as [vars.…])",
        ),
        (step('run = "x"\nwith = { a = 1 }'), "x.toml:5: steps.0.with: `with` belongs to `uses`"),
        (step('uses = "tag-image"\ntimeout = 5'), "x.toml:5: steps.0.timeout: `timeout` belongs to `run`"),
        (
            step('uses = "tag-image"\nwith = { refrence = "x" }'),
            "x.toml:5: steps.0.with.refrence: this key is not known here (did you mean reference?)",
        ),
        (
            step('uses = "tag-image"\nwith = { aliases = "x" }'),
            "x.toml:5: steps.0.with.aliases: a list of texts belongs here",
        ),
        (
            "[vars.b]\n" + step('uses = "tag-image"\nwith = { alias = "${vars.b}" }').partition("\n")[2],
            "x.toml:5: steps.0.with.alias: this key is not known here (did you mean aliases?)",
        ),
        (
            step('uses = "tag-image"\non_failure = "warn"'),
            "x.toml:5: steps.0.on_failure: a failure of tag-image always stops the formula",
        ),
    ],
)
def test_every_mistake_is_told_at_its_line(text: str, problem: str) -> None:
    found = read_formula(text, "x.toml")
    assert any(line.startswith(problem) for line in lines(found)), lines(found)
    assert not found.valid
    assert not found.executable


def test_all_mistakes_at_once() -> None:
    found = read_formula('version = "x"\nfoo = 1\n[[steps]]\nbar = 1\n', "x.toml")
    assert [problem.line for problem in found.problems] == [1, 2, 3, 4]


def test_steps_come_after_what_they_need_and_else_stay_where_they_are() -> None:
    text = "".join(
        f'[[steps]]\nid = "{name}"\nneeds = [{needs}]\n'
        for name, needs in (("d", '"b"'), ("a", ""), ("b", '"a"'), ("c", ""))
    )
    assert [item.id for item in read_formula(text, "x.toml").steps] == ["a", "b", "d", "c"]


def test_a_circle_is_named() -> None:
    text = "".join(
        f'[[steps]]\nid = "{name}"\nneeds = ["{needs}"]\n'
        for name, needs in (("a", "b"), ("b", "c"), ("c", "b"))
    )
    found = read_formula(text, "x.toml")
    assert "circle: b → c → b" in lines(found)[0]


def test_a_file_that_is_not_toml_is_listed_with_its_line_and_cannot_run() -> None:
    """Like four of upstream's: a lone backslash in a basic string."""
    text = 'name = "triage"\n[[steps]]\nid = "look"\ntitle = "Look"\ndescription = """\ngrep "\\d+" x\n"""\n'
    text += '[[steps]]\nid = "tell"\nrun = "x"\n'
    found = read_formula(text, "formulas/triage.toml")
    assert found.name == "triage"
    assert [item.id for item in found.steps] == ["look", "tell"]
    assert found.problems[0].line == 6
    assert not found.executable


def test_a_formula_without_a_name_has_its_files() -> None:
    assert read_formula("version = 1", "formulas/groom-backlog.toml").name == "groom-backlog"


@given(st.text(max_size=200))
def test_any_text_is_read_or_told(text: str) -> None:
    found = read_formula(text, "x.toml")
    assert isinstance(found, Formula)


def test_a_variable_that_is_not_given_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("${vars.x}", {})
