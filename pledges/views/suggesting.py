"""The suggestions page: what could be allocated and why, accepted line by line. For planners."""

import re
import uuid

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from coalition import editing
from coalition.complaints import sentences
from coalition.models import Operation
from coalition.pages import for_members, operation_of
from pledges import suggesting
from pledges.allocating import figure
from pledges.counting import FIRM, LEVELS
from pledges.models import Capability

PAIR = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)


@require_http_methods(["GET", "POST"])
@for_members("allocate")
def page(request: HttpRequest) -> HttpResponse:
    """A proposal for one capability, a category or the whole operation. Looking writes nothing."""
    operation = operation_of(request)
    asked = _asked(request)
    if request.method == "POST":
        return _accept(request, operation, asked)
    found = Capability.objects.filter(requirements__operation=operation).distinct().order_by("name")
    wanted = found
    if asked["capability"]:
        wanted = wanted.filter(pk=get_object_or_404(Capability, code=asked["capability"]).pk)
    if asked["category"]:
        wanted = wanted.filter(category=asked["category"])
    context = {
        "asked": asked,
        "proposal": suggesting.suggest(operation, by=request.user, capabilities=wanted, threshold=asked["threshold"]),
        "capabilities": found.values_list("code", "name"),
        "categories": Capability.Category.choices,
        "levels": LEVELS,
        "idempotency_key": uuid.uuid4().hex,
    }
    return render(request, "suggest/page.html", context)


def _asked(request: HttpRequest) -> dict[str, str]:
    """Return capability, category and threshold of the address. Unknown ones are 404."""
    asked = {name: request.GET.get(name, "") for name in ("capability", "category")}
    asked["threshold"] = request.GET.get("threshold") or FIRM
    if asked["threshold"] not in LEVELS or asked["category"] not in {"", *Capability.Category.values}:
        raise Http404("There is no such threshold or category.")
    return asked


def _accept(request: HttpRequest, operation: Operation, asked: dict[str, str]) -> HttpResponse:
    """Allocate what was ticked, one by one; the same form sent twice does it once."""
    back = f"{reverse('readiness:suggest')}?{urlencode({'operation': operation.code, **asked})}"

    def allocate() -> editing.Answer:
        accepted = suggesting.accept(_picks(request), by=request.user)
        if accepted.done:
            said = ", ".join(f"{figure(a.quantity)} of P{a.pledge_id} for R{a.requirement_id}" for a in accepted.done)
            messages.success(request, f"Allocated: {said}.")
        for refusal in accepted.refused:
            messages.error(request, refusal.sentence)
        if not accepted.done and not accepted.refused:
            messages.warning(request, "Nothing was ticked, so nothing was allocated.")
        return editing.Answer.redirect(back)

    try:
        answer = editing.once(request, allocate)
    except (ValidationError, editing.Refused) as error:
        messages.error(request, sentences(error))
        return redirect(back)
    return redirect(answer.location)


def _picks(request: HttpRequest) -> list[suggesting.Pick]:
    """Return what was ticked (``take`` = pledge-line) with its quantity and mark. Raise ValidationError."""
    picks = []
    for name in dict.fromkeys(request.POST.getlist("take")):
        pair = PAIR.fullmatch(name)
        if pair is None:
            raise ValidationError("A tick names a pledge and a line, such as 17-4.")
        picks.append(
            suggesting.Pick(
                pledge_id=int(pair[1]),
                line_id=int(pair[2]),
                quantity=request.POST.get(f"quantity-{name}", "").strip(),
                seen=request.POST.get(f"seen-{name}", ""),
            )
        )
    return picks
