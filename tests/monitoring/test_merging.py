"""Reports put together, taken apart and taken back; and nothing that gives a hidden incident away."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import Http404
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import Refused, VersionStale
from coalition.history import changes_of
from coalition.models import Tombstone
from monitoring import filing, judging, merging, triage
from monitoring.describing import NotStanding, revise
from monitoring.merging import Regrouped
from monitoring.models import Incident, IncidentStep, Report, ReportMove
from tests.factories import a_member, a_party, a_report, an_incident

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def monitor(db):
    return a_member(Role.MONITOR)


@pytest.fixture
def planner(db):
    return a_member(Role.PLANNER)


@pytest.fixture
def seeing(db):
    with acting_as(SYSTEM):
        yield


def unversioned(*reports: Report) -> dict[int, None]:
    return {report.pk: None for report in reports}


def where(report: Report) -> int | None:
    with acting_as(SYSTEM):
        return Report.objects.get(pk=report.pk).incident_id


def last_step(incident: Incident, kind: str | None = None) -> IncidentStep:
    steps = IncidentStep.objects.filter(incident=incident)
    return (steps.filter(kind=kind) if kind else steps).order_by("-pk").first()


def as_somebody(*tiers: int) -> list[Report]:
    with acting_as(SYSTEM):
        return [a_report(tier=tier) for tier in tiers]


# --- What an incident is first written down as --------------------------------------------


def test_an_incident_is_suggested_from_its_reports(monitor, seeing):
    vague = {"longitude": 38.1, "latitude": 48.1, "place_precision_m": 5000.0, "place_name": "near Pisky"}
    exact = {"longitude": 38.0, "latitude": 48.0, "place_precision_m": 100.0, "place_name": "Pisky"}
    a_report("explosion", occurred_until=NOON + timedelta(hours=2))
    one = a_report("artillery", accused=a_party("ru"), occurred_until=NOON + timedelta(hours=2), **vague)
    two = a_report("artillery", at=NOON + timedelta(hours=1), accused=a_party("ru"), killed=1, **exact)
    three = a_report("mortar", occurred_until=NOON + timedelta(hours=3), facility_class="housing")
    incident = merging.open_incident(unversioned(one, two, three), by=monitor)
    assert incident.title == "Artillery fire, Pisky"
    assert (incident.kind, incident.accused, incident.facility_class) == ("artillery", a_party("ru"), "housing")
    assert (incident.longitude, incident.place_precision_m) == (38.0, 100.0)
    assert incident.occurred_from == incident.occurred_until == NOON + timedelta(hours=1)


def test_parties_who_accuse_each_other_leave_the_accused_open(monitor, seeing):
    reports = [a_report(accused=a_party("ru")), a_report(accused=a_party("ua")), a_report()]
    assert merging.open_incident(unversioned(*reports), by=monitor).accused is None


def test_times_with_nothing_in_common_give_the_whole_from_first_to_last(monitor, seeing):
    reports = [a_report(at=NOON), a_report(at=NOON + timedelta(hours=2))]
    incident = merging.open_incident(unversioned(*reports), by=monitor)
    assert (incident.occurred_from, incident.occurred_until) == (NOON, NOON + timedelta(hours=2))
    assert incident.time_precision == "span"


def test_a_sensitive_place_is_not_named_in_the_title_and_comes_with_the_columns_of_every_tier(monitor, seeing):
    place = {"longitude": 38.0, "latitude": 48.0, "place_precision_m": 10.0, "place_name": "Depot", "sensitive": True}
    seen = {"coalition_longitude": 38.0075, "coalition_latitude": 48.005, "public_longitude": 38.2}
    incident = merging.open_incident(unversioned(a_report(**place, **seen, public_latitude=48.2)), by=monitor)
    assert incident.title == "Explosion"
    assert (incident.sensitive, incident.coalition_longitude, incident.public_longitude) == (True, 38.0075, 38.2)


def test_what_somebody_writes_stands_in_place_of_what_is_suggested(monitor, seeing):
    one, two = a_report(at=NOON), a_report(at=NOON + timedelta(hours=1))
    draft = {"title": " Shelling of Pisky ", "kind": "mortar", "time_of": two.pk}
    incident = merging.open_incident(unversioned(one, two), draft, by=monitor)
    assert (incident.title, incident.kind, incident.occurred_from) == ("Shelling of Pisky", "mortar", two.occurred_from)


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"title": "x" * 201}, "title"),
        ({"tier": 3}, "tier"),
        ({"place_of": 0}, "place_of"),
    ],
)
def test_a_draft_that_does_not_fit_is_refused_and_nothing_is_written(monitor, seeing, draft, field):
    report = a_report()
    with pytest.raises(ValidationError) as refused:
        merging.open_incident(unversioned(report), draft, by=monitor)
    assert field in refused.value.message_dict
    assert not Incident.objects.exists()


def test_an_incident_is_as_strict_as_its_strictest_report_unless_somebody_decides_otherwise(planner, seeing):
    low, high, other = (a_report(tier=tier) for tier in (1, 3, 3))
    assert merging.open_incident(unversioned(low, high), by=planner).tier == Tier.PLANNING
    incident = merging.open_incident(unversioned(other), {"tier": 2}, by=planner)
    assert incident.tier == Tier.COALITION
    assert merging.add(incident.pk, unversioned(a_report(tier=3)), by=planner).tier == Tier.PLANNING


# --- Merging, splitting, taking back ------------------------------------------------------


def test_merging_leaves_the_status_of_a_report_and_its_occurrence_becomes_the_incidents(monitor, seeing):
    report = a_report()
    incident = merging.open_incident(unversioned(report), by=monitor)
    [found] = Report.objects.with_incident_for(monitor)
    assert (found.status, found.occurrence, found.seen_incident_id) == ("received", "under_verification", incident.pk)


def test_a_merged_report_cannot_be_merged_elsewhere_nor_one_that_counts_nowhere(monitor, seeing):
    merged, duplicate = a_report(), a_report(status="duplicate")
    merging.open_incident(unversioned(merged), by=monitor)
    with pytest.raises(Regrouped, match="is part of"):
        merging.open_incident(unversioned(merged), by=monitor)
    with pytest.raises(Regrouped, match="is marked as duplicate"):
        merging.open_incident(unversioned(duplicate), by=monitor)


def test_taking_the_first_merge_back_leaves_no_incident_and_every_report_as_it_was(monitor, seeing):
    one, two = a_report(), a_report(status="screened")
    incident = merging.open_incident(unversioned(one, two), by=monitor)
    assert merging.take_back(last_step(incident).pk, by=monitor) == []
    assert not Incident.objects.exists()
    assert {(report.incident_id, report.status) for report in Report.objects.all()} == {
        (None, "received"),
        (None, "screened"),
    }
    assert Tombstone.objects.filter(kind="monitoring_incident", object_id=str(incident.pk)).exists()


def test_reports_merged_later_come_out_alone_and_the_tier_and_verification_come_back(monitor, planner, seeing):
    first, strict = a_report(), a_report(tier=3)
    incident = merging.open_incident(unversioned(first), by=monitor)
    judge_it(incident, by=monitor)
    judging.verify(incident.pk, by=planner, reason="Checked the pictures.")
    merged = merging.add(incident.pk, unversioned(strict), by=planner)
    assert (merged.tier, merged.verified_by) == (Tier.PLANNING, None)
    merging.take_back(last_step(incident, "add").pk, by=planner)
    incident.refresh_from_db()
    assert (incident.tier, incident.verified_by) == (Tier.COALITION, planner)
    assert (where(first), where(strict)) == (incident.pk, None)


def judge_it(incident: Incident, *, by, **fields) -> Incident:
    whole = {"occurrence": "corroborated", "occurrence_confidence": "high", "occurrence_reasoning": "Seen by two."}
    return judging.judge(incident.pk, {**whole, **fields}, by=by)


def test_an_incident_merged_into_another_redirects_and_comes_back_with_its_own_reports(monitor, seeing):
    one, two, three = a_report(), a_report(), a_report()
    kept = merging.open_incident(unversioned(one), by=monitor)
    gone = merging.open_incident(unversioned(two), by=monitor)
    far = merging.open_incident(unversioned(three), by=monitor)
    merging.absorb(gone.pk, far.pk, by=monitor)
    merging.absorb(kept.pk, gone.pk, by=monitor)
    assert {where(report) for report in (one, two, three)} == {kept.pk}
    assert merging.standing(far.pk, by=monitor) == merging.standing(gone.pk, by=monitor) == kept
    merging.take_back(last_step(kept, "absorb").pk, by=monitor)
    assert [where(report) for report in (one, two, three)] == [kept.pk, gone.pk, gone.pk]
    assert merging.standing(far.pk, by=monitor) == gone


def test_what_was_merged_away_takes_no_step_of_its_own(monitor, seeing):
    kept, gone = (merging.open_incident(unversioned(a_report()), by=monitor) for _ in range(2))
    merging.absorb(kept.pk, gone.pk, by=monitor)
    for step in (
        lambda: merging.absorb(gone.pk, kept.pk, by=monitor),
        lambda: merging.add(gone.pk, unversioned(a_report()), by=monitor),
        lambda: revise(gone.pk, {"title": "x"}, by=monitor),
        lambda: judge_it(gone, by=monitor),
    ):
        with pytest.raises(NotStanding):
            step()
    with pytest.raises(ValidationError):
        merging.absorb(kept.pk, kept.pk, by=monitor)


def test_reports_are_split_off_to_stand_alone_or_as_an_incident_and_come_back(monitor, seeing):
    one, two, three = a_report(), a_report(), a_report("shot")
    incident = merging.open_incident(unversioned(one, two, three), by=monitor)
    merging.split(incident.pk, [two.pk], by=monitor)
    made = merging.split(incident.pk, [three.pk], by=monitor, into_new=True)
    assert made.kind == "shot"
    assert [where(report) for report in (one, two, three)] == [incident.pk, None, made.pk]
    for step in IncidentStep.objects.filter(incident=incident, kind="split").order_by("pk"):
        merging.take_back(step.pk, by=monitor)
    assert {where(report) for report in (one, two, three)} == {incident.pk}
    assert list(Incident.objects.all()) == [incident]


def test_an_incident_keeps_at_least_one_report(monitor, seeing):
    incident = merging.open_incident(unversioned(report := a_report()), by=monitor)
    with pytest.raises(ValidationError, match="At least one report stays"):
        merging.split(incident.pk, [report.pk], by=monitor)


def test_what_others_built_upon_is_not_taken_back_and_the_sentence_says_why(monitor, planner, seeing):
    one, two, three = a_report(), a_report(), a_report()
    incident = merging.open_incident(unversioned(one, two), by=monitor)
    opened = last_step(incident).pk
    merging.add(incident.pk, unversioned(three), by=monitor)
    with pytest.raises(Regrouped, match=f"V{three.pk} was merged into I{incident.pk} since"):
        merging.take_back(opened, by=monitor)
    merging.split(incident.pk, [two.pk], by=monitor)
    with pytest.raises(Regrouped, match=f"V{two.pk} has moved on since"):
        merging.take_back(opened, by=monitor)
    other = merging.open_incident(unversioned(two), by=monitor)
    judge_it(other, by=monitor)
    with pytest.raises(Regrouped, match="was judged since"):
        merging.take_back(last_step(other, "open").pk, by=monitor)


def test_a_step_is_taken_back_once_and_somebody_elses_only_with_a_reason(monitor, seeing):
    incident = merging.open_incident(unversioned(a_report()), by=monitor)
    merging.add(incident.pk, unversioned(a_report()), by=monitor)
    step, other = last_step(incident), a_member(Role.MONITOR)
    with pytest.raises(ValidationError, match="Say why"):
        merging.take_back(step.pk, by=other)
    merging.take_back(step.pk, by=other, reason="Another village.")
    with pytest.raises(Regrouped, match="already"):
        merging.take_back(step.pk, by=monitor)
    assert not merging.may_be_taken_back(step)


def test_every_change_of_what_is_in_an_incident_needs_the_version_it_was_based_on(monitor, seeing):
    report, other = a_report(), a_report()
    incident = merging.open_incident({report.pk: report.version}, by=monitor)
    with pytest.raises(VersionStale):
        merging.open_incident({report.pk: report.version}, by=monitor)
    grown = merging.add(incident.pk, unversioned(other), by=monitor, based_on=incident.version)
    assert grown.version > incident.version
    with pytest.raises(VersionStale):
        merging.split(incident.pk, [other.pk], by=monitor, based_on=incident.version)


@pytest.mark.parametrize("role", [Role.OFFICER, Role.ANALYST])
def test_who_may_not_merge_is_refused_whatever_they_try(role, seeing):
    stranger, report = a_member(role), a_report()
    incident = an_incident()
    a_report(incident=incident)
    for step in (
        lambda: merging.open_incident(unversioned(report), by=stranger),
        lambda: merging.add(incident.pk, unversioned(report), by=stranger),
        lambda: merging.split(incident.pk, [report.pk], by=stranger),
        lambda: merging.take_back(1, by=stranger),
        lambda: revise(incident.pk, {"title": "x"}, by=stranger),
        lambda: judge_it(incident, by=stranger),
        lambda: judging.verify(incident.pk, by=stranger, reason="x"),
        lambda: triage.take(report.pk, "screen", by=stranger),
        lambda: triage.undo(report.pk, by=stranger),
    ):
        with pytest.raises(PermissionDenied):
            step()


# --- What one may not see -----------------------------------------------------------------


def a_hidden_incident(planner) -> tuple[Incident, Report, Report]:
    """An incident of planning tier with a coalition report and a planning one, as planners made it."""
    low, high = as_somebody(2, 3)
    incident = merging.open_incident(unversioned(low, high), by=planner, reason="The intercept says so.")
    return incident, low, high


def test_a_hidden_merge_leaves_no_trace_on_a_report_that_others_see(monitor, planner):
    [before] = as_somebody(2)
    with acting_as(SYSTEM):
        strict = a_report(tier=3)
    merging.open_incident(unversioned(before, strict), by=planner, reason="The intercept says so.")
    with acting_as(monitor):
        seen = Report.objects.visible_to(monitor).with_incident_for(monitor).get()
        for name in ("version", "changed_at", "changed_xid", "status"):
            assert getattr(seen, name) == getattr(before, name), name
        assert (seen.seen_incident_id, seen.occurrence) == (None, "received")
        assert list(triage.queue(monitor)) == [seen]
        assert changes_of(seen) == []
        assert not [event for event in Report.pgh_event_model.objects.all() if "intercept" in str(event.pgh_context)]
        for model in (Incident, IncidentStep, ReportMove):
            assert not model.objects.exists()
            assert not model.objects.visible_to(monitor).exists()


def test_a_visible_merge_does_show_as_a_change_of_the_report(monitor, seeing):
    report = a_report()
    merging.open_incident(unversioned(report), by=monitor, reason="One crater.")
    changed = Report.objects.get(pk=report.pk)
    assert changed.version == report.version + 1
    [change] = changes_of(changed)
    assert (change.why, change.fields[0].label) == ("One crater.", "Incident")


def test_a_report_of_a_hidden_incident_is_merged_like_any_other_and_planners_are_shown(monitor, planner):
    hidden, low, high = a_hidden_incident(planner)
    [other] = as_somebody(2)
    opened = merging.open_incident({low.pk: low.version, other.pk: other.version}, by=monitor)
    assert (where(low), where(high)) == (opened.pk, hidden.pk)
    with acting_as(monitor):
        moves = ReportMove.objects.all()
        assert {(move.report_id, move.from_incident_id, move.to_incident_id) for move in moves} == {
            (low.pk, None, opened.pk),
            (other.pk, None, opened.pk),
        }
    with acting_as(planner):
        assert last_step(hidden).kind == "taken"
        assert last_step(hidden).caused_by.incident == opened
    with acting_as(monitor):
        merging.take_back(last_step(opened).pk, by=monitor)
    assert (where(low), where(other), where(high)) == (hidden.pk, None, hidden.pk)


def test_a_hidden_incident_whose_every_report_is_merged_elsewhere_follows_them_and_comes_back(monitor, planner):
    [low] = as_somebody(2)
    hidden = merging.open_incident(unversioned(low), {"tier": 3}, by=planner)
    opened = merging.open_incident(unversioned(low), by=monitor)
    with acting_as(planner):
        assert merging.standing(hidden.pk, by=planner) == opened
    with acting_as(monitor), pytest.raises(Http404):
        merging.standing(hidden.pk, by=monitor)
    with acting_as(monitor):
        merging.take_back(last_step(opened).pk, by=monitor)
    assert where(low) == hidden.pk
    with acting_as(planner):
        assert merging.standing(hidden.pk, by=planner) == hidden


def test_a_report_of_a_hidden_incident_can_be_put_out_of_scope(monitor, planner):
    hidden, low, high = a_hidden_incident(planner)
    triage.take(low.pk, "out-of-scope", by=monitor, reason="A training range.")
    assert (where(low), where(high)) == (None, hidden.pk)
    with acting_as(planner):
        assert last_step(hidden).kind == "taken"


def test_a_hidden_incident_answers_like_one_that_is_not_there(monitor, planner):
    hidden, low, high = a_hidden_incident(planner)
    [free] = as_somebody(2)
    opened = merging.open_incident(unversioned(free), by=monitor)
    for incident_id in (hidden.pk, 10**9):
        for step in (
            lambda pk=incident_id: merging.add(pk, unversioned(low), by=monitor),
            lambda pk=incident_id: merging.absorb(opened.pk, pk, by=monitor),
            lambda pk=incident_id: merging.absorb(pk, opened.pk, by=monitor),
            lambda pk=incident_id: merging.split(pk, [low.pk], by=monitor),
            lambda pk=incident_id: judge_it(Incident(pk=pk), by=monitor),
            lambda pk=incident_id: judging.verify(pk, by=monitor, reason="x"),
            lambda pk=incident_id: revise(pk, {"title": "x"}, by=monitor),
        ):
            with pytest.raises(Http404):
                step()
    with pytest.raises(Http404):
        merging.open_incident(unversioned(high), by=monitor)
    with acting_as(planner):
        step = last_step(hidden).pk
    with pytest.raises(Http404):
        merging.take_back(step, by=monitor)


def test_an_incident_merged_into_a_stricter_one_is_gone_for_those_who_may_not_see_that(monitor, planner):
    [low, high] = as_somebody(2, 3)
    seen = merging.open_incident(unversioned(low), by=monitor)
    hidden = merging.open_incident(unversioned(high), by=planner)
    merging.absorb(hidden.pk, seen.pk, by=planner)
    with acting_as(monitor):
        assert not Incident.objects.exists()
        with pytest.raises(Http404):
            merging.standing(seen.pk, by=monitor)
        [report] = Report.objects.visible_to(monitor).with_incident_for(monitor)
        assert (report.seen_incident_id, report.occurrence) == (None, "received")
        assert Tombstone.objects.filter(kind="monitoring_incident", object_id=str(seen.pk)).exists()
    with acting_as(planner):
        merging.take_back(last_step(hidden, "absorb").pk, by=planner)
    with acting_as(monitor):
        assert merging.standing(seen.pk, by=monitor).tier == Tier.COALITION


def test_raising_the_tier_of_an_incident_hides_what_was_merged_into_it(monitor, planner):
    reports = as_somebody(2, 2)
    kept, gone = (merging.open_incident(unversioned(report), by=monitor) for report in reports)
    merging.absorb(kept.pk, gone.pk, by=monitor)
    revise(kept.pk, {"tier": 3}, by=planner)
    with acting_as(monitor):
        assert not Incident.objects.exists()


def test_a_report_that_becomes_stricter_or_sensitive_takes_its_incident_along(monitor, planner):
    place = {"longitude": 38.0, "latitude": 48.0, "place_precision_m": 10.0}
    with acting_as(SYSTEM):
        report, other = a_report(**place), a_report()
    incident = merging.open_incident(unversioned(report), by=monitor)
    merging.add(incident.pk, unversioned(other), by=monitor)
    filing.revise(report.pk, {"sensitive": True}, by=monitor, based_on=None)
    with acting_as(monitor):
        incident.refresh_from_db()
        assert incident.sensitive
        assert incident.coalition_longitude != 38.0
    filing.revise(other.pk, {"tier": 3}, by=planner, based_on=None)
    with acting_as(monitor):
        assert not Incident.objects.exists()


def test_taking_back_the_first_merge_leaves_what_only_planners_see_to_them(monitor, planner):
    low, high = as_somebody(2, 3)
    incident = merging.open_incident(unversioned(low), by=monitor)
    merging.add(incident.pk, unversioned(high), by=planner, tier=2)
    with acting_as(monitor):
        assert merging.take_back(last_step(incident, "open").pk, by=monitor) == []
        assert not Incident.objects.exists()
    with acting_as(planner):
        incident.refresh_from_db()
        assert (incident.tier, where(high), where(low)) == (Tier.PLANNING, incident.pk, None)


# --- Two at once --------------------------------------------------------------------------


def test_of_two_people_who_merge_the_same_report_at_once_one_wins(committed):
    with acting_as(SYSTEM):
        shared, left, right = a_report(), a_report(), a_report()
    people = [a_member(Role.MONITOR), a_member(Role.MONITOR)]
    outcomes, together = [], threading.Barrier(2)

    def merge(person, own):
        together.wait()
        try:
            incident = merging.open_incident({shared.pk: shared.version, own.pk: own.version}, by=person)
            outcomes.append(incident.pk)
        except Refused as refused:
            outcomes.append(refused.status)
        finally:
            connection.close()

    threads = [threading.Thread(target=merge, args=pair) for pair in zip(people, (left, right), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    refused = [status for status in outcomes if status in (409, 412)]
    with acting_as(SYSTEM):
        [incident] = Incident.objects.all()
        assert sorted(outcomes, key=lambda each: each in (409, 412)) == [incident.pk, *refused]
        assert incident.reports.count() == 2


# --- Whatever is done ---------------------------------------------------------------------

DOINGS = st.lists(
    st.tuples(
        st.sampled_from(["open", "add", "absorb", "split", "new", "back", "scope", "raise"]), *[st.integers(0, 99)] * 4
    ),
    max_size=25,
)


def do(kind: str, numbers: tuple[int, ...], people, reports: list[int]) -> None:
    """Try one thing; what the rules refuse is refused."""
    person = people[numbers[0] % len(people)]
    some = dict.fromkeys({reports[number % len(reports)] for number in numbers[1:3]})
    with acting_as(SYSTEM):
        incidents = list(Incident.objects.order_by("pk").values_list("pk", flat=True)) or [0]
        steps = list(IncidentStep.objects.order_by("pk").values_list("pk", flat=True)) or [0]
    one, other = incidents[numbers[2] % len(incidents)], incidents[numbers[3] % len(incidents)]
    try:
        match kind:
            case "open":
                merging.open_incident(some, by=person)
            case "add":
                merging.add(one, some, by=person, tier=(None, 2, 3)[numbers[3] % 3])
            case "absorb":
                merging.absorb(one, other, by=person)
            case "split" | "new":
                merging.split(one, some, by=person, into_new=kind == "new")
            case "back":
                merging.take_back(steps[numbers[3] % len(steps)], by=person, reason="Why not.")
            case "scope":
                triage.take(min(some), "out-of-scope", by=person, reason="Why not.")
            case "raise":
                revise(one, {"tier": 2 + numbers[3] % 2}, by=person)
    except (Refused, ValidationError, Http404):
        pass


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(DOINGS)
def test_whatever_is_merged_split_and_taken_back_every_report_is_in_one_place_and_every_id_leads_somewhere(doings):
    with acting_as(SYSTEM):
        people = [a_member(Role.MONITOR), a_member(Role.PLANNER)]
        reports = [a_report(tier=tier).pk for tier in (1, 2, 2, 2, 3, 3)]
    for kind, *numbers in doings:
        do(kind, tuple(numbers), people, reports)
    with acting_as(SYSTEM):
        incidents = {incident.pk: incident for incident in Incident.objects.all()}
        for incident in incidents.values():
            target = merging.standing(incident.pk, by=SYSTEM)
            assert target.merged_into_id is None
            if incident.merged_into_id is not None:
                assert not incident.reports.exists(), "what redirects holds nothing"
                assert incident.tier >= incidents[incident.merged_into_id].tier, "no visible sign of a hidden one"
        for report in Report.objects.filter(pk__in=reports, incident__isnull=False):
            assert incidents[report.incident_id].merged_into_id is None
            assert report.status != "out_of_scope"
        last_place = {}
        for move in ReportMove.objects.filter(report__in=reports).order_by("pk"):
            assert last_place.get(move.report_id) == move.from_incident_id or move.from_incident_id is None
            last_place[move.report_id] = move.to_incident_id
