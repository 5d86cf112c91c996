"""The same file twice is the same rows; one id with two stories is nobody's row."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.imports.identity import content_hash, identify

ROWS = st.lists(st.tuples(st.sampled_from(["", "", "A", "B"]), st.sampled_from(["x", "y"])), max_size=12)


def numbered(rows):
    return [(number, *row) for number, row in enumerate(rows, 2)]


def test_an_id_of_its_own_is_the_row_s_key():
    assert identify([(2, " A1 ", "x"), (3, "A2", "x")]).keys == {2: "A1", 3: "A2"}


def test_rows_without_id_are_their_content_and_their_place_among_equals():
    found = identify([(2, "", "x"), (3, "", "y"), (4, "", "x")])
    assert found.keys == {2: "content:x:1", 3: "content:y:1", 4: "content:x:2"}


def test_the_same_id_with_the_same_content_counts_once():
    found = identify([(2, "A", "x"), (3, "A", "x"), (4, "A", "x")])
    assert (found.keys, found.repeats, found.conflicts) == ({2: "A"}, {3: 2, 4: 2}, {})


def test_the_same_id_with_different_content_rejects_all_of_them_by_name():
    found = identify([(2, "A", "x"), (3, "B", "x"), (4, "A", "x"), (5, "A", "y")])
    assert (found.keys, found.repeats) == ({3: "B"}, {})
    assert set(found.conflicts) == {2, 4, 5}
    assert "'A' stands in rows 2, 4, 5" in found.conflicts[2]


def test_an_id_that_was_made_here_and_comes_back_clashes_with_nothing():
    for rows in ([(2, "content:x:1", "z"), (3, "", "x")], [(2, "", "x"), (3, "content:x:1", "x")]):
        found = identify(rows)
        assert len(set(found.keys.values())) == len(found.keys)
    assert identify([(2, "content:x:1", "z"), (3, "", "x")]).keys[3] == "content:x:2"


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_every_row_is_in_exactly_one_place_and_no_key_is_given_twice(rows):
    found = identify(numbered(rows))
    places = [*found.keys, *found.repeats, *found.conflicts]
    assert sorted(places) == [number for number, _ in enumerate(rows, 2)]
    assert len(set(found.keys.values())) == len(found.keys)


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_the_order_of_a_file_does_not_change_who_is_in_it(rows):
    assert set(identify(numbered(rows)).keys.values()) == set(identify(numbered(rows[::-1])).keys.values())


def test_content_is_what_the_cells_say_not_how_the_file_is_laid_out():
    cells = {"nation": "EE", "what": "a company", "note": ""}
    assert content_hash(cells) == content_hash({"what": " a company", "nation": "EE"})
    assert content_hash(cells) != content_hash({"nation": "EE", "note": "a company"})
    assert content_hash({"a": "bc"}) != content_hash({"ab": "c"})
