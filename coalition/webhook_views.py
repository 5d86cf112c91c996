"""The pages of outgoing webhooks: registered, tested, watched, paused, deleted."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import changes, egress, webhooks
from coalition.editing import Refused
from coalition.forms import TierField
from coalition.models import WebhookSubscription
from coalition.pages import for_members, page_of

for_keepers = for_members("keep_webhooks")


class SubscriptionForm(forms.Form):
    """Who is to be told of what."""

    name = forms.CharField(max_length=100, label="For which program", help_text="So that you know it again")
    address = forms.CharField(
        max_length=500,
        help_text="It begins with https:// and lies on a network that the operator of this server lists.",
    )
    kinds = forms.MultipleChoiceField(label="Tell of changes of", widget=forms.CheckboxSelectMultiple)
    tier = TierField(help_text="It is told of nothing above this tier, nor of anything you do not see.")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["kinds"].choices = [(kind, kind.capitalize()) for kind in sorted(changes.resources())]


@require_GET
@for_keepers
def webhook_list(request: HttpRequest) -> HttpResponse:
    """One's own subscriptions; all of them for administrators."""
    kept = WebhookSubscription.objects.visible_to(request.user).select_related("user")
    return render(request, "webhooks/list.html", {"page": page_of(request, kept), "is_open": egress.is_open()})


@require_http_methods(["GET", "POST"])
@for_keepers
def new(request: HttpRequest) -> HttpResponse:
    """A form for a subscription. The secret is in the answer to the form and nowhere else."""
    form = SubscriptionForm(request.POST or None)
    made = secret = None
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made, secret = webhooks.subscribe(by=request.user, **form.cleaned_data)
            except ValidationError as error:
                form.add_error(None, error)
            except Refused as refusal:
                form.add_error(None, str(refusal))
            else:
                status = 200
    context = {"form": form, "made": made, "secret": secret, "is_open": egress.is_open()}
    response = render(request, "webhooks/new.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_GET
@for_keepers
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One subscription with the log of what was sent to it."""
    subscription = webhooks.find(pk, by=request.user)
    context = {
        "subscription": subscription,
        "page": page_of(request, subscription.deliveries.all()),
        "is_open": egress.is_open(),
        "keep_days": webhooks.KEEP.days,
    }
    return render(request, "webhooks/detail.html", context)


@require_POST
@for_keepers
def pause(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send nothing more for now."""
    webhooks.pause(pk, by=request.user)
    messages.success(request, "Paused. What changes meanwhile is told when you resume it.")
    return redirect("webhooks:detail", pk)


@require_POST
@for_keepers
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go on."""
    webhooks.resume(pk, by=request.user)
    messages.success(request, "Resumed where it stood.")
    return redirect("webhooks:detail", pk)


@require_POST
@for_keepers
def send_test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Put a message in line that tells of nothing."""
    webhooks.send_test(pk, by=request.user)
    messages.success(request, "A test is in line. What becomes of it stands in the log within seconds.")
    return redirect("webhooks:detail", pk)


@require_POST
@for_keepers
def replay(request: HttpRequest, pk: UUID, delivery_id: UUID) -> HttpResponse:
    """Send one message once more."""
    delivery = webhooks.replay(pk, delivery_id, by=request.user)
    messages.success(request, f"{delivery} is in line again.")
    return redirect("webhooks:detail", pk)


@require_http_methods(["GET", "POST"])
@for_keepers
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then delete a subscription with its log."""
    if request.method == "POST":
        deleted = webhooks.delete(pk, by=request.user)
        messages.success(request, f"The webhook “{deleted.name}” is deleted. Nothing more is sent to it.")
        return redirect("webhooks:list")
    subscription = webhooks.find(pk, by=request.user)
    context = {
        "title": f"Delete the webhook “{subscription.name}”?",
        "text": "Its log goes with it, and its secret signs nothing any more.",
        "action": request.path,
        "button": "Delete it",
        "cancel": reverse("webhooks:detail", args=[pk]),
        "danger": True,
    }
    return render(request, "confirm.html", context)
