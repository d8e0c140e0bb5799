"""What of a build's log is a bar: the instructions, counted for each stage."""

from __future__ import annotations

import pytest

from disinto_tui.runs.ops_build import instruction_in


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#12 [6/9] RUN npm install -g x", ("build", 6, 9, "RUN npm install -g x")),
        ("#9 [ 2/12] RUN x", ("build", 2, 12, "RUN x")),  # padded when there are ten or more
        ("#9 [stage-1 3/4] COPY a b", ("stage-1", 3, 4, "COPY a b")),
        ("#9 [base  3/14] COPY a b", ("base", 3, 14, "COPY a b")),
        ("#5 [internal] load build definition from Dockerfile", None),
        ("#12 31.2 added 214 packages [3/4] in 28s", None),
        ("#12 DONE 33.0s", None),
        ("[6/9] RUN npm", None),
    ],
)
def test_the_instructions_of_a_build(line: str, expected: tuple[str, int, int, str] | None) -> None:
    assert instruction_in(line) == expected
