"""A builder that does not clip: the real one builds, and 200,000 lines are printed as BuildKit prints them.

Stands as `docker` on the PATH of a benchmark, with `builder.json` beside it: the real docker, the file whose lines are
printed, and in how many bursts. Everything but `buildx build` is the real one's. The engine at hand cuts a step's log
at 200 KiB/s, and Engine 20.10, told not to, stalls for seconds in such a flood (observed): what is to be measured here
is what reads the log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

RATE = 250_000
"""Lines a second within a burst."""
PIECE = 2_500
PAUSE = 2.0
"""Seconds before each burst, and after the last one."""


def flood(lines: bytes, bursts: int) -> None:
    """Print them, each burst at RATE or as fast as they are taken."""
    ends = [at for at, byte in enumerate(lines) if byte == 10]
    out = sys.stdout.buffer
    many = len(ends) // bursts
    begin = 0
    for burst in range(bursts):
        time.sleep(PAUSE)
        begun = time.monotonic()
        for done in range(PIECE, many + 1, PIECE):
            end = ends[burst * many + done - 1] + 1
            out.write(lines[begin:end])
            out.flush()
            begin = end
            time.sleep(max(0.0, begun + done / RATE - time.monotonic()))


def main() -> int:
    here = Path(sys.argv[1])
    told, arguments = json.loads((here / "builder.json").read_bytes()), sys.argv[2:]
    if arguments[:2] != ["buildx", "build"]:
        os.execv(told["docker"], ["docker", *arguments])
    built = subprocess.run([told["docker"], *arguments], capture_output=True, text=True, check=False)
    print(built.stderr, end="", flush=True)
    if built.returncode:
        return built.returncode
    print(f"#9 [3/3] RUN make\n#9 0.100 {told['first']}", flush=True)
    flood(Path(told["lines"]).read_bytes(), int(told["bursts"]))
    print(f"#9 9.000 {told['last']}", flush=True)
    time.sleep(PAUSE)
    print("#9 DONE 9.0s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
