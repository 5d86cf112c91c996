"""Renew the vendored browser libraries: which package, which version, which of its files, with what hash.

Run it by hand, with npm on the path: ``python static/vendor/renew.py``. It asks npm for each package as
published, takes only the files named below, and writes README.md with the SHA-256 of every file. Nothing of npm
runs in the product. To move to a newer version, change the number here, run, and read the difference.
"""

import hashlib
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A source map that is not shipped makes collectstatic's manifest fail, so the pointer to it goes.
SOURCE_MAP = re.compile(rb"\s*(/\*# sourceMappingURL=.*?\*/|//# sourceMappingURL=\S*)\s*$")

# Europe, and the other nations and bodies that a page of ours may name. ISO 3166 alpha-2, and eu, un, xk.
FLAGS = (
    "ad ae al am at au az ba be bg br by ca ch cn cy cz de dk ee es eu fi fr gb ge gr hr hu ie il in is it "
    "jp kr kz li lt lu lv mc md me mk mt nl no nz pl pt qa ro rs ru sa se si sk sm tr ua un us va xk za"
)


@dataclass(frozen=True, eq=False)  # hashed by identity: a dict cannot be hashed
class Library:
    """One npm package: where its files go below this folder, and which of them (path in it: name here)."""

    package: str
    version: str
    licence: str
    folder: str
    files: dict[str, str]


LIBRARIES = (
    Library(
        "bootstrap",
        "5.3.9",
        "MIT",
        "bootstrap",
        {"dist/css/bootstrap.min.css": "bootstrap.min.css", "LICENSE": "LICENSE"},
    ),
    Library("htmx.org", "2.0.11", "0BSD", "htmx", {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "LICENSE"}),
    Library(
        "leaflet",
        "1.9.4",
        "BSD-2-Clause",
        "leaflet",
        {
            "dist/leaflet.css": "leaflet.css",
            "dist/leaflet.js": "leaflet.js",
            "LICENSE": "LICENSE",
            **{
                f"dist/images/{name}": f"images/{name}"
                for name in (
                    "layers.png",
                    "layers-2x.png",
                    "marker-icon.png",
                    "marker-icon-2x.png",
                    "marker-shadow.png",
                )
            },
        },
    ),
    Library(
        "leaflet.markercluster",
        "1.5.3",
        "MIT",
        "markercluster",
        {
            "dist/leaflet.markercluster.js": "leaflet.markercluster.js",
            "dist/MarkerCluster.css": "MarkerCluster.css",
            "MIT-LICENCE.txt": "LICENSE",
        },
    ),
    Library("mgrs", "2.1.0", "MIT", "mgrs", {"dist/mgrs.esm.js": "mgrs.esm.js", "license.md": "LICENSE"}),
    Library(
        "uplot",
        "1.6.32",
        "MIT",
        "uplot",
        {
            "dist/uPlot.min.css": "uPlot.min.css",
            "dist/uPlot.esm.js": "uPlot.esm.js",
            "LICENSE": "LICENSE",
        },
    ),
    Library(
        "flag-icons",
        "7.5.0",
        "MIT",
        "flags",
        {"LICENSE": "LICENSE", **{f"flags/4x3/{code}.svg": f"{code}.svg" for code in FLAGS.split()}},
    ),
)


def fetch(library: Library, scratch: Path) -> list[Path]:
    """Write the library's files and return their paths. Raises KeyError when the package lacks one."""
    spec = f"{library.package}@{library.version}"
    subprocess.run(["npm", "pack", spec, "--pack-destination", str(scratch)], check=True, capture_output=True)
    archive = scratch / f"{library.package}-{library.version}.tgz"
    written = []
    with tarfile.open(archive) as package:
        for inside, name in library.files.items():
            content = package.extractfile(f"package/{inside}").read()
            if name.endswith((".css", ".js")):
                content = SOURCE_MAP.sub(b"\n", content)
            target = HERE / library.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            written.append(target)
    return written


def readme(files: dict[Library, list[Path]]) -> str:
    """Return README.md: libraries with version and licence, then every file with its SHA-256."""
    lines = [
        "# Vendored browser libraries",
        "",
        "Taken unchanged from the npm packages below, except that pointers to source maps are removed (the maps",
        "are not shipped, and a static manifest refuses a pointer to nothing). `renew.py` fetches them and writes",
        "this page; `tests/test_vendor.py` checks that every file here still has the hash written here.",
        "",
        "Bootstrap comes as CSS only: menus and dialogs use `<details>`, `popover` and `<dialog>`, which work",
        "without its JavaScript.",
        "",
        "| folder | package | version | licence |",
        "|---|---|---|---|",
    ]
    lines += [f"| {lib.folder} | {lib.package} | {lib.version} | {lib.licence} |" for lib in files]
    lines += ["", "| file | SHA-256 |", "|---|---|"]
    for path in sorted(path for paths in files.values() for path in paths):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"| `{path.relative_to(HERE).as_posix()}` | `{digest}` |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fetch all libraries and write README.md."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {library: fetch(library, Path(scratch)) for library in LIBRARIES}
    (HERE / "README.md").write_text(readme(files), encoding="utf-8")


if __name__ == "__main__":
    main()
