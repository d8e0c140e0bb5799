"""A warm Python is a Python: what it is given, what it says and how it ends are as with one that was started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.processes import poll

PROGRAMS = {
    "what it was given": "import os, sys; print(sys.argv, os.getcwd(), sorted(os.environ), sys.stdin.read(), __name__)",
    "streams": "import sys; print('é'); print('é', file=sys.stderr); print(sys.stdout.encoding, sys.stderr.errors)",
    "descriptors": "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:3], os.isatty(0))",
    "a code": "raise SystemExit(4)",
    "words": "raise SystemExit('no')",
    "an error": "print(1 / 0)",
    "a signal": "import os; os.kill(os.getpid(), 9)",
    "Ctrl-C": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "its end": "import atexit, threading, time\natexit.register(print, 'last')\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()",
    "handlers": "import signal; print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD))",
}
ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MINE": "1"}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_it_is_given_says_and_ends_the_same(tmp_path: Path, program: str) -> None:
    argv = ("-c", program, "one", "two words")
    cold = subprocess.run(
        [sys.executable, *argv],
        input="hé",
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=ENV,
    )
    found = warm.python(*argv, env=ENV, cwd=tmp_path, stdin="hé")
    assert (found.returncode, found.stdout) == (cold.returncode, cold.stdout)
    assert found.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_a_command_says_the_same(tmp_path: Path) -> None:
    argv = ("-m", "disinto_tui", "--dir", str(tmp_path), "--json", "status")
    env = {**ENV, "HOME": str(tmp_path)}
    cold = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False, env=env)
    found = warm.python(*argv, env=env)
    assert (found.returncode, found.stdout, found.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    program = f"import os, time; open('{tmp_path}/pid', 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(subprocess.TimeoutExpired):
        warm.python("-c", program, env=ENV, timeout=3)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_what_outlives_its_command_is_ended_when_asked(tmp_path: Path) -> None:
    """A run's own process: no child of the command, leading a session of its own, told what to do on its input."""
    program = (
        "import sys\nfrom disinto_tui.adapters.process import Waiting\n"
        f"one = Waiting([sys.executable, '-m', 'disinto_tui.runs.process', '--wait'], cwd='{tmp_path}')\n"
        "import os\nprint(one._child.pid, os.getsid(one._child.pid), one._child.poll(), flush=True)\n"
        "import time\ntime.sleep(600)\n"
    )
    asked = warm._Asked(warm._server(), {"argv": ["-c", program], "env": ENV, "cwd": str(tmp_path), "session": False},
        [os.open(os.devnull, os.O_RDONLY), os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY), 2])  # fmt: skip
    assert poll(60, lambda: (tmp_path / "out").read_text().endswith("\n"))
    pid, session, ended = (tmp_path / "out").read_text().split()
    assert (pid, ended) == (session, "None")
    began = time.monotonic()
    warm.end_all()
    assert not Path(f"/proc/{pid}").exists() and asked.poll(None) == -signal.SIGKILL
    assert time.monotonic() - began < 60
