"""How a nation stands to the coalition, and who speaks for it. Kept by planners; its codes never change."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from coalition.access import acting_as, because, demand
from coalition.editing import assign, check, lock
from coalition.models import Nation

CHANGEABLE = ("name", "standing", "standing_source", "approval_route", "focal_point")


def revise(code: str, changes: Mapping[str, Any], *, by, based_on: int | None, why: str = "") -> Nation:
    """Change the named fields of a nation and return it; ``why`` goes into its history. A standing is confirmed.

    Raise Http404, PermissionDenied, VersionStale, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_nations")
        nation = lock(Nation.objects.visible_to(by), code, based_on=based_on)
        assign(nation, changes, fields=CHANGEABLE)
        check(nation)
        if "standing" in changes:
            nation.last_confirmed_at = timezone.now()
        if why:
            because(why)
        nation.save(update_fields=[*CHANGEABLE, "last_confirmed_at"])
        nation.refresh_from_db()
        return nation
