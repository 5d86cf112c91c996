"""The readiness dashboards: the matrix of a day, one capability over time, what each nation has on the ladder; and for
the planning tier how sure it is: chances beside the counts, the gap paper, the cliff list, the method."""

import csv
from collections.abc import Iterator
from datetime import UTC, date
from functools import cached_property

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from coalition.access import Tier, actor_of, can
from coalition.calendars import calendar
from coalition.models import Operation, Sector
from coalition.pages import for_members, operation_of, page_or_part
from coalition.templatetags.formatting import percent, quantity, words
from pledges import cliffs, gaps, readiness
from pledges.charts import Chart, stacked_levels, within
from pledges.counting import FIRM, LEVELS
from pledges.models import Capability, Pledge, Requirement
from pledges.sure import ENOUGH


class Question:
    """What a dashboard is asked, read from its address: day, tier, threshold, category, sector. Wrong values are 404.

    ``day`` is by default the start day, today once that has come. A tier above the viewer's is not found.
    """

    def __init__(self, request: HttpRequest, operation: Operation):
        asked = request.GET
        self.operation = operation
        self.today = operation.today()
        self.start = max(operation.starts_on, self.today)
        self.day = self._day(asked.get("on", ""))
        self.first, self.last = (self._day(asked[name]) if asked.get(name) else None for name in ("from", "until"))
        highest = actor_of(request.user).tier
        self.tiers = [tier for tier in Tier if tier <= highest]
        names = {tier.label: tier for tier in self.tiers}
        self.tier = names.get(asked.get("tier") or Tier(highest).label)
        if self.tier is None:
            raise Http404("There is no such tier for you.")
        self.threshold = asked.get("threshold") or FIRM
        self.category = asked.get("category", "")
        if self.threshold not in LEVELS or (self.category and self.category not in Capability.Category.values):
            raise Http404("There is no such threshold or category.")
        self.sees_sure = self.tier == Tier.PLANNING
        self.sector = get_object_or_404(Sector, code=asked["sector"]) if asked.get("sector") else None

    def _day(self, text: str) -> date:
        try:
            day = date.fromisoformat(text) if text else self.start
        except ValueError as error:
            raise Http404("A day is written 2027-03-01.") from error
        return max(day, self.today)

    @cached_property
    def _paths(self) -> tuple[str, str]:
        """Of the pledges and of the requirement lines: asked for twice in each of sixty rows."""
        return reverse("pledges:table"), reverse("requirements:list")

    def rows_address(self, **filters) -> str:
        """Return the address of exactly the pledges that a number was made of."""
        asked = {"operation": self.operation.code, "counted": self.tier.label, "on": self.day.isoformat(), **filters}
        return f"{self._paths[0]}?{urlencode(asked)}"

    def lines_address(self, **filters) -> str:
        """Return the address of exactly the requirement lines that a number was made of."""
        asked = {"operation": self.operation.code, "up_to": self.tier.label, "on": self.day.isoformat(), **filters}
        if self.sector:
            asked["sector"] = self.sector.code
        return f"{self._paths[1]}?{urlencode(asked)}"


def linked(row: readiness.CapabilityAnswer, question: Question) -> dict:
    """Return a row of the matrix with the address behind each of its numbers."""
    lines = question.lines_address(capability=row.code)
    rows = question.rows_address(capability=row.code)  # words of ours are added as they are: nine to a row, sixty rows
    return {
        "row": row,
        "levels": [
            {
                "name": level,
                "quantity": quantity,
                "unquantified": row.unquantified[level],
                "href": lines if question.sector else f"{rows}&level={level}",
            }
            for level, quantity in row.levels.items()
        ],
        "blocked_href": f"{rows}&level=blocked",
        "lines_href": lines,
        "standing_href": f"{rows}&at_least={question.threshold}",
    }


def freshness(operation: Operation) -> dict:
    """Return what ``_as_of.html`` and its poll need."""
    as_of = readiness.as_of(operation)
    return {"as_of": as_of.counted_until if as_of.computed_at else None, "age": as_of, "stale": as_of.is_amber}


@require_GET
@for_members()
def matrix(request: HttpRequest) -> HttpResponse:
    """Capability × level on a day, worst covered first."""
    operation = operation_of(request)
    question = Question(request, operation)
    answer = readiness.matrix(
        operation,
        on=question.day,
        tier=question.tier,
        threshold=question.threshold,
        sector=question.sector,
        category=question.category or None,
    )
    context = {
        "question": question,
        "matrix": answer,
        "rows": [linked(row, question) for row in answer.rows],
        "levels": LEVELS,
        "categories": Capability.Category.choices,
        "sectors": Sector.objects.order_by("code"),
        "own_stricter": own_stricter(request, operation, question.tier),
        "may_allocate": can(request.user, "allocate"),
        **freshness(operation),
    }
    return page_or_part(request, "readiness/matrix.html", "readiness/_matrix.html", context)


def own_stricter(request: HttpRequest, operation: Operation, tier: int) -> int:
    """Return how many pledges of the viewer's own nation are stricter than the tier shown: seen, not in its sums."""
    nation = actor_of(request.user).nation
    if not nation:
        return 0
    rows = Pledge.objects.visible_to(request.user).filter(operation=operation, nation=nation, tier__gt=tier)
    return rows.current_for(request.user).filter(status__in=Pledge.ON_LADDER).count()


def _asked_of(request: HttpRequest, code: str) -> tuple[Question, Capability, readiness.CapabilityDetail | None]:
    operation = operation_of(request)
    question = Question(request, operation)
    thing = get_object_or_404(Capability.objects.visible_to(request.user), code=code)
    found = readiness.capability_detail(
        operation, thing, on=question.day, tier=question.tier, threshold=question.threshold
    )
    return question, thing, found


@require_GET
@for_members()
def capability(request: HttpRequest, code: str) -> HttpResponse:
    """One capability over time: need, levels stacked, its lines, and the rows of the chosen day."""
    question, thing, found = _asked_of(request, code)
    operation = question.operation
    stretches = within(found.stretches, question.first, question.last) if found else []
    adds_up = thing.aggregation == Capability.Aggregation.SUM
    chart = stacked_levels(stretches, today=question.today, day=question.day, adds_up=adds_up)
    pledges = Pledge.objects.visible_to(request.user).filter(operation=operation, capability=thing)
    pledges = pledges.with_standing(operation.today()).with_superseded(request.user).counted_at(question.tier)
    lines = Requirement.objects.visible_to(request.user).filter(operation=operation, capability=thing)
    answers = readiness.requirement_lines(
        operation, on=question.day, tier=question.tier, threshold=question.threshold, capability=thing
    )
    context = {
        "question": question,
        "capability": thing,
        "found": found,
        "linked": linked(found.now, question) if found else None,
        "chart": chart,
        "hover": _hover(chart, stretches, question.day) if chart else None,
        "adds_up": adds_up,
        "stretches": stretches,
        "held": readiness.held(found.stretches) if found else None,
        "line_held": {line[0].answer.requirement_id: readiness.held(line) for line in found.lines} if found else {},
        "gap_days": readiness.gap_days(found.stretches) if found else 0,
        "line_gap_days": {line[0].answer.requirement_id: readiness.gap_days(line) for line in found.lines}
        if found
        else {},
        "enough": ENOUGH,
        "pledges": pledges.standing_on(question.day).select_related("nation", "capability").order_by("nation__name"),
        "lines": lines.select_related("sector"),
        "answers": answers,
        "levels": LEVELS,
        "may_log": can(request.user, "log_pledge"),
        **freshness(operation),
    }
    return render(request, "readiness/capability.html", context)


def _hover(chart: Chart, stretches: list[readiness.Stretch], day: date) -> dict:
    """Return what ``chart.js`` needs to tell what stands on the day under the pointer. Days are ISO."""
    return {
        "left": chart.left,
        "width": chart.width,
        "base": chart.base,
        "first": chart.first.isoformat(),
        "last": chart.last.isoformat(),
        "day": day.isoformat(),
        "stretches": [
            {"first": stretch.first.isoformat(), "last": stretch.last.isoformat(), "text": _in_words(stretch.answer)}
            for stretch in stretches
        ],
    }


def _in_words(answer: readiness.CapabilityAnswer) -> str:
    parts = [f"need {quantity(answer.need or 0)}", f"covered {quantity(answer.covered)}"]
    parts += [f"{words(level).lower()} {quantity(amount)}" for level, amount in answer.levels.items() if amount]
    if answer.sure and answer.sure.p_all is not None:
        parts.append(f"all lines met {percent(answer.sure.p_all)}")
        parts.append(f"if all could be moved {percent(answer.sure.pooled.p_met)}")
    return " · ".join(parts)


SURE_COLUMNS = ("p_all", "worst_line", "expected_coverage", "method", "error")
POOLED_COLUMNS = ("p_met", "expected", "x10", "x50", "x90", "method", "error", "quantity_error")


@require_GET
@for_members()
def capability_data(request: HttpRequest, code: str) -> StreamingHttpResponse:
    """The figures of the chart as CSV, a row per stretch of days: numbers, days and our own words, no one's text."""
    question, thing, found = _asked_of(request, code)
    stretches = within(found.stretches, question.first, question.last) if found else []
    name = f"readiness-{thing.code}-{question.today}.csv"
    return StreamingHttpResponse(
        _csv(stretches, with_sure=question.sees_sure),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class _Line:
    """What ``csv.writer`` writes to: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def _csv(stretches: list[readiness.Stretch], *, with_sure: bool) -> Iterator[str]:
    write = csv.writer(_Line()).writerow
    header = ["first", "last", "need", "covered", "free", *LEVELS]
    if with_sure:
        header += [*SURE_COLUMNS, *(f"pooled_{name}" for name in POOLED_COLUMNS)]
    yield write(header)
    for stretch in stretches:
        answer = stretch.answer
        row = [stretch.first, stretch.last, answer.need or 0, answer.covered, answer.free, *answer.levels.values()]
        if with_sure:
            sure = answer.sure
            whole = (
                (sure.p_all, sure.worst, sure.coverage, sure.method, sure.error) if sure else [""] * len(SURE_COLUMNS)
            )
            row += [*whole, *(getattr(sure.pooled, name) if sure else "" for name in POOLED_COLUMNS)]
        yield write(row)


@require_GET
@for_members("see_planning")
def gap_paper(request: HttpRequest) -> HttpResponse:
    """The needs that are not sure to be met, the least sure first, and who could fill them. Printable."""
    operation = operation_of(request)
    question = Question(request, operation)
    context = {
        "question": question,
        "gaps": gaps.paper(operation, on=question.day),
        "enough": ENOUGH,
        **freshness(operation),
    }
    return page_or_part(request, "readiness/gaps.html", "readiness/_gaps.html", context)


@require_GET
@for_members("see_planning")
def cliff_list(request: HttpRequest) -> HttpResponse:
    """What ends, when, and what it uncovers."""
    operation = operation_of(request)
    context = {"cliffs": cliffs.cliffs(operation), "today": operation.today(), **freshness(operation)}
    return render(request, "readiness/cliffs.html", context)


@require_GET
@for_members("see_planning")
def cliff_calendar(request: HttpRequest) -> HttpResponse:
    """The cliff list as a calendar. It asks for the session like any page: no secret address is given out."""
    operation = operation_of(request)
    events = cliffs.events(cliffs.cliffs(operation), operation, request.build_absolute_uri)
    return HttpResponse(
        calendar(f"Cliffs of {operation.name}", events, made_at=timezone.now().astimezone(UTC)),
        content_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="cliffs-{operation.code}.ics"'},
    )


@require_GET
@for_members("see_planning")
def method(request: HttpRequest) -> HttpResponse:
    """How the chances are worked out, and what is assumed, with the certainties in force."""
    operation = operation_of(request)
    steps = [(status.label, getattr(operation, f"certainty_{status}")) for status in Pledge.ON_LADDER]
    return render(request, "readiness/method.html", {"steps": steps, "asked_of": operation, "enough": ENOUGH})


@require_GET
@for_members()
def nations(request: HttpRequest) -> HttpResponse:
    """Nation × category: what each nation has on the ladder, whenever it can stand."""
    operation = operation_of(request)
    question = Question(request, operation)
    categories = Capability.Category.choices
    context = {
        "question": question,
        "categories": categories,
        "rows": [
            {"nation": row, "cells": [(value, row.cells.get(value)) for value, _ in categories]}
            for row in readiness.nation_matrix(operation, tier=question.tier)
        ],
        "own_stricter": own_stricter(request, operation, question.tier),
        **freshness(operation),
    }
    return page_or_part(request, "readiness/nations.html", "readiness/_nations.html", context)


@require_GET
@for_members()
def age(request: HttpRequest) -> HttpResponse:
    """How old the numbers are. A dashboard made while something waited asks, and is told to load again when all is in."""
    found = freshness(operation_of(request))
    response = render(request, "readiness/_age.html", found)
    response["Cache-Control"] = "no-store"
    if request.htmx and not found["age"].waiting and not found["stale"]:
        response["HX-Refresh"] = "true"  # the whole page: an htmx request for its address would get a part of it
    return response
