"""The pages of people: who is in, whom an administrator invites, and the page behind an invitation's link."""

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from coalition import people
from coalition.access import Role
from coalition.complaints import show
from coalition.models import Nation, User
from coalition.pages import for_members


class InvitationForm(forms.Form):
    """Whom to let in, as what, and for how long the link lives."""

    for_whom = forms.CharField(max_length=120, label="For whom", help_text="A name that you know this person by")
    role = forms.ChoiceField(choices=Role.choices, label="Role")
    nation = forms.ModelChoiceField(
        Nation.objects.none(), required=False, empty_label="No nation", help_text="A staff officer needs one"
    )
    days = forms.IntegerField(
        min_value=1, max_value=people.LONGEST_DAYS, initial=people.USUAL_DAYS, label="Days until the link expires"
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["nation"].queryset = Nation.objects.order_by("name")


class AcceptForm(forms.ModelForm):
    """What the invited person says of themselves."""

    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=200,
        help_text="At least 12 characters; not one that many use, and not your name",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label="Password again",
        strip=False,
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = people.SAID_BY_THEMSELVES
        labels = {"username": "User name"}
        help_texts = {"username": "Letters, digits and @ . + - _; you sign in with it"}
        widgets = {"username": forms.TextInput(attrs={"autocomplete": "username", "spellcheck": "false"})}

    def clean(self) -> dict:
        data = super().clean()
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "This is not the same password.")
        return data

    def _post_clean(self) -> None:
        """The domain judges the whole account; the form only reads it."""


@require_http_methods(["GET", "POST"])
@for_members("invite")
def person_list(request: HttpRequest) -> HttpResponse:
    """Everybody with an account, the open invitations, and a form for one more. A link is in the answer to it only."""
    form = InvitationForm(request.POST or None)
    invited = link = None
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                invited, secret = people.invite(by=request.user, **form.cleaned_data)
            except ValidationError as error:
                show(form, error)
            else:
                link = request.build_absolute_uri(reverse("invitation", args=[secret]))
                form, status = InvitationForm(), 200
    context = {
        "form": form,
        "everybody": people.everybody(by=request.user),
        "invitations": people.open_invitations(by=request.user),
        "invited": invited,
        "link": link,
    }
    return render(request, "people/list.html", context, status=status)


@require_POST
@for_members("invite")
def invitation_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an invitation back."""
    revoked = people.revoke(pk, by=request.user)
    messages.success(request, f"The invitation for {revoked.for_whom} is revoked. Its link lets nobody in.")
    return redirect("people:list")


@require_POST
@for_members("administer")
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a person in no more."""
    person = people.deactivate(pk, by=request.user)
    messages.success(request, f"{person} is deactivated: signed out everywhere, and no token of theirs works.")
    return redirect("people:list")


@require_POST
@for_members("administer")
def reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a person in again."""
    person = people.reactivate(pk, by=request.user)
    messages.success(request, f"{person} may sign in again.")
    return redirect("people:list")


@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "POST"])
@login_not_required
def accept(request: HttpRequest, secret: str) -> HttpResponse:
    """The page behind an invitation's link: choose a name and a password, once."""
    invitation = people.invitation_of(secret)
    form = AcceptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            said = {name: form.cleaned_data[name] for name in people.SAID_BY_THEMSELVES}
            person = people.accept(secret, password=form.cleaned_data["password"], said=said)
        except ValidationError as error:
            show(form, error)
        else:
            logout(request)  # whoever was signed in here before: this person begins anew
            messages.success(request, f"Your account {person.username} is made. Sign in with it.")
            return redirect("account_login")
    context = {"form": form, "invitation": invitation}
    return render(request, "account/invitation.html", context, status=422 if form.errors else 200)
