"""What the pages answer to a write: refused ones with a sentence and the right status, and nothing half-written."""

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from pledges import declaring, ladder
from pledges.models import Allocation, Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db
NO_CAVEATS = {"caveats-TOTAL_FORMS": "0", "caveats-INITIAL_FORMS": "0"}


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def officer():
    the_operation()
    a_capability()
    return a_member(Role.OFFICER, "FR")


@pytest.fixture
def planner():
    return a_member(Role.PLANNER)


def filled_in(**fields) -> dict:
    return {
        "nation": "FR",
        "capability": "infantry",
        "what": "A battalion",
        "quantity": "200",
        "notice_days": "0",
        "status": "offered",
        "tier": "2",
        **NO_CAVEATS,
        **fields,
    }


def stored() -> list[Pledge]:
    with acting_as(SYSTEM):
        return list(Pledge.objects.order_by("pk"))


def test_a_double_click_logs_one_pledge(officer):
    client = browser(officer)
    answers = [client.post("/pledges/new/", filled_in(idempotency_key="k")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert len(stored()) == 1


def test_the_same_key_with_other_content_is_refused(officer):
    client = browser(officer)
    client.post("/pledges/new/", filled_in(idempotency_key="k"))
    assert client.post("/pledges/new/", filled_in(idempotency_key="k", what="Other")).status_code == 422
    assert len(stored()) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", "-1"),
        ("quantity", "1e400"),
        ("quantity", "NaN"),
        ("capability", "no-such"),
        ("what", ""),
        ("what", "a\0"),
        ("note", "x" * 1_000_000),
        ("available_until", "1999-99-99"),
        ("available_from", "9999-12-31"),
        ("conditions", "999999"),
        ("requirement", "999999999999999999999999"),
        ("tier", "9"),
        ("status", "ready"),
    ],
)
def test_bad_input_comes_back_with_the_form_and_a_sentence(officer, field, value):
    answer = browser(officer).post("/pledges/new/", filled_in(**{field: value}))
    assert answer.status_code == 422
    assert stored() == []


def test_a_change_without_a_version_is_428_and_a_stale_one_412_with_both_versions(officer):
    pledge = declaring.declare({"capability": "infantry", "what": "First", "quantity": 1}, by=officer)
    client = browser(officer)
    assert client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Second")).status_code == 428
    assert client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Second", version="1")).status_code == 302
    stale = client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Third", version="1"))
    assert stale.status_code == 412
    assert "Second" in stale.content.decode()
    assert "Third" in stale.content.decode()
    assert stored()[0].what == "Second"


def rows_that_differ(page) -> dict[str, tuple[str | None, str | None]]:
    return {row["label"]: (row["now"], row["yours"]) for row in page.context["conflict"]["rows"] if row["differs"]}


def test_two_versions_name_what_differs_in_the_words_of_the_page(officer):
    with acting_as(SYSTEM):
        condition = a_condition("A ceasefire holds")
    draft = {"capability": "infantry", "what": "One", "quantity": 200, "conditions": [condition], "tier": 2}
    pledge = declaring.declare(draft, by=officer)
    caveats = [{"kind": "geographic", "text": "Not east"}]
    declaring.revise(pledge.pk, {"caveats": caveats}, by=officer, based_on=pledge.version)
    page = browser(officer).post(
        f"/pledges/{pledge.pk}/edit/",
        filled_in(what="One", stated_low="200", stated_high="200", tier="1", version=pledge.version),
    )
    assert rows_that_differ(page) == {
        "Hangs on": ("A ceasefire holds", None),
        "Release tier": ("Coalition", "Public"),
        "Caveats": ("Where it may go: Not east", None),
    }


def test_the_version_shown_second_can_be_sent_again_as_it_is(officer):
    pledge = declaring.declare({"capability": "infantry", "what": "First", "quantity": 1}, by=officer)
    client = browser(officer)
    client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Second", version="1"))
    page = client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Third", version="1"))
    version = page.context["form"]["version"].value()
    assert client.post(f"/pledges/{pledge.pk}/edit/", filled_in(what="Third", version=version)).status_code == 302
    assert stored()[0].what == "Third"


def test_planners_see_both_versions_of_lines_conditions_and_nations_too(planner):
    with acting_as(SYSTEM):
        line, condition, nation = a_requirement(100), a_condition("Old"), a_nation("FR")
    for address, data, label in (
        (
            f"/requirements/{line.pk}/edit/",
            {"capability": "infantry", "quantity": "50", "needed_from": line.needed_from, "priority": "1", "tier": "2"},
            "Quantity",
        ),
        (
            f"/conditions/{condition.pk}/edit/",
            {"kind": "ceasefire", "title": "New", "state": "open", "probability": "0.5", "tier": "2"},
            "Title",
        ),
        (f"/nations/{nation.pk}/edit/", {"standing": "observer"}, "Standing"),
    ):
        page = browser(planner).post(address, {"notice_days": "0", **data, "version": "9"})
        assert page.status_code == 412
        assert label in rows_that_differ(page)


def test_another_nations_pledge_is_403_and_a_hidden_one_404(officer):
    with acting_as(SYSTEM):
        seen, hidden = a_pledge(nation="GB"), a_pledge(nation="GB", tier=Tier.PLANNING)
    client = browser(officer)
    for path, data in (
        ("edit/", filled_in(version="1")),
        ("supersede/", filled_in(version="1")),
        ("step/commit/", {"version": "1"}),
        ("undo/", {"version": "1"}),
    ):
        assert client.post(f"/pledges/{seen.pk}/{path}", data).status_code == 403, path
        assert client.post(f"/pledges/{hidden.pk}/{path}", data).status_code == 404, path
    client.post("/pledges/confirm/", {"pledge": [seen.pk, hidden.pk, "9" * 30, "²", "x"]})
    assert all(pledge.version == 1 for pledge in stored())


def test_a_step_that_needs_a_reason_asks_for_it(officer, planner):
    with acting_as(SYSTEM):
        pledge = a_pledge(status="committed")
    client = browser(planner)
    answer = client.post(f"/pledges/{pledge.pk}/step/verify/", {"version": pledge.version})
    assert answer.status_code == 422
    assert "Say what was checked" in answer.content.decode()
    client.post(f"/pledges/{pledge.pk}/step/verify/", {"version": pledge.version, "reason": "Visited"})
    assert stored()[0].status == "ready"


def test_a_planner_undoes_anothers_step_by_saying_why(officer, planner):
    pledge = declaring.declare({"capability": "infantry", "what": "First", "quantity": 1}, by=officer)
    pledge = ladder.take(pledge.pk, "commit", by=officer)
    client = browser(planner)
    assert 'name="reason"' in client.get(f"/pledges/{pledge.pk}/").content.decode()
    client.post(f"/pledges/{pledge.pk}/undo/", {"version": pledge.version})
    assert stored()[0].status == "committed"
    client.post(f"/pledges/{pledge.pk}/undo/", {"version": pledge.version, "reason": "Not yet agreed"})
    assert stored()[0].status == "offered"


def test_an_officer_works_on_a_pledge_that_hangs_on_things_they_may_not_see(officer):
    """Its line, a condition and an allocation are for planners: nothing of them shows, nothing of them is lost."""
    with acting_as(SYSTEM):
        line = a_requirement(50, tier=Tier.PLANNING, title="Hidden line")
        secret = a_condition("Hidden condition", tier=Tier.PLANNING)
        pledge = a_pledge(200, tier=Tier.PLANNING, requirement=line, conditions=(secret,))
        an_allocation(pledge, line, 50)
    client = browser(officer)
    pages = [client.get(path) for path in (f"/pledges/{pledge.pk}/", f"/pledges/{pledge.pk}/edit/", "/pledges/table/")]
    for page in pages:
        assert page.status_code == 200
        assert "Hidden" not in page.content.decode()
    changed = client.post(
        f"/pledges/{pledge.pk}/edit/", filled_in(what="Changed", tier="3", version=str(pledge.version))
    )
    assert changed.status_code == 302
    cut = client.post(f"/pledges/{pledge.pk}/edit/", filled_in(quantity="10", tier="3", version=stored()[0].version))
    assert cut.status_code == 422
    assert f"R{line.pk}" not in cut.content.decode()
    with acting_as(SYSTEM):
        kept = Pledge.objects.get()
        assert (kept.what, kept.requirement_id, list(kept.conditions.all())) == ("Changed", line.pk, [secret])
        assert Allocation.objects.get().quantity == 50


def test_two_allocations_of_more_than_there_is_leave_one(planner):
    with acting_as(SYSTEM):
        pledge, one, two = a_pledge(100), a_requirement(100), a_requirement(100)
    client = browser(planner)
    for line in (one, two):
        client.post(f"/pledges/{pledge.pk}/allocate/", {"requirement": line.pk, "quantity": "80"})
    with acting_as(SYSTEM):
        assert [allocation.requirement for allocation in Allocation.objects.select_related("requirement")] == [one]


def test_an_officer_of_a_nation_without_pledges_finds_an_empty_board():
    the_operation()
    a_nation("EE")
    assert browser(a_member(Role.OFFICER, "EE")).get("/pledges/").status_code == 200
