"""The pages of operations: which there are, and the form planners keep them with."""

from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from coalition import editing, operations
from coalition.access import can
from coalition.complaints import show, two_versions
from coalition.forms import DayInput, RecordForm
from coalition.models import Operation
from coalition.pages import for_members, operations_of

SHARE = forms.NumberInput(attrs={"min": 0, "max": 1, "step": "any", "inputmode": "decimal"})


class OperationForm(RecordForm):
    """An operation, as planners keep it."""

    code = forms.SlugField(max_length=40, help_text="Short, for addresses and programs: mnf-2027. It never changes.")
    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(available_timezones())],
        initial="Europe/Kyiv",
        help_text="Days of the plan are days there",
    )

    class Meta:
        model = Operation
        fields = ["name", "code", *operations.CHANGEABLE[1:]]
        widgets = {
            **dict.fromkeys(("starts_on", "activated_on", "mandate_until"), DayInput()),
            **dict.fromkeys(operations.CERTAINTIES, SHARE),
        }
        labels = {
            "is_current": "Current",
            "confirm_every_days": "Days until a pledge must be confirmed",
            "half_life_days": "Days overdue that halve its certainty",
            **{name: f"Chance of what is {name.removeprefix('certainty_')}" for name in operations.CERTAINTIES},
            "certainty_in_place": "Chance of what is in place",
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["code"]

    def _post_clean(self) -> None:
        """The domain judges the row; the form only reads it."""


@require_GET
@for_members()
def listing(request: HttpRequest) -> HttpResponse:
    """All operations, the current one first."""
    context = {"rows": operations_of(request), "may_keep": can(request.user, "keep_operations")}
    return render(request, "operations/list.html", context)


@require_http_methods(["GET", "POST"])
@for_members("keep_operations")
def new(request: HttpRequest) -> HttpResponse:
    """Add an operation."""
    form = OperationForm(request.POST or None, initial={"is_current": not operations_of(request)})
    if request.method == "POST" and form.is_valid():
        try:
            operation = operations.begin(form.draft(), by=request.user)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{operation}” is there. Pledges, requirements and conditions can belong to it.")
            return redirect(f"{reverse('setup')}?operation={operation.code}")
    context = {"title": "Create an operation", "form": form, "cancel": reverse("operations:list")}
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_operations")
def edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change an operation: what belongs to it is counted anew."""
    operation = get_object_or_404(Operation.objects.visible_to(request.user), code=code)
    form = OperationForm(request.POST or None, instance=operation)
    context = {"title": f"Change “{operation.name}”", "form": form, "cancel": reverse("operations:list")}
    if request.method == "POST" and form.is_valid():
        try:
            operations.revise(operation.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))
        except editing.VersionStale as stale:
            context["conflict"] = two_versions(form, stale.current)
            return render(request, "form.html", context, status=412)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{operation.name}” is saved; its pledges are being counted anew.")
            return redirect("operations:list")
    return render(request, "form.html", context, status=422 if form.errors else 200)
