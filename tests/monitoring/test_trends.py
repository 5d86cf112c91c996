"""What the trends say: against the days before, per class, per tier; and that every number's link lists its rows."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Sector
from monitoring import on_the_map, rollups, trends
from monitoring.models import DailyCount, Report
from monitoring.on_the_map import Asked
from tests.factories import a_member, a_party, a_report, a_sector, a_source, an_incident

pytestmark = pytest.mark.django_db
DAY = date(2027, 3, 10)
CELL, OTHER_CELL = 0x851103BBFFFFFFF, 0x851103B3FFFFFFF
MONITORS = Asked(DAY, DAY, source_class="monitors")


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


def noon(days: int = 0) -> datetime:
    return datetime(2027, 3, 10, 12, tzinfo=UTC) + timedelta(days=days)


def placed(sector: Sector | None = None, cell: int = CELL) -> dict:
    """Return the columns of a place that every tier sees alike."""
    names = [f"{tier}{axis}" for tier in ("", "coalition_", "public_") for axis in ("longitude", "latitude")]
    return {
        **dict.fromkeys(names, 37.0),
        "place_precision_m": 100,
        "cell": cell,
        "coalition_cell": cell,
        "sector": sector,
        "coalition_sector": sector,
        "public_sector": sector,
    }


def classes(tier=Tier.COALITION, asked=None):
    rollups.sweep()
    found = trends.by_class(tier, asked or Asked(DAY, DAY))
    return {each.source_class: (each.compared.events, each.compared.before, each.compared.reports) for each in found}


# --- what counts as an event ------------------------------------------------------------------------


def test_merged_reports_are_one_event_and_still_so_many_reports():
    incident = an_incident()
    a_report(incident=incident)
    a_report(incident=incident)
    a_report()
    assert classes()["monitors"] == (2, 0, 3)


def test_an_incident_counts_once_in_the_class_of_its_strongest_report():
    incident = an_incident()
    a_report(incident=incident, source=a_source("press", source_class="media"), reliability="A")
    a_report(incident=incident, reliability="F")
    assert classes() == {"monitors": (1, 0, 1), "party": (0, 0, 0), "media": (0, 0, 1)}


def test_without_own_monitors_the_better_admiralty_code_decides_the_class():
    incident = an_incident()
    staff = a_source("staff", source_class="party", party=a_party())
    a_report(incident=incident, source=staff, reliability="C")
    a_report(incident=incident, source=a_source("press", source_class="media"), reliability="B")
    found = classes()
    assert (found["party"][0], found["media"][0]) == (0, 1)


def test_duplicates_and_what_is_out_of_scope_count_nowhere():
    a_report(status="duplicate")
    a_report(status="out_of_scope")
    a_report(status="refuted")
    assert classes()["monitors"] == (1, 0, 1)


def test_an_absorbed_incident_is_no_event():
    kept = an_incident()
    an_incident(merged_into=kept)
    a_report(incident=kept)
    assert classes()["monitors"] == (1, 0, 1)


# --- tiers ------------------------------------------------------------------------------------------


def test_a_hidden_incident_leaves_its_visible_reports_unmerged():
    incident = an_incident(tier=Tier.PLANNING)
    a_report(incident=incident, status="screened")
    a_report(incident=incident, status="received")
    assert classes(Tier.COALITION)["monitors"] == (2, 0, 2)
    assert classes(Tier.PLANNING)["monitors"] == (1, 0, 2)
    seen = trends.by_occurrence(Tier.COALITION, MONITORS)
    assert {group.value for group in seen} == {"screened", "received"}


def test_an_incident_none_of_whose_reports_a_tier_sees_is_in_no_class():
    incident = an_incident(tier=Tier.COALITION)
    a_report(incident=incident, tier=Tier.PLANNING)
    assert classes(Tier.COALITION) == {"monitors": (0, 0, 0), "party": (0, 0, 0), "media": (0, 0, 0), "": (1, 0, 0)}
    assert classes(Tier.PLANNING)["monitors"] == (1, 0, 1)


def test_a_report_of_the_planning_tier_moves_no_number_below_it():
    a_report()
    before = classes(Tier.COALITION), classes(Tier.PUBLIC)
    a_report(tier=Tier.PLANNING, kind="shot")
    assert (classes(Tier.COALITION), classes(Tier.PUBLIC)) == before
    assert classes(Tier.PLANNING)["monitors"] == (2, 0, 2)


def test_a_sensitive_place_is_counted_where_each_tier_sees_it():
    near, far = a_sector("near"), a_sector("far")
    place = {
        **placed(near),
        "sensitive": True,
        "coalition_cell": OTHER_CELL,
        "coalition_sector": far,
        "public_sector": None,
    }
    a_report(**place)
    rollups.sweep()
    found = {
        tier: (trends.by_sector(tier, MONITORS)[0].value, on_the_map.hexes_of(tier, MONITORS)[0].cell)
        for tier in (Tier.PLANNING, Tier.COALITION)
    }
    assert found == {Tier.PLANNING: ("near", CELL), Tier.COALITION: ("far", OTHER_CELL)}


@pytest.mark.parametrize("tier", [Tier.PUBLIC, Tier.COALITION])
def test_the_database_shows_nobody_the_counts_of_a_higher_tier(tier):
    a_report(tier=Tier.PLANNING)
    rollups.sweep()
    with acting_as(a_member(Role.MONITOR)):
        assert set(DailyCount.objects.values_list("tier", flat=True)) <= {Tier.PUBLIC, Tier.COALITION}
        assert not DailyCount.objects.filter(tier=Tier.PLANNING).exists()


# --- against the days before ------------------------------------------------------------------------


def test_a_period_stands_beside_as_many_days_before_it():
    for days in (0, -1, -1, -2, -2, -2, -4):
        a_report(at=noon(days))
    assert classes(asked=Asked(DAY - timedelta(days=1), DAY))["monitors"] == (3, 3, 3)


def test_a_day_stands_beside_the_mean_of_the_seven_days_before_it():
    for days in (0, 0, -1, -3, -7, -8):
        a_report(at=noon(days))
    rollups.sweep()
    (day,) = trends.by_day(Tier.COALITION, MONITORS)
    assert (day.events, day.mean_before) == (2, 3 / 7)


def test_a_day_without_reports_is_a_day_of_none():
    a_report(at=noon(-3))
    rollups.sweep()
    days = trends.by_day(Tier.COALITION, Asked(DAY - timedelta(days=3), DAY, source_class="monitors"))
    assert [day.events for day in days] == [1, 0, 0, 0]


def test_weeks_run_from_monday_and_share_one_scale():
    a_report(at=noon(0))
    a_report(at=noon(0))
    a_report(at=noon(-7))
    rollups.sweep()
    days = trends.by_day(Tier.COALITION, Asked(DAY - timedelta(days=9), DAY, source_class="monitors"))
    early, late = trends.weeks(days)
    assert [week.first.weekday() for week in (early, late)] == [0, 0]
    assert [max(bar.height for bar in week.bars) for week in (early, late)] == [24, 48]


def test_a_place_too_vague_and_no_place_are_counted_apart_and_not_lost():
    a_report()
    a_report(**{**placed(), "cell": None, "coalition_cell": None, "place_precision_m": 20_000})
    a_report(**placed())
    rollups.sweep()
    found = {group.label: group.compared.events for group in trends.by_sector(Tier.COALITION, MONITORS)}
    assert found == {"No place": 1, "Place too vague": 1, "Outside all sectors": 1}


def test_counts_add_up_per_unit_and_an_unknown_count_is_not_zero():
    a_report(count_low=30, count_high=35, count_unit="explosions")
    a_report(count_low=0, count_high=0, count_unit="explosions")
    a_report(count_unit="explosions")
    a_report(count_low=7, count_high=7, count_unit="shots")
    rollups.sweep()
    found = {unit.label: (unit.low, unit.high, unit.unknown) for unit in trends.by_unit(Tier.COALITION, MONITORS)}
    assert found == {"Explosions": (30, 35, 1), "Shots": (7, 7, 0)}


def test_a_sector_without_a_report_by_own_monitors_is_named_whoever_else_reported_there():
    watched, unwatched = a_sector("watched"), a_sector("unwatched")
    a_report(**placed(watched))
    a_report(source=a_source("press", source_class="media"), **placed(unwatched))
    rollups.sweep()
    found = trends.unwatched(Tier.COALITION, Asked(DAY, DAY, source_class="media"))
    assert [(gap.sector, gap.days) for gap in found] == [(unwatched, 1)]


# --- links and the API ------------------------------------------------------------------------------


@pytest.fixture
def mixture():
    """Reports and incidents of every tier, class and place, counted."""
    north = a_sector("north")
    press = a_source("press", source_class="media")
    hidden, seen = an_incident(tier=Tier.PLANNING), an_incident(occurrence="corroborated")
    for number in range(24):
        a_report(
            at=noon(-(number % 5)),
            kind=("explosion", "shot", "denial")[number % 3],
            source=press if number % 4 == 0 else None,
            accused=a_party("ru") if number % 2 else None,
            tier=(Tier.COALITION, Tier.PUBLIC, Tier.PLANNING)[number % 7 % 3],
            status="duplicate" if number == 13 else "screened",
            incident={3: hidden, 4: hidden, 5: seen, 6: seen}.get(number),
            **(placed(north) if number % 3 else {}),
        )
    rollups.sweep()


@pytest.mark.parametrize("role", [Role.MONITOR, Role.PLANNER])
@pytest.mark.usefixtures("mixture")
def test_every_group_of_every_tier_lists_exactly_its_reports(role):
    user = a_member(role)
    client = Client()
    client.force_login(user)
    page = client.get("/monitoring/trends/?occurred_after=2027-03-01&occurred_before=2027-03-10")
    links = [(group.compared.reports, href) for _, rows in page.context["groups"] for group, href in rows if href]
    links += [(day.reports, href) for day, href in page.context["days"]]
    assert len(links) > 15
    for reports, href in links:
        assert len(client.get(href).context["page"].rows) == reports, href


@pytest.mark.usefixtures("mixture")
def test_the_api_gives_the_counts_of_the_readers_tier_and_refuses_a_higher_one():
    client = Client()
    client.force_login(a_member(Role.MONITOR))
    rows = client.get("/api/v1/reports/daily/").json()["results"]
    seen = Report.objects.filter(tier__lte=Tier.COALITION).in_scope()
    assert sum(row["reports"] for row in rows) == seen.count()
    assert client.get("/api/v1/reports/daily/?tier=planning").status_code == 403
    assert client.get("/api/v1/reports/hexes/?tier=planning").status_code == 403


@pytest.mark.usefixtures("mixture")
@pytest.mark.parametrize("by", ["kind", "family", "sector", "accused", "occurrence", "count_unit"])
def test_a_breakdown_adds_up_to_the_whole(by):
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    whole, parts = (client.get(f"/api/v1/reports/daily/{query}").json()["results"] for query in ("", f"?by={by}"))
    for name in ("events", "reports"):
        assert sum(row[name] for row in parts) == sum(row[name] for row in whole)


@pytest.mark.usefixtures("mixture")
def test_hexes_hold_what_has_a_cell_within_days_and_box_of_the_question():
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    (cell,) = client.get("/api/v1/reports/hexes/?boundary=true").json()["results"]
    assert cell["cell"] == f"{CELL:x}"
    assert cell["reports"] == Report.objects.filter(cell=CELL).in_scope().count()
    assert cell["boundary"]["type"] == "Polygon"
    west, south = cell["longitude"] - 0.01, cell["latitude"] - 0.01
    box = f"{west},{south},{west + 0.02},{south + 0.02}"
    assert client.get(f"/api/v1/reports/hexes/?bbox={box}").json()["results"][0]["cell"] == cell["cell"]
    assert client.get("/api/v1/reports/hexes/?bbox=-10,-10,-9,-9").json()["results"] == []
    assert (
        client.get("/api/v1/reports/hexes/?occurred_before=2026-01-01&occurred_after=2025-12-01").json()["results"]
        == []
    )


@pytest.mark.usefixtures("mixture")
def test_hexes_are_polygons_in_geojson_and_lines_in_csv():
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    body = client.get("/api/v1/reports/hexes/?format=geojson").getvalue()
    assert b'"geometry":{"type":"Polygon"' in body
    lines = client.get("/api/v1/reports/hexes/?format=csv").getvalue().decode().splitlines()
    assert lines[0] == "cell,longitude,latitude,events,reports"
    assert len(lines) == 2


@pytest.mark.parametrize(
    "query", ["bbox=1,2", "kind=bang", "by=moon", "occurred_after=2027-02-30", "sector=nowhere", "x=1"]
)
def test_a_question_that_cannot_be_answered_is_refused_with_its_field(query):
    client = Client()
    client.force_login(a_member(Role.MONITOR))
    answer = client.get(f"/api/v1/reports/daily/?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["errors"]
