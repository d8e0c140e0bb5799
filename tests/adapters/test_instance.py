"""Files replaced without loss."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import replace_file
from disinto_tui.core.errors import Failed


def test_replace_keeps_mode_owner_and_a_backup(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=1\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 1234)
    assert replace_file(path, b"A=2\n", backup=tmp_path / "old" / ".env")
    assert path.read_bytes() == b"A=2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "old" / ".env").read_bytes() == b"A=1\n"
    assert stat.S_IMODE((tmp_path / "old" / ".env").stat().st_mode) == 0o600
    if os.geteuid() == 0:
        assert path.stat().st_uid == 1234


def test_no_write_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"same")
    inode = path.stat().st_ino
    assert not replace_file(path, b"same")
    assert path.stat().st_ino == inode


def test_a_symlink_stays_and_its_target_changes(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.env"
    real.parent.mkdir()
    real.write_bytes(b"A=1")
    link = tmp_path / ".env"
    link.symlink_to(real)
    replace_file(link, b"A=2")
    assert link.is_symlink()
    assert real.read_bytes() == b"A=2"


def test_no_temporary_file_is_left_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failed) as caught:
        replace_file(path, b"new")
    assert caught.value.code == "disk.full"
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_a_reader_sees_the_old_or_the_new_file_never_less(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace_file(path, b"a" * 200_000)
    code = (
        "from pathlib import Path\nfrom disinto_tui.adapters.instance import replace_file\n"
        f"for i in range(60): replace_file(Path({str(path)!r}), (b'b' if i % 2 else b'c') * 200_000)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        data = path.read_bytes()
        assert len(data) == 200_000
        assert len(set(data)) == 1
    assert child.wait(10) == 0
