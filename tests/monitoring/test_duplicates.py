"""Which reports are suggested as being of the same event, why, and to whom."""

from datetime import UTC, datetime, timedelta

import pytest

from coalition.access import SYSTEM, Role, Tier, acting_as
from monitoring.duplicates import candidates
from monitoring.models import Report
from tests.factories import a_member, a_party, a_report, an_incident

pytestmark = pytest.mark.django_db

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)
LONGITUDE, LATITUDE = 38.0, 48.0
KM_EAST = 1 / (111.195 * 0.66913)  # degrees, at 48° N


def placed(km: float = 0.0, precision_m: float = 500.0, **fields) -> Report:
    """A report so many kilometres east of the first, seen alike by all tiers unless told otherwise."""
    longitude = LONGITUDE + km * KM_EAST
    seen = {"coalition_longitude": longitude, "coalition_latitude": LATITUDE}
    return a_report(
        **{"longitude": longitude, "latitude": LATITUDE, "place_precision_m": precision_m, **seen, **fields}
    )


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


def suggested(about: Report, by=SYSTEM, **how) -> list[int]:
    return [candidate.report.pk for candidate in candidates(about, by=by, **how)]


def test_a_report_close_in_place_time_and_kind_comes_first_with_its_reasons():
    first = placed(count_low=30, count_high=35, count_unit="explosions")
    near = placed(0.8, count_low=32, count_high=32, count_unit="explosions")
    placed(3, at=NOON + timedelta(hours=3), kind="shot")
    best, *rest = candidates(first, by=SYSTEM)
    assert best.report == near
    assert best.reasons == ("800 m apart, within both precisions", "same time", "same kind", "counts agree")
    assert best.distance_m == pytest.approx(800, rel=0.01)
    assert all(candidate.score < best.score for candidate in rest)


def test_what_is_further_away_than_both_precisions_allow_is_said_and_scores_less():
    first, beyond = placed(precision_m=100), placed(1.2, precision_m=100)
    [candidate] = candidates(first, by=SYSTEM)
    assert candidate.report == beyond
    assert candidate.reasons[0] == "1.2 km apart, 1.0 km beyond both precisions"


def test_two_vague_places_that_overlap_say_less_than_two_exact_ones():
    first = placed(precision_m=50)
    exact, vague = placed(0.05, precision_m=50), placed(0.05, precision_m=8000)
    assert suggested(first) == [exact.pk, vague.pk]


def test_a_far_place_or_another_day_is_not_suggested():
    first = placed()
    placed(60)
    placed(at=NOON + timedelta(days=2))
    placed(at=NOON - timedelta(days=2))
    assert suggested(first) == []


def test_a_span_that_holds_the_time_overlaps_it():
    first = placed()
    day = {"occurred_from": NOON - timedelta(hours=12), "occurred_until": NOON + timedelta(hours=11)}
    whole_day = placed(time_precision="day", **day)
    [candidate] = candidates(first, by=SYSTEM)
    assert candidate.report == whole_day
    assert "times overlap" in candidate.reasons


def test_accusations_of_each_other_are_suggested_as_one_event():
    first = placed(accuser=a_party("ru"), accused=a_party("ua"))
    mirror = placed(0.3, accuser=a_party("ua"), accused=a_party("ru"))
    assert suggested(first) == [mirror.pk]


def test_a_strike_told_as_artillery_and_as_a_strike_on_a_facility_may_be_one():
    first, told_otherwise, other = placed(kind="artillery"), placed(kind="facility_strike"), placed(kind="denial")
    assert suggested(first) == [told_otherwise.pk, other.pk]
    assert "kinds that are told of one event (strike on a facility)" in candidates(first, by=SYSTEM)[0].reasons


def test_without_a_point_the_same_place_name_is_what_is_looked_for():
    named = a_report(place_name="Pisky")
    pointed = placed(place_name="pisky ")
    same = a_report(place_name="PISKY")
    a_report(place_name="Other")
    assert suggested(named) == [same.pk]
    assert suggested(placed(place_name="Pisky"))[0] == pointed.pk
    assert "same place name" in candidates(named, by=SYSTEM)[0].reasons


def test_a_draft_that_is_not_saved_is_compared_by_what_was_typed():
    near = placed(0.2)
    draft = Report(kind="explosion", occurred_from=NOON, occurred_until=NOON, longitude=LONGITUDE, latitude=LATITUDE)
    assert suggested(draft) == [near.pk]
    assert candidates(Report(kind="shot", occurred_from=NOON, occurred_until=NOON), by=SYSTEM) == []
    assert candidates(Report(kind="shot", place_name="Pisky"), by=SYSTEM) == []


def test_duplicates_and_what_is_out_of_scope_are_not_suggested():
    first = placed()
    placed(status="duplicate"), placed(status="out_of_scope")
    assert suggested(first) == []


def test_what_is_in_the_same_incident_is_not_suggested_and_what_is_in_another_names_it():
    one, other = an_incident(), an_incident()
    first = placed(incident=one)
    placed(incident=one)
    elsewhere = placed(incident=other)
    [candidate] = candidates(first, by=SYSTEM)
    assert (candidate.report, candidate.incident) == (elsewhere, other)


def test_a_hidden_report_is_not_suggested_and_a_hidden_incident_not_named():
    monitor = a_member(Role.MONITOR)
    hidden = an_incident(tier=Tier.PLANNING)
    first = placed(incident=hidden)
    also_merged = placed(incident=hidden)
    secret = placed(tier=Tier.PLANNING)
    assert suggested(first) == [secret.pk]
    with acting_as(monitor):
        [candidate] = candidates(first, by=monitor)
    assert (candidate.report, candidate.incident) == (also_merged, None)


def test_a_sensitive_place_is_compared_as_the_asker_sees_it():
    monitor = a_member(Role.MONITOR)
    first = placed(precision_m=10)
    # Twenty kilometres off its true place on the coalition's columns: only planners may find it here.
    moved = {"sensitive": True, "coalition_longitude": LONGITUDE + 40 * KM_EAST, "coalition_latitude": LATITUDE}
    sensitive = placed(0.1, precision_m=10, place_name="Depot", **moved)
    assert suggested(first) == [sensitive.pk]
    with acting_as(monitor):
        assert suggested(first, by=monitor) == []
        assert suggested(a_report(place_name="Depot"), by=monitor) == []


def test_nobody_is_suggested_nothing():
    first = placed()
    placed()
    assert candidates(first, by=None) == []


def test_the_question_costs_two_queries(django_assert_num_queries):
    first = placed()
    for _ in range(5):
        placed()
    with django_assert_num_queries(2):
        assert len(candidates(first, by=SYSTEM, limit=3)) == 3
