"""The page of a person's own tokens: made, shown once, revoked."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from coalition import tokens
from coalition.editing import Refused
from coalition.pages import for_members


class TokenForm(forms.Form):
    """What a new token is for, what it may do and for how long."""

    name = forms.CharField(max_length=100, label="For which program", help_text="So that you know it again")
    scope = forms.ChoiceField(label="It may")
    days = forms.IntegerField(min_value=1, max_value=tokens.LONGEST_DAYS, initial=90, label="Days until it expires")

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["scope"].choices = tokens.scopes_of(user)


@require_http_methods(["GET", "POST"])
@for_members()
def token_list(request: HttpRequest) -> HttpResponse:
    """One's own living tokens, and a form for a new one. The secret is in the answer to the form and nowhere else."""
    form = TokenForm(request.POST or None, user=request.user)
    issued = secret = None
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                issued, secret = tokens.issue(by=request.user, **form.cleaned_data)
            except ValidationError as error:
                form.add_error(None, error)
            except Refused as refusal:
                form.add_error(None, str(refusal))
            else:
                form, status = TokenForm(user=request.user), 200
    context = {"form": form, "tokens": tokens.living_of(request.user), "issued": issued, "secret": secret}
    response = render(request, "account/tokens.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@for_members()
def token_revoke(request: HttpRequest, key: str) -> HttpResponse:
    """Take one token back."""
    revoked = tokens.revoke(key, by=request.user)
    messages.success(
        request, f"The token “{revoked.name or key}” is revoked. Programs that use it are refused from now on."
    )
    return redirect("tokens:list")
