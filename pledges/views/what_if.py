"""The what-if pages: suppose something else, and see what it does to the plan. For the planning tier."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from coalition.access import actor_of
from coalition.complaints import sentences
from coalition.editing import find, is_id, is_storable
from coalition.models import Condition, Nation, Operation
from coalition.pages import for_members, operation_of
from pledges import what_if
from pledges.models import Pledge, Requirement, SavedScenario

MOST_SAVED = 200


@require_GET
@for_members("see_planning")
def page(request: HttpRequest) -> HttpResponse:
    """The scenario of the address beside the plan as it is."""
    operation = operation_of(request)
    try:
        scenario = what_if.read(operation, request.GET, user=request.user)
    except ValidationError as error:
        context = {"problems": error.message_dict, **_choices(request, operation, None)}
        return render(request, "what_if/page.html", context, status=400)
    context = {
        "scenario": scenario,
        "comparison": what_if.compare(scenario),
        "query": scenario.query(),
        **_choices(request, operation, scenario),
    }
    return render(request, "what_if/page.html", context)


def _choices(request: HttpRequest, operation: Operation, scenario: what_if.Scenario | None) -> dict:
    """Return what the form offers, with what the scenario has chosen."""
    supposed = scenario.supposed if scenario else None
    conditions = Condition.objects.visible_to(request.user).filter(operation=operation).order_by("title")
    touched = (supposed.withdrawn | supposed.slipped.keys()) if supposed else set()
    pledges = Pledge.objects.visible_to(request.user).filter(pk__in=touched).select_related("nation", "capability")
    return {
        "conditions": sorted(
            ((row, supposed.states.get(row.pk, "") if supposed else "") for row in conditions),
            key=lambda pair: pair[0].state != Condition.State.OPEN,
        ),
        "states": Condition.State.choices,
        "nations": Nation.objects.filter(pledges__operation=operation).distinct().order_by("name"),
        "out": supposed.nations_out if supposed else frozenset(),
        "touched": [
            (row, row.pk in supposed.withdrawn, supposed.slipped.get(row.pk, "")) for row in pledges if supposed
        ],
        "certainties": [
            (
                step.value,
                step.label,
                getattr(operation, f"certainty_{step}"),
                supposed.certainties.get(step, "") if supposed else "",
            )
            for step in Pledge.Status
            if step in Pledge.ON_LADDER
        ],
        "shares": [tenth / 10 for tenth in range(11)],
        "saved": SavedScenario.objects.visible_to(request.user).filter(operation=operation)[:MOST_SAVED],
    }


@require_GET
@for_members("see_planning")
def effects(request: HttpRequest) -> HttpResponse:
    """What moves the scenario most: conditions by their swing, nations by the loss they would leave."""
    operation = operation_of(request)
    scenario = what_if.read(operation, request.GET, user=request.user)
    conditions = what_if.conditions_by_effect(scenario)
    nations = what_if.nations_by_loss(scenario)
    titles = Condition.objects.visible_to(request.user).in_bulk([effect.key for effect in conditions])
    names = Nation.objects.in_bulk([effect.key for effect in nations])
    hardest = {effect.hardest for effect in (*conditions, *nations)} - {None}
    lines = Requirement.objects.visible_to(request.user).select_related("capability", "sector").in_bulk(hardest)
    widest = max((effect.swing for effect in (*conditions, *nations)), default=0) or 1
    context = {
        "scenario": scenario,
        "conditions": [_shown(effect, titles.get(effect.key), lines, widest) for effect in conditions],
        "nations": [_shown(effect, names.get(effect.key), lines, widest) for effect in nations],
    }
    return render(request, "what_if/_effects.html" if request.htmx else "what_if/effects.html", context)


def _shown(effect: what_if.Effect, thing, lines: dict[int, Requirement], widest: float) -> dict:
    return {"effect": effect, "thing": thing, "line": lines.get(effect.hardest), "share": effect.swing / widest}


@require_POST
@for_members("see_planning")
def save(request: HttpRequest) -> HttpResponse:
    """Give a scenario a name, so that others find it."""
    asked = QueryDict(request.POST.get("query", "")[:8000])
    operation = find(asked.get("operation", ""), Operation.objects.visible_to(request.user), "code")
    name = request.POST.get("name", "").strip()[:120]
    if not is_storable(name):
        raise ValidationError("The name holds characters that cannot be stored.")
    try:
        scenario = what_if.read(operation, asked, user=request.user)
        if not name:
            raise ValidationError("Give the scenario a name.")
        with transaction.atomic():
            SavedScenario.objects.create(
                operation=operation,
                name=name,
                query=scenario.query(),
                created_by_id=actor_of(request.user).user_id,
            )
    except ValidationError as error:
        messages.error(request, sentences(error))
    except IntegrityError:
        messages.error(request, f"There is already a scenario called “{name}”.")
    else:
        messages.success(request, f"“{name}” is saved. The plan is as it was.")
    return redirect(f"{reverse('what_if:page')}?{asked.urlencode()}")


@require_POST
@for_members("see_planning")
def forget(request: HttpRequest, scenario_id: int) -> HttpResponse:
    """Delete a saved scenario."""
    scenario = get_object_or_404(SavedScenario.objects.visible_to(request.user), pk=scenario_id)
    scenario.delete()
    messages.success(request, f"“{scenario.name}” is deleted.")
    return redirect("what_if:page")


@require_GET
@for_members("see_planning")
def side_by_side(request: HttpRequest) -> HttpResponse:
    """Two saved scenarios beside each other and the plan."""
    operation = operation_of(request)
    saved = SavedScenario.objects.visible_to(request.user).filter(operation=operation)
    asked_for = [request.GET.get(name, "") for name in ("a", "b")]
    chosen = [get_object_or_404(saved, pk=text if is_id(text) else 0) for text in asked_for]
    compared = []
    for row in chosen:
        asked = QueryDict(row.query)
        if request.GET.get("on"):
            asked = asked.copy()
            asked["on"] = request.GET["on"]
        compared.append(what_if.compare(what_if.read(operation, asked, user=request.user)))
    after = [{line.requirement.pk: line for line in comparison.lines} for comparison in compared]
    rows = [(line, after[1].get(pk)) for pk, line in after[0].items()]
    rows = [row for row in rows if row[1]]
    rows.sort(key=lambda row: -abs(row[0].after - row[1].after))
    context = {"first": chosen[0], "second": chosen[1], "compared": compared, "rows": rows, "saved": saved}
    return render(request, "what_if/side_by_side.html", context)
