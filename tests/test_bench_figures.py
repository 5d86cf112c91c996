"""The table of figures says what was reached, what was not, and what was not measured."""

from tests.bench import run
from tests.bench.figures import Figure


def test_a_figure_is_held_to_what_is_to_be_reached_from_either_side():
    assert Figure("page", 12, "ms", at_most=12).reached
    assert not Figure("page", 12.1, "ms", at_most=12).reached
    assert Figure("share", 0.7, "", at_least=0.7).reached
    assert not Figure("share", 0.69, "", at_least=0.7).reached
    assert Figure("told only", 5, "s").reached is None


def test_the_table_shows_misses_and_what_stood_beside_and_what_was_not_measured():
    told = {
        "began": "2026-11-22 12:00 UTC", "seconds": 3.0, "load_before": 0.1, "machine": "2 cores", "failed": 0,
        "figures": [vars(Figure("page", 24, "ms", at_most=12, beside=48, beside_what="plain | DRF"))],
    }  # fmt: skip
    text = "\n".join(run.table({"export": told}, {"make test": 170}))
    assert "| page | ≤ 12 ms | 24 ms | **no** | 0.5 × plain \\| DRF (48 ms) |  |" in text
    assert "| make test | ≤ 180 s | 170 s | yes |" in text
    assert "≤ 90 s | not measured in this run |" in text


def test_every_bench_is_run():
    assert {"export", "import", "readiness", "rollups"} <= set(run.names())
