"""What is remembered is what would be worked out again: in any order of changes, and when things are forgotten."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pledges import certainty
from pledges.certainty.memory import CELLS_OF_AN_ENTRY, Memory

CONDITIONS = (0.6, 0.9, 0.25)


@st.composite
def contributions(draw):
    first = draw(st.integers(0, 20))
    return certainty.Contribution(
        pledge=draw(st.integers(0, 3)),
        weight=draw(st.sampled_from([5, 10, 10, 30])),
        chance=draw(st.sampled_from([0.3, 0.85, 1.0])),
        first=first,
        last=first + draw(st.integers(0, 15)),
        conditions=tuple(draw(st.sets(st.integers(0, 2), max_size=2))),
    )


@st.composite
def capabilities(draw):
    """Return a capability of up to three lines; a pledge comes once, and may be split over two lines."""
    rows = draw(st.lists(contributions(), max_size=5, unique_by=lambda piece: piece.pledge))
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, 15))
        chosen = tuple(piece for piece in rows if draw(st.booleans()))
        lines.append(certainty.Plan(draw(st.sampled_from([0, 10, 20])), first, first + 12, chosen))
    return certainty.Capability(tuple(lines), tuple(rows))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.p_all, other.p_all, atol=1e-12)
        assert one.worst.tolist() == other.worst.tolist()
        for line, expected_line in zip((*one.lines, one.pooled), (*other.lines, other.pooled), strict=True):
            for name in ("first", "last", "p_met", "expected", "coverage", "x10", "x50", "x90", "error"):
                np.testing.assert_allclose(getattr(line, name), getattr(expected_line, name), atol=1e-9)


@given(st.lists(capabilities(), min_size=1, max_size=4), st.sampled_from([0, 10 * CELLS_OF_AN_ENTRY, 1 << 20]))
def test_answers_are_the_same_with_a_memory_of_any_size(plans, cells):
    memory = Memory(cells)
    for plan in [*plans, *reversed(plans)]:
        found = certainty.capabilities([plan], CONDITIONS, memory=memory)
        assert_same(found, certainty.capabilities([plan], CONDITIONS))


@given(capabilities(), st.sampled_from([0.0, 0.1, 1.0]))
def test_another_chance_of_a_condition_is_another_answer(plan, chance):
    memory = Memory()
    certainty.capabilities([plan], CONDITIONS, memory=memory)
    others = (chance, *CONDITIONS[1:])
    found = certainty.capabilities([plan], others, memory=memory)
    assert_same(found, certainty.capabilities([plan], others))


def test_what_was_not_exact_is_tried_again():
    rows = tuple(certainty.Contribution(i, 10_007 + 97 * i, 0.5, 0, 5) for i in range(40))
    plan = certainty.Capability((certainty.Plan(200_000, 0, 5, rows),), rows)
    memory = Memory()
    [rough] = certainty.capabilities([plan], (), budget=1e4, pool_budget=1e4, memory=memory)
    assert rough.lines[0].method != ("exact",)
    [fine] = certainty.capabilities([plan], (), memory=memory)
    assert fine.lines[0].method == ("exact",)


def test_the_longest_unused_is_forgotten():
    memory = Memory(most_cells=10)
    for key in range(20):
        memory.put(key, str(key), 4)
        assert memory.get(0) == "0"  # asked for again and again
    assert memory.get(1) is None
    assert memory.get(19) == "19"
