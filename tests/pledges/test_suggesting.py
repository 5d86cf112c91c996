"""Suggested allocations: as good as trying everything, within every rule, said in words, and written only on accepting."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import product

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as
from pledges import filling, readiness, suggesting
from pledges.counting import LEVELS, LineRow, Plan, PledgeRow, count
from pledges.models import Allocation, Caveat, Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    an_allocation,
    the_operation,
)
from tests.pages.test_pages import browser_of

TODAY = date(2027, 1, 1)
DAY = timedelta(days=1)
END = TODAY + 30 * DAY
FIRM_AT = LEVELS.index("firm")


# --- the filling alone: no database --------------------------------------------------------------


def day(number):
    return TODAY + number * DAY


def a_row(pk, quantity, first=0, last=None, **fields):
    last = None if last is None else day(last)
    return PledgeRow(pk, "FR", 2, None, fields.pop("level", "firm"), day(first), last, Decimal(quantity), **fields)


def a_line(pk, quantity, first=0, last=20, priority=2, **fields):
    return LineRow(pk, 2, Decimal(quantity), day(first), None if last is None else day(last), priority, **fields)


def fill(plan, **fields):
    return filling.fill(plan, **{"threshold": "firm", "today": TODAY, "end": END, "seconds": 60, **fields})


def score(plan, quantities):
    """Covered quantity-days per class of the order, counted anew by ``pledges.counting``."""
    counted = count(filling.filled(plan, quantities), today=TODAY).lines
    reached = {}
    for line in plan.lines:
        days = counted[line.id]
        for start, after, stretch in zip(days.starts, (*days.starts[1:], END + DAY), days.stretches, strict=True):
            length = (min(after, END + DAY) - start).days
            if stretch.need is not None and length > 0:
                key = (line.priority, line.first)
                reached[key] = reached.get(key, 0) + stretch.covered[FIRM_AT] * length
    return [reached.get(key, 0) for key in sorted({(line.priority, line.first) for line in plan.lines})]


def is_allowed(plan, quantities):
    """No pledge over its quantity on any day of the lines' windows, day by day."""
    lines = {line.id: line for line in plan.lines}
    for pledge in plan.pledges:
        given_ = [
            (lines[line_id], amount) for (pledge_id, line_id), amount in quantities.items() if pledge_id == pledge.id
        ]
        given_ += [(lines[a.line_id], a.quantity) for a in plan.allocations if a.pledge_id == pledge.id]
        for number in range(40):
            bound = sum(amount for line, amount in given_ if line.first <= day(number) <= (line.last or date.max))
            if bound > pledge.quantity:
                return False
    return True


def every_way(plan):
    """Return every allowed way to allocate whole quantities."""
    pairs = [(pledge, line) for pledge in plan.pledges for line in plan.lines]
    present = {(a.pledge_id, a.line_id) for a in plan.allocations}
    choices = []
    for pledge, line in pairs:
        if (pledge.id, line.id) in present or pledge.level not in LEVELS[FIRM_AT:]:
            choices.append([0])
        else:
            choices.append(range(int(min(pledge.quantity, line.quantity)) + 1))
    for amounts in product(*choices):
        ways = {(p.id, n.id): Decimal(amount) for (p, n), amount in zip(pairs, amounts, strict=True) if amount}
        if is_allowed(plan, ways):
            yield ways


small_pledges = st.builds(
    lambda quantity, first, length, level: (quantity, first, None if length is None else first + length, level),
    st.integers(1, 3),
    st.integers(0, 12),
    st.none() | st.integers(0, 15),
    st.sampled_from(["firm", "firm", "ready", "offered", "blocked"]),
)
small_lines = st.builds(
    lambda quantity, first, length, priority: (quantity, first, None if length is None else first + length, priority),
    st.integers(1, 3),
    st.integers(0, 12),
    st.none() | st.integers(0, 15),
    st.integers(1, 3),
)


@st.composite
def small_plans(draw, most=2):
    pledges = draw(st.lists(small_pledges, min_size=1, max_size=most))
    lines = draw(st.lists(small_lines, min_size=1, max_size=2))
    return Plan(
        tuple(a_row(pk, q, first, last, level=level) for pk, (q, first, last, level) in enumerate(pledges, 1)),
        tuple(a_line(pk, q, first, last, priority) for pk, (q, first, last, priority) in enumerate(lines, 1)),
        (),
        draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(small_plans())
def test_nothing_tried_by_hand_is_better(plan):
    found = fill(plan)
    assert found.is_best
    assert is_allowed(plan, found.quantities)
    assert score(plan, found.quantities) == max(score(plan, ways) for ways in every_way(plan))


@settings(max_examples=40, deadline=None)
@given(small_plans(most=8))
def test_no_pledge_is_bound_beyond_its_quantity_and_nothing_is_proposed_in_vain(plan):
    found = fill(plan).quantities
    assert is_allowed(plan, found)
    for pair in found:
        less = {other: amount for other, amount in found.items() if other != pair}
        assert score(plan, less) < score(plan, found)


def test_a_first_priority_is_not_left_short_for_a_third():
    # The third would bring more quantity-days, and comes earlier.
    plan = Plan((a_row(1, 10),), (a_line(1, 10, 10, 12, priority=1), a_line(2, 10, 0, 29, priority=3)))
    assert fill(plan).quantities == {(1, 1): 10}


def test_of_equal_priorities_the_earlier_need_is_filled_first():
    plan = Plan((a_row(1, 10),), (a_line(1, 10, 3, 29), a_line(2, 10, 2, 20)))
    assert fill(plan).quantities == {(1, 2): 10}


def test_the_same_pledge_serves_one_line_after_the_other():
    plan = Plan((a_row(1, 10),), (a_line(1, 10, 0, 9), a_line(2, 10, 10, 20)))
    assert fill(plan).quantities == {(1, 1): 10, (1, 2): 10}


def test_a_headquarters_is_answered_by_one_that_reaches_it_alone():
    plan = Plan((a_row(1, 60), a_row(2, 60), a_row(3, 100)), (a_line(1, 100),), (), any_alone=True)
    assert fill(plan).quantities == {(3, 1): 100}
    assert fill(Plan(plan.pledges[:2], plan.lines, (), any_alone=True)).quantities == {}


def test_one_piece_is_taken_where_several_would_do_the_same():
    plan = Plan((a_row(1, 30), a_row(2, 70), a_row(3, 100)), (a_line(1, 100),))
    assert fill(plan).quantities == {(3, 1): 100}


def test_whole_things_stay_whole_and_cents_and_billions_are_exact():
    plan = Plan((a_row(1, 5), a_row(2, 5)), (a_line(1, 7), a_line(2, 3, 0, 15, 3)))
    assert all(amount == int(amount) for amount in fill(plan).quantities.values())
    money = Plan((a_row(1, "3000000000.01"), a_row(2, "4000000000")), (a_line(1, "5000000000.02"),))
    assert sum(fill(money).quantities.values()) == Decimal("5000000000.02")


def test_without_time_nothing_false_is_said():
    plan = Plan((a_row(1, 10),), (a_line(1, 10),))
    assert fill(plan, seconds=0) == filling.Filling({}, is_best=False)


def test_ten_thousand_pledges_on_one_line_are_answered():
    plan = Plan(tuple(a_row(pk, 1 + pk % 7, pk % 20) for pk in range(1, 10_001)), (a_line(1, 5000),))
    found = fill(plan)
    assert found.is_best
    assert all(amount <= 1 + pk % 7 for (pk, _), amount in found.quantities.items())
    standing = [sum(p.quantity for p in plan.pledges if p.first <= day(number)) for number in range(21)]
    assert score(plan, found.quantities) == [sum(min(there, 5000) for there in standing)]


# --- the proposal ----------------------------------------------------------------------------------


@pytest.fixture
def planner(db):
    with acting_as(SYSTEM):
        yield a_member(Role.PLANNER)


def suggest(planner, **fields):
    return suggesting.suggest(the_operation(), by=planner, **fields)


def picks_of(proposal):
    return [suggesting.Pick(a.pledge.pk, a.line.pk, a.quantity, a.seen) for a in proposal.answers]


def said_of(proposal):
    return " ".join(reason for line in proposal.lines for reason in line.why_open)


def test_what_is_free_is_proposed_with_its_reasons(planner):
    line = a_requirement(150, notice_days=30)
    pledge = a_pledge(100, status="committed", notice_days=10, requirement=line)
    Caveat.objects.create(pledge=pledge, kind="task", text="No carriage of ammunition.")
    [answer] = suggest(planner).answers
    assert (answer.pledge, answer.line, answer.quantity) == (pledge, line, 100)
    said = " ".join(answer.reasons)
    for part in ("on every day it is needed", "10 days; the line asks for 30", "means it for this line", "ammunition"):
        assert part in said
    [open_] = suggest(planner).still_open
    assert [gap.lacking for gap in open_.gaps] == [50]


def test_a_pledge_that_stands_for_a_part_of_the_window_says_which(planner):
    line = a_requirement(100, needed_until=date(2027, 12, 31))
    a_pledge(100, status="committed", available_until=date(2027, 6, 30))
    [proposed] = suggest(planner).lines
    assert proposed.answers[0].reasons[0].startswith("Covers 2027-03-01 to 2027-06-30 of 2027-03-01 to 2027-12-31")
    assert [(gap.first, gap.last) for gap in proposed.gaps] == [(date(2027, 7, 1), date(2027, 12, 31))]
    assert line.pk == proposed.line.pk


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "offered"}, "Below firm today"),
        ({"quantity": None}, "Without a planning quantity"),
        ({"notice_days": 60}, "A longer notice to move than the 30 days"),
        ({"available_until": date(2027, 2, 1)}, "does not stand on any of the open days"),
        ({"condition": "failed"}, "Blocked by a failed condition"),
        ({"condition": "open"}, "Below firm today"),
        ({"elsewhere": True}, "Bound to other lines"),
        ({"here": True}, "Already on this line with more to give"),
    ],
)
def test_what_cannot_be_proposed_is_said_with_its_reason(planner, fields, why):
    line = a_requirement(150, notice_days=30)
    state, elsewhere, here = fields.pop("condition", None), fields.pop("elsewhere", False), fields.pop("here", False)
    conditions = (a_condition(state=state),) if state else ()
    fields = {"quantity": 100, "status": "committed", **fields}
    pledge = a_pledge(conditions=conditions, **fields)
    if elsewhere:
        an_allocation(pledge, a_requirement(100))
    if here:
        an_allocation(pledge, line, 10)
    proposal = suggest(planner)
    assert proposal.answers == []
    assert why in said_of(proposal)
    assert f"P{pledge.pk}" in said_of(proposal) or "stand on any" in why


def test_a_caveat_on_where_it_may_go_is_for_a_person(planner):
    a_requirement(150)
    pledge = a_pledge(100, status="committed")
    Caveat.objects.create(pledge=pledge, kind="geographic", text="Not east of the river.")
    proposal = suggest(planner)
    assert proposal.answers == []
    [by_hand] = proposal.lines[0].by_hand
    assert (by_hand.pledge, by_hand.free, by_hand.caveats) == (pledge, 100, ("Not east of the river.",))


def test_what_the_lines_own_tier_sees_goes_first_and_a_stricter_one_is_said(planner):
    a_requirement(100, tier=Tier.COALITION)
    hidden = a_pledge(100, status="ready", tier=Tier.PLANNING)
    [answer] = suggest(planner).answers
    assert answer.pledge == hidden
    assert any("goes on seeing the line open" in reason for reason in answer.reasons)
    seen = a_pledge(100, status="committed", tier=Tier.COALITION)
    assert [answer.pledge for answer in suggest(planner).answers] == [seen]


def test_a_lower_threshold_lets_offers_in(planner):
    a_requirement(100)
    offer = a_pledge(100, status="offered")
    assert [answer.pledge for answer in suggest(planner, threshold="offered").answers] == [offer]
    with pytest.raises(KeyError):
        suggest(planner, threshold="someday")


def test_looking_writes_nothing_and_is_for_planners(planner):
    a_requirement(100)
    a_pledge(100, status="committed")
    assert suggest(planner).answers
    assert not Allocation.objects.exists()
    for role in (Role.OFFICER, Role.MONITOR, Role.ANALYST):
        with pytest.raises(PermissionDenied):
            suggest(a_member(role))


@pytest.mark.django_db
@settings(max_examples=15, deadline=None)
@given(small_plans(most=5))
def test_accepting_all_is_never_refused_and_brings_what_was_promised(plan):
    with acting_as(SYSTEM):
        planner = a_member(Role.PLANNER)
        operation = the_operation()
        Allocation.objects.all().delete()
        Pledge.objects.all().delete()
        operation.requirements.all().delete()
        kind = a_capability("anyone", aggregation="any") if plan.any_alone else a_capability("many")
        base = operation.today()
        for line in plan.lines:
            a_requirement(
                line.quantity,
                kind,
                needed_from=base + (line.first - TODAY),
                needed_until=line.last and base + (line.last - TODAY),
                priority=line.priority,
            )
        for row in plan.pledges:
            a_pledge(
                row.quantity,
                kind,
                status={"firm": "committed", "blocked": "offered"}.get(row.level, row.level),
                available_from=base + (row.first - TODAY),
                available_until=row.last and base + (row.last - TODAY),
            )
        before = suggest(planner)
        accepted = suggesting.accept(picks_of(before), by=planner)
        assert accepted.refused == ()
        assert len(accepted.done) == len(before.answers)
        loaded = readiness.load(operation, [kind.pk], today=base)[kind.pk]
        counted = count(loaded, today=base).lines
        for promised in before.lines:
            days = counted[promised.line.pk]
            ends = [*days.starts[1:], before.until + DAY]
            covered = sum(
                stretch.covered[FIRM_AT] * (min(after, before.until + DAY) - start).days
                for start, after, stretch in zip(days.starts, ends, days.stretches, strict=True)
                if stretch.need is not None and start <= before.until
            )
            assert covered == promised.after.quantity_days
        assert suggest(planner).answers == []


# --- accepting, and the page ------------------------------------------------------------------------


def test_what_changed_since_is_refused_and_the_others_are_done(planner):
    first, second = a_requirement(100), a_requirement(50, "medics")
    pledge, other = a_pledge(100, status="committed"), a_pledge(50, "medics", status="committed")
    picks = picks_of(suggest(planner))
    an_allocation(a_pledge(30, status="committed"), first)
    accepted = suggesting.accept(picks, by=planner)
    assert [(a.pledge, a.requirement) for a in accepted.done] == [(other, second)]
    [refusal] = accepted.refused
    assert f"P{pledge.pk} for R{first.pk}" in refusal.sentence


def test_more_than_is_free_is_refused_with_the_sentence_of_allocating(planner):
    a_requirement(100)
    a_pledge(80, status="committed")
    [pick] = picks_of(suggest(planner))
    for wrong in ("81", "0", "-1", "NaN", "1e400", "many", ""):
        accepted = suggesting.accept([suggesting.Pick(pick.pledge_id, pick.line_id, wrong, pick.seen)], by=planner)
        assert accepted.done == ()
        assert accepted.refused[0].sentence
    assert not Allocation.objects.exists()


def form_of(answers, **changed):
    form = {"take": [f"{a.pledge.pk}-{a.line.pk}" for a in answers], "idempotency_key": "k"}
    for a in answers:
        form[f"quantity-{a.pledge.pk}-{a.line.pk}"] = a.typed
        form[f"seen-{a.pledge.pk}-{a.line.pk}"] = a.seen
    return form | changed


def stored():
    with acting_as(SYSTEM):
        return list(Allocation.objects.values_list("pledge_id", "requirement_id", "quantity"))


@pytest.fixture
def proposal(db):
    with acting_as(SYSTEM):
        line = a_requirement(100)
        a_pledge(60, status="committed")
        a_pledge(70, nation="GB", status="committed")
        return suggest(a_member(Role.PLANNER)), line


def test_the_page_shows_the_proposal_and_accepts_it_once(proposal):
    proposal, line = proposal
    browser = browser_of(Role.PLANNER)
    address = f"/readiness/suggest/?capability={line.capability.code}"
    page = browser.get(address).content.decode()
    assert f'id="line-{line.pk}"' in page
    assert "on every day it is needed" in page
    assert stored() == []
    for _ in range(2):
        assert browser.post(address, form_of(proposal.answers)).status_code == 302
    assert sum(quantity for *_, quantity in stored()) == 100
    assert browser.post(address, form_of(proposal.answers, idempotency_key="other")).status_code == 302
    assert len(stored()) == 2
    assert "changed since this was proposed" in browser.get(address).content.decode()


def test_only_what_is_ticked_is_accepted_with_the_quantity_typed(proposal):
    proposal, _ = proposal
    answer = proposal.answers[0]
    name = f"{answer.pledge.pk}-{answer.line.pk}"
    form = form_of(proposal.answers, take=[name], **{f"quantity-{name}": "12.5"})
    browser_of(Role.PLANNER).post("/readiness/suggest/", form)
    assert stored() == [(answer.pledge.pk, answer.line.pk, Decimal("12.5"))]


@pytest.mark.parametrize("take", ["", "x", "1", "1-", "0-0", "9" * 30 + "-1", "999999-999999", "1-1\0"])
def test_a_tick_that_names_nothing_writes_nothing(proposal, take):
    answer = browser_of(Role.PLANNER).post("/readiness/suggest/", {"take": take})
    assert answer.status_code == 302
    assert stored() == []


@pytest.mark.parametrize("query", ["threshold=x", "category=x", "capability=none", "operation=999"])
def test_unknown_questions_are_not_found(proposal, query):
    assert browser_of(Role.PLANNER).get(f"/readiness/suggest/?{query}").status_code == 404


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_the_page_and_its_links_are_for_planners(proposal, role):
    _, line = proposal
    browser = browser_of(role)
    assert browser.get("/readiness/suggest/").status_code == 403
    assert browser.post("/readiness/suggest/", {}).status_code == 403
    for address in ("/readiness/", line.get_absolute_url()):
        assert "readiness/suggest" not in browser.get(address).content.decode()
        assert "readiness/suggest" in browser_of(Role.PLANNER).get(address).content.decode()


def test_more_lines_do_not_mean_more_queries(proposal):
    browser = browser_of(Role.PLANNER)
    browser.get("/readiness/suggest/")

    def asked():
        with CaptureQueriesContext(connection) as queries:
            assert browser.get("/readiness/suggest/").status_code == 200
        return len(queries)

    before = asked()
    with acting_as(SYSTEM):
        for code in ("medics", "trucks", "cooks"):
            a_requirement(100, code)
            Caveat.objects.create(pledge=a_pledge(50, code, status="committed"), kind="task", text="No night work.")
    assert asked() == before <= 25
