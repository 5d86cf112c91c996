"""The demo's content: real statements stay what they were, and all else is marked as invented."""

import io
from collections import defaultdict
from datetime import date, timedelta
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.core.validators import URLValidator
from django.db import transaction
from django.db.models import F, Q
from django_countries import countries
from shapely.geometry import box, shape

from coalition.access import SYSTEM, acting_as
from coalition.demo.world import OPERATION
from coalition.models import Condition, Nation, Operation, Sector, Stale
from pledges.demo.plan import STATEMENTS
from pledges.ladder import LAPSE, STEPS
from pledges.models import Allocation, Capability, Pledge, PledgeCondition, PledgeStep, Requirement

UKRAINE = box(22.1, 44.3, 40.3, 52.4)  # west, south, east, north in degrees


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker):
    """The demo, loaded once for these tests, which only read; they act as the system."""
    with django_db_blocker.unblock(), transaction.atomic():
        call_command("seed_demo", stdout=io.StringIO())
        with acting_as(SYSTEM):
            yield Operation.objects.get(code=OPERATION)
        transaction.set_rollback(True)


def test_thirty_five_nations_have_their_codes(demo):
    nations = Nation.objects.all()
    assert len(nations) == 35
    for nation in nations:
        assert (nation.stanag, nation.code) == (countries.alpha3(nation.code), countries.alpha2(nation.stanag))
        nation.full_clean(validate_unique=False)
    assert {n.code for n in nations if n.standing == "framework"} == {"FR", "GB"}
    assert [n.code for n in nations if n.standing == "host"] == ["UA"]


def test_a_standing_other_than_the_default_names_its_source(demo):
    unsourced = Nation.objects.filter(standing_source="").exclude(standing="considering")
    assert [nation.code for nation in unsourced] == ["UA"]


def test_there_is_enough_to_look_at(demo):
    used = Capability.objects.filter(Q(requirements__isnull=False) | Q(pledges__isnull=False)).distinct()
    assert used.count() >= 40
    assert len({capability.category for capability in used}) == len(Capability.Category.choices) == 12
    assert Requirement.objects.count() >= 60
    assert Pledge.objects.filter(illustrative=True).count() >= 200
    assert set(Pledge.objects.filter(illustrative=True).values_list("status", flat=True)) == set(Pledge.Status)
    assert Pledge.objects.filter(illustrative=True).values("nation").distinct().count() >= 25
    assert set(Condition.objects.values_list("state", flat=True)) == set(Condition.State)
    assert any(condition.is_overdue for condition in Condition.objects.select_related("operation"))


def test_everything_invented_is_marked(demo):
    assert demo.illustrative
    for model in (Sector, Condition, Requirement):
        assert not model.objects.filter(illustrative=False).exists()
    assert set(Pledge.objects.filter(illustrative=False).values_list("dataset", flat=True)) == {STATEMENTS}


def test_public_statements_are_signalled_without_a_planning_quantity(demo):
    statements = Pledge.objects.filter(dataset=STATEMENTS)
    assert statements.count() == 18
    for pledge in statements:
        assert (pledge.status, pledge.quantity, pledge.illustrative) == ("signalled", None, False)
        assert pledge.source
        URLValidator()(pledge.source_url)
        assert pledge.stated_on or "the day is not given" in pledge.note
    ranges = statements.filter(stated_low__isnull=True, stated_high__isnull=False)
    assert {pledge.nation_id for pledge in ranges} == {"GB", "EE"}


def test_a_later_statement_on_the_same_thing_supersedes_the_earlier(demo):
    earlier = Pledge.objects.get(external_id="ee-2025-04-10-troops")
    assert earlier.superseded_by.superseded_by.external_id == "ee-2025-08-22-troops"
    pairs = Pledge.objects.filter(dataset=STATEMENTS, superseded_by__stated_on__isnull=False)
    assert all(pledge.stated_on < pledge.superseded_by.stated_on for pledge in pairs)


def test_nations_pledge_nothing_that_they_declined(demo):
    assert not Pledge.objects.filter(nation__standing="declined").exists()
    assert not Pledge.objects.filter(nation="PL", capability__category="troops").exists()


def test_no_pledge_is_allocated_beyond_itself_on_any_day(demo):
    by_pledge = defaultdict(list)
    for allocation in Allocation.objects.select_related("pledge", "requirement"):
        by_pledge[allocation.pledge].append(allocation)
        assert allocation.pledge.capability_id == allocation.requirement.capability_id
    for pledge, allocations in by_pledge.items():
        for day in {allocation.requirement.needed_from for allocation in allocations}:
            taken = sum(
                a.quantity
                for a in allocations
                if a.requirement.needed_from <= day <= (a.requirement.needed_until or date.max)
            )
            assert taken <= pledge.quantity, f"{pledge.external_id} on {day}"


def test_a_pledge_serves_two_lines_one_after_the_other(demo):
    served = Pledge.objects.filter(allocations__requirement__title="Repairs through the year")
    assert served.filter(allocations__requirement__title="Roads and camps").exists()


def test_coverage_goes_from_nothing_to_more_than_needed(demo):
    allocated = defaultdict(int)
    for allocation in Allocation.objects.all():
        allocated[allocation.requirement_id] += allocation.quantity
    shares = [allocated[line.pk] / line.quantity for line in Requirement.objects.all()]
    assert sum(share == 0 for share in shares) >= 3
    assert sum(0.4 <= share < 0.8 for share in shares) >= 15
    assert sum(share > 1 for share in shares) >= 3


def test_a_line_that_one_pledge_must_meet_alone_is_met_here_and_missed_there(demo):
    lines = Requirement.objects.filter(capability__aggregation="any")
    met = lines.filter(allocations__quantity__gte=F("quantity")).distinct()
    assert met.exists()
    assert lines.exclude(pk__in=met).filter(allocations__isnull=False).exists()


def test_something_is_in_place_already(demo):
    today = date(2026, 11, 22)  # the demo was written in that week; it must be worth a look then and later
    for day in (today, today + timedelta(days=150)):
        assert (
            Pledge.objects.filter(status="in_place", available_from__lte=day)
            .filter(Q(available_until__isnull=True) | Q(available_until__gte=day))
            .filter(allocations__requirement__needed_from__lte=day)
            .exists()
        )


def test_a_condition_is_never_stricter_than_the_pledges_it_gates(demo):
    assert not PledgeCondition.objects.filter(condition__tier__gt=F("pledge__tier")).exists()
    assert not Pledge.objects.filter(requirement__tier__gt=F("tier")).exists()


def test_a_nations_own_decision_gates_only_its_own_pledges(demo):
    assert not PledgeCondition.objects.exclude(condition__nation=None).exclude(condition__nation=F("pledge__nation"))


def test_history_climbs_the_ladder_to_the_status_with_four_eyes(demo):
    steps = defaultdict(list)
    for step in PledgeStep.objects.order_by("moved_at", "id"):
        steps[step.pledge_id].append(step)
    for pledge in Pledge.objects.all():
        path = steps[pledge.pk]
        assert path[0].kind == "log"
        assert path[-1].to_status == pledge.status
        assert all(a.to_status == b.from_status for a, b in pairwise(path)), pledge.external_id
        moves = [step for step in path if step.kind in STEPS]
        assert len(moves) == len(path) - 1 - (path[-1].kind == LAPSE)
        assert all(move.from_status in STEPS[move.kind].origins for move in moves)
        assert all(move.reason for move in moves if STEPS[move.kind].needs_reason)
        assert all(step.user_id != pledge.created_by_id for step in path if step.kind == "verify")
        assert (pledge.ordered_on is not None) == any(step.kind == "deploy" for step in path)


def test_sectors_are_sound_inside_ukraine_and_apart(demo):
    drawn = Sector.objects.exclude(kind="protected_site")
    areas = [(sector.kind, shape(sector.polygon)) for sector in drawn]
    assert len(areas) == 4
    for number, (_, area) in enumerate(areas):
        assert area.is_valid
        assert area.within(UKRAINE)
        assert all(area.intersection(other).area == 0 for _, other in areas[number + 1 :])


def test_readiness_is_marked_for_the_worker(demo):
    keys = set(Stale.objects.filter(kind="readiness").values_list("key", flat=True))
    for capability in Capability.objects.filter(requirements__isnull=False).distinct():
        assert f"{demo.pk}:{capability.pk}" in keys
