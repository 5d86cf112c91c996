"""The pages on which agreements are kept: forms for agreements, provisions and each party's terms, deletion and undo."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from coalition import editing
from coalition.complaints import sentences, show, two_versions
from coalition.pages import for_members
from monitoring import agreeing
from monitoring.filing import zone_of_today
from monitoring.models import Agreement, Provision, ProvisionTerm
from monitoring.views.agreement_forms import AgreementForm, EndForm, ProvisionForm, TermForm
from monitoring.views.agreements import agreement_seen_by


def _form_page(
    request: HttpRequest, form: forms.BaseForm, save: Callable[[], Any], *, title: str, back: str, said: str
) -> HttpResponse:
    """Show the form; once it is right, save and go back. A stale version shows both, a wrong field its sentence."""
    context = {"title": title, "form": form, "cancel": back}
    if request.method == "POST" and form.is_valid():
        try:
            save()
        except editing.VersionStale as stale:
            now = None if isinstance(form, forms.ModelForm) else {"ends_at": stale.current.ends_at}
            context["conflict"] = two_versions(form, stale.current, now=now)
            return render(request, "form.html", context, status=412)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, said)
            return redirect(back)
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def agreement_new(request: HttpRequest) -> HttpResponse:
    """Write an agreement down."""
    form = AgreementForm(request.POST or None)
    context = {"title": "Add an agreement", "form": form, "cancel": reverse("monitoring:agreements")}
    if request.method == "POST" and form.is_valid():
        try:
            made = agreeing.agree(form.draft(), by=request.user)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{made}” is there. Add its provisions.")
            return redirect(made.get_absolute_url())
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def agreement_edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change an agreement."""
    thing = agreement_seen_by(request, code)
    form = AgreementForm(request.POST or None, instance=Agreement.objects.get(pk=thing.pk))
    moved = form.is_bound and form.is_valid()  # the page goes where its code goes
    back = reverse("monitoring:agreement", args=[form.cleaned_data["code"] if moved else code])

    def save():
        agreeing.revise_agreement(thing.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

    return _form_page(request, form, save, title=f"Change “{thing}”", back=back, said=f"“{thing}” is saved.")


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def provision_new(request: HttpRequest, code: str) -> HttpResponse:
    """Add a provision to an agreement."""
    thing = agreement_seen_by(request, code)
    form = ProvisionForm(request.POST or None, instance=Provision(agreement=thing))
    return _form_page(
        request,
        form,
        lambda: agreeing.provide(thing.pk, form.draft(), by=request.user),
        title=f"Add a provision to “{thing}”",
        back=thing.get_absolute_url(),
        said="The provision is there. Say from when each party dates it.",
    )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def provision_edit(request: HttpRequest, code: str, provision_id: int) -> HttpResponse:
    """Change a provision; what it covers is worked out anew."""
    row = _provision_seen_by(request, code, provision_id)
    form = ProvisionForm(request.POST or None, instance=Provision.objects.get(pk=row.pk))

    def save():
        agreeing.revise_provision(row.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

    title = f"Change article {row.article} of “{row.agreement}”"
    said = f"Article {row.article} is saved; what it covers is being worked out anew."
    return _form_page(request, form, save, title=title, back=row.agreement.get_absolute_url(), said=said)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_new(request: HttpRequest, code: str, provision_id: int) -> HttpResponse:
    """Add a party's own view of when a provision began and ended."""
    row = _provision_seen_by(request, code, provision_id)
    with timezone.override(zone_of_today()):
        form = TermForm(request.POST or None, instance=ProvisionTerm(provision=row), zone=str(zone_of_today()))
        return _form_page(
            request,
            form,
            lambda: agreeing.date_from(row.pk, form.draft(), by=request.user),
            title=f"Say when article {row.article} holds, as a party dates it",
            back=row.agreement.get_absolute_url(),
            said=f"Article {row.article} has a term; what it covers is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_edit(request: HttpRequest, code: str, term_id: int) -> HttpResponse:
    """Change a party's term."""
    term = _term_seen_by(request, code, term_id)
    with timezone.override(zone_of_today()):
        instance = ProvisionTerm.objects.get(pk=term.pk)
        form = TermForm(request.POST or None, instance=instance, zone=str(zone_of_today()))

        def save():
            agreeing.revise_term(term.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

        return _form_page(
            request,
            form,
            save,
            title=f"Change the term of article {term.provision.article} as {term.party} dates it",
            back=term.provision.agreement.get_absolute_url(),
            said="The term is saved; what is covered is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_end(request: HttpRequest, code: str, term_id: int) -> HttpResponse:
    """End a party's term at an instant, with the reason: how a person applies a release clause."""
    term = _term_seen_by(request, code, term_id)
    with timezone.override(zone_of_today()):
        initial = {"version": term.version, "ends_at": term.ends_at}
        form = EndForm(request.POST or None, initial=initial, zone=str(zone_of_today()))

        def save():
            agreeing.end_term(
                term.pk,
                form.cleaned_data["ends_at"],
                because_of=form.cleaned_data["reason"],
                by=request.user,
                based_on=editing.version_asked(request),
            )

        return _form_page(
            request,
            form,
            save,
            title=f"End the term of article {term.provision.article} as {term.party} dates it",
            back=term.provision.agreement.get_absolute_url(),
            said="The term is ended, with your reason; what is covered is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def delete(request: HttpRequest, code: str, what: str, thing_id: int) -> HttpResponse:
    """Delete an agreement, a provision or a term, after asking."""
    thing, owner = _thing_seen_by(request, code, what, thing_id)
    gone = reverse("monitoring:agreements") if what == "agreement" else owner.get_absolute_url()
    if request.method == "POST":
        remove = {
            "agreement": agreeing.delete_agreement,
            "provision": agreeing.delete_provision,
            "term": agreeing.delete_term,
        }[what]
        try:
            remove(thing.pk, by=request.user, based_on=editing.version_asked(request))
        except editing.Refused as error:
            messages.error(request, sentences(error))
            return redirect(owner.get_absolute_url())
        messages.success(request, f"{thing} is deleted. Its history is kept.")
        return redirect(gone)
    below = {"agreement": "Its provisions and terms go with it.", "provision": "Its terms go with it.", "term": ""}[
        what
    ]
    context = {
        "title": f"Delete {thing}?",
        "text": f"{below} Nothing that was reported is touched, but it is counted under it no more.".strip(),
        "action": request.path,
        "button": "Delete",
        "cancel": owner.get_absolute_url(),
        "danger": True,
        "hidden": [("version", thing.version)],
    }
    return render(request, "confirm.html", context)


@require_POST
@for_members("keep_agreements")
def take_back(request: HttpRequest, code: str, what: str, thing_id: int) -> HttpResponse:
    """Take the last change of an agreement, a provision or a term back."""
    thing, owner = _thing_seen_by(request, code, what, thing_id)
    try:
        kept = agreeing.take_back(thing, by=request.user, based_on=editing.version_asked(request))
    except (ValidationError, editing.Refused) as error:
        if getattr(error, "status", 409) == 428:
            raise
        messages.error(request, sentences(error))
    else:
        messages.success(request, "The last change is taken back.")
        owner = kept if what == "agreement" else owner
    return redirect(owner.get_absolute_url())


def _provision_seen_by(request: HttpRequest, code: str, provision_id: int) -> Provision:
    rows = Provision.objects.visible_to(request.user).select_related("agreement")
    return get_object_or_404(rows, pk=provision_id, agreement__code=code)


def _term_seen_by(request: HttpRequest, code: str, term_id: int) -> ProvisionTerm:
    rows = ProvisionTerm.objects.visible_to(request.user).select_related("provision__agreement", "party")
    return get_object_or_404(rows, pk=term_id, provision__agreement__code=code)


def _thing_seen_by(request: HttpRequest, code: str, what: str, thing_id: int) -> tuple[Any, Agreement]:
    """Return the row, and the agreement it belongs to."""
    if what == "provision":
        row = _provision_seen_by(request, code, thing_id)
        return row, row.agreement
    if what == "term":
        term = _term_seen_by(request, code, thing_id)
        return term, term.provision.agreement
    if what != "agreement":
        raise Http404("There is no such thing.")
    thing = agreement_seen_by(request, code)
    if thing.pk != thing_id:
        raise Http404("There is no such agreement.")
    return thing, thing
