"""Every page of the documentation: what it names is there, and what it tells to type can be typed."""

from __future__ import annotations

import fnmatch
import re
from functools import cache
from pathlib import PurePosixPath

import pytest

from disinto_tui.cli.docs import pages as topics
from disinto_tui.core.env_schema import NEVER_WRITTEN, SECTIONS
from disinto_tui.core.errors import ExitCode
from disinto_tui.core.formula_schema import BUILT_IN, CONTEXT, STEP, TOP, VARIABLE
from disinto_tui.core.lineage import LEGACY
from disinto_tui.core.project import read_project
from disinto_tui.core.project_schema import KEYS, TABLES
from disinto_tui.core.settings_schema import SHELL, UI_SETTINGS
from disinto_tui.runs.doctor import CHECKS
from disinto_tui.tui.actions import ACTIONS
from tests.support.pages import PAGES, ROOT, Page, calls, commands_in, options, read, wrong_with
from tests.test_repository import FILES, TEXTS

every_page = pytest.mark.parametrize("name", PAGES)


@cache
def page(name: str) -> Page:
    return read(name)


def test_there_is_a_page_for_each_task() -> None:
    wanted = {"bootstrap", "configuration", "versions", "releases", "credentials", "adopt", "troubleshooting"}
    wanted |= {"formulas", "architecture", "security", "operating", "keys", "from-build", "from-image-tag"}
    assert {PurePosixPath(name).stem for name in PAGES if name.startswith("docs/")} == wanted


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in page("README.md").links}
    assert {name for name in PAGES if name.startswith("docs/")} <= linked


@every_page
def test_a_page_has_one_heading_and_lines_that_can_be_read(name: str) -> None:
    found = page(name)
    assert found.text.startswith("# ")
    assert len(re.findall(r"^# ", found.outside_blocks, flags=re.MULTILINE)) == 1
    assert found.text.count("\n```") % 2 == 0
    long = [line for line in found.text.splitlines() if len(line) > 125 and not line.startswith(("|", "!["))]
    assert long == []


# -- commands ------------------------------------------------------------------------------------------------------


@every_page
def test_every_command_line_is_one_that_the_parser_takes(name: str) -> None:
    wrong = {
        f"{name}:{line}: disinto {' '.join(words)}: {why}"
        for line, words, whole in calls(page(name))
        if (why := wrong_with(words, whole=whole))
    }
    assert wrong == set()


@every_page
def test_every_option_that_is_named_is_there(name: str) -> None:
    """Inline code that is an option alone, with its value or without."""
    named = {
        (one.line, found[0])
        for one in page(name).inline
        if (found := re.match(r"--[a-z][a-z-]*", one.text)) is not None
    }
    of_others = {"--wait", "--env-file", "--entrypoint", "--profile"}  # Compose's and Docker's own
    if name == "docs/architecture.md":  # contributors are told those of the scripts, too
        scripts = [
            TEXTS[file] for file in FILES if file.startswith(("scripts/", "docker/", "tests/conftest"))
        ]
        of_others |= {option for text in scripts for option in re.findall(r"--[a-z][a-z-]*", text)}
    assert {(line, option) for line, option in named if option not in options() | of_others} == set()


@every_page
def test_checks_topics_and_formulas_that_are_named_are_there(name: str) -> None:
    checks, pages_ = {check.id for check in CHECKS}, set(topics())
    wrong = []
    for line, words, _ in calls(page(name)):
        plain = [word for word in words[1:] if not word.startswith("-") and word.upper() != word]
        known = {"doctor": checks, "docs": pages_}.get(words[0] if words else "")
        wrong += [f"{name}:{line}: {word}" for word in plain if known is not None and word not in known]
    assert wrong == []


@every_page
def test_make_targets_are_there(name: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", TEXTS["Makefile"], re.MULTILINE))
    lines = [one.text for one in page(name).code]
    named = {found for line in lines for found in re.findall(r"^make ([a-z][a-z-]*)", line)}
    assert named - targets == set()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("disinto init --sample > acme.toml", [""]),
        ("disinto init acme.toml   # and so on", [""]),
        ("AGENTS_IMAGE=v0.1.1 disinto up", [""]),
        ("disinto --dir X status --json", [""]),
        ("… | disinto credentials --secret-stdin NAME", [""]),
        ("disinto resume [--undo]", ["", ""]),
        ("disinto logs [SERVICE…] [--tail 5]", [""] * 4),
        ("disinto", [""]),
        ("disinto use", ["Missing argument 'VERSION'."]),
        ("disinto initt", ["There is no command initt."]),
        ("disinto up --undo", ["--undo"]),
        ("disinto up extra", ["Got unexpected extra argument"]),
        ("disinto logs --tail many", ["many"]),
        ("disinto up && disinto down", ["", ""]),
    ],
)
def test_how_a_command_line_is_judged(line: str, wrong: list[str]) -> None:
    found = [wrong_with(words) for words in commands_in(line)]
    assert len(found) == len(wrong)
    for said, expected in zip(found, wrong, strict=True):
        assert (expected in said) if expected else said == ""


def test_the_number_of_checks_is_as_told() -> None:
    assert len(CHECKS) == 20
    assert "It looks at twenty things at once" in page("docs/troubleshooting.md").text


# -- links and files -----------------------------------------------------------------------------------------------


@every_page
def test_links_and_anchors_lead_somewhere(name: str) -> None:
    wrong = []
    for link in page(name).links:
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = ((ROOT / name).parent / target if target else ROOT / name).resolve()
        if not path.exists() or (anchor and anchor not in read(str(path.relative_to(ROOT))).anchors):
            wrong.append(link)
    assert wrong == []


OF_A_FACTORY = re.compile(
    r"\.?/?(?:\.disinto|\.git|projects|state|secrets|site|vault|release|adopted|disinto(?:-kept)?|owner|sops|plugins"
    r"|lib|cache/<repo>|runs/<id>)/.*|docker/Caddyfile|formulas/\*\.toml"
)
"""Paths of a factory's directory, of upstream's repository, or names of images: nothing that this one has."""


TOPS = {part for file in FILES for part in PurePosixPath(file.removeprefix("disinto_tui/")).parts[:1]}


PLACES = {f"/{one}" for file in FILES for one in (file, *map(str, PurePosixPath(file).parents))}
"""Every file and directory of the repository."""


def paths(name: str) -> set[str]:
    """Inline code of a page that is a path in this repository: it begins or ends like one."""
    found = set()
    for one in page(name).inline:
        text = one.text.partition("::")[0]
        if not re.fullmatch(r"[\w.][\w.*-]*(?:/[\w.*<>-]+)+/?|[\w-]+/", text) or OF_A_FACTORY.fullmatch(text):
            continue
        if text.partition("/")[0] in TOPS or re.search(r"\.(?:py|md|toml|sh|json)$", text):
            found.add(text)
    return found


@every_page
def test_files_of_the_repository_that_are_named_are_there(name: str) -> None:
    """By their path in it, or in the package."""
    gone = {text for text in paths(name) if not fnmatch.filter(PLACES, f"*/{text.rstrip('/')}")}
    assert gone == set()


# -- exit codes ----------------------------------------------------------------------------------------------------

CODES = {int(code) for code in ExitCode}


@every_page
def test_exit_codes_that_are_named_are_there(name: str) -> None:
    found = page(name)
    named = {int(code) for code in re.findall(r"[Ee]xit codes? (\d+)", found.prose)}
    for table in found.tables:
        if re.search(r"\b(?:exit )?code\b", table[0][0]):
            named |= {int(row[0]) for row in table[1:]}
    assert named <= CODES


def test_the_table_of_exit_codes_is_whole() -> None:
    tables = [table for table in page("docs/operating.md").tables if table[0] == ["code", "meaning"]]
    assert [{int(row[0]) for row in table[1:]} for table in tables] == [CODES]


# -- keys and variables --------------------------------------------------------------------------------------------

VARIABLES = {variable.name for section in SECTIONS for variable in section.variables}
VARIABLES |= {variable.name for variable in NEVER_WRITTEN} | set(LEGACY)
VARIABLES |= {name for group in SHELL for variable in group.variables for name in variable.names}
PATTERNS = [
    re.compile(re.sub(r"<\w+>", "[A-Z0-9_<>]+", name).replace("*", "[A-Z0-9_]+")) for name in VARIABLES
]


@cache
def code_words() -> frozenset[str]:
    """Every name and every word in the texts of the code, of the scripts and of what is shipped beside them."""
    words: set[str] = set()
    for file, text in TEXTS.items():
        if file.startswith(
            ("disinto_tui/", "docker/", "templates/", "scripts/", "formulas/", "bench/", ".ci/")
        ):
            words |= set(re.findall(r"\w+", text)) if not file.endswith(".md") else set()
    return frozenset(words)


@every_page
def test_variables_that_are_named_are_there(name: str) -> None:
    """Documented in the reference, or in the code, the scripts, the images."""
    named = {
        found
        for one in page(name).code
        if one.language != "toml"
        for found in re.findall(r"(?<![\w$])_?[A-Z][A-Z0-9]*(?:_(?:[A-Z0-9]+|<\w+>))+", one.text)
    }
    known = code_words()
    wrong = {one for one in named if one not in known and not any(p.fullmatch(one) for p in PATTERNS)}
    assert wrong == set()


TABLE_NAMES = {".".join(part for part in table.path) for table in TABLES} | {"agents.schedule"}
KEY_NAMES = {key.path[-1] for key in KEYS} | {*TOP, *CONTEXT, *VARIABLE, *STEP, *UI_SETTINGS}
KEY_NAMES |= {name for operation in BUILT_IN.values() for name in operation.parameters}


@every_page
def test_tables_and_keys_that_are_named_are_there(name: str) -> None:
    wrong = []
    for one in page(name).inline:
        table = re.fullmatch(r"\[{1,2}([a-z_.]+(?:\.(?:<?\w+>?|\*))?)\]{1,2}", one.text)
        if table:
            path = re.sub(r"\.(?:<\w+>|NAME)$", ".*", table[1])
            if path not in TABLE_NAMES | {"vars.*", "context", "steps", "steps.with", "redacted"}:
                wrong.append(one)
        setting = re.fullmatch(r'([a-z_]+) = (?:".*"|true|false|\d+|\[.*\]|\{.*\})', one.text)
        if setting and setting[1] not in KEY_NAMES | {"github"}:  # a mirror's name is anybody's
            wrong.append(one)
        word = re.fullmatch(r"[a-z]+(?:_[a-z]+)+", one.text)
        known = KEY_NAMES | code_words() | {"start_interval"}  # Compose's own
        if word and one.text not in known:
            wrong.append(one)
    assert wrong == []


@every_page
def test_actions_that_are_named_are_there(name: str) -> None:
    scopes = {action.scope for action in ACTIONS.values()}
    named = {
        found
        for one in page(name).code
        for found in re.findall(r'^"?([a-z]+\.[a-z_]+)"?(?: = "[^"]*")?$', one.text)
        if found.partition(".")[0] in scopes and found.partition(".")[2] not in ("toml", "py", "md", "json")
    }
    assert named <= set(ACTIONS)


@every_page
def test_project_files_that_are_shown_are_ones(name: str) -> None:
    """TOML with a `repo` or a `[factory]` in it; formulas have a test of their own."""
    for block in page(name).blocks("toml"):
        if re.search(r"^repo =|^\[factory", block, flags=re.MULTILINE):
            head = "" if "name =" in block else 'name = "app"\nrepo = "acme/app"\n'
            assert [str(problem) for problem in read_project(head + block, "shown.toml").errors] == []


def test_symbols_of_the_architecture_are_in_the_code() -> None:
    """Inline code with a capital first (`StackInputs`), or with a dot (`Step.atomic`), names something there is."""
    known = code_words()
    for one in page("docs/architecture.md").inline:
        found = re.fullmatch(r"([A-Z][a-z]+(?:[A-Z][a-z]+)*)(?:\.(\w+))?", one.text)
        if found:
            assert found[1] in known and found[2] in {None, *known}, one
