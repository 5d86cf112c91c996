"""The permission table, said a second time in plain sight; row-level security with ``visible_to`` out of the way."""

from itertools import product

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import ProgrammingError, connection, transaction
from django.http import Http404

from coalition.access import RULES, SYSTEM, Actor, Role, Tier, acting_as, actor_of, can
from coalition.models import Condition, Tombstone, User
from pledges import declaring, ladder
from pledges.models import Allocation, Caveat, Pledge, PledgeCondition, PledgeStep, ReadinessLine, Requirement
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db

# Who may do what: "own" on things of the own nation, "any" on all, "-" on none.
COLUMNS = ["officer", "monitor", "analyst", "planner", "administrator"]
TABLE = """
see               any  any  any  any  any
see_planning      -    -    -    any  any
log_pledge        own  -    -    any  any
edit_pledge       own  -    -    any  any
confirm_pledge    own  -    -    any  any
offer_pledge      own  -    -    any  any
commit_pledge     own  -    -    any  any
verify_pledge     -    -    -    any  any
deploy_pledge     own  -    -    any  any
arrive_pledge     own  -    -    any  any
end_pledge        own  -    -    any  any
withdraw_pledge   own  -    -    any  any
undo_pledge       own  -    -    any  any
supersede_pledge  own  -    -    any  any
import_pledges    own  -    -    any  any
file_report       -    any  -    any  any
edit_report       -    any  -    any  any
import_reports    -    any  -    any  any
screen_report     -    any  -    any  any
merge_reports     -    any  -    any  any
judge_incident    -    any  -    any  any
verify_incident   -    any  -    any  any
allocate          -    -    -    any  any
keep_requirements -    -    -    any  any
keep_capabilities -    -    -    any  any
keep_conditions   -    -    -    any  any
keep_nations      -    -    -    any  any
keep_operations   -    -    -    any  any
keep_sectors      -    -    -    any  any
keep_sources      -    -    -    any  any
keep_agreements   -    -    -    any  any
keep_webhooks     -    -    -    any  any
administer        -    -    -    -    any
invite            -    -    -    -    any
"""
# Which pledges a role finds, by release tier.
SIGHT = """
role           own-public own-coalition own-planning other-public other-coalition other-planning
officer        yes        yes           yes          yes          yes             -
monitor        yes        yes           yes          yes          yes             -
analyst        yes        yes           yes          yes          yes             -
planner        yes        yes           yes          yes          yes             yes
administrator  yes        yes           yes          yes          yes             yes
"""


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


MAY = {(action, role): cell for action, *cells in rows_of(TABLE) for role, cell in zip(COLUMNS, cells, strict=True)}
HEAD, *LINES = rows_of(SIGHT)
SEES = {
    (role, *column.split("-")): cell == "yes"
    for role, *cells in LINES
    for column, cell in zip(HEAD[1:], cells, strict=True)
}
STEP_OF = {step.action: step for step in ladder.STEPS.values()}


def test_the_table_names_every_role_and_every_action_there_is():
    assert set(COLUMNS) == set(Role.values) == set(RULES)
    assert {action for action, _ in MAY} == {entry.removesuffix(":any") for rules in RULES.values() for entry in rules}


def disagreements(role: str) -> list[str]:
    """What a person of this role may do otherwise than the table says: the actions; empty where all is as said."""
    user = Actor(user_id=1, name="somebody", role=role, nation="FR", tier=0)
    own, other = Pledge(nation_id="FR"), Pledge(nation_id="GB")
    return [
        action
        for (action, of_role), cell in MAY.items()
        if of_role == role
        and (can(user, action, own), can(user, action, other), can(user, action))
        != (cell in ("own", "any"), cell == "any", cell in ("own", "any"))
    ]


@pytest.mark.parametrize("role", Role.values)
def test_each_role_may_do_what_its_column_says_and_nothing_else(role):
    assert disagreements(role) == []


def test_strangers_the_inactive_and_people_without_a_membership_may_do_nothing():
    inactive = a_member(Role.ADMINISTRATOR)
    inactive.is_active = False
    for user in (AnonymousUser(), inactive, None, actor_of(None)):
        assert not any(can(user, action) for action, _ in MAY)


def outcome(user, action: str, nation: str, tier: int) -> str:
    """Try an action for real on a pledge that stands where it could be done: "done", "403" or "404"."""
    with acting_as(SYSTEM):
        step = STEP_OF.get(action)
        pledge = a_pledge(nation=nation, tier=tier, status=step.origins[0] if step else "committed")
        PledgeStep.objects.create(
            pledge=pledge,
            user_id=user.pk if action == "undo_pledge" else None,
            kind="commit",
            from_status="offered",
            to_status="committed",
            before={"status": "offered", "ordered_on": None, "last_confirmed_on": None},
        )
    try:
        if action == "edit_pledge":
            declaring.revise(pledge.pk, {"what": "Changed"}, by=user, based_on=pledge.version)
        elif action == "confirm_pledge":
            result = declaring.confirm([pledge.pk], by=user)
            if result.skipped:
                return "404" if "no such" in result.skipped[pledge.pk] else "403"
        elif action == "undo_pledge":
            ladder.undo(pledge.pk, by=user, based_on=pledge.version)
        elif action == "supersede_pledge":
            declaring.supersede(pledge.pk, {}, by=user, based_on=pledge.version)
        else:
            ladder.take(pledge.pk, step.name, by=user, reason="Tried", based_on=pledge.version)
    except Http404:
        return "404"
    except PermissionDenied:
        return "403"
    return "done"


@pytest.mark.parametrize("role", Role.values)
def test_every_action_on_a_pledge_ends_as_the_tables_say(role):
    """Role by action by own or other nation by tier: done, refused, or not even there."""
    the_operation()
    user = a_member(role, "FR")
    tried = [*STEP_OF, "edit_pledge", "confirm_pledge", "undo_pledge", "supersede_pledge"]
    for action, relation, tier in product(tried, ("own", "other"), Tier):
        allowed = MAY[action, role] == "any" or (MAY[action, role] == "own" and relation == "own")
        expected = "404" if not SEES[role, relation, tier.label] else "done" if allowed else "403"
        nation = "FR" if relation == "own" else "GB"
        assert outcome(user, action, nation, tier) == expected, (action, relation, tier.label)


@pytest.mark.parametrize("role", Role.values)
def test_visible_to_and_the_database_show_the_same_pledges(role):
    with acting_as(SYSTEM):
        made = {
            a_pledge(nation=nation, tier=tier).pk: (relation, tier.label)
            for (nation, relation), tier in product((("FR", "own"), ("GB", "other")), Tier)
        }
    user = a_member(role, "FR")
    expected = {pk for pk, where in made.items() if SEES[role, *where]}
    with acting_as(user):
        assert set(Pledge.objects.visible_to(user).values_list("pk", flat=True)) == expected
        assert set(Pledge.objects.values_list("pk", flat=True)) == expected


# --- Row-level security alone -------------------------------------------------------------

TIERED = [Pledge, PledgeStep, Caveat, PledgeCondition, Allocation, Requirement, Condition, ReadinessLine]
HISTORIES = [model for model in apps.get_models() if hasattr(model, "pgh_tracked_model")]
APPEND_ONLY = [*(model._meta.db_table for model in HISTORIES), "pledges_pledgestep", "coalition_tombstone"]


@pytest.fixture
def secret_pledge():
    """A planning-only pledge of France with one of everything that hangs on a pledge, all of it changed once."""
    officer = a_member(Role.OFFICER, "FR")
    the_operation()
    a_capability()
    with acting_as(SYSTEM):
        secret, also = a_condition("Secret", tier=Tier.PLANNING), a_condition("Also secret", tier=Tier.PLANNING)
        line = a_requirement(100, tier=Tier.PLANNING)
    draft = {"capability": "infantry", "what": "Secret", "quantity": 100, "tier": Tier.PLANNING, "nation": "FR"}
    pledge = declaring.declare({**draft, "caveats": [{"kind": "task", "text": "Old"}]}, by=officer)
    with acting_as(SYSTEM):
        PledgeCondition.objects.create(pledge=pledge, condition=secret)
        PledgeCondition.objects.create(pledge=pledge, condition=also)
        PledgeCondition.objects.filter(condition=also).delete()
        an_allocation(pledge, line, 50)
        Allocation.objects.update(quantity=60)
        Condition.objects.update(note="changed")
        Requirement.objects.update(note="changed")
    declaring.revise(pledge.pk, {"caveats": [{"kind": "task", "text": "New"}]}, by=officer, based_on=None)
    return ladder.take(pledge.pk, "commit", by=officer)


def seen_in_plain() -> dict[str, int]:
    """How many rows each table shows to a query that asks for all, where it shows any."""
    models = [*TIERED, *(model for model in HISTORIES if model.pgh_tracked_model in TIERED), Tombstone]
    counts = {model.__name__: model._default_manager.count() for model in models}
    return {name: count for name, count in counts.items() if count}


def test_the_fixture_really_fills_every_table_for_a_planner(secret_pledge):
    with acting_as(a_member(Role.PLANNER)):
        empty = {model.__name__ for model in TIERED} - set(seen_in_plain())
        histories = {name for name in seen_in_plain() if name.endswith("Event")}
    assert empty == {"ReadinessLine"}
    assert {"PledgeEvent", "PledgeConditionEvent", "CaveatEvent", "AllocationEvent", "RequirementEvent"} <= histories


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_without_visible_to_nothing_of_a_foreign_planning_pledge_shows(secret_pledge, role):
    with acting_as(a_member(role, "GB")):
        assert seen_in_plain() == {}


def test_without_visible_to_a_foreign_planning_pledge_is_not_written_either(secret_pledge):
    with acting_as(a_member(Role.OFFICER, "GB")):
        assert Pledge.objects.filter(pk=secret_pledge.pk).update(what="Ours") == 0
        assert Pledge.objects.filter(pk=secret_pledge.pk).delete()[0] == 0
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            PledgeStep.objects.create(pledge=secret_pledge, kind="commit", to_status="committed")


def test_nobody_acting_sees_nothing(secret_pledge):
    assert seen_in_plain() == {}


def test_a_raised_tier_leaves_a_tombstone_and_takes_the_history_along():
    with acting_as(SYSTEM):
        pledge = a_pledge(nation="FR", tier=Tier.COALITION)
        Pledge.objects.filter(pk=pledge.pk).update(what="Changed while it was shown")
        Pledge.objects.filter(pk=pledge.pk).update(tier=Tier.PLANNING)
    with acting_as(a_member(Role.OFFICER, "GB")):
        assert seen_in_plain() == {"Tombstone": 1}
        tombstone = Tombstone.objects.get()
    assert (tombstone.kind, tombstone.object_id) == ("pledges_pledge", str(pledge.pk))
    assert tombstone.tier_before == Tier.COALITION


def test_a_deleted_planning_pledge_leaves_a_tombstone_for_planners_and_its_nation_only():
    with acting_as(SYSTEM):
        a_pledge(nation="FR", tier=Tier.PLANNING).delete()
    for user, count in (
        (a_member(Role.PLANNER), 1),
        (a_member(Role.OFFICER, "FR"), 1),
        (a_member(Role.OFFICER, "GB"), 0),
    ):
        with acting_as(user):
            assert Tombstone.objects.count() == count


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_history_is_not_rewritten_even_as_the_system(table, statement):
    with acting_as(SYSTEM), connection.cursor() as cursor:
        columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute(statement.format(table, columns[0]))


@pytest.mark.django_db
def test_the_first_person_made_on_the_server_is_an_administrator_until_they_are_inactive():
    first = User.objects.create_superuser("first", "first@example.org")
    assert can(first, "administer")
    first.is_active = False
    assert not can(first, "see")
