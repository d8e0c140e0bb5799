"""The wheel, installed where there is no checkout: everything it needs is in it. And the lock behind it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from disinto_tui import __version__
from tests.support.engine import ROOT
from tests.test_repository import FILES, PACKAGE_HOSTS, TEXTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ("formulas", "docker", "templates", "docs")
DATA = "disinto_tui/_data"


def run(*argv: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A child that knows of no checkout: no PYTHONPATH, no activated environment, a home of its own."""
    unset = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DISINTO_DIR", "AGENTS_IMAGE", "FORGE_TOKEN")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**kept, "HOME": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def done(*argv: str | Path, cwd: Path) -> str:
    ended = run(*argv, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what git has: a file that was only forgotten here is missing there too."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FILES:
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    out = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=tree)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """`bin/` of a fresh environment with the wheel in it. Its dependencies are those of this one."""
    where = tmp_path_factory.mktemp("installed")
    done(sys.executable, "-m", "venv", "--without-pip", where / "venv", cwd=where)
    python = where / "venv" / "bin" / "python"
    flags = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    done(sys.executable, "-m", "pip", "--python", python, "install", *flags, wheel, cwd=where)
    site = done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=where).strip()
    # Directories named in a .pth are searched, but the .pth files in them (our checkout) are not read.
    others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (Path(site) / "dependencies.pth").write_text("\n".join(others) + "\n")
    return python.parent


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.slow
def test_the_wheel_carries_what_is_shipped(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {info.filename: info for info in archive.infolist()}
    wanted = {
        f"{DATA}/{name}": name for name in FILES if name.startswith(tuple(f"{one}/" for one in SHIPPED))
    }
    assert {name for name in packed if name.startswith(DATA)} == set(wanted)
    for inside, name in wanted.items():
        assert packed[inside].file_size == (ROOT / name).stat().st_size
        if os.access(ROOT / name, os.X_OK):
            assert packed[inside].external_attr >> 16 & 0o111, f"{inside} has lost its executable bit"
    assert {name for name in FILES if name.startswith("disinto_tui/")} <= set(packed)
    tops = {name.partition("/")[0] for name in packed}
    assert tops == {"disinto_tui", f"disinto_tui-{__version__}.dist-info"}, "no tests, no bench"


@pytest.mark.slow
def test_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = f"disinto_tui-{__version__}.dist-info"
        metadata = archive.read(f"{inside}/METADATA").decode()
        entries = archive.read(f"{inside}/entry_points.txt").decode()
    assert "Requires-Python: >=3.10" in metadata
    assert "\nName: disinto-tui\n" in metadata
    for command in ("disinto", "disinto-tui"):
        assert f"{command} = disinto_tui.cli.entry:main" in entries


@pytest.mark.slow
@pytest.mark.parametrize("command", ["disinto", "disinto-tui"])
def test_it_runs_with_no_checkout(bin: Path, empty: Path, command: str) -> None:
    assert done(bin / command, "--version", cwd=empty) == f"disinto, version {__version__}\n"
    assert "Commands:" in done(bin / command, "--help", cwd=empty)
    assert list(empty.iterdir()) == [], "asking changes nothing"


@pytest.mark.slow
def test_its_sample_is_a_config_file(bin: Path, empty: Path) -> None:
    sample = done(bin / "disinto", "init", "--sample", cwd=empty)
    assert tomllib.loads(sample)["repo"] == "acme/app"


@pytest.mark.slow
def test_its_pages_are_shown(bin: Path, empty: Path) -> None:
    pages = {Path(name).stem: name for name in FILES if re.fullmatch(r"docs/[\w-]+\.md", name)}
    listed = done(bin / "disinto", "docs", cwd=empty).splitlines()
    assert {line.split()[0] for line in listed} == set(pages)
    assert done(bin / "disinto", "docs", "versions", cwd=empty) == (ROOT / pages["versions"]).read_text()


@pytest.mark.slow
def test_resources_come_from_the_wheel(bin: Path, empty: Path) -> None:
    """Every shipped file is found below the installed package, and is what git has."""
    names = [name for name in FILES if name.startswith(tuple(f"{one}/" for one in SHIPPED))]
    ask = (
        "import sys\n"
        "from disinto_tui.adapters.resources import resource\n"
        "for name in sys.argv[1:]: print(resource(*name.split('/')))\n"
    )
    found = [Path(line) for line in done(bin / "python", "-c", ask, *names, cwd=empty).splitlines()]
    assert len(found) == len(names) > 0
    for name, path in zip(names, found, strict=True):
        assert bin.parent in path.parents
        assert path.read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.slow
def test_every_module_can_be_imported(bin: Path, empty: Path) -> None:
    """Nothing in the package needs the tests, the bench or a development tool."""
    ask = (
        "import importlib, pkgutil, sys, disinto_tui\n"
        "for module in pkgutil.walk_packages(disinto_tui.__path__, 'disinto_tui.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(disinto_tui.__file__)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    where, loaded = done(bin / "python", "-c", ask, cwd=empty).splitlines()
    assert bin.parent in Path(where).parents
    assert {"tests", "bench", "pytest", "hypothesis", "hatchling"} & set(loaded.split()) == set()


# --- the lock ------------------------------------------------------------------------------------

LOCK = TEXTS["requirements.lock"]
PROJECT = tomllib.loads(TEXTS["pyproject.toml"])


def plain(name: str) -> str:
    """A distribution's name as the packaging specifications compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", name.strip())[0]).lower()


def locked() -> dict[str, str]:
    return {plain(name): version for name, version in re.findall(r"^(\S+?)==(\S+)", LOCK, re.MULTILINE)}


def test_the_lock_names_no_index() -> None:
    assert not re.search(r"https?:|file:|--(?:extra-)?index-url|--find-links|--trusted-host", LOCK)
    assert not any(host in LOCK for host in PACKAGE_HOSTS)


def test_the_lock_covers_what_is_asked_for() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    wanted += PROJECT["build-system"]["requires"]
    assert {plain(one) for one in wanted} - set(locked()) == set()


def test_the_lock_has_a_version_and_hashes_for_each() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert [entry.split("\n")[0] for entry in entries if "==" not in entry.split("\n")[0]] == []
    assert [entry.split("\n")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_covers_what_those_need() -> None:
    """Every requirement of every locked distribution that is installed here, extras aside."""
    from importlib.metadata import distributions

    missing = {}
    for distribution in distributions():
        name = plain(distribution.metadata["Name"])
        if name not in locked():
            continue
        needed = [one for one in distribution.requires or () if "extra ==" not in one]
        # A marker for another system or another Python is not ours to judge.
        absent = {plain(one) for one in needed if ";" not in one} - set(locked())
        if absent:
            missing[name] = absent
    assert missing == {}


def test_what_is_installed_here_is_what_is_locked() -> None:
    from importlib.metadata import distributions

    here = {plain(one.metadata["Name"]): one.version for one in distributions()}
    wanted = locked()
    assert {name: at for name, at in here.items() if name in wanted and wanted[name] != at} == {}


def test_a_c_interface_has_an_upper_bound() -> None:
    """And so has everything else that is shipped: a new major version is a decision."""
    assert [one for one in PROJECT["project"]["dependencies"] if "<" not in one.partition(";")[0]] == []
