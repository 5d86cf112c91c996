"""What waits, in which order; the steps of triage, what each needs, and how it is undone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import VersionStale
from coalition.history import changes_of
from monitoring import merging, triage
from monitoring.merging import Regrouped
from monitoring.models import Report, ReportStep
from monitoring.triage import WrongStep
from tests.factories import a_member, a_report, an_incident

pytestmark = pytest.mark.django_db

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def monitor():
    return a_member(Role.MONITOR)


@pytest.fixture(autouse=True)
def _acting(monitor):
    with acting_as(SYSTEM):
        yield


# --- The queue ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"kind": "shot", "killed": 1}, 4),
        ({"kind": "shot", "facility_class": "nuclear"}, 4),
        ({"kind": "fire_at_monitors"}, 4),
        ({"kind": "shot", "injured": 2, "killed": 0}, 3),
        ({"kind": "explosion", "facility_class": "hospital"}, 3),
        ({"kind": "missile"}, 3),
        ({"kind": "artillery"}, 2),
        ({"kind": "denial"}, 2),
        ({"kind": "explosion"}, 1),
        ({"kind": "not_stated", "killed": None}, 1),
    ],
)
def test_severity_follows_the_stated_rule(fields, severity):
    assert triage.severity_of(a_report(**fields)) == severity


def test_the_worst_waits_first_and_among_equals_what_was_filed_first(monitor):
    late = a_report("missile", filed_at=NOON)
    early = a_report("missile", filed_at=NOON - timedelta(hours=1))
    light, dead = a_report("shot", filed_at=NOON - timedelta(days=9)), a_report("shot", killed=3, filed_at=NOON)
    assert list(triage.queue(monitor)) == [dead, early, late, light]


def test_what_is_judged_merged_or_out_does_not_wait(monitor):
    waiting = [a_report(status=status) for status in ("received", "screened", "under_verification")]
    a_report(incident=an_incident())
    for status in ("corroborated", "refuted", "duplicate", "out_of_scope"):
        a_report(status=status)
    in_hidden = a_report(incident=an_incident(tier=Tier.PLANNING))
    a_report(tier=Tier.PLANNING)
    with acting_as(monitor):
        assert set(triage.queue(monitor)) == {*waiting, in_hidden}


# --- Steps --------------------------------------------------------------------------------

STEPS = [
    # step           from                  to
    ("screen", "received", "screened"),
    ("screen", "screened", None),
    ("take-up", "received", "under_verification"),
    ("take-up", "screened", "under_verification"),
    ("take-up", "corroborated", None),
    ("out-of-scope", "under_verification", "out_of_scope"),
    ("out-of-scope", "out_of_scope", None),
    ("duplicate", "received", "duplicate"),
    ("duplicate", "duplicate", None),
]


@pytest.mark.parametrize(("step", "origin", "to"), STEPS)
def test_a_step_goes_from_where_it_may(monitor, step, origin, to):
    report, other = a_report(status=origin), a_report()
    how = {"by": monitor, "of": other.pk, "reason": "Because."}
    if to is None:
        with pytest.raises(WrongStep):
            triage.take(report.pk, step, **how)
    else:
        taken = triage.take(report.pk, step, **how)
        assert (taken.status, taken.version) == (to, report.version + 1)
        assert (taken.duplicate_of == other) is (step == "duplicate")


def test_a_step_and_its_undo_stand_in_the_history_with_who_and_why(monitor):
    report = a_report()
    triage.take(report.pk, "out-of-scope", by=monitor, reason="A training range.")
    undone = triage.undo(report.pk, by=monitor)
    assert undone.status == "received"
    steps = ReportStep.objects.filter(report=report).values_list("kind", "from_status", "to_status", "user")
    assert list(steps) == [
        ("out-of-scope", "received", "out_of_scope", monitor.pk),
        ("undo", "out_of_scope", "received", monitor.pk),
    ]
    latest, first = changes_of(undone)
    assert (first.who, first.why) == (monitor.username, "A training range.")
    assert latest.fields[0].after == "Received"


def test_undo_goes_back_step_by_step_to_the_report_as_it_was_filed(monitor):
    report, other = a_report(), a_report()
    triage.take(report.pk, "screen", by=monitor)
    triage.take(report.pk, "take-up", by=monitor)
    triage.take(report.pk, "duplicate", by=monitor, of=other.pk)
    undone = [triage.undo(report.pk, by=monitor) for _ in range(3)]
    assert [each.status for each in undone] == ["under_verification", "screened", "received"]
    assert undone[0].duplicate_of is None
    with pytest.raises(WrongStep, match="as it was filed"):
        triage.undo(report.pk, by=monitor)


def test_somebody_elses_step_is_undone_only_with_a_reason(monitor):
    report, other = a_report(), a_member(Role.MONITOR)
    triage.take(report.pk, "screen", by=monitor)
    with pytest.raises(ValidationError, match="Say why"):
        triage.undo(report.pk, by=other)
    assert triage.undo(report.pk, by=other, reason="Read it again.").status == "received"


def test_a_step_is_not_undone_when_the_status_changed_otherwise_since(monitor):
    report = a_report()
    triage.take(report.pk, "screen", by=monitor)
    Report.objects.filter(pk=report.pk).update(status="plausible")
    with pytest.raises(WrongStep, match="otherwise"):
        triage.undo(report.pk, by=monitor)
    assert triage.undoable(Report.objects.get(pk=report.pk)) is None


def test_a_step_on_an_old_version_is_refused(monitor):
    report = a_report()
    triage.take(report.pk, "screen", by=monitor, based_on=report.version)
    with pytest.raises(VersionStale):
        triage.take(report.pk, "take-up", by=monitor, based_on=report.version)


def test_what_a_duplicate_may_repeat(monitor):
    report, strict = a_report(), a_report(tier=Tier.PLANNING)
    planner = a_member(Role.PLANNER)
    out = a_report(status="out_of_scope")
    for of, why in (
        (None, "which report"),
        (report.pk, "does not repeat itself"),
        (10**9, "no such report"),
        (out.pk, "out of scope itself"),
    ):
        with pytest.raises(ValidationError, match=why):
            triage.take(report.pk, "duplicate", by=monitor, of=of)
    with pytest.raises(ValidationError, match="no such report"):
        triage.take(report.pk, "duplicate", by=monitor, of=strict.pk)
    with pytest.raises(ValidationError, match="stricter tier"):
        triage.take(report.pk, "duplicate", by=planner, of=strict.pk)


def test_duplicates_never_go_in_a_circle(monitor):
    one, two, three = a_report(), a_report(), a_report()
    triage.take(two.pk, "duplicate", by=monitor, of=one.pk)
    triage.take(three.pk, "duplicate", by=monitor, of=two.pk)
    with pytest.raises(ValidationError, match="duplicate of this one"):
        triage.take(one.pk, "duplicate", by=monitor, of=three.pk)


def test_a_merged_report_is_split_off_before_it_is_put_out_of_the_count(monitor):
    report = a_report()
    merging.open_incident({report.pk: None}, by=monitor)
    with pytest.raises(Regrouped, match="Split it off first"):
        triage.take(report.pk, "out-of-scope", by=monitor, reason="x")
    found = Report.objects.with_incident_for(monitor).get(pk=report.pk)
    assert triage.next_steps(found, by=monitor) == []


def test_who_may_not_screen_is_refused_and_who_may_not_see_finds_nothing(monitor):
    report, strict = a_report(), a_report(tier=Tier.PLANNING)
    for role in (Role.OFFICER, Role.ANALYST):
        with pytest.raises(PermissionDenied):
            triage.take(report.pk, "screen", by=a_member(role))
    with pytest.raises(Http404):
        triage.take(strict.pk, "screen", by=monitor)
    with pytest.raises(WrongStep):
        triage.take(report.pk, "nonsense", by=monitor)
