"""A directory for the files that Compose is shown while something is planned: they are nobody's yet, and hold secrets.

It lies with the system's temporary files, not in the instance: planning changes nothing there, and `.disinto/` may
not exist. A planning that is killed cannot remove its own; the next one does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from disinto_tui.adapters.instance import disk_error

_PREFIX = "disinto-plan-"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new directory (0700), removed at the end of the block; those of plannings that died are removed first.

    It is locked as long as it is used: the kernel lets go of it with the process, however that ends. Raises Failed
    `disk.*` when it cannot be made.
    """
    place = Path(tempfile.gettempdir())
    _remove_left(place)
    made, held = _made(place)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(held)


def _made(place: Path) -> tuple[Path, int]:
    while True:
        try:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        except OSError as error:
            raise disk_error(place / _PREFIX, error) from None
        with contextlib.suppress(FileNotFoundError):  # another planning took it for one that is left
            held = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(held, fcntl.LOCK_EX)
            if made.exists():
                return made, held
            os.close(held)


def _remove_left(place: Path) -> None:
    for path in place.glob(f"{_PREFIX}*"):
        # Not there any more, a link, another user's, or at work: not ours to touch.
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)
