"""Pages that put the apps together: the overview, and the long work people wait for."""

from dataclasses import replace
from datetime import date, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from coalition import jobs
from coalition.access import actor_of, because, can
from coalition.first_hour import Step, counted, has_planner_and_officer, number_of
from coalition.models import Condition, Job, Nation, Operation
from coalition.pages import for_members, operation_of, operations_of, page_of
from coalition.vocabulary import load_nations
from monitoring.on_the_map import Asked
from monitoring.trends import by_class, newest_day, seven_bars
from monitoring.views.trends import freshness as freshness_of_counts
from monitoring.views.trends import rows_address
from monitoring.vocabulary import load_parties, load_sources
from pledges import readiness
from pledges.models import Allocation, Capability, Pledge, PledgeStep, Requirement
from pledges.views.readiness import Question, freshness, linked, own_stricter
from pledges.vocabulary import load_capabilities

RECENT = timedelta(hours=24)
ROWS = 8


@require_GET
@for_members()
def overview(request: HttpRequest) -> HttpResponse:
    """How ready the coalition is now and on its start day, the worst gaps, and what changed since yesterday."""
    if not operations_of(request):
        if can(request.user, "keep_operations"):
            return redirect("setup")
        return render(request, "empty_start.html", {"may_plan": False})
    operation = operation_of(request)
    question = Question(request, operation)
    now = readiness.matrix(operation, on=question.today, tier=question.tier)
    start = readiness.matrix(operation, on=question.start, tier=question.tier)
    question.day = question.start
    context = {
        "question": question,
        "now": now,
        "matrix_today": f"{reverse('readiness:matrix')}?on={question.today}",
        "start": start,
        "worst": [linked(row, question) for row in readiness.worst_gaps(start.rows, ROWS)],
        "own_stricter": own_stricter(request, operation, question.tier),
        **_since_yesterday(request, operation),
        **_to_do(request, operation),
        **freshness(operation),
        "reported": _reported(request, question.today),
    }
    return render(request, "overview.html", context)


@require_GET
@for_members("keep_operations")
def setup(request: HttpRequest) -> HttpResponse:
    """The way from an empty start to the first readiness: what is there, and what comes next."""
    operation = operation_of(request) if operations_of(request) else None
    steps = _first_steps(request, operation)
    following = next((number for number, step in enumerate(steps) if step.needed and not step.done), None)
    steps = [replace(step, is_next=number == following) for number, step in enumerate(steps)]
    needed = [step for step in steps if step.needed]
    context = {"steps": steps, "done": sum(step.done for step in needed), "of": len(needed)}
    return render(request, "setup.html", context)


def _first_steps(request: HttpRequest, operation: Operation | None) -> list[Step]:
    there = counted(operation)
    administers = can(request.user, "invite")
    lines = Requirement.objects.visible_to(request.user).filter(operation=operation)
    pledges = Pledge.objects.visible_to(request.user).filter(operation=operation)
    # Without an operation the pages of its parts have nothing to be about.
    later = reverse if operation else lambda name: ""
    return [
        Step(
            "Nations and capabilities",
            "The shipped lists: nations of Europe and beyond, and what a force needs in honest units. "
            "What is there already stays as it is; change and add as you like.",
            Nation.objects.exists() and Capability.objects.exists(),
            f"{there['nations']}, {number_of(Capability.objects, 'capability', 'capabilities')}",
            reverse("load-vocabulary"),
            "Load the shipped lists",
        ),
        Step(
            "The operation",
            "What is planned, from which day, in which time zone. Everything pledged and needed belongs to one.",
            operation is not None,
            operation.name if operation else "",
            reverse("operations:edit", args=[operation.code]) if operation else reverse("operations:new"),
            "Change it" if operation else "Create an operation",
        ),
        Step(
            "People",
            "Invite planners, and an officer of each nation. Each gets a link that works once; you fix role and nation."
            + ("" if administers else " An administrator does this."),
            has_planner_and_officer(),
            there["people"],
            reverse("people:list") if administers else "",
            "Invite people",
        ),
        Step(
            "Requirements",
            "What the plan needs: so much of a capability, from day to day, perhaps in a sector. One line each.",
            lines.exists(),
            number_of(lines, "line"),
            later("requirements:new"),
            "Add a requirement line",
        ),
        Step(
            "Conditions",
            "What pledges hang on: a parliament, a mandate, a ceasefire. Shared, so that pledges fall together.",
            there["conditions"] != "0 conditions",
            there["conditions"],
            later("conditions:new"),
            "Add a condition",
            needed=False,
        ),
        Step(
            "The first pledge",
            "An officer logs what a nation says it sends. You can log it for a nation too, or import a file.",
            pledges.exists(),
            number_of(pledges, "pledge"),
            later("pledges:new"),
            "Log a pledge",
        ),
        Step(
            "Readiness",
            "Once a line is answered by an allocation of a firm pledge, the matrix says how ready you are and how sure.",
            Allocation.objects.visible_to(request.user).filter(requirement__operation=operation).exists(),
            "",
            later("readiness:matrix"),
            "See the readiness",
        ),
    ]


@require_POST
@for_members("keep_operations")
def load_vocabulary(request: HttpRequest) -> HttpResponse:
    """Add the shipped nations, capabilities, parties and sources that are missing."""
    because("Shipped vocabulary")
    nations, capabilities = load_nations(), load_capabilities()
    load_parties()
    load_sources()
    messages.success(request, f"Added {nations} nations and {capabilities} capabilities.")
    return redirect("setup")


def _since_yesterday(request: HttpRequest, operation: Operation) -> dict:
    since = timezone.now() - RECENT
    user = request.user
    steps = PledgeStep.objects.visible_to(user).filter(pledge__operation=operation, moved_at__gte=since)
    steps = steps.exclude(user=None).select_related("pledge__nation", "user").order_by("-pk")
    conditions = Condition.objects.visible_to(user).filter(operation=operation, changed_at__gte=since, version__gt=1)
    return {"steps": steps[:ROWS], "conditions_changed": conditions.order_by("-changed_at")[:ROWS]}


def _reported(request: HttpRequest, today: date) -> dict:
    """What was reported of the last whole day, against the day before, and today so far; each class of source apart."""
    tier = actor_of(request.user).tier
    day = today - timedelta(days=1)
    so_far = {each.source_class: each.compared for each in by_class(tier, Asked(today, today))}
    classes = by_class(tier, Asked(day, day))
    return {
        "day": day,
        "before": day - timedelta(days=1),
        "week_ago": day - timedelta(days=6),
        "classes": [
            {
                "trend": trend,
                "href": rows_address(day, day, source_class=trend.source_class) if trend.source_class else "",
                "bars": seven_bars(trend),
                "so_far": so_far.get(trend.source_class),
                "so_far_href": rows_address(today, today, source_class=trend.source_class),
            }
            for trend in classes
        ],
        "newest": None if any(any(trend.seven_days) for trend in classes) else newest_day(tier, today),
        **freshness_of_counts(),
    }


def _to_do(request: HttpRequest, operation: Operation) -> dict:
    """What waits for this person: an officer's unconfirmed pledges, a planner's commitments to verify."""
    seen = Pledge.objects.visible_to(request.user).filter(operation=operation)
    actor = actor_of(request.user)
    overdue = seen.overdue_for_confirmation(request.user)
    if actor.nation:
        overdue = overdue.filter(nation=actor.nation)
    to_verify = seen.filter(status=Pledge.Status.COMMITTED, superseded_by=None)
    return {
        "overdue": overdue.count() if can(request.user, "confirm_pledge") else 0,
        # Those of one's own nation are at hand to confirm; a planner asks the nations.
        "overdue_own": overdue.select_related("capability").order_by("last_confirmed_on", "pk")[:ROWS]
        if actor.nation and can(request.user, "confirm_pledge")
        else [],
        "to_verify": to_verify.count() if can(request.user, "verify_pledge") else 0,
        "conditions_overdue": Condition.objects.visible_to(request.user).filter(
            operation=operation, state=Condition.State.OPEN, due_on__lt=operation.today()
        )
        if can(request.user, "keep_conditions")
        else (),
    }


@require_GET
@for_members()
def job_list(request: HttpRequest) -> HttpResponse:
    """The long work this person asked for; planners see everybody's. ``?state=failed`` is what was given up, with why."""
    rows = Job.objects.visible_to(request.user).select_related("user").order_by("-created_at")
    failed = rows.filter(state=Job.State.FAILED).count()
    state = request.GET.get("state")
    if state in Job.State.values:
        rows = rows.filter(state=state)
    return render(request, "jobs/list.html", {"page": page_of(request, rows), "state": state, "failed": failed})


@require_GET
@for_members()
def job_detail(request: HttpRequest, job_id) -> HttpResponse:
    """One job: how far it is, and what came of it. Asks again by itself while it runs."""
    job = get_object_or_404(Job.objects.visible_to(request.user).select_related("user"), pk=job_id)
    part = "jobs/_job.html" if request.htmx else "jobs/detail.html"
    return render(request, part, {"job": job})


@require_POST
@for_members()
def job_cancel(request: HttpRequest, job_id) -> HttpResponse:
    """Ask a job to stop."""
    job = get_object_or_404(Job.objects.visible_to(request.user), pk=job_id)
    jobs.cancel(job.pk, by=request.user)
    return redirect("jobs:detail", job.pk)


@require_POST
@for_members()
def job_retry(request: HttpRequest, job_id) -> HttpResponse:
    """Try a failed job again."""
    job = get_object_or_404(Job.objects.visible_to(request.user), pk=job_id)
    jobs.retry(job.pk, by=request.user)
    messages.success(request, "It is in line again, with all its attempts.")
    return redirect("jobs:detail", job.pk)
