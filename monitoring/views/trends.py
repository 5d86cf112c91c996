"""Trends: more or fewer events than before, by day, week, kind, accused and area; one source class at a time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from coalition.access import Tier, actor_of
from coalition.models import Sector
from coalition.pages import for_members, operation_of, operations_of, page_or_part
from monitoring import rollups, trends
from monitoring.models import OUT, Occurrence, Party, Source
from monitoring.on_the_map import Asked
from monitoring.trends import GroupCount
from monitoring.views.map import MapForm

USUAL_DAYS = 28
LONGEST_DAYS = 366
IN_SCOPE = [word for word in Occurrence.values if word not in OUT]


class TrendForm(MapForm):
    """Which events, over which days. The names are those of the filters of reports."""

    source_class = forms.ChoiceField(choices=Source.Class.choices, widget=forms.HiddenInput)
    bbox = zoom = on = None  # a box is asked of the map

    def clean(self) -> dict:
        """Refuse more days than a page of weeks can show."""
        found = super().clean()
        first, last = found.get("occurred_after"), found.get("occurred_before")
        if first and last and (last - first).days >= LONGEST_DAYS:
            self.add_error("occurred_before", f"At most {LONGEST_DAYS} days at once.")
        return found


def today_of(request: HttpRequest) -> date:
    """Return the day it is in the operation's time zone; without an operation, in UTC."""
    return operation_of(request).today() if operations_of(request) else timezone.now().date()


def rows_address(first: date, last: date, **filters: str | Iterable[str]) -> str:
    """Return the address of exactly the reports that a number was made of; empty filters are left out."""
    asked = {
        "occurred_after": first.isoformat(),
        "occurred_before": last.isoformat(),
        "occurrence": IN_SCOPE,
        **filters,
    }
    query = urlencode({name: value for name, value in asked.items() if value}, doseq=True)
    return f"{reverse('monitoring:reports')}?{query}"


def freshness() -> dict:
    """Return what ``monitoring/_age.html`` needs."""
    found = rollups.as_of()
    return {"as_of": found.counted_until, "age": found, "stale": found.is_amber}


@dataclass(frozen=True)
class Question:
    """What a valid form asks, and the addresses that belong to it."""

    asked: Asked
    filters: dict[str, str]

    @classmethod
    def of(cls, form: TrendForm) -> "Question":
        named = ("sector", "family", "kind", "accused", "occurrence", "source_class")
        found = {name: form.cleaned_data[name] for name in named}
        words = {name: value.code if isinstance(value, Sector | Party) else value for name, value in found.items()}
        return cls(form.asked(), {name: word for name, word in words.items() if word})

    @property
    def address(self) -> str:
        """The reports behind the whole period."""
        return self.rows(self.asked.first, self.asked.last)

    @property
    def address_before(self) -> str:
        """The reports behind as many days before."""
        earlier = trends.before(self.asked)
        return self.rows(earlier.first, earlier.last)

    def rows(self, first: date, last: date, **other: str) -> str:
        return rows_address(first, last, **{**self.filters, **other})

    def linked(self, groups: list[GroupCount], name: str) -> list[tuple[GroupCount, str]]:
        """Return groups with the address of their rows, empty where no filter asks for them."""
        days = (self.asked.first, self.asked.last)
        return [(group, self.rows(*days, **{name: group.value}) if group.value else "") for group in groups]


@require_GET
@for_members()
def page(request: HttpRequest) -> HttpResponse:
    """Headlines per source class, weeks as small multiples, and tables, of one tier: the viewer's own."""
    form = _form(request)
    context = {"form": form, "tier_seen": Tier(actor_of(request.user).tier), **freshness()}
    if form.is_valid():
        context |= _answer(request, Question.of(form))
    return page_or_part(request, "monitoring/trends.html", "monitoring/_trends.html", context)


@require_GET
@for_members()
def age(request: HttpRequest) -> HttpResponse:
    """How old the numbers are. A page made while something waited asks, and is told to load again when all is in."""
    found = freshness()
    response = render(request, "monitoring/_age.html", found)
    response["Cache-Control"] = "no-store"
    if request.htmx and not found["age"].waiting:
        response["HX-Refresh"] = "true"
    return response


def _form(request: HttpRequest) -> TrendForm:
    """Return the form of the address; days that it does not name are the last four whole weeks."""
    yesterday = today_of(request) - timedelta(days=1)
    data = request.GET.copy()
    data.setdefault("occurred_before", yesterday.isoformat())
    data.setdefault("occurred_after", (yesterday - timedelta(days=USUAL_DAYS - 1)).isoformat())
    if not data.get("source_class"):
        data["source_class"] = Source.Class.MONITORS
    return TrendForm(data)


def _answer(request: HttpRequest, question: Question) -> dict:
    tier, asked = actor_of(request.user).tier, question.asked
    days = trends.by_day(tier, asked)
    kinds = trends.by_kind(tier, asked)
    classes = trends.by_class(tier, replace(asked, source_class=""))
    return {
        "question": question,
        "asked": asked,
        "before": trends.before(asked),
        "classes": classes,
        "chosen": next(each for each in classes if each.source_class == asked.source_class),
        "days": [(day, question.rows(day.day, day.day)) for day in reversed(days)],
        "weeks": [(week, question.rows(week.first, week.last)) for week in trends.weeks(days)],
        "groups": [
            ("Kind", question.linked(kinds, "kind")),
            ("Family", question.linked(trends.by_family(kinds), "family")),
            ("Area", question.linked(trends.by_sector(tier, asked), "sector")),
            ("Accused", question.linked(trends.by_accused(tier, asked), "accused")),
            ("Occurrence", question.linked(trends.by_occurrence(tier, asked), "occurrence")),
        ],
        "units": trends.by_unit(tier, asked),
        "unwatched": trends.unwatched(tier, asked),
        "newest": None if any(each.compared.events for each in classes) else trends.newest_day(tier, date.max),
    }
