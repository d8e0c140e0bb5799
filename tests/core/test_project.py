"""Project files: what is read, and what is said about what is wrong."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.errors import BadInput, ExitCode
from disinto_tui.core.model import Ci, Factory, Images, LocalAgent, Monitoring, Ports, Project
from disinto_tui.core.project import (
    ProjectReading,
    raise_all_problems,
    raise_problems,
    read_project,
    read_projects,
)
from disinto_tui.core.project_sample import render_sample_config
from disinto_tui.core.project_schema import KEYS, key_at
from disinto_tui.core.toml_read import loads

MINIMAL = 'name = "app"\nrepo = "acme/app"\n'


def read(text: str) -> ProjectReading:
    return read_project(textwrap.dedent(text), "app.toml")


def said(text: str, head: str = MINIMAL) -> list[str]:
    """The problems of a file with a sound head, without file names; lines count from the text's first."""
    lines = head.count("\n")
    reading = read_project(head + textwrap.dedent(text), "app.toml")
    return [
        f"{p.severity} {p.line - lines} {p.key}: {p.message}" + (f" ({p.hint})" if p.hint else "")
        for p in reading.problems
    ]


def test_the_smallest_file_is_complete() -> None:
    reading = read(MINIMAL)
    assert reading.problems == ()
    assert reading.project == Project("app", "acme/app", "acme/app-ops")


def test_every_key_is_read() -> None:
    project = raise_problems(
        read("""
        name = "app"
        repo = "acme/app"
        ops_repo = "acme/ops"
        forge_url = "https://forge.example.org/git/"
        repo_root = "/srv/app"
        ops_repo_root = "/srv/ops"
        primary_branch = "trunk"
        [ci]
        woodpecker_repo_id = 7
        stale_minutes = 5
        [services]
        containers = ["web", "db"]
        [monitoring]
        check_prs = false
        check_dev_agent = false
        check_pipeline_stall = true
        [mirrors]
        github = "git@git.example.org:acme/app.git"
        [agents.qwen]
        base_url = "http://10.0.0.5:8081"
        model = "qwen3"
        roles = ["dev", "review"]
        forge_user = "dev-qwen"
        compact_pct = 50
        poll_interval = 30
        [agents.schedule]
        anything = "goes"
        [factory]
        pin_digest = true
        agents_image = "registry.example.org:5000/agents"
        version = "v0.3.0"
        forge = "external"
        project = "acme"
        bind = "127.0.0.1"
        [factory.ports]
        http = 8080
        https = 0
        [factory.images]
        edge = "registry.example.org:5000/edge:v1"
        reproduce = "registry.example.org:5000/reproduce:v1"
        """)
    )
    assert project == Project(
        name="app",
        repo="acme/app",
        ops_repo="acme/ops",
        forge_url="https://forge.example.org/git",
        repo_root="/srv/app",
        ops_repo_root="/srv/ops",
        primary_branch="trunk",
        ci=Ci(7, 5),
        containers=("web", "db"),
        monitoring=Monitoring(False, False, True),
        mirrors={"github": "git@git.example.org:acme/app.git"},
        agents=(
            LocalAgent(
                "qwen",
                "http://10.0.0.5:8081",
                "qwen3",
                roles=("dev", "review"),
                forge_user="dev-qwen",
                compact_pct=50,
                poll_interval=30,
            ),
        ),
        factory=Factory(
            "registry.example.org:5000/agents",
            "v0.3.0",
            "external",
            "acme",
            "127.0.0.1",
            Ports(http=8080, https=0),
            Images(
                edge="registry.example.org:5000/edge:v1", reproduce="registry.example.org:5000/reproduce:v1"
            ),
            pin_digest=True,
        ),
    )


def test_all_problems_at_once_each_with_line_key_and_cure() -> None:
    text = """\
        nam = "x"
        repo = "https://user:t0ps3cret@forge.example.org/acme/app.git"
        primary_branch = 3
        [ci]
        woodpecker_repo_id = "12"
        stale_minuts = 4
        ops_repo = "a/b"
        [agents.Qwen_2]
        base_url = "http://10.0.0.5:80"
        model = "m"
        roles = ["reviewer"]
        [agents."qwen-2"]
        base_url = "http://10.0.0.5:80"
        model = "m"
        [factory]
        agents_image = "ghcr.io/disinto/agents:v1.0.0"
        verison = "v1.0.0"
        [factory.ports]
        http = 3000
        https = true
        """
    reading = read(text)
    assert reading.project is None
    assert [str(problem) for problem in reading.problems] == [
        "app.toml:1: nam: no such key; it is ignored (did you mean name?)",
        'app.toml:1: name: it is missing (add name = "app" at the top)',
        "app.toml:2: repo: the value is not owner/name (write acme/app; the forge's address is forge_url)",
        'app.toml:3: primary_branch: a string is expected, not an integer (write "3" in quotes)',
        "app.toml:5: ci.woodpecker_repo_id: the number stands in quotes (write 12 without quotes)",
        "app.toml:6: ci.stale_minuts: no such key; it is ignored (did you mean stale_minutes?)",
        "app.toml:7: ci.ops_repo: no such key; it is ignored "
        "(it belongs at the top, before the first [table])",
        "app.toml:8: agents.Qwen_2: an agent's name has small letters and digits, with single dashes between "
        "them (name it qwen-2)",
        "app.toml:11: agents.Qwen_2.roles: “reviewer” is no role (did you mean review?)",
        "app.toml:12: agents.qwen-2: it becomes the service agents-qwen-2, and so does [agents.Qwen_2] "
        "(line 8) (rename one)",
        "app.toml:16: factory.agents_image: it names a tag or digest, and each version has its own (write "
        'ghcr.io/disinto/agents and version = "v1.0.0")',
        "app.toml:17: factory.verison: no such key (did you mean version?)",
        "app.toml:19: factory.ports.http: port 3000 is also forge's (give each its own, or 0)",
        "app.toml:20: factory.ports.https: an integer is expected, not a boolean (for example 443)",
    ]
    with pytest.raises(BadInput) as caught:
        raise_problems(reading)
    error = caught.value
    assert (error.code, error.exit_code, len(error.details)) == ("config.invalid", ExitCode.BAD_INPUT, 14)
    assert "t0ps3cret" not in "\n".join((str(error), *error.details))


def test_a_text_that_is_not_toml_has_its_line_and_the_rest_is_still_looked_at() -> None:
    reading = read_project('name = app\nrepo = "acme/app"\n[ci]\nstale_min = 1\n', "app.toml")
    assert [str(problem) for problem in reading.problems] == [
        'app.toml:1: invalid value (put text in quotes: "…")',
        "app.toml:4: ci.stale_min: no such key; it is ignored (did you mean stale_minutes?)",
    ]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('[factory]\nforge = "externel"', "error 2 factory.forge: “externel” is no kind of forge"),
        (
            '[factory]\nproject = "My Factory"',
            "error 2 factory.project: “My Factory” is not a compose project",
        ),
        ('[factory]\nbind = "localhost"', "error 2 factory.bind: “localhost” is not an IP address"),
        ('[factory]\nversion = "0.3.0"', "warning 2 factory.version: “0.3.0” is a tag and no version"),
        ('[factory]\nversion = "latest"', "warning 2 factory.version: “latest” is a tag and no version"),
        ('[factory]\nversion = "v1 "', "error 2 factory.version: “v1 ” can be neither a version nor a tag"),
        ('[factory]\nversion = "v1.0.0+b"', "error 2 factory.version: “v1.0.0+b” can be neither"),
        ('[factory]\nagents_image = "Agents"', "error 2 factory.agents_image: The repository part “Agents”"),
        ('[factory.images]\nedge = "a/b"', "warning 2 factory.images.edge: it has no tag"),
        ('[factory.images]\nforgejo = ""', "error 2 factory.images.forgejo: it is empty"),
        ("[factory.ports]\nci_grpc = 0", "error 2 factory.ports.ci_grpc: 0 is out of range (1 to 65535)"),
        ("[factory.ports]\nhttp = 70000", "error 2 factory.ports.http: 70000 is out of range (0 to 65535)"),
        ("factory = 3", "error 1 factory: a table is expected, not an integer (write it as [factory])"),
        ('[mirrors]\ngit-hub = "git@h:a/b"', "warning 2 mirrors.git-hub: agents skip this mirror"),
        ('[mirrors]\ngh = "https://u:tok@h/a"', "error 2 mirrors.gh: the URL holds a secret"),
        ('[mirrors]\ngh = "https://tok@h/a"', "error 2 mirrors.gh: the URL holds a secret"),
        ('[mirrors]\ngh = "ssh://git:pw@h/a"', "error 2 mirrors.gh: the URL holds a secret"),
        ('[mirrors]\ngh = "h"', "error 2 mirrors.gh: it is not a git URL"),
        (
            '[monitoring]\ncheck_prs = "true"',
            "error 2 monitoring.check_prs: a boolean is expected, not a str",
        ),
        ("[services]\ncontainers = ['a', 1]", "error 2 services.containers: a string is expected here"),
        ('[agents.x]\nmodel = "m"', "warning 1 agents.x: agents ignore this section: it has no base_url"),
        ("[agents.x]", "warning 1 agents.x: agents ignore this section: it has no base_url and no model"),
        ("[agent.x]", "warning 1 agent: no such key; it is ignored (did you mean agents?)"),
    ],
)
def test_what_is_said_about(toml: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in said(toml)), said(toml)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("base_url", '"http://localhost:80"', "warning 4 agents.x.base_url: inside the agent's container"),
        (
            "base_url",
            '"http://u:p@h"',
            "error 4 agents.x.base_url: the address holds a user name or password",
        ),
        ("roles", "[]", "error 4 agents.x.roles: no role, so the agent would do nothing"),
        ("roles", '"dev revew"', "error 4 agents.x.roles: “revew” is no role (did you mean review?)"),
        (
            "forge_user",
            '"dev-bot"',
            "warning 4 agents.x.forge_user: dev-bot is one of the factory's own bots",
        ),
        ("forge_user", '"a.b"', "error 4 agents.x.forge_user: “a.b” has other characters"),
        ("api_key", '"sk-real"', "warning 4 agents.x.api_key: a key in this file can be read by every agent"),
        ("compact_pct", "0", "error 4 agents.x.compact_pct: 0 is out of range (1 to 100)"),
        ("poll_interval", "0", "error 4 agents.x.poll_interval: 0 is out of range (1 or more)"),
        ("model", '"a\\nb"', "error 4 agents.x.model: it has characters that cannot be printed"),
    ],
)
def test_what_is_said_about_an_agents(key: str, value: str, problem: str) -> None:
    others = {"base_url": '"http://10.0.0.5"', "model": '"m"', "roles": '["dev"]'}
    others.pop(key, None)
    lines = [*list(others.items())[:2], (key, value)]
    text = "[agents.x]\n" + "".join(f"{name} = {shown}\n" for name, shown in lines)
    assert any(line.startswith(problem) for line in said(text)), said(text)
    assert "sk-real" not in "\n".join(said(text))


@pytest.mark.parametrize(
    ("url", "factory", "problem"),
    [
        ("http://localhost", "", "warning"),  # no port means 80, and nothing answers there
        ("http://localhost:3000", "", ""),
        ("http://localhost:3100", "", ""),  # publishes the forge there
        ("http://localhost:3100", "[factory.ports]\nforge = 3000", "warning"),
        ("https://localhost:3000", "", "warning"),
        ("http://forge.example.org", "", ""),
        ("ftp://x", "", "error"),
        ("localhost:3000", "", "error"),
        ("http://u:p@localhost:3000", "", "error"),
        ("http://h:99999", "", "error"),
        ("http://h/?a=b", "", "error"),
        ("http://localhost:3000", '[factory]\nforge = "external"', "warning"),
        ("https://forge.example.org", '[factory]\nforge = "external"', ""),
        ("https://[::1]:3", '[factory]\nforge = "external"', "warning"),
    ],
)
def test_the_forges_address(url: str, factory: str, problem: str) -> None:
    reading = read_project(f'{MINIMAL}forge_url = "{url}"\n{factory}\n', "app.toml")
    assert [p.severity for p in reading.problems] == ([problem] if problem else []), reading.problems


def test_the_bundled_forge_is_published_where_its_address_says() -> None:
    project = raise_problems(read_project(f'{MINIMAL}forge_url = "http://localhost:3100"\n', "a.toml"))
    assert project.factory.ports.forge == 3100
    without_port = read_project(f'{MINIMAL}forge_url = "http://localhost"\n', "a.toml").project
    assert without_port is not None
    assert without_port.factory.ports.forge == 3000


def test_an_external_forge_needs_an_address() -> None:
    assert said('[factory]\nforge = "external"') == [
        'error 2 forge_url: an external forge needs its address (add forge_url = "https://…" at the top)'
    ]


def test_roles_may_be_one_text() -> None:
    text = f'{MINIMAL}[agents.x]\nbase_url = "http://h"\nmodel = "m"\nroles = "dev, review"\n'
    assert raise_problems(read_project(text, "a.toml")).agents[0].roles == ("dev", "review")


def test_an_agents_key_is_not_shown_by_accident() -> None:
    assert "sk-real" not in repr(LocalAgent("x", "http://h", "m", "sk-real"))


def test_agents_that_would_share_a_token() -> None:
    two = """
        [agents.a]
        base_url = "http://h"
        model = "m"
        forge_user = "x-y"
        [agents.b]
        base_url = "http://h"
        model = "m"
        forge_user = "{}"
        """
    assert said(two.format("x_y")) == [
        "error 6 agents.b: its token is FORGE_TOKEN_X_Y, and so is that of [agents.a] (line 4) "
        "(rename one forge_user)"
    ]
    assert said(two.format("x-y")) == [
        "warning 6 agents.b: it acts as x-y, and so does [agents.a] (line 4) "
        "(give each a forge_user of its own)"
    ]


AGENT = '[agents.qwen]\nbase_url = "http://h"\nmodel = "m"\n'


def test_files_of_one_instance_are_checked_against_each_other() -> None:
    one = f'name = "app"\nrepo = "acme/app"\n{AGENT}[factory]\nversion = "v1.0.0"\n'
    two = f'name = "App"\nrepo = "acme/app"\n{AGENT}[factory]\nversion = "v2.0.0"\n'
    reading = read_projects([("one.toml", one), ("two.toml", two)])
    assert reading.projects == ()
    assert [str(problem) for problem in reading.problems] == [
        "two.toml:1: name: one.toml has a project of that name too",
        "two.toml:2: repo: one.toml works on this repository too (agents would do the same work twice)",
        "two.toml:3: agents.qwen: it becomes the service agents-qwen, and so does [agents.qwen] of one.toml "
        "(line 3) (rename one)",
        "two.toml:6: factory: one.toml has a [factory] table too, and an instance has one "
        "(keep it in one file)",
    ]
    with pytest.raises(BadInput, match="cannot be used"):
        raise_all_problems(reading)


def test_the_carrier_of_the_factory_comes_first_then_names_in_order() -> None:
    files = [
        ("zoo.toml", 'name = "zoo"\nrepo = "a/zoo"\n[factory]\nproject = "farm"\n'),
        ("bee.toml", 'name = "bee"\nrepo = "a/bee"\n'),
        ("ant.toml", 'name = "ant"\nrepo = "a/ant"\n'),
    ]
    projects = raise_all_problems(read_projects(files))
    assert [project.name for project in projects] == ["zoo", "ant", "bee"]
    assert {project.factory.project for project in projects} == {"farm"}


def test_projects_on_different_external_forges_cannot_share_an_instance() -> None:
    factory = '[factory]\nforge = "external"\n'
    one = f'name = "a"\nrepo = "x/a"\nforge_url = "https://one.example.org"\n{factory}'
    two = 'name = "b"\nrepo = "x/b"\nforge_url = "https://two.example.org"\n'
    reading = read_projects([("a.toml", one), ("b.toml", two)])
    assert [problem.key for problem in reading.errors] == ["forge_url"]
    missing = read_projects([("a.toml", one), ("b.toml", 'name = "b"\nrepo = "x/b"\n')])
    assert [problem.message for problem in missing.errors] == ["an external forge needs its address"]


def test_the_schema_and_the_model_agree_on_defaults() -> None:
    project = Project("app", "acme/app", "acme/app-ops")
    parts: dict[tuple[str, ...], object] = {
        (): project,
        ("ci",): project.ci,
        ("monitoring",): project.monitoring,
        ("agents", "*"): LocalAgent("x", "http://h", "m"),
        ("factory",): project.factory,
        ("factory", "ports"): project.factory.ports,
        ("factory", "images"): project.factory.images,
    }
    for key in KEYS:
        if key.default and key.path[:-1] in parts:
            value = getattr(parts[key.path[:-1]], key.path[-1])
            expected = loads(f"k = {key.default}")["k"]
            assert value == (tuple(expected) if isinstance(expected, list) else expected), key.name


def test_the_sample_is_valid_as_it_is_and_with_every_key_set() -> None:
    sample = render_sample_config()
    reading = read_project(sample, "sample.toml")
    assert reading.problems == ()
    assert max(len(line) for line in sample.splitlines() if line.startswith("# ")) <= 74, "in 80 columns"
    everything = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in sample.split("\n")
    )
    full = read_project(everything, "sample.toml")
    assert full.problems == ()
    assert [agent.name for agent in full.project.agents if full.project] == ["qwen"]  # type: ignore[union-attr]
    for key in KEYS:
        name = "github" if key.path[-1] == "*" else key.path[-1]
        assert f"{name} = " in sample


def test_the_sample_takes_values() -> None:
    text = render_sample_config(
        name="zoo",
        repo="a/zoo",
        values={"factory.version": "v1.0.0", "factory.ports.http": 8080, "ci.stale_minutes": 3},
    )
    project = raise_problems(read_project(text, "sample.toml"))
    assert (project.name, project.factory.version, project.factory.ports.http) == ("zoo", "v1.0.0", 8080)
    with pytest.raises(KeyError):
        render_sample_config(values={"factory.verison": "v1"})


JSON = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-5, 70000), st.text('ab./:@-$ é"\\\n', max_size=8), st.just("v1.0.0")
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)


@given(st.dictionaries(st.sampled_from([key.path for key in KEYS]), JSON))
def test_whatever_stands_in_a_file_it_is_read_to_the_end(values: dict[tuple[str, ...], object]) -> None:
    tables: dict[str, list[str]] = {"": []}
    for path, value in values.items():
        named = ["x1" if part == "*" else part for part in path]
        tables.setdefault(".".join(named[:-1]), []).append(f"{named[-1]} = {toml(value)}")
        assert key_at(tuple(named)) is not None
    text = "".join(
        (f"[{table}]\n" if table else "") + "".join(f"{line}\n" for line in lines)
        for table, lines in tables.items()
    )
    reading = read_project(text, "any.toml")
    assert (reading.project is None) == bool(reading.errors)
    count = text.count("\n") + 1
    assert all(1 <= problem.line <= count and problem.message for problem in reading.problems)
