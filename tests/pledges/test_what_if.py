"""What-if: the scenario is its address, it never writes, and it is equal to a plan that was really changed so."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import ApiToken, Condition
from pledges import what_if
from pledges.models import Allocation, Pledge, SavedScenario
from tests.factories import a_condition, a_member, a_pledge, a_requirement, an_allocation, the_operation
from tests.pages.test_pages import browser_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def planner():
    with acting_as(SYSTEM):
        yield a_member(Role.PLANNER)


def backstop_plan():
    """The plan worked by hand in docs/method.md: two pledges of 10, p = .8 each, one backstop of .6 gates both; need 10."""
    operation = the_operation()
    operation.certainty_committed = 0.8
    operation.save()
    backstop = a_condition("US backstop", probability=0.6)
    line = a_requirement(10)
    pledges = [
        a_pledge(10, nation=nation, status="committed", conditions=(backstop,), last_confirmed_on=operation.today())
        for nation in ("FR", "GB")
    ]
    for pledge in pledges:
        an_allocation(pledge, line)
    return operation, backstop, line, pledges


def chance_of(operation, query: str, user) -> float:
    return what_if.compare(what_if.read(operation, QueryDict(query), user=user)).lines[0].after


def test_the_example_worked_by_hand(planner):
    operation, backstop, _, _ = backstop_plan()
    assert chance_of(operation, "", planner) == pytest.approx(0.576)
    assert chance_of(operation, f"condition={backstop.pk}:met", planner) == pytest.approx(0.96)
    assert chance_of(operation, f"condition={backstop.pk}:failed", planner) == 0
    assert chance_of(operation, f"probability={backstop.pk}:0.5", planner) == pytest.approx(0.48)
    assert chance_of(operation, "out=FR", planner) == pytest.approx(0.48)
    assert chance_of(operation, "certainty=committed:1", planner) == pytest.approx(0.6)


def test_supposing_equals_really_changing_the_plan(planner):
    operation, backstop, _, pledges = backstop_plan()
    supposed = chance_of(operation, f"condition={backstop.pk}:met&withdraw={pledges[0].pk}", planner)
    Condition.objects.filter(pk=backstop.pk).update(state="met")
    Pledge.objects.filter(pk=pledges[0].pk).update(status="withdrawn")
    assert supposed == pytest.approx(chance_of(operation, "", planner)) == pytest.approx(0.8)


def test_a_slipped_pledge_comes_later(planner):
    operation, _, line, pledges = backstop_plan()
    late = (line.needed_from + timedelta(days=400) - operation.today()).days
    slips = "&".join(f"slip={pledge.pk}:{late}" for pledge in pledges)
    assert chance_of(operation, slips, planner) == 0


def test_two_nations_that_share_a_condition_are_each_a_smaller_loss_than_the_condition(planner):
    operation, backstop, line, _ = backstop_plan()
    scenario = what_if.read(operation, QueryDict(""), user=planner)
    [condition] = what_if.conditions_by_effect(scenario)
    assert (condition.key, condition.hardest) == (backstop.pk, line.pk)
    assert condition.low == pytest.approx(0)
    assert condition.high == pytest.approx(0.96)
    losses = {effect.key: effect.swing for effect in what_if.nations_by_loss(scenario)}
    assert losses == {"FR": pytest.approx(0.096), "GB": pytest.approx(0.096)}


def test_the_address_of_a_scenario_is_the_scenario(planner):
    operation, backstop, _, pledges = backstop_plan()
    asked = QueryDict(f"condition={backstop.pk}:failed&out=GB&slip={pledges[0].pk}:30&certainty=ready:0.5")
    scenario = what_if.read(operation, asked, user=planner)
    assert what_if.read(operation, QueryDict(scenario.query()), user=planner) == scenario


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("condition=999:failed", "conditions"),
        ("condition={condition}:perhaps", "conditions"),
        ("condition=nonsense", "condition"),
        ("probability={condition}:1.5", "probabilities"),
        ("probability={condition}:nan", "probabilities"),
        ("out=ZZ", "nations_out"),
        ("withdraw=999", "withdrawn"),
        ("withdraw=abc", "withdrawn"),
        ("slip={pledge}:x", "slipped"),
        ("slip={pledge}:-3", "slipped"),
        ("certainty=someday:0.5", "certainties"),
        ("on=1900-01-01", "on"),
        ("on=9999-12-31", "on"),
        ("on=soon", "on"),
    ],
)
def test_what_cannot_be_supposed_is_named(planner, query, name):
    operation, backstop, _, pledges = backstop_plan()
    with pytest.raises(ValidationError) as refused:
        what_if.read(operation, QueryDict(query.format(condition=backstop.pk, pledge=pledges[0].pk)), user=planner)
    assert name in refused.value.message_dict


def test_fields_left_empty_suppose_nothing(planner):
    operation, backstop, _, _ = backstop_plan()
    scenario = what_if.read(
        operation, QueryDict(f"condition={backstop.pk}:&out=&withdraw=&slip=+&certainty=offered:&on="), user=planner
    )
    assert scenario.is_empty


def test_nothing_is_written_by_looking():
    with acting_as(SYSTEM):
        _, backstop, _, _ = backstop_plan()
        before = (list(Pledge.objects.values()), list(Condition.objects.values()), list(Allocation.objects.values()))
    browser = browser_of(Role.PLANNER)
    for address in ("/readiness/what-if/", "/readiness/what-if/effects/"):
        assert browser.get(f"{address}?condition={backstop.pk}:failed&out=FR").status_code == 200
    with acting_as(SYSTEM):
        after = (list(Pledge.objects.values()), list(Condition.objects.values()), list(Allocation.objects.values()))
    assert after == before


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_chances_are_for_the_planning_tier_alone(role):
    with acting_as(SYSTEM):
        backstop_plan()
    browser = browser_of(role)
    for address in ("", "effects/", "compare/?a=1&b=1"):
        assert browser.get(f"/readiness/what-if/{address}").status_code == 403
    assert browser.post("/readiness/what-if/save/", {"name": "x", "query": ""}).status_code == 403


def test_a_saved_scenario_is_found_and_compared_by_another_planner():
    with acting_as(SYSTEM):
        operation, backstop, _, _ = backstop_plan()
    browser, other = browser_of(Role.PLANNER), browser_of(Role.PLANNER)
    for name, state in (("Without", "failed"), ("With", "met")):
        query = f"operation={operation.code}&condition={backstop.pk}:{state}"
        browser.post("/readiness/what-if/save/", {"name": name, "query": query})
    with acting_as(SYSTEM):
        saved = {row.name: row for row in SavedScenario.objects.all()}
        assert {row.tier for row in saved.values()} == {Tier.PLANNING}
    assert "Without" in other.get("/readiness/what-if/").content.decode()
    page = other.get(f"/readiness/what-if/compare/?a={saved['Without'].pk}&b={saved['With'].pk}")
    [(without, with_it)] = page.context["rows"]
    assert (without.after, with_it.after) == (0, pytest.approx(0.96))
    assert other.get(saved["Without"].get_absolute_url()).context["comparison"].lines[0].after == 0


def test_a_scenario_that_cannot_be_read_says_why():
    with acting_as(SYSTEM):
        backstop_plan()
    answer = browser_of(Role.PLANNER).get("/readiness/what-if/?out=ZZ")
    assert answer.status_code == 400
    assert "There is no nation" in answer.content.decode()


def test_the_api_answers_the_same_as_the_page_and_programs_with_a_reading_token_may_ask():
    with acting_as(SYSTEM):
        operation, backstop, line, _ = backstop_plan()
        planner = a_member(Role.PLANNER)
        _, token = ApiToken.objects.create(planner)
    client = Client(headers={"Authorization": f"Token {token}"})
    body = {"operation": operation.code, "conditions": {str(backstop.pk): "met"}, "effects": True}
    answer = client.post("/api/v1/readiness/what-if/", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    [row] = answer.json()["lines"]
    assert (row["requirement"], row["before"], row["after"]) == (line.pk, pytest.approx(0.576), pytest.approx(0.96))
    page = browser_of(Role.PLANNER).get(f"/readiness/what-if/?{answer.json()['address']}")
    assert page.context["comparison"].lines[0].after == row["after"]
    wrong = client.post("/api/v1/readiness/what-if/", {"conditions": {"999": "met"}}, content_type="application/json")
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["conditions"])


def test_the_api_tells_chances_to_planners_only():
    with acting_as(SYSTEM):
        backstop_plan()
    for role in (Role.OFFICER, Role.MONITOR, Role.ANALYST):
        answer = browser_of(role).post("/api/v1/readiness/what-if/", {}, content_type="application/json")
        assert answer.status_code == 403
