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

    The hash is of the whole content, the id apart. Memory is about 250 bytes a row.
    """
    keys: dict[int, str] = {}
    repeats: dict[int, int] = {}
    first: dict[str, tuple[int, str]] = {}  # key -> its first row and that row's content
    equal: dict[str, int] = {}  # content -> how many rows without id have it so far
    clashes: dict[str, list[int]] = {}  # key -> rows
    for row, given, content in rows:
        if key := given.strip():
            if key in clashes:
                clashes[key].append(row)
            elif key not in first:
                first[key] = (row, content)
                keys[row] = key
            elif first[key][1] == content:
                repeats[row] = first[key][0]
            else:
                alike = [again for again, before in repeats.items() if before == first[key][0]]
                clashes[key] = [first[key][0], *alike, row]
        else:
            equal[content] = equal.get(content, 0) + 1
            keys[row] = f"content:{content}:{equal[content]}"
    conflicts: dict[int, str] = {}
    for key, together in clashes.items():
        listed = ", ".join(map(str, together[:10])) + (", …" if len(together) > 10 else "")
        for row in together:
            keys.pop(row, None)
            repeats.pop(row, None)
            conflicts[row] = (
                f"The id {key[:80]!r} stands in rows {listed} with different content; none is taken."
            )
    return Identities(keys, repeats, conflicts)
