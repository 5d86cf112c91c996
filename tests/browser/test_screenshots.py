"""Pictures of ten pages for the README and the handbook. Written into docs only with SCREENSHOTS=1, on a fresh demo."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.bed import ROOT

PAGES = {
    "overview": ("planner-one", "/"),
    "readiness": ("planner-one", "/readiness/?tier=coalition"),
    "capability": ("planner-one", "/readiness/light-infantry/"),
    "board": ("planner-one", "/pledges/"),
    "pledge": ("planner-one", "/pledges/{pledge}/"),
    "new-pledge": ("officer-fr", "/pledges/new/"),
    "map": ("monitor", "/monitoring/"),
    "triage": ("monitor", "/monitoring/triage/"),
    "trends": ("monitor", "/monitoring/trends/"),
    "new-report": ("monitor", "/monitoring/reports/new/"),
}
IN_DARK = ("overview", "readiness", "map")
SHOTS = [
    (name, theme, view)
    for name in PAGES
    for theme in ("light", "dark")
    for view in ("wide", "phone")
    if theme == "light" or name in IN_DARK
]
MOST_BYTES_EACH, MOST_BYTES = 150_000, 2_500_000


@pytest.fixture(scope="session")
def album(tmp_path_factory) -> Path:
    """Where the pictures go: into docs when asked for, else to a folder that is thrown away."""
    if os.environ.get("SCREENSHOTS") != "1":
        return tmp_path_factory.mktemp("screenshots")
    folder = ROOT / "docs/screenshots"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(("name", "theme", "view"), SHOTS)
def test_a_page_has_its_picture(page_of, places, album, name, theme, view):
    username, address = PAGES[name]
    page = page_of(username, view, color_scheme=theme)
    page.goto(address.format(**places))
    picture = album / f"{name}-{theme}-{view}.png"
    shot = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    shot.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(picture, optimize=True)
    assert picture.stat().st_size <= MOST_BYTES_EACH
    assert sum(other.stat().st_size for other in album.glob("*.png")) <= MOST_BYTES
