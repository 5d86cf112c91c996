"""Which row of a file is which thing, so that importing it twice changes nothing the second time?

A row with an id of its own is that id. A row without one is its content, and its place among rows that are
equal to it: two equal rows are two things, and stay two when the file comes again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Identities:
    """What became of the rows, by row number. Every row is in exactly one of the three.

    ``keys``: row → its id within the dataset. ``repeats``: row → the earlier row that says exactly the same
    under the same id; it is counted as the same, once. ``conflicts``: row → why it is rejected: its id
    stands in the file more than once with different content, and nobody can say which one is right.
    """

    keys: dict[int, str]
    repeats: dict[int, int]
    conflicts: dict[int, str]


def content_hash(cells: Mapping[str, str]) -> str:
    """Return 32 hex digits that say what the row says. Order of columns, empty cells and outer blanks do
    not count.

    Give it the cells that are mapped, under their fields' names: a column that the source adds or renames
    later must not make every row a new one.
    """
    digest = hashlib.sha256()
    for name in sorted(cells):
        if text := cells[name].strip():
            for part in (name.encode(), text.encode("utf-8", "surrogatepass")):
                # Its length before each part: ("ab", "c") and ("a", "bc") must differ.
                digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest()[:32]


def identify(rows: Iterable[tuple[int, str, str]]) -> Identities:
    """Return who is who among rows of (row number, id or empty, content hash), in the file's order.

    The hash is of the whole content, the id apart. Memory is about 500 bytes a row.
    """
    rows_of: dict[str, list[int]] = {}
    content_of: dict[str, str] = {}
    clashing: set[str] = set()
    equal: dict[str, int] = {}  # content -> how many rows without id have it so far
    for row, given, content in rows:
        key = given.strip() or _place_among_equals(content, equal, rows_of)
        rows_of.setdefault(key, []).append(row)
        if content_of.setdefault(key, content) != content:
            clashing.add(key)
    keys: dict[int, str] = {}
    repeats: dict[int, int] = {}
    conflicts: dict[int, str] = {}
    for key, together in rows_of.items():
        if key in clashing:
            listed = ", ".join(map(str, together[:10])) + (", …" if len(together) > 10 else "")
            reason = f"The id {key[:80]!r} stands in rows {listed} with different content; none is taken."
            conflicts.update(dict.fromkeys(together, reason))
        else:
            keys[together[0]] = key
            repeats.update(dict.fromkeys(together[1:], together[0]))
    return Identities(keys, repeats, conflicts)


def _place_among_equals(content: str, equal: dict[str, int], taken: dict[str, list[int]]) -> str:
    while True:
        equal[content] = equal.get(content, 0) + 1
        key = f"content:{content}:{equal[content]}"
        if key not in taken:  # a file that we exported may bring such ids along
            return key
