"""Fixtures for all tests, and the rule that an engine test is never skipped in silence."""

from __future__ import annotations

import itertools
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.engine import Engine, find_engine, ground_registry
from tests.support.forge_double import ForgeDouble
from tests.support.registries import Registry, open_registry, registry_binary

# One id for labels and project names of this session; xdist workers would have one each.
SESSION = uuid.uuid4().hex[:8]
REQUIRED = os.environ.get("DISINTO_REQUIRE_ENGINE", "") not in ("", "0")

# A shared machine stalls for longer than any deadline that means something. Where a commit is judged the examples
# are the same every time; by hand they are others each time, which is how new ones are found.
settings.register_profile("hand", deadline=None)
settings.register_profile("judged", deadline=None, derandomize=True)
settings.load_profile("judged" if os.environ.get("CI") else "hand")


def pytest_configure() -> None:
    """Ended from outside (a job's time is over), fixtures are torn down as after Ctrl-C: nothing stays behind."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", metavar="DIR", help="files are shared out to all pytests that name this directory"
    )


HEAVY = (
    "test_switch",
    "test_adopt_generations",
    "test_switch_faults",
    "test_release_real_image",
    "test_release_faults",
    "test_switch_odd",
    "test_init_killed",
    "test_release",
    "test_init",
    "test_release_killed",
    "test_lifecycle",
    "test_switch_env",
    "test_adopt",
    "test_sealed_env",
    "test_other_project",
    "test_init_again",
    "test_pin_digest",
    "test_doctor",
)
"""Files that take longest, in that order: begun first, so that all who share them end together."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With `--share` each file goes to whoever is free: as a whole, since its tests share a factory."""
    place = session.config.getoption("--share")
    if place is None or session.testsfailed or session.config.option.collectonly:
        return None
    files: dict[Path, list[pytest.Item]] = {}
    for item in session.items:
        files.setdefault(item.path, []).append(item)

    def weight(path: Path) -> int:
        return HEAVY.index(path.stem) if path.stem in HEAVY else len(HEAVY)

    def claimed(path: Path) -> bool:
        try:
            (Path(place) / "-".join(path.relative_to(session.config.rootpath).parts)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    free = (files[path] for path in sorted(files, key=weight) if claimed(path))
    mine, later = next(free, []), []
    while mine:
        for item, after in itertools.pairwise([*mine, None]):
            # The next file is known when the last test of this one begins: what lasts a session lasts.
            later = next(free, []) if after is None else later
            following = after or (later[0] if later else None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        mine = later
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without an engine its tests are skipped, counted, and named at the end. Last: folders mark first."""
    wanting = [item for item in items if item.get_closest_marker("engine")]
    if not wanting or find_engine(SESSION) is not None:
        return
    for item in wanting:
        item.add_marker(pytest.mark.skip(reason="no Docker Engine answers"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # `keywords` holds the markers; a skip for another reason is not ours to count.
    if report.when == "setup" and report.skipped and "no Docker Engine answers" in str(report.longrepr):
        _Counter.not_run += 1


class _Counter:
    not_run = 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _Counter.not_run and REQUIRED and exitstatus in (0, 5):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _Counter.not_run:
        return
    terminalreporter.section("engine tests", sep="=", red=REQUIRED, yellow=not REQUIRED)
    terminalreporter.line(f"{_Counter.not_run} engine tests did not run: no Docker Engine answers.")
    terminalreporter.line(
        "Bring one up with docker/engine/up.sh docker-registry busybox-static, or run make test."
    )
    if REQUIRED:
        terminalreporter.line("DISINTO_REQUIRE_ENGINE is set: the run has failed.", red=True)


@pytest.fixture
def forge() -> Iterator[ForgeDouble]:
    """A forge on loopback with an admin token and an ordinary one; see tests/support/forge_state.py."""
    with ForgeDouble() as double:
        yield double


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine; its traces of this session are removed at the end."""
    found = find_engine(SESSION)
    if found is None:
        pytest.skip("no Docker Engine answers")
    yield found
    found.sweep()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An open registry on loopback: the ground's own when it is there, else one for this session."""
    address = ground_registry()
    if address:
        yield Registry(address, Path())
        return
    if registry_binary() is None:
        pytest.skip("no Docker Engine answers")  # the ground is missing as a whole
    with open_registry(tmp_path_factory.mktemp("registry")) as own:
        yield own
