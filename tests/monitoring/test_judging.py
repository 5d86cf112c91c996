"""Three questions, each with its confidence and reasoning; a second person verifies; what parties say."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from coalition.access import SYSTEM, Role, acting_as
from coalition.editing import VersionStale
from monitoring import describing, judging
from monitoring.judging import NotJudged
from monitoring.models import Incident, IncidentStep, PartyResponse
from tests.factories import a_member, a_party, a_report, an_incident

pytestmark = pytest.mark.django_db

OCCURRENCE = {"occurrence": "corroborated", "occurrence_confidence": "high", "occurrence_reasoning": "Seen by two."}
FINDING = {"finding": "violation", "finding_confidence": "moderate", "finding_reasoning": "Article 1."}
ATTRIBUTION = {"attribution": "joint", "attribution_confidence": "low", "attribution_reasoning": "Both fired."}


@pytest.fixture
def monitor():
    return a_member(Role.MONITOR)


@pytest.fixture
def second():
    return a_member(Role.MONITOR)


@pytest.fixture(autouse=True)
def _acting(monitor, second):
    with acting_as(SYSTEM):
        yield


@pytest.fixture
def incident():
    return an_incident()


def test_each_question_is_answered_with_its_own_confidence_and_reasoning(incident, monitor):
    judged = judging.judge(incident.pk, {**OCCURRENCE, **FINDING, **ATTRIBUTION}, by=monitor)
    assert (judged.occurrence, judged.finding, judged.attribution) == ("corroborated", "violation", "joint")
    assert (judged.judged_by, judged.verified_by) == (monitor, None)
    assert judged.judged_at is not None
    assert IncidentStep.objects.get(incident=incident).kind == "judge"


def test_an_occurrence_may_be_judged_before_finding_and_attribution(incident, monitor):
    judged = judging.judge(incident.pk, OCCURRENCE, by=monitor)
    assert (judged.finding, judged.attribution) == ("", "")


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        (OCCURRENCE | {"occurrence_confidence": ""}, "occurrence_confidence"),
        (OCCURRENCE | {"occurrence_reasoning": " "}, "occurrence_reasoning"),
        (OCCURRENCE | {"occurrence": "duplicate"}, "occurrence"),
        (OCCURRENCE | {"occurrence": "received"}, "occurrence"),
        (OCCURRENCE | {"occurrence": "nonsense"}, "occurrence"),
        (OCCURRENCE | {"occurrence": "refuted"} | FINDING, "finding"),
        (OCCURRENCE | {"occurrence": "cannot_verify"} | FINDING | {"finding": "permitted"}, "finding"),
        (OCCURRENCE | FINDING | {"finding_reasoning": ""}, "finding_reasoning"),
        (OCCURRENCE | {"finding_confidence": "low"}, "finding_confidence"),
        (OCCURRENCE | ATTRIBUTION | {"attribution": "party"}, "attributed_to"),
        (OCCURRENCE | {"finding_reasoning": "x" * 4001}, "finding_reasoning"),
        (OCCURRENCE | {"verified_by": None}, "verified_by"),
    ],
)
def test_a_judgement_with_a_hole_is_refused_and_nothing_is_written(incident, monitor, answers, field):
    with pytest.raises(ValidationError) as refused:
        judging.judge(incident.pk, answers, by=monitor)
    assert field in refused.value.message_dict
    assert Incident.objects.get(pk=incident.pk).judged_at is None


def test_what_is_attributed_to_a_party_names_it_and_nothing_else_does(incident, monitor):
    party = a_party()
    judged = judging.judge(
        incident.pk, {**OCCURRENCE, **ATTRIBUTION, "attribution": "party", "attributed_to": party}, by=monitor
    )
    assert judged.attributed_to == party
    with pytest.raises(ValidationError, match="only where"):
        judging.judge(incident.pk, {"attribution": "joint"}, by=monitor)


def test_whoever_judged_cannot_verify_and_somebody_else_can_once(incident, monitor, second):
    judging.judge(incident.pk, OCCURRENCE, by=monitor)
    with pytest.raises(PermissionDenied, match="somebody else"):
        judging.verify(incident.pk, by=monitor, reason="Looks right.")
    with pytest.raises(ValidationError, match="what was checked"):
        judging.verify(incident.pk, by=second)
    verified = judging.verify(incident.pk, by=second, reason="Saw the crater pictures.")
    assert (verified.judged_by, verified.verified_by) == (monitor, second)
    with pytest.raises(NotJudged, match="already"):
        judging.verify(incident.pk, by=second, reason="Again.")


def test_the_system_verifies_nothing_and_what_nobody_judged_is_not_verified(incident, monitor, second):
    with pytest.raises(NotJudged):
        judging.verify(incident.pk, by=second, reason="x")
    judging.judge(incident.pk, OCCURRENCE, by=monitor)
    with pytest.raises(PermissionDenied):
        judging.verify(incident.pk, by=SYSTEM, reason="x")


def test_a_changed_judgement_must_be_verified_again_and_by_somebody_else_than_its_new_author(incident, monitor, second):
    judging.judge(incident.pk, OCCURRENCE, by=monitor)
    judging.verify(incident.pk, by=second, reason="Checked.")
    changed = judging.judge(incident.pk, FINDING, by=second)
    assert (changed.judged_by, changed.verified_by, changed.verified_at) == (second, None, None)
    with pytest.raises(PermissionDenied):
        judging.verify(incident.pk, by=second, reason="Checked.")


def test_a_judgement_that_changes_nothing_is_refused_so_it_takes_no_verification_away(incident, monitor, second):
    judging.judge(incident.pk, OCCURRENCE, by=monitor)
    judging.verify(incident.pk, by=second, reason="Checked.")
    with pytest.raises(ValidationError, match="Nothing was changed"):
        judging.judge(incident.pk, OCCURRENCE, by=monitor)
    assert Incident.objects.get(pk=incident.pk).verified_by == second


def test_another_kind_must_be_verified_again_and_another_title_need_not(incident, monitor, second):
    judging.judge(incident.pk, OCCURRENCE, by=monitor)
    judging.verify(incident.pk, by=second, reason="Checked.")
    assert describing.revise(incident.pk, {"title": "Better said"}, by=monitor).verified_by == second
    assert describing.revise(incident.pk, {"kind": "mortar"}, by=monitor).verified_by is None


def test_place_and_time_of_an_incident_are_those_of_one_of_its_reports(incident, monitor):
    report = a_report(incident=incident, longitude=38.0, latitude=48.0, place_precision_m=10.0)
    revised = describing.revise(incident.pk, {"place_of": report.pk, "time_of": report.pk}, by=monitor)
    assert (revised.longitude, revised.occurred_from) == (38.0, report.occurred_from)
    with pytest.raises(ValidationError):
        describing.revise(incident.pk, {"place_of": a_report().pk}, by=monitor)


def test_a_judgement_on_an_old_version_is_refused(incident, monitor):
    judging.judge(incident.pk, OCCURRENCE, by=monitor, based_on=incident.version)
    with pytest.raises(VersionStale):
        judging.judge(incident.pk, FINDING, by=monitor, based_on=incident.version)


def test_what_a_party_answered_is_written_down_and_seen_with_the_incident_only(incident, monitor):
    response = judging.respond(incident.pk, {"party": a_party(), "stance": "denies", "text": "Not us."}, by=monitor)
    assert (response.party, response.stance) == (a_party(), "denies")
    with pytest.raises(ValidationError):
        judging.respond(incident.pk, {"party": a_party(), "stance": "shrugs"}, by=monitor)
    with pytest.raises(ValidationError):
        judging.respond(incident.pk, {"stance": "denies"}, by=monitor)
    judging.forget_response(response.pk, by=monitor, based_on=response.version)
    assert not PartyResponse.objects.exists()
