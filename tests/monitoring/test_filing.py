"""What is filed as it was said, what is refused, what is asked about, and what can be taken back."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.utils import timezone

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import VersionStale
from monitoring import filing, triage
from monitoring.filing import Doubtful, NothingToTakeBack
from monitoring.models import Report, Source
from tests.factories import a_member, a_party, a_provision, a_report, a_sector, a_source, a_term, the_operation

pytestmark = pytest.mark.django_db

DRAFT = {"source": "patrol-1", "kind": "explosion", "occurred_on": date(2025, 3, 20), "time": "14:30"}
HOW_SURE = {"sensitive": True, "place": "48.45670, 35.23450"}


@pytest.fixture(autouse=True)
def _world():
    with acting_as(SYSTEM):
        the_operation()
        a_source(reliability="B")
        a_party("ru"), a_party("ua")


@pytest.fixture
def monitor():
    return a_member(Role.MONITOR)


def filed(by, **fields) -> Report:
    return filing.file({**DRAFT, **fields}, by=by)


def refused(by, **fields) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as told:
        filed(by, **fields)
    return told.value.message_dict


def stored() -> int:
    with acting_as(SYSTEM):
        return Report.objects.count()


def test_a_report_keeps_who_filed_it_when_and_the_usual_reliability_of_its_source(monitor):
    report = filed(monitor)
    assert report.filed_by_id == monitor.pk
    assert (report.reliability, report.credibility, report.status) == ("B", 6, "received")
    assert (report.killed, report.count_low, report.longitude) == (None, None, None)


def test_a_reliability_that_is_given_goes_before_the_usual_one(monitor):
    assert filed(monitor, reliability="D").reliability == "D"


@pytest.mark.parametrize("role", [Role.OFFICER, Role.ANALYST])
def test_who_may_not_file_files_nothing(role):
    with pytest.raises(PermissionDenied):
        filed(a_member(role))
    assert stored() == 0


# --- When -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "precision", "first", "last"),
    [
        ({"time": "14:30"}, "exact", "2025-03-20T12:30", "2025-03-20T12:30"),
        ({"time": "14:30", "zone": "UTC"}, "exact", "2025-03-20T14:30", "2025-03-20T14:30"),
        ({"time": "22:30-02:15"}, "span", "2025-03-20T20:30", "2025-03-21T00:15"),
        ({"time": "morning"}, "part_of_day", "2025-03-20T04:00", "2025-03-20T09:59"),
        ({"time": ""}, "day", "2025-03-19T22:00", "2025-03-20T21:59"),
        ({"time": "", "last_on": date(2025, 3, 22)}, "days", "2025-03-19T22:00", "2025-03-22T21:59"),
    ],
)
def test_the_time_is_kept_as_exactly_as_it_was_said(monitor, said, precision, first, last):
    report = filed(monitor, **said)
    assert report.time_precision == precision
    assert f"{report.occurred_from:%Y-%m-%dT%H:%M}" == first
    assert f"{report.occurred_until:%Y-%m-%dT%H:%M}" == last
    assert report.occurred_on == date(2025, 3, 20)


def test_a_time_told_in_utc_is_on_the_day_it_was_where_it_happened(monitor):
    assert filed(monitor, time="23:30", zone="UTC").occurred_on == date(2025, 3, 21)


def test_instants_give_the_day_in_the_zone_of_the_operation(monitor):
    at = datetime(2025, 3, 20, 23, 30, tzinfo=UTC)
    report = filing.file({"source": "patrol-1", "occurred_from": at}, by=monitor)
    assert (report.occurred_on, report.time_precision) == (date(2025, 3, 21), "exact")
    assert report.occurred_until == at


def test_what_lies_in_the_future_is_refused_beyond_the_skew_of_a_clock(monitor):
    soon, later = (timezone.now() + timedelta(minutes=minutes) for minutes in (2, 30))
    assert filing.file({"source": "patrol-1", "occurred_from": soon}, by=monitor).pk
    with pytest.raises(ValidationError, match="future"):
        filing.file({"source": "patrol-1", "occurred_from": later}, by=monitor)


def test_today_without_a_time_is_not_the_future(monitor):
    today = timezone.now().astimezone(filing.zone_of_today()).date()
    assert filed(monitor, occurred_on=today, time="").time_precision == "day"


def test_a_time_the_clocks_skipped_is_refused_and_one_that_came_twice_is_asked_about(monitor):
    assert "put forward" in str(refused(monitor, occurred_on=date(2025, 3, 30), time="03:30"))
    twice = {"occurred_on": date(2025, 10, 26), "time": "03:30"}
    with pytest.raises(Doubtful, match="came twice"):
        filed(monitor, **twice)
    report = filing.file({**DRAFT, **twice}, by=monitor, confirmed=["clock_change"])
    assert report.occurred_until - report.occurred_from == timedelta(hours=1)
    assert report.time_precision == "span"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"occurred_on": None}, "occurred_on"),
        ({"occurred_on": date(1, 1, 1)}, "occurred_on"),
        ({"time": "25:00"}, "time"),
        ({"time": "when it got dark"}, "time"),
        ({"zone": "Europe/Nowhere"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"last_on": date(2025, 3, 19), "time": ""}, "last_on"),
        ({"last_on": date(2025, 3, 22)}, "last_on"),
        ({"occurred_from": datetime(1, 1, 1, tzinfo=UTC), "time": ""}, "occurred_from"),
        ({"source": "nobody"}, "source"),
        ({"source": None}, "source"),
        ({"accused": "nobody"}, "accused"),
        ({"kind": "thunder"}, "kind"),
        ({"count_low": 3, "count_high": 2}, "count_high"),
        ({"count_high": 2}, "count_low"),
        ({"count_low": 10**12, "count_high": 10**12}, "count_low"),
        ({"killed": -1}, "killed"),
        ({"weapon": "a\0"}, "weapon"),
        ({"weapon": "\ud800"}, "weapon"),
        ({"weapon": "x" * 121}, "weapon"),
        ({"narrative": "x" * 8001}, "narrative"),
        ({"place": "31.0, north"}, "place"),
        ({"place": "NaN, NaN"}, "place"),
        ({"place": "35.2345, 48.4567"}, "place"),
        ({"longitude": 35.0, "latitude": 48.0}, "place_precision_m"),
        ({"longitude": float("nan"), "latitude": 48.0, "place_precision_m": 10}, "longitude"),
        ({"longitude": 35.0}, "longitude"),
        ({"place": "48.4, 35.2", "place_precision_m": float("inf")}, "place_precision_m"),
        ({"tier": Tier.PLANNING}, "tier"),
        ({"tier": 9}, "tier"),
        ({"reliability": "Z"}, "reliability"),
        ({"credibility": 7}, "credibility"),
        ({"dataset": "own"}, "external_id"),
        ({"status": "corroborated"}, "status"),
        ({"incident": 1}, "incident"),
    ],
)
def test_bad_input_names_its_field_and_files_nothing(monitor, fields, name):
    assert name in refused(monitor, **fields)
    assert stored() == 0


# --- How many -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("30-35", 30, 35), ("71", 71, 71), ("several", None, None), ("N/K", None, None), ("a handful", None, None)],
)
def test_a_count_stays_as_it_was_put_and_unknown_is_never_zero(monitor, text, low, high):
    report = filed(monitor, count_text=text)
    assert (report.count_text, report.count_low, report.count_high) == (text, low, high)
    assert report.count_unit == ("explosions" if low else "")


def test_bounds_that_are_given_go_before_the_words(monitor):
    report = filed(monitor, count_text="about thirty", count_low=25, count_high=35, count_unit="shots")
    assert (report.count_low, report.count_high, report.count_unit) == (25, 35, "shots")


def test_one_number_is_both_bounds(monitor):
    assert filed(monitor, count_low=4).count_high == 4


# --- Where ----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["48.45670, 35.23450", "48°27′24.1″N 35°14′04.2″E", "36U XU 65237 69377"])
def test_a_place_is_read_in_degrees_in_dms_and_in_mgrs(monitor, typed):
    report = filed(monitor, place=typed)
    assert report.longitude == pytest.approx(35.2345, abs=0.01)
    assert report.latitude == pytest.approx(48.4567, abs=0.01)
    assert 0 < report.place_precision_m < 20
    assert report.cell is not None


def test_a_place_is_put_into_its_sector_and_a_vague_one_into_none(monitor):
    with acting_as(SYSTEM):
        ring = [[35, 48], [36, 48], [36, 49], [35, 49], [35, 48]]
        sector = a_sector("dnipro", polygon={"type": "Polygon", "coordinates": [ring]})
    assert filed(monitor, place="48.4567, 35.2345").sector_id == sector.pk
    vague = filed(monitor, place="48.4567, 35.2345", place_precision_m=20_000)
    assert (vague.sector_id, vague.cell, vague.too_vague) == (None, None, True)


def test_a_place_can_be_taken_away_and_made_vague(monitor):
    report = filed(monitor, place="48.4567, 35.2345")
    vague = filing.revise(report.pk, {"place_precision_m": 30_000.0}, by=monitor, based_on=None)
    assert (vague.cell, vague.longitude) == (None, 35.2345)
    gone = filing.revise(report.pk, {"place": ""}, by=monitor, based_on=None)
    assert (gone.longitude, gone.place_precision_m, gone.coalition_longitude) == (None, None, None)


def test_a_name_alone_is_no_point(monitor):
    report = filed(monitor, place_name="Avdiivka")
    assert (report.place_name, report.longitude, report.cell) == ("Avdiivka", None, None)


# --- What is asked about --------------------------------------------------------------------


def test_a_place_outside_the_theatre_is_filed_once_it_is_confirmed(monitor):
    with pytest.raises(Doubtful) as asked:
        filed(monitor, place="10.5, -66.9")
    assert [doubt.code for doubt in asked.value.doubts] == ["outside_theatre"]
    assert stored() == 0
    assert filing.file({**DRAFT, "place": "10.5, -66.9"}, by=monitor, confirmed=["outside_theatre"]).pk


def test_a_point_far_from_the_place_that_is_named_is_asked_about(monitor):
    with pytest.raises(Doubtful, match="km from Avdi"):
        filed(monitor, place="50.45, 30.52", place_name="Avdiivka")
    assert filed(monitor, place="48.14, 37.75", place_name="Avdiivka").pk


def test_a_day_before_every_agreement_is_asked_about(monitor):
    with acting_as(SYSTEM):
        a_term(a_provision(), begins_at=datetime(2025, 3, 25, tzinfo=UTC))
    with pytest.raises(Doubtful, match="began later"):
        filed(monitor)
    assert filed(monitor, occurred_on=date(2025, 3, 26)).pk


def test_an_agreement_one_may_not_see_is_not_told_of(monitor):
    with acting_as(SYSTEM):
        provision = a_provision()
        type(provision.agreement).objects.update(tier=Tier.PLANNING)
        a_term(provision, begins_at=datetime(2025, 3, 25, tzinfo=UTC))
    assert filed(monitor).pk


def test_confirming_one_doubt_does_not_confirm_another(monitor):
    draft = {**DRAFT, "place": "10.5, -66.9", "occurred_on": date(2025, 10, 26), "time": "03:30"}
    with pytest.raises(Doubtful) as asked:
        filing.file(draft, by=monitor, confirmed=["outside_theatre"])
    assert [doubt.code for doubt in asked.value.doubts] == ["clock_change"]


# --- Who says it ----------------------------------------------------------------------------


def test_a_partys_statement_is_that_partys_accusation(monitor):
    with acting_as(SYSTEM):
        a_source("mod-ru", source_class=Source.Class.PARTY, party=a_party("ru"))
    report = filed(monitor, source="mod-ru", accused="ua")
    assert (report.accuser.code, report.accused.code) == ("ru", "ua")


# --- Changing -------------------------------------------------------------------------------


def test_a_change_is_based_on_a_version_and_keeps_what_it_does_not_name(monitor):
    report = filed(monitor, place="48.4567, 35.2345", count_text="30-35")
    changed = filing.revise(report.pk, {"weapon": "D-30"}, by=monitor, based_on=report.version)
    assert (changed.weapon, changed.count_text, changed.longitude) == ("D-30", "30-35", 35.2345)
    assert changed.version == report.version + 1
    with pytest.raises(VersionStale):
        filing.revise(report.pk, {"weapon": "2S1"}, by=monitor, based_on=report.version)


def test_a_new_day_keeps_the_time_of_day_and_a_new_time_the_day(monitor):
    report = filed(monitor, time="night")
    moved = filing.revise(report.pk, {"occurred_on": date(2025, 3, 18)}, by=monitor, based_on=None)
    assert (moved.time_precision, moved.occurred_on) == ("part_of_day", date(2025, 3, 18))
    timed = filing.revise(report.pk, {"time": "04:15"}, by=monitor, based_on=None)
    assert (timed.time_precision, timed.occurred_on) == ("exact", date(2025, 3, 18))


def test_what_one_may_not_see_cannot_be_changed_or_found(monitor):
    with acting_as(SYSTEM):
        hidden = a_report(tier=Tier.PLANNING)
    with pytest.raises(Http404):
        filing.revise(hidden.pk, {"weapon": "D-30"}, by=monitor, based_on=None)


def test_who_sees_a_place_coarsely_changes_the_rest_and_the_exact_place_stays(monitor):
    report = filed(monitor, **HOW_SURE)
    assert report.coalition_longitude != report.longitude
    changed = filing.revise(report.pk, {"narrative": "Seen again"}, by=monitor, based_on=None)
    assert (changed.longitude, changed.latitude) == (35.2345, 48.4567)


def test_only_who_sees_the_exact_place_says_that_it_is_not_sensitive(monitor):
    report = filed(monitor, **HOW_SURE)
    with pytest.raises(ValidationError, match="Only planners"):
        filing.revise(report.pk, {"sensitive": False}, by=monitor, based_on=None)
    assert not filing.revise(report.pk, {"sensitive": False}, by=a_member(Role.PLANNER), based_on=None).sensitive


def test_the_last_change_can_be_taken_back_and_that_too(monitor):
    report = filed(monitor, weapon="D-30")
    filing.revise(report.pk, {"weapon": "2S1", "time": "night"}, by=monitor, based_on=None)
    back = filing.take_back(report.pk, by=monitor, based_on=None)
    assert (back.weapon, back.time_precision) == ("D-30", "exact")
    assert filing.take_back(report.pk, by=monitor, based_on=None).weapon == "2S1"


def test_where_nothing_was_changed_there_is_nothing_to_take_back(monitor):
    with pytest.raises(NothingToTakeBack):
        filing.take_back(filed(monitor).pk, by=monitor, based_on=None)


def test_taking_back_does_not_make_a_sensitive_place_exact_again_for_who_may_not_see_it(monitor):
    report = filed(monitor, place="48.45670, 35.23450")
    filing.revise(report.pk, {"sensitive": True}, by=monitor, based_on=None)
    with pytest.raises(NothingToTakeBack, match="Only planners"):
        filing.take_back(report.pk, by=monitor, based_on=None)


# --- While it is typed ----------------------------------------------------------------------


def test_a_tier_that_would_hide_what_a_duplicate_repeats_is_refused_until_the_mark_is_undone():
    planner = a_member(Role.PLANNER)
    with acting_as(planner):
        the_operation()
        original, copy = a_report(tier=Tier.PUBLIC), a_report(tier=Tier.COALITION)
        copy = triage.take(copy.pk, "duplicate", of=original.pk, by=planner)
        with pytest.raises(ValidationError, match=f"V{copy.pk} is marked as a duplicate of it"):
            filing.revise(original.pk, {"tier": Tier.PLANNING}, by=planner, based_on=None)
        filing.revise(original.pk, {"tier": Tier.COALITION}, by=planner, based_on=None)
        with pytest.raises(ValidationError, match=f"V{original.pk}, which it repeats, is of a stricter tier"):
            filing.revise(copy.pk, {"tier": Tier.PUBLIC}, by=planner, based_on=None)
        triage.undo(copy.pk, by=planner)
        assert filing.revise(original.pk, {"tier": Tier.PLANNING}, by=planner, based_on=None).tier == Tier.PLANNING


def test_a_half_typed_draft_is_understood_as_far_as_it_goes(monitor):
    with acting_as(monitor):
        sketch = filing.sketch({**DRAFT, "place": "48.4", "kind": "mortar", "killed": "-"}, by=monitor)
    assert (sketch.kind, sketch.longitude, sketch.occurred_on) == ("mortar", None, date(2025, 3, 20))
    assert filing.sketch({}, by=monitor).occurred_from is None
