"""The page where administrators have the history checked, and take its checkpoints elsewhere."""

from datetime import date

from django import forms
from django.contrib import messages
from django.db.models import Max, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from coalition import jobs, sealing
from coalition.access import SYSTEM, acting_as
from coalition.models import HistorySeal, Job
from coalition.pages import for_members, page_of

for_administrators = for_members("administer")
MOST_BYTES = 10_000  # a checkpoint has some five hundred


class CheckForm(forms.Form):
    """What the history is to be checked against, besides its own seals."""

    checkpoint = forms.FileField(
        required=False,
        label="Checkpoint kept elsewhere",
        help_text="With it, a missing end of the history is found too.",
    )

    def clean_checkpoint(self) -> str:
        """Return the file's text; empty without a file."""
        file = self.cleaned_data["checkpoint"]
        if not file:
            return ""
        if file.size > MOST_BYTES:
            raise forms.ValidationError("This file is no checkpoint of a history.")
        try:
            return sealing.read_checkpoint(file.read()).text()
        except sealing.NotACheckpoint as error:
            raise forms.ValidationError(str(error)) from error


@require_GET
@for_administrators
def page(request: HttpRequest) -> HttpResponse:
    """What is sealed, what the last check found, and a checkpoint of each day."""
    return _shown(request, CheckForm())


@require_POST
@for_administrators
def check(request: HttpRequest) -> HttpResponse:
    """Have a worker check the whole history. The one that is at it already will do."""
    form = CheckForm(request.POST, request.FILES)
    if not form.is_valid():
        return _shown(request, form, status=422)
    stored = form.cleaned_data["checkpoint"]
    unfinished = Job.objects.filter(kind=sealing.JOB, state__in=[Job.State.WAITING, Job.State.RUNNING])
    if unfinished.filter(arguments={"checkpoint": stored}).exists():
        messages.info(request, "A check is under way already.")
    else:
        jobs.start(sealing.JOB, by=request.user, arguments={"checkpoint": stored})
    return redirect("history:page")


@require_GET
@for_administrators
def checkpoint(request: HttpRequest, day: str) -> HttpResponse:
    """The last checkpoint of a day, as a file."""
    try:
        found = sealing.newest_checkpoint(date.fromisoformat(day))
    except ValueError as error:
        raise Http404("There is no such day.") from error
    if found is None:
        raise Http404("Nothing was sealed on that day.")
    name = f"history-{found.day}-{found.number}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(found.text(), content_type="application/json", headers=headers)


def _shown(request: HttpRequest, form: CheckForm, status: int = 200) -> HttpResponse:
    seals = HistorySeal.objects.visible_to(request.user).defer("keys", "digests")
    days = seals.order_by().values("day").annotate(last=Max("number"), rows_of_day=Sum("rows")).order_by("-day")
    shown = page_of(request, days)
    last_of_day = seals.in_bulk([day["last"] for day in shown])
    newest = seals.last()
    checks = Job.objects.visible_to(request.user).filter(kind=sealing.JOB)
    with acting_as(SYSTEM):  # history that tells of things that are gone is shown to nobody else
        unsealed = sealing.unsealed()
    context = {
        "form": form,
        "page": shown,
        "days": [{"rows": day["rows_of_day"], "seal": last_of_day[day["last"]]} for day in shown],
        "newest": newest,
        "unsealed": unsealed,
        "job": checks.order_by("-created_at").first(),
        "verdict": checks.filter(state=Job.State.DONE).order_by("-finished_at").first(),
    }
    return render(request, "history/page.html", context, status=status)
