"""The vendored browser libraries are exactly the files that static/vendor/README.md says they are."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
OUR_OWN = {"README.md", "renew.py"}


def written_hashes() -> dict[str, str]:
    """Return {path below static/vendor: SHA-256 in hex} as the README lists them."""
    readme = (VENDOR / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", readme, flags=re.MULTILINE))


def test_every_vendored_file_has_the_hash_that_the_readme_lists():
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in OUR_OWN and "__pycache__" not in path.parts
    }
    assert found == written_hashes()


def test_every_library_comes_with_its_licence():
    folders = {path.name for path in VENDOR.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if (VENDOR / name / "LICENSE").is_file()} == folders


def test_no_vendored_file_points_to_a_source_map_that_is_not_shipped():
    pointing = [
        path.name
        for path in VENDOR.rglob("*")
        if path.suffix in {".css", ".js"} and b"sourceMappingURL" in path.read_bytes()
    ]
    assert pointing == []
