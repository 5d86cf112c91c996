"""Templates obey the strict CSP, parts say their contract, and every include has its file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PARTS = [path for path in TEMPLATES if path.name.startswith("_")]


def name(path: Path) -> str:
    return path.relative_to(ROOT / "templates").as_posix()


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_no_template_needs_what_the_content_security_policy_forbids(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<style\b|\sstyle\s*=", text), "inline style"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']|javascript:", text), "inline event handler"
    scripts = re.findall(r"<script\b[^>]*>", text)
    assert all("src=" in script or "application/json" in script for script in scripts), "inline script"
    assert not re.search(r"(?:src|href|action)=[\"'](?:https?:)?//", text), "outside request"


@pytest.mark.parametrize("path", PARTS, ids=name)
def test_a_part_begins_with_its_contract(path):
    assert path.read_text(encoding="utf-8").startswith("{# ")


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_included_part_exists(path):
    included = re.findall(r"{%\s*include\s+[\"']([^\"']+)[\"']", path.read_text(encoding="utf-8"))
    assert [part for part in included if not (ROOT / "templates" / part).is_file()] == []


def test_every_part_of_the_kernel_is_described_for_page_writers():
    guide = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8")
    inner = {"_bar.html", "_nav_item.html", "_keyboard_help.html", "_product_name.html", "_level_bar.html"}
    described = set(re.findall(r"`(_[a-z_]+\.html)`", guide)) | inner
    assert {path.name for path in PARTS if path.parent.name == "templates"} <= described
