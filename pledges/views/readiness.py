"""The readiness dashboards: the matrix of a day, one capability over time, and what each nation has on the ladder."""

from datetime import date

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from coalition.access import Tier, actor_of, can
from coalition.models import Operation, Sector
from coalition.pages import for_members, operation_of, page_or_part
from pledges import readiness
from pledges.charts import stacked_levels
from pledges.counting import FIRM, LEVELS
from pledges.models import Capability, Pledge, Requirement


class Question:
    """What a dashboard is asked, read from its address: day, tier, threshold, category, sector. Wrong values are 404.

    ``day`` defaults to today; ``?on=start`` is the operation's start day. A tier above the viewer's is not found.
    """

    def __init__(self, request: HttpRequest, operation: Operation):
        asked = request.GET
        self.operation = operation
        self.today = operation.today()
        self.start = max(operation.starts_on, self.today)
        self.day = self._day(asked.get("on", ""))
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
        self.sector = get_object_or_404(Sector, code=asked["sector"]) if asked.get("sector") else None

    def _day(self, text: str) -> date:
        if text == "start":
            return self.start
        try:
            day = date.fromisoformat(text) if text else self.today
        except ValueError as error:
            raise Http404("A day is written 2027-03-01.") from error
        return max(day, self.today)

    def rows_address(self, **filters) -> str:
        """Return the address of exactly the pledges that a number was made of."""
        asked = {"operation": self.operation.pk, "counted": self.tier.label, "on": self.day.isoformat(), **filters}
        return f"{reverse('pledges:table')}?{urlencode(asked)}"

    def lines_address(self, **filters) -> str:
        """Return the address of exactly the requirement lines that a number was made of."""
        asked = {"operation": self.operation.pk, "up_to": self.tier.label, "on": self.day.isoformat(), **filters}
        if self.sector:
            asked["sector"] = self.sector.code
        return f"{reverse('requirements:list')}?{urlencode(asked)}"


def linked(row: readiness.CapabilityAnswer, question: Question) -> dict:
    """Return a row of the matrix with the address behind each of its numbers."""
    code = {"capability": row.code}
    lines = question.lines_address(**code)
    return {
        "row": row,
        "levels": [
            {
                "name": level,
                "quantity": quantity,
                "unquantified": row.unquantified[level],
                "href": lines if question.sector else question.rows_address(**code, level=level),
            }
            for level, quantity in row.levels.items()
        ],
        "blocked_href": question.rows_address(**code, level="blocked"),
        "lines_href": lines,
        "standing_href": question.rows_address(**code, at_least=question.threshold),
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
    return rows.filter(status__in=Pledge.ON_LADDER, superseded_by=None).count()


@require_GET
@for_members()
def capability(request: HttpRequest, code: str) -> HttpResponse:
    """One capability over time: need, levels stacked, its lines, and the rows of the chosen day."""
    operation = operation_of(request)
    question = Question(request, operation)
    thing = get_object_or_404(Capability.objects.visible_to(request.user), code=code)
    found = readiness.capability_detail(
        operation, thing, on=question.day, tier=question.tier, threshold=question.threshold
    )
    pledges = Pledge.objects.visible_to(request.user).filter(operation=operation, capability=thing)
    pledges = pledges.with_standing(operation.today()).counted_at(question.tier)
    lines = Requirement.objects.visible_to(request.user).filter(operation=operation, capability=thing)
    answers = readiness.requirement_lines(
        operation, on=question.day, tier=question.tier, threshold=question.threshold, capability=thing
    )
    context = {
        "question": question,
        "capability": thing,
        "found": found,
        "linked": linked(found.now, question) if found else None,
        "chart": stacked_levels(found.stretches, today=question.today, day=question.day) if found else None,
        "stretches": found.stretches if found else (),
        "pledges": pledges.standing_on(question.day).select_related("nation", "capability").order_by("nation__name"),
        "lines": lines.select_related("sector"),
        "answers": answers,
        "levels": LEVELS,
        "may_log": can(request.user, "log_pledge"),
        **freshness(operation),
    }
    return render(request, "readiness/capability.html", context)


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
    """How old the numbers are: a dashboard asks while the worker computes, and loads itself again once it is done."""
    operation = operation_of(request)
    response = render(request, "readiness/_age.html", {"asked": request.GET.get("seen", ""), **freshness(operation)})
    response["Cache-Control"] = "no-store"
    return response
