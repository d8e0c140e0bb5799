"""The pictures in docs/: each is a screen as it is today, small, asks nobody for anything, and stands in a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.picture_scenes import SCENES
from scripts.pictures import picture

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
PICTURES = {path.stem: path.read_text() for path in DOCS.glob("*.svg")}
MOST_BYTES = 16_000


def test_each_picture_has_its_scene_and_each_scene_its_picture() -> None:
    assert sorted(PICTURES) == sorted(SCENES)


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_picture_is_small_and_asks_nobody_for_anything(name: str) -> None:
    text = PICTURES[name]
    assert len(text.encode()) < MOST_BYTES
    assert "font-face" not in text and "url(http" not in text and "href" not in text and "<image" not in text
    ET.fromstring(text)


def test_every_picture_stands_in_a_page_with_words_for_those_who_do_not_see_it() -> None:
    shown: dict[str, str] = {}
    for page, text in PAGES.items():
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+\.svg)\)", text):
            file = (page.parent / target).resolve()
            assert file.is_file(), f"{page.name} shows {target}"
            shown[file.stem] = alt
    assert sorted(shown) == sorted(SCENES)
    assert [name for name, alt in shown.items() if len(alt.split()) < 3] == []


@pytest.mark.slow
async def test_the_pictures_show_the_screens_as_they_are() -> None:
    """A screen that was changed has to be photographed again: `make pictures`, and a look at them."""
    old = [name for name, scene in SCENES.items() if await picture(scene) != PICTURES[name]]
    assert old == [], "make pictures"
