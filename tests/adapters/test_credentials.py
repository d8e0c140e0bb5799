"""Finding a credential: which place wins, what each place says when it cannot give it, and that no disk sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from disinto_tui.adapters import keyring
from disinto_tui.adapters.age import decrypt_command
from disinto_tui.adapters.credentials import CredentialFinder, Held
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.redact import Secret
from tests.support import sealed
from tests.support.keyring_double import Keyring, install

NASTY = "gh/p+to=ken%41 with blanks"
NAME = "GITHUB_TOKEN"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """A keyring that answers and is empty."""
    made = install(tmp_path / "home")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    made = tmp_path / "factory"
    (made / "secrets").mkdir(parents=True)
    return made


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The real age, with a key of its own where it looks for one."""
    if shutil.which("age") is None:
        pytest.skip(
            "no Docker Engine answers"
        )  # the ground is missing as a whole: up.sh installs age with it
    key = tmp_path / "keys.txt"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))
    monkeypatch.delenv("SOPS_AGE_KEY", raising=False)
    return key


def encrypt(key: Path, value: str, path: Path, *options: str) -> None:
    to = subprocess.run(
        ["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["age", *options, "-r", to, "-o", str(path)], input=value.encode(), check=True)


async def find(
    factory: Path, *, given: dict[str, str] | None = None, env: dict[str, str] | None = None
) -> tuple[Held | None, CredentialFinder]:
    finder = CredentialFinder(factory, given or {}, env or {})
    return await finder.find(NAME), finder


async def trouble(factory: Path) -> DisintoError:
    """The one trouble with a credential that is there and cannot be had; it names no part of the secret."""
    held, finder = await find(factory)
    assert held is None
    error = finder.unusable(NAME)
    assert error is not None
    assert "gh/p" not in f"{error} {error.details}"
    return error


# -- precedence --------------------------------------------------------------------------------------------------


async def test_the_first_place_that_has_it_wins(factory: Path, ring: Keyring, age: Path) -> None:
    given, env = {NAME: "handed-over"}, {NAME: "of-the-shell"}
    ring.hold({NAME: "of-the-keyring"})
    encrypt(age, "of-the-file", factory / "secrets" / f"{NAME}.enc")
    found = [
        (await find(factory, given=given, env=env))[0],
        (await find(factory, env=env))[0],
        (await find(factory))[0],
    ]
    ring.hold({})
    found.append((await find(factory))[0])
    assert [(item.source, item.value.reveal()) for item in found if item] == [
        ("handed over", "handed-over"),
        ("environment", "of-the-shell"),
        ("keyring", "of-the-keyring"),
        ("file", "of-the-file"),
    ]
    last = found[-1]
    assert last is not None and last.place == f"secrets/{NAME}.enc (age)"
    assert "of-the-file" not in repr(last)
    (factory / "secrets" / f"{NAME}.enc").unlink()
    held, finder = await find(factory)
    assert (held, finder.unusable(NAME), finder.troubles(NAME)) == (None, None, ())


async def test_each_place_is_asked_once_for_a_name(factory: Path, ring: Keyring) -> None:
    ring.hold({NAME: NASTY})
    finder = CredentialFinder(factory, {}, {})
    assert await finder.find(NAME) is await finder.find(NAME)
    assert len(ring.calls) == 1
    assert not any(NASTY in word for call in ring.calls for word in call)


async def test_a_runs_own_process_looks_nowhere(factory: Path, ring: Keyring) -> None:
    ring.hold({NAME: NASTY})
    finder = CredentialFinder(factory, {"OTHER": NASTY}, {NAME: NASTY}, only_given=True)
    assert await finder.find(NAME) is None
    held = await finder.find("OTHER")
    assert held is not None and held.value.reveal() == NASTY
    assert ring.calls == []


@pytest.mark.parametrize("name", ["", "../x", "a b", "1ST", "X" * 200, "TOKEN\n", "é"])
async def test_what_is_no_name_is_no_path(factory: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        await CredentialFinder(factory).find(name)
    assert caught.value.code == "credential.name"


@pytest.mark.parametrize("value", ["two\nlines", "bell\a12", "abc"])
async def test_a_value_that_cannot_be_one_is_said_and_not_passed_over(
    factory: Path, ring: Keyring, value: str
) -> None:
    ring.hold({NAME: NASTY})
    held, finder = await find(factory, env={NAME: value})
    error = finder.unusable(NAME)
    assert held is None and error is not None
    assert error.code == "credential.value"
    assert value not in str(error)
    with pytest.raises(BadInput):
        await find(factory, given={NAME: value})


async def test_white_space_around_a_value_is_not_part_of_it(factory: Path) -> None:
    held, _ = await find(factory, env={NAME: f" {NASTY}\r\n"})
    assert held is not None and held.value == Secret(NASTY)


# -- the keyring -------------------------------------------------------------------------------------------------


async def test_a_value_of_the_keyring_is_what_was_stored(ring: Keyring) -> None:
    ring.hold({NAME: NASTY})
    assert await keyring.lookup(NAME) == Secret(NASTY)
    assert await keyring.lookup("ANOTHER") is None


async def test_a_locked_keyring_is_said_at_once(factory: Path, ring: Keyring) -> None:
    ring.hold({NAME: NASTY}, locked=True)
    error = await trouble(factory)
    assert error.code == "keyring.locked"
    assert "Unlock it" in error.now


async def test_a_keyring_that_is_locked_does_not_hide_a_file(factory: Path, ring: Keyring, age: Path) -> None:
    ring.hold({NAME: "x" * 8}, locked=True)
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc")
    held, _ = await find(factory)
    assert held is not None and held.source == "file"


async def test_an_absent_keyring_is_one_sentence_and_nothing_more(
    factory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    held, finder = await find(factory)
    assert held is None
    assert [error.code for error in finder.troubles(NAME)] == ["keyring.missing"]
    assert finder.unusable(NAME) is None


async def test_a_session_without_a_keyring(factory: Path, ring: Keyring) -> None:
    ring.hold({NAME: NASTY}, state="no bus")
    finder = CredentialFinder(factory, {}, {})
    assert [await finder.find(name) for name in (NAME, "B_TOKEN", "C_TOKEN")] == [None, None, None]
    assert [error.code for error in finder.troubles("C_TOKEN")] == ["keyring.none"]
    assert "D-Bus" in finder.troubles(NAME)[0].why
    assert len(ring.calls) == 1  # it is found out once


async def test_a_keyring_that_never_answers_is_given_up(
    factory: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "_SECONDS", 0.3)
    ring.hold({NAME: NASTY}, state="silent")
    finder = CredentialFinder(factory, {}, {})
    assert await finder.find(NAME) is None
    assert [error.code for error in finder.troubles(NAME)] == ["keyring.timeout"]
    assert await finder.find("B_TOKEN") is None
    assert len(ring.calls) == 1


async def test_a_value_of_several_lines_in_the_keyring(factory: Path, ring: Keyring) -> None:
    ring.hold({NAME: "first\nsecond"})
    assert (await trouble(factory)).code == "keyring.value"


REAL = all(map(shutil.which, ("secret-tool", "gnome-keyring-daemon", "dbus-run-session", "dbus-send")))
LOOK = f"""
import asyncio
from disinto_tui.adapters.keyring import lookup
from disinto_tui.core.errors import DisintoError

async def main():
    for name in ({NAME!r}, "NOT_THERE"):
        try:
            found = await lookup(name)
            print(None if found is None else found.reveal())
        except DisintoError as error:
            print(error.code)

asyncio.run(main())
"""
"""What the keyring says of an entry that is there and of one that is not."""
STORE = f"secret-tool store --label=x service disinto username {NAME}"
LOCK = (
    "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets "
    "org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null"
)


@pytest.mark.parametrize("kind", ["double", *(["gnome-keyring"] if REAL else [])])
def test_open_and_locked_the_double_says_what_a_real_keyring_says(tmp_path: Path, kind: str) -> None:
    """The real one, where it is installed, in a session bus of its own: its commands are this page's and docs'."""
    ring = install(tmp_path / "double")
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "run").mkdir(mode=0o700)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    env |= {"VALUE": NASTY, "PYTHONPATH": str(Path(__file__).parents[2])}
    look = f"{sys.executable} {tmp_path / 'look.py'}"
    if kind == "double":
        said = []
        for locked in (False, True):
            ring.hold({NAME: NASTY}, locked=locked)
            said += subprocess.check_output(
                look.split(), text=True, env={**env, "PATH": ring.path}
            ).splitlines()
    else:
        script = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1\n"
        script += f"until printf '%s' \"$VALUE\" | {STORE}; do :; done\n{look}\n{LOCK}\n{look}\n"
        argv = ["dbus-run-session", "--", "timeout", "20", "bash", "-c", script]
        said = subprocess.check_output(argv, text=True, env=env, stderr=subprocess.DEVNULL).splitlines()
    assert said == [NASTY, "None", "keyring.locked", "None"]


# -- files of age ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--armor",)])
async def test_a_file_of_age(factory: Path, ring: Keyring, age: Path, options: tuple[str, ...]) -> None:
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc", *options)
    held, _ = await find(factory)
    assert held is not None and held.value.reveal() == NASTY
    for path in factory.parent.rglob("*"):
        assert not path.is_file() or b"gh/p" not in path.read_bytes(), path


async def test_a_key_in_the_environment_reaches_age_in_memory(
    factory: Path, ring: Keyring, age: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = factory / "secrets" / f"{NAME}.enc"
    encrypt(age, NASTY, path)
    key = age.read_text().splitlines()[-1]
    age.unlink()
    monkeypatch.setenv("SOPS_AGE_KEY", key)
    held, _ = await find(factory)
    assert held is not None and held.value.reveal() == NASTY
    command = decrypt_command(path)
    assert key not in f"{command.argv} {command!r} {command.env}"


async def test_a_file_for_another_key(factory: Path, ring: Keyring, age: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", str(other)], check=True, capture_output=True)
    encrypt(other, NASTY, factory / "secrets" / f"{NAME}.enc")
    error = await trouble(factory)
    assert (error.code, error.exit_code) == ("age.key", 3)


async def test_no_key_of_age(
    factory: Path, ring: Keyring, age: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc")
    monkeypatch.delenv("SOPS_AGE_KEY_FILE")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    assert (await trouble(factory)).code == "age.key"


async def test_a_named_key_file_that_is_not_there(
    factory: Path, ring: Keyring, age: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "gone.txt"))
    error = await trouble(factory)
    assert (error.code, error.why) == (
        "age.key",
        f"SOPS_AGE_KEY_FILE names {tmp_path}/gone.txt, which is no file.",
    )


async def test_no_age(
    factory: Path, ring: Keyring, age: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    error = await trouble(factory)
    assert error.code == "age.missing"
    assert "Install age" in error.now


async def test_a_damaged_file_of_age(factory: Path, ring: Keyring, age: Path) -> None:
    path = factory / "secrets" / f"{NAME}.enc"
    encrypt(age, NASTY, path)
    path.write_bytes(path.read_bytes()[:-3])
    assert (await trouble(factory)).code == "age.damaged"


async def test_a_key_file_that_is_none(factory: Path, ring: Keyring, age: Path) -> None:
    encrypt(age, NASTY, factory / "secrets" / f"{NAME}.enc")
    age.write_text("not a key\n")
    assert (await trouble(factory)).code == "age.identity"


# -- files of sops, and files that are neither -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "clear"), [("binary", NASTY), ("dotenv", f"# mine\nOTHER=x\n{NAME}={NASTY}\n")]
)
async def test_a_file_of_sops(
    factory: Path, ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, clear: str
) -> None:
    double = sealed.install(tmp_path / "sops")
    double.seal_value(clear, factory / "secrets" / f"{NAME}.enc", kind=kind)
    for name, value in double.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{double.directory}:{ring.path}")
    held, _ = await find(factory)
    assert held is not None and (held.value.reveal(), held.place) == (NASTY, f"secrets/{NAME}.enc (sops)")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await trouble(factory)).code == "sops.key"
    monkeypatch.setenv("PATH", str(ring.directory))
    assert (await trouble(factory)).code == "sops.missing"


async def test_a_file_that_is_not_encrypted_is_not_read(factory: Path, ring: Keyring) -> None:
    (factory / "secrets" / f"{NAME}.enc").write_text(NASTY)
    error = await trouble(factory)
    assert (error.code, error.exit_code) == ("credential.file", 2)
    (factory / "secrets" / f"{NAME}.enc").unlink()
    (factory / "secrets" / NAME).write_text(NASTY)
    assert (await find(factory))[0] is None
