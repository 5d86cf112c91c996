"""What the documents promise is there."""

import re

from tests.bed import ROOT


def test_every_setting_is_in_env_example_and_nothing_else():
    code = [ROOT / "coalition/settings.py", *(ROOT / "coalition/management/commands").glob("*.py")]
    names = {name for path in code for name in re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', path.read_text())}
    names |= set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    explained = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert explained == names


PASSES_ON = "coalition/imports/sandbox.py"  # reads no setting: it makes a child's environment


def test_only_env_reads_the_environment():
    readers = [
        str(path.relative_to(ROOT))
        for app in ("coalition", "pledges", "monitoring")
        for path in (ROOT / app).rglob("*.py")
        if re.search(r"os\.getenv|os\.environ(\[|\.get)", path.read_text())
    ]
    assert set(readers) <= {PASSES_ON}


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named <= targets


def test_links_between_documents_lead_somewhere():
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in files
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not path.parent.joinpath(target).exists() and not target.startswith("docs/screenshots/")
    ]
    assert dead == []


def test_every_decision_is_listed_in_the_architecture():
    page = (ROOT / "docs/architecture.md").read_text()
    assert [path.name for path in (ROOT / "docs/adr").glob("*.md") if f"(adr/{path.name})" not in page] == []
