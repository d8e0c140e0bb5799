"""`make pictures`: the screens that the pages speak of, as the app itself exports them; docs/*.svg.

    pictures.py [NAME...]      all of them, or those named

The scenes are in `picture_scenes.py`. What they show is made up or recorded, and every time is fixed, so a picture
changes when a screen does, and at no other time.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.cells import cell_len  # noqa: E402
from textual.widgets import Input  # noqa: E402

from scripts.picture_scenes import SCENES, Scene  # noqa: E402

DOCS = ROOT / "docs"


def slim(svg: str) -> str:
    """What the app exports, without what a page of ours has no use for: the font it would ask a server for, a clip for
    each line (lines fit), names that differ each time, and blanks between elements."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<clipPath id="[\w-]*-line-\d+">.*?</clipPath>', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#[\w-]*-line-\d+\)"', "", svg)
    svg = re.sub(r"terminal-\d+-", "t-", svg)
    svg = _TEXT.sub(_without_blanks, svg)
    svg = re.sub(r"(?<=\d\.\d{2})\d+", "", svg)
    svg = _one_ground(svg)
    return re.sub(r">\s+<", ">\n<", re.sub(r"\n\s*", "\n", svg)).strip() + "\n"


_CELL = 12.2
"""What the app's exporter takes a cell's width for, in the picture's own units."""
_BLANK = "&#160;"
_TEXT = re.compile(r'<text class="(t-r\d+)" x="([\d.]+)" y="([\d.]+)" textLength="[\d.]+">(.*?)</text>')


def _one_ground(svg: str) -> str:
    """The ground as one area, and not as one for each piece of text."""
    back = re.search(r'<g transform="[^"]*" clip-path="[^"]*">\s*<rect fill="(#\w+)"', svg)
    area = re.search(r'<clipPath id="t-clip-terminal">\s*(<rect [^>]*?)/>', svg)
    if back is None or area is None:
        return svg
    svg = re.sub(rf'<rect fill="{back[1]}" [^>]*shape-rendering[^>]*/>', "", svg)
    at = svg.index('clip-path="url(#t-clip-terminal)">') + len('clip-path="url(#t-clip-terminal)">')
    return f'{svg[:at]}\n{area[1]} fill="{back[1]}"/>{svg[at:]}'


def _without_blanks(found: re.Match[str]) -> str:
    """A text that begins where its first letter stands: some viewers swallow blanks at its beginning."""
    style, x, y, text = found.groups()
    bare = text
    while bare.startswith(_BLANK):
        bare = bare.removeprefix(_BLANK)
    before = (len(text) - len(bare)) // len(_BLANK)
    while bare.endswith(_BLANK):
        bare = bare.removesuffix(_BLANK)
    if not bare:
        return ""
    width = cell_len(html.unescape(bare)) * _CELL
    return f'<text class="{style}" x="{float(x) + before * _CELL:.1f}" y="{y}" textLength="{width:.1f}">{bare}</text>'


async def picture(scene: Scene) -> str:
    """One scene as an SVG."""
    with tempfile.TemporaryDirectory() as place:
        app = scene.app(Path(place))
        async with app.run_test(size=scene.size) as pilot:
            await scene.ready(pilot)
            for field in pilot.app.screen.query(Input):
                field.cursor_blink = False
                field._cursor_visible = True  # else it depends on the moment
            for _ in range(5):
                await pilot.pause(0.02)
            return slim(app.export_screenshot(title=f"disinto · {scene.title}"))


async def main(names: list[str]) -> None:
    """Write them."""
    for name in names or SCENES:
        svg = await picture(SCENES[name])
        path = DOCS / f"{name}.svg"
        changed = not path.exists() or path.read_text() != svg
        path.write_text(svg)
        sys.stdout.write(f"{'wrote' if changed else 'as it was'}  docs/{name}.svg  {len(svg) >> 10} KiB\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
