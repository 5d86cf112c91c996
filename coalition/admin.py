"""The kernel's nouns in the admin: the second road for administrators, behind the same login and second factor."""

from allauth.account.decorators import secure_admin_login
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from coalition import sectors
from coalition.access import can
from coalition.models import Condition, ImportBatch, Job, Membership, Nation, Operation, Sector, Tombstone, User

admin.site.site_header = admin.site.site_title = "Coalition readiness"
admin.site.index_title = "Administration"
admin.site.has_permission = lambda request: can(request.user, "administer")
admin.site.login = secure_admin_login(admin.site.login)
admin.site.unregister(Group)  # rights come from the membership's role, never from Django's groups


class ForAdministrators:
    """Administrators may do all of it, whatever Django's own permission tables say; nobody else may do any."""

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return can(request.user, "administer")

    # Of an inline Django asks has_add_permission with the thing it stands on, of a page without.
    has_module_permission = has_add_permission = has_change_permission = has_delete_permission = has_view_permission


class RecordAdmin(ForAdministrators, admin.ModelAdmin):
    """A noun with a version: the columns the database keeps are shown, not typed."""

    readonly_fields = ("version", "created_at", "changed_at")
    list_per_page = 50
    show_full_result_count = False


class ReadOnlyAdmin(ForAdministrators, admin.ModelAdmin):
    """A record of what happened: looked at, never changed by hand."""

    def has_add_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    has_delete_permission = has_change_permission


class MembershipInline(ForAdministrators, admin.StackedInline):
    model = Membership
    can_delete = False


@admin.register(User)
class PersonAdmin(ForAdministrators, UserAdmin):
    """People: an account, and the one membership that says what it may do."""

    inlines = (MembershipInline,)
    list_display = ("username", "email", "first_name", "last_name", "is_active")
    list_filter = ("is_active", "membership__role")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("State", {"fields": ("is_active", "last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "password1", "password2")}),)
    filter_horizontal = ()


@admin.register(Nation)
class NationAdmin(RecordAdmin):
    list_display = ("code", "stanag", "name", "standing", "last_confirmed_at")
    list_filter = ("standing",)
    search_fields = ("code", "stanag", "name")


@admin.register(Operation)
class OperationAdmin(RecordAdmin):
    list_display = ("code", "name", "starts_on", "activated_on", "mandate_until", "is_current")


class SectorForm(forms.ModelForm):
    """A sector as typed: its polygon is judged before it is stored."""

    def clean(self) -> dict:
        data = super().clean()
        if data.get("polygon") and data.get("kind"):
            sectors.judge(data["polygon"], kind=data["kind"], besides=self.instance.pk)
        return data


@admin.register(Sector)
class SectorAdmin(RecordAdmin):
    form = SectorForm
    list_display = ("code", "name", "kind", "illustrative")
    list_filter = ("kind",)


@admin.register(Condition)
class ConditionAdmin(RecordAdmin):
    list_display = ("title", "kind", "state", "probability", "due_on", "tier", "operation")
    list_filter = ("operation", "kind", "state")
    search_fields = ("title",)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("kind", "user", "state", "done", "total", "attempts", "created_at")
    list_filter = ("kind", "state")


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin):
    list_display = ("file_name", "profile", "user", "state", "created_at")
    list_filter = ("profile", "state")


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    list_display = ("kind", "object_id", "tier_before", "left_at")
