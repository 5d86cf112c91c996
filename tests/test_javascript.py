"""The pure parts of our scripts, tested by node itself; nothing is installed for it."""

import shutil
import subprocess

import pytest

from tests.bed import ROOT

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed; the browser tests cover the same pages")
def test_the_pure_parts_of_our_scripts():
    files = sorted(map(str, (ROOT / "tests/js").glob("*.test.mjs")))
    assert files
    done = subprocess.run([NODE, "--test", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
