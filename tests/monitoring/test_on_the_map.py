"""What the map shows: the same events as hexes and as points, never more than a browser bears, as the tier sees places."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as, actor_of
from monitoring import boxes, on_the_map, places, rollups
from monitoring.boxes import Box
from monitoring.models import Report
from monitoring.on_the_map import Asked
from monitoring.placing import seen_place
from tests.factories import a_member, a_party, a_report, a_sector, a_source, an_incident

pytestmark = pytest.mark.django_db
WEEK = Asked(date(2027, 3, 8), date(2027, 3, 14))
BOX = Box(37.0, 47.5, 39.0, 49.0)


def placed(longitude: float, latitude: float, *, precision_m: float = 100, sensitive: bool = False) -> dict:
    """Return the place columns of a report, as the rules make them."""
    exact = places.Point(longitude, latitude, precision_m)
    grid = places.on_grid(exact) if sensitive else exact
    middle = places.in_cell(exact) if sensitive else exact
    return {
        "longitude": longitude,
        "latitude": latitude,
        "place_precision_m": precision_m,
        "sensitive": sensitive,
        "cell": places.cell_of(longitude, latitude, precision_m),
        "coalition_longitude": grid.longitude,
        "coalition_latitude": grid.latitude,
        "coalition_cell": places.cell_of(grid.longitude, grid.latitude, precision_m),
        "public_longitude": middle.longitude,
        "public_latitude": middle.latitude,
    }


@pytest.fixture
def monitor():
    return a_member(Role.MONITOR)


@pytest.fixture
def planner():
    return a_member(Role.PLANNER)


def counted() -> None:
    rollups.mark_all()
    rollups.sweep()


def totals(cells) -> tuple[int, int]:
    return sum(each.events for each in cells), sum(each.reports for each in cells)


@pytest.fixture
def some_reports():
    with acting_as(SYSTEM):
        for day in range(8, 15):
            a_report(at=datetime(2027, 3, day, 12, tzinfo=UTC), **placed(38.0, 48.6))
        a_report("shot", at=datetime(2027, 3, 9, 12, tzinfo=UTC), **placed(37.5, 48.0))
        a_report(at=datetime(2027, 3, 9, 12, tzinfo=UTC), **placed(30.5, 50.4))
        a_report(at=datetime(2027, 2, 9, 12, tzinfo=UTC), **placed(38.0, 48.6))
        a_report(at=datetime(2027, 3, 9, 12, tzinfo=UTC), **placed(38.0, 48.6, precision_m=20_000))
        a_report(at=datetime(2027, 3, 9, 12, tzinfo=UTC))
        a_report(at=datetime(2027, 3, 9, 12, tzinfo=UTC), tier=Tier.PLANNING, **placed(38.0, 48.6))
        a_report(at=datetime(2027, 3, 9, 12, tzinfo=UTC), status="out_of_scope", **placed(38.0, 48.6))
        counted()


def test_hexes_and_points_hold_the_same_events(some_reports, monitor, planner):
    for user, expected in ((monitor, 9), (planner, 10)):
        with acting_as(user):
            assert totals(on_the_map.hexes(user, WEEK)) == (expected, expected)
            assert len(on_the_map.points(user, WEEK, 100)) == expected


def test_what_no_map_can_show_is_counted_beside_it(some_reports, monitor):
    with acting_as(monitor):
        shown = on_the_map.picture(monitor, WEEK, 6)
    assert (shown.events, shown.too_vague, shown.no_place) == (9, 1, 1)


def test_a_box_keeps_what_lies_in_it(some_reports, monitor):
    inside = Asked(WEEK.first, WEEK.last, box=BOX)
    with acting_as(monitor):
        assert len(on_the_map.points(monitor, inside, 100)) == 8
        assert totals(on_the_map.hexes(monitor, inside)) == (8, 8)
        assert on_the_map.points(monitor, Asked(WEEK.first, WEEK.last, box=Box(0, 0, 1, 1)), 100) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kinds": ("shot",)}, 1),
        ({"kinds": ("shot", "explosion")}, 9),
        ({"occurrences": ("received",)}, 9),
        ({"occurrences": ("refuted",)}, 0),
        ({"source_class": "monitors"}, 9),
        ({"source_class": "party"}, 0),
    ],
)
def test_filters_keep_the_same_hexes_and_points(some_reports, monitor, filters, expected):
    asked = Asked(WEEK.first, WEEK.last, **filters)
    with acting_as(monitor):
        assert totals(on_the_map.hexes(monitor, asked))[0] == expected
        assert len(on_the_map.points(monitor, asked, 100)) == expected


def test_accused_and_sector_are_filters_too(monitor):
    sector, party = a_sector("north"), a_party("ru")
    with acting_as(SYSTEM):
        at = placed(38.0, 48.6) | {"sector": sector, "coalition_sector": sector, "public_sector": sector}
        a_report(accused=party, **at)
        a_report(**placed(38.0, 48.6))
        counted()
    with acting_as(monitor):
        for asked in (Asked(WEEK.first, WEEK.last, accused=party.pk), Asked(WEEK.first, WEEK.last, sector=sector.pk)):
            assert totals(on_the_map.hexes(monitor, asked))[0] == 1
            assert len(on_the_map.points(monitor, asked, 100)) == 1


def test_an_incident_is_one_event_and_its_reports_are_none(monitor, planner):
    with acting_as(SYSTEM):
        incident = an_incident(**placed(38.0, 48.6))
        hidden = an_incident(tier=Tier.PLANNING, **placed(38.0, 48.6))
        for number in range(3):
            a_report(incident=incident, source=a_source(f"patrol-{number}"), **placed(38.0, 48.6))
        a_report(incident=hidden, **placed(38.0, 48.6))
        counted()
    with acting_as(monitor):
        dots = on_the_map.points(monitor, WEEK, 100)
        assert sorted(dot.noun for dot in dots) == ["incident", "report"]  # the hidden incident does not exist
        assert totals(on_the_map.hexes(monitor, WEEK)) == (2, 4)
    with acting_as(planner):
        assert sorted(dot.noun for dot in on_the_map.points(planner, WEEK, 100)) == ["incident", "incident"]


def test_years_are_read_by_month_and_count_the_same(monitor):
    with acting_as(SYSTEM):
        for offset in range(0, 120, 3):
            at = datetime(2027, 1, 5, 12, tzinfo=UTC) + timedelta(days=offset)
            a_report(at=at, **placed(38.0, 48.6))
        counted()
    with acting_as(monitor):
        for first, last in (
            ("01-01", "04-30"),
            ("01-02", "04-29"),
            ("01-20", "02-10"),
            ("02-01", "02-28"),
            ("01-31", "03-01"),
        ):
            asked = Asked(date.fromisoformat(f"2027-{first}"), date.fromisoformat(f"2027-{last}"))
            recount = Report.objects.filter(occurred_on__range=(asked.first, asked.last)).count()
            assert totals(on_the_map.hexes(monitor, asked)) == (recount, recount), (first, last)


@given(st.dates(date(2026, 11, 1), date(2027, 8, 1)), st.integers(0, 150))
def test_months_and_days_besides_cover_exactly_the_days_asked_for(first, length):
    last = first + timedelta(days=length)
    taken = on_the_map.cover(first, last)
    days = {month + timedelta(days=n) for month in taken.months for n in range(31)}
    days = {day for day in days if day.replace(day=1) in taken.months}
    assert not days & set(taken.more)
    assert set(taken.less) <= days
    assert (days | set(taken.more)) - set(taken.less) == {first + timedelta(days=n) for n in range(length + 1)}
    assert len(taken.more) + len(taken.less) <= 31


def test_any_days_and_filters_count_what_a_recount_counts(monitor, planner):
    """Whichever sums answer: slices or whole months, days added or taken off."""
    dice = random.Random(3)
    sector, party = a_sector("north"), a_party("ru")
    with acting_as(SYSTEM):
        sources = [a_source("patrol"), a_source("press", source_class="media")]
        for _ in range(150):
            where = placed(dice.choice([38.0, 37.5, 30.5]), 48.6)
            if dice.random() < 0.5:
                where |= {"sector": sector, "coalition_sector": sector}
            a_report(
                dice.choice(["explosion", "shot", "burst"]),
                at=datetime(2027, 1, 10, 12, tzinfo=UTC) + timedelta(days=dice.randrange(100)),
                source=dice.choice(sources),
                accused=dice.choice([None, party]),
                status=dice.choice(["received", "screened", "refuted"]),
                tier=dice.choice([Tier.COALITION, Tier.PLANNING]),
                **where,
            )
        counted()
    filters = {
        "kinds": (("shot",), ("shot", "burst")),
        "occurrences": (("received",), ("received", "refuted")),
        "source_class": ("media",),
        "accused": (party.pk,),
        "sector": (sector.pk,),
    }
    columns = {"kinds": "kind__in", "occurrences": "status__in", "source_class": "source__source_class"}
    for number in range(60):
        chosen = {name: dice.choice(filters[name]) for name in dice.sample(sorted(filters), number % 3)}
        first = date(2027, 1, 1) + timedelta(days=dice.randrange(100))
        asked = Asked(first, first + timedelta(days=dice.randrange(100)), **chosen)
        for user in (monitor, planner):
            with acting_as(user):
                seen = Report.objects.visible_to(user).filter(occurred_on__range=(asked.first, asked.last))
                seen = seen.filter(**{columns.get(name, name): value for name, value in chosen.items()})
                expected = Counter(seen.values_list(seen_place(actor_of(user).tier).cell, flat=True))
                assert {each.cell: each.reports for each in on_the_map.hexes(user, asked)} == expected, asked


def test_a_sensitive_place_is_shown_as_vaguely_as_the_tier_demands(monitor, planner):
    exact = (38.01234, 48.61234)
    with acting_as(SYSTEM):
        a_report(place_name="Cellar of house 7", **placed(*exact, sensitive=True))
        counted()
    with acting_as(planner):
        [dot] = on_the_map.points(planner, WEEK, 10)
        assert (dot.place.longitude, dot.place.latitude, dot.place_name) == (*exact, "Cellar of house 7")
    with acting_as(monitor):
        [dot] = on_the_map.points(monitor, WEEK, 10)
        assert (dot.place.longitude, dot.place.latitude) != exact
        assert dot.place.precision_m == 100 + places.GRID_M
        assert dot.place_name == ""
        around = Box(exact[0] - 1e-4, exact[1] - 1e-4, exact[0] + 1e-4, exact[1] + 1e-4)
        assert (
            on_the_map.points(monitor, Asked(WEEK.first, WEEK.last, box=around), 10) == []
        )  # nor found by a small box


def test_a_crowd_is_hexes_and_far_out_the_hexes_are_bigger(monitor, monkeypatch):
    monkeypatch.setattr(on_the_map, "MOST_POINTS", 20)
    monkeypatch.setattr(on_the_map, "FEW", 10)
    spread = np.random.default_rng(1)
    with acting_as(SYSTEM):
        source = a_source()
        for longitude, latitude in zip(spread.uniform(37, 39, 40), spread.uniform(47.5, 49, 40), strict=True):
            a_report(source=source, **placed(float(longitude), float(latitude)))
        counted()
    with acting_as(monitor):
        near = on_the_map.picture(monitor, Asked(WEEK.first, WEEK.last, box=BOX), 9)
        assert (near.points, near.crowded, totals(near.hexes)) == ([], True, (40, 40))
        far = on_the_map.picture(monitor, WEEK, 5)
        assert totals(far.hexes) == (40, 40)
        assert len(far.hexes) < len(near.hexes)
        close = on_the_map.picture(monitor, Asked(WEEK.first, WEEK.last, box=Box(37.9, 48.3, 38.1, 48.5)), 11)
        assert close.hexes == []


def test_the_map_costs_few_queries(some_reports, monitor, django_assert_max_num_queries):
    with acting_as(monitor), django_assert_max_num_queries(6):
        on_the_map.picture(monitor, Asked(WEEK.first, WEEK.last, box=BOX), 10)


def test_a_window_stays_within_the_days_asked_for():
    assert on_the_map.window(WEEK, None, 1) == WEEK
    assert on_the_map.window(WEEK, date(2027, 3, 10), 1) == Asked(date(2027, 3, 10), date(2027, 3, 10))
    assert on_the_map.window(WEEK, date(2027, 3, 13), 7) == Asked(date(2027, 3, 13), date(2027, 3, 14))
    assert on_the_map.window(WEEK, date(2030, 1, 1), 7) == Asked(date(2027, 3, 14), date(2027, 3, 14))


@given(st.floats(20, 48), st.floats(42, 58), st.floats(0, 3), st.floats(0, 3))
def test_the_cells_named_for_a_box_are_those_that_touch_it(west, south, width, height):
    box = Box(west, south, west + width, south + height)
    named = boxes.cells_in(box)
    if named is None:
        assert width * height > 1
        return
    spread = np.random.default_rng(0)
    near = zip(
        spread.uniform(west - 0.5, west + width + 0.5, 300),
        spread.uniform(south - 0.5, south + height + 0.5, 300),
        strict=True,
    )
    cells = {places.cell_of(longitude, latitude) for longitude, latitude in near}
    assert {cell for cell in cells if on_the_map._touches(cell, box)} <= set(named)


@pytest.mark.parametrize("role", [Role.ANALYST, Role.PLANNER])
def test_a_box_holds_what_its_four_numbers_hold_small_or_large_vague_or_not(role):
    """Cells only help the index: what is found is what comparing the numbers finds."""
    rng = random.Random(7)
    user = a_member(role)
    tier = actor_of(user).tier
    seen = seen_place(tier)
    with acting_as(SYSTEM):
        for _ in range(60):
            precision = rng.choice([10, 500, 20_000])
            where = placed(
                rng.uniform(36, 38), rng.uniform(48, 49), precision_m=precision, sensitive=rng.random() < 0.3
            )
            a_report(**where)
        rows = [*Report.objects.values_list("pk", seen.longitude, seen.latitude)]
        for width in (0.02, 0.3, 1.5, 8):
            west, south = rng.uniform(35.5, 37.5), rng.uniform(47.5, 48.5)
            box = Box(west, south, west + width, south + width)
            expected = {pk for pk, longitude, latitude in rows if box.holds(longitude, latitude)}
            found = boxes.within_box(Report.objects.all(), tier, box)
            assert set(found.values_list("pk", flat=True)) == expected
