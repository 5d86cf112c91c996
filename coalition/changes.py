"""What has changed since? One feed of creates, updates, deletions and redirects, in an order that skips nothing.

A timestamp or a sequence would skip what commits late. Every row holds the id of the transaction that wrote it, and only
rows of transactions before the oldest one still open are served: none of them can come later. Whoever replays the feed
from nothing has exactly what they may see. Source of the idea: PostgreSQL documentation, "System Information Functions",
``pg_snapshot_xmin``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError as NotOurs
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from coalition.access import actor_of, seen_by
from coalition.api import ApiViewSet, CoalitionViewSet
from coalition.models import Tombstone

SIZE, LARGEST = 100, 1000
SALT = "coalition.changes"
GONE = "~gone"  # after every name: in one transaction what is there comes before what left
AFTER_ALL = "~~"  # after GONE, too

CHANGES = [("upsert", "created or changed"), ("delete", "gone, or no longer to be seen"), ("redirect", "merged")]


@dataclass(frozen=True, order=True)
class Place:
    """A place in the feed: what comes after it is greater. ``pk`` is compared within one kind only."""

    xid: int
    kind: str
    pk: Any

    def beyond(self, kind: str, key: str) -> Q:
        """Return the filter for rows of a kind that come after this place; ``key`` is their primary key."""
        later = Q(changed_xid__gt=self.xid)
        if kind < self.kind:
            return later
        same = Q(changed_xid=self.xid)
        if kind == self.kind:
            same &= Q(**{f"{key}__gt": self.pk})
        return Q(changed_xid__gte=self.xid) & (later | same)  # the outer bound begins at the right place of the index


def settled_before() -> int:
    """Return the oldest transaction id still open: all below are over, and their rows can be seen or never will."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return cursor.fetchone()[0]


def write_cursor(place: Place) -> str:
    """Return a place as signed text."""
    return signing.dumps([place.xid, place.kind, place.pk], salt=SALT)


def read_cursor(text: str) -> Place:
    """Return the place a cursor stands for. Raises ValidationError (a 400) for what is not one of ours."""
    try:
        return Place(*signing.loads(text, salt=SALT))
    except signing.BadSignature:
        raise ValidationError({"cursor": ["This cursor is not one of ours, or it was changed."]}) from None


@dataclass(frozen=True)
class FeedPage:
    """Some of the feed: what changed, as ChangeSerializer describes it, the last place read, and whether more is there."""

    changes: list[dict[str, Any]]
    place: Place
    more: bool


def here() -> Place:
    """Return the place of which all that is over comes before, and all that is still open or to come, after."""
    return Place(settled_before() - 1, AFTER_ALL, 0)


def resources() -> Mapping[str, type[CoalitionViewSet]]:
    """Return the resources of the feed by name. They are put together above the kernel; a setting says where."""
    return import_string(settings.CHANGE_FEED)


class ChangeSerializer(serializers.Serializer):
    """One change. Replay them in order: put the object, or take it away."""

    kind = serializers.CharField(help_text="The resource, as in the address: pledges, reports")
    id = serializers.CharField(help_text="The row's own for life, also where its address has a code")
    change = serializers.ChoiceField(choices=CHANGES)
    to = serializers.CharField(required=False, help_text="On a redirect: the id it was merged into")
    object = serializers.JSONField(
        required=False,
        help_text="On an upsert: the row as its resource shows it, without what is worked out from others",
    )


class ChangesSerializer(serializers.Serializer):
    """A page of the feed."""

    next = serializers.URLField(help_text="Where to go on, now or later; keep it")
    more = serializers.BooleanField(help_text="More is there already")
    as_of = serializers.DateTimeField(help_text="When the page was made (UTC)")
    results = ChangeSerializer(many=True)


class ChangesQuery(serializers.Serializer):
    cursor = serializers.CharField(required=False, max_length=1000, help_text="From `next`; none: from the beginning")
    limit = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST, default=SIZE)
    kind = serializers.CharField(
        required=False, max_length=300, help_text="Only these resources, separated by commas; the same on every page"
    )


def _rows(view: CoalitionViewSet, keys: list) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield primary key and row of those of the keys that are there for the one who asks, as the resource shows them."""
    actor = actor_of(view.request.user)
    fields = tuple(column.name for column in view.columns.seen_by(actor) if column.name not in view.worked_out)
    for placed in view.rows(view.get_queryset().filter(pk__in=keys), fields).objects(len(keys)):
        yield placed.pk, json.loads(placed.text)


def _upsert(name: str, pk: Any, row: dict[str, Any]) -> dict[str, Any]:
    return {"kind": name, "id": str(pk), "change": "upsert", "object": row}


def _redirect(name: str, pk: Any, to: Any) -> dict[str, Any]:
    return {"kind": name, "id": str(pk), "change": "redirect", "to": str(to)}


class ChangesViewSet(ApiViewSet):
    """What has changed since: creates, updates, deletions and redirects of everything you may see.

    Begin without a cursor, and keep `next`. The order is that of the transactions that are over. What you may no longer
    see is a `delete`. Fields worked out from other rows or from the date (a pledge's level, a capability's name) are left
    out: they change without the row. After the database was restored from a backup, begin anew.
    """

    resources: Mapping[str, type[CoalitionViewSet]] = {}
    listing = ()  # only JSON: a feed is not a table
    queries = {"list": ChangesQuery}
    serializer_class = ChangesSerializer
    pagination_class = None

    def _views(self, kinds: str | None) -> dict[str, CoalitionViewSet]:
        """Return, by name, the resources asked for, each ready to read for the one who asks."""
        names = sorted(self.resources) if kinds is None else sorted(set(kinds.split(",")))
        if unknown := [name for name in names if name not in self.resources]:
            known = ", ".join(sorted(self.resources))
            raise ValidationError({"kind": [f"Not known here: {', '.join(unknown)}. Known are {known}."]})
        views = {}
        for name in names:
            view = self.resources[name](action="retrieve", basename=name, format_kwarg=None)
            view.request, view.args, view.kwargs = self.request, (), {}
            views[name] = view
        return views

    def _places(self, views: dict[str, CoalitionViewSet], after: Place, limit: int) -> list[Place]:
        """Return the next places after one, at most ``limit``, in order. A query per resource and one for what left."""
        settled = settled_before()

        def next_of(kind: str, rows: QuerySet, key: str) -> Iterator[Place]:
            rows = rows.filter(after.beyond(kind, key), changed_xid__lt=settled).order_by("changed_xid", key)
            return (Place(xid, kind, pk) for xid, pk in rows.values_list("changed_xid", key)[:limit])

        places = [
            place
            for name, view in views.items()
            for place in next_of(name, view.get_queryset().select_related(None), view.queryset.model._meta.pk.name)
        ]
        tables = [view.queryset.model._meta.db_table for view in views.values()]
        gone = Tombstone.objects.filter(seen_by(self.request.user, tier="tier_before", nation="nation_id"))
        places += next_of(GONE, gone.filter(kind__in=tables), "id")
        return sorted(places)[:limit]

    def _told(self, views: dict[str, CoalitionViewSet], page: list[Place]) -> Iterator[dict[str, Any]]:
        """Yield what happened at each place. What changed again since the page was begun comes again later."""
        by_table = {view.queryset.model._meta.db_table: name for name, view in views.items()}
        gone = Tombstone.objects.in_bulk([place.pk for place in page if place.kind == GONE])
        changes = {}
        for name, view in views.items():
            keys = [place.pk for place in page if place.kind == name]
            if keys:
                told = {(name, pk): _upsert(name, pk, row) for pk, row in _rows(view, keys)}
                redirected = view.merged_into(keys).items()
                changes |= told | {(name, pk): _redirect(name, pk, to) for pk, to in redirected if (name, pk) in told}
        back = self._still_seen(views, gone.values(), by_table)
        for place in page:
            if place.kind == GONE:
                stone = gone[place.pk]
                name = by_table[stone.kind]
                if (name, stone.object_id) not in back:
                    yield {"kind": name, "id": stone.object_id, "change": "delete"}
            elif change := changes.get((place.kind, place.pk)):
                yield change

    def _still_seen(self, views: dict[str, CoalitionViewSet], stones, by_table: dict[str, str]) -> set[tuple[str, str]]:
        """Return (resource, id) of what left a tier, but is there for the one who asks: a planner, its own nation."""
        ids: dict[str, set[str]] = {}
        for stone in stones:
            ids.setdefault(by_table[stone.kind], set()).add(stone.object_id)
        return {
            (name, str(pk))
            for name, wanted in ids.items()
            for pk in views[name].get_queryset().filter(pk__in=wanted).values_list("pk", flat=True)
        }

    def page(self, views: dict[str, CoalitionViewSet], places: list[Place], after: Place, limit: int) -> FeedPage:
        """Return what happened at the first ``limit`` of the places that were found after one."""
        page = places[:limit]
        return FeedPage(list(self._told(views, page)), page[-1] if page else after, len(places) > limit)

    def list(self, request, *args, **kwargs):
        asked = self.query()
        views = self._views(asked.get("kind"))
        after = read_cursor(asked["cursor"]) if asked.get("cursor") else Place(0, "", 0)
        try:
            places = self._places(views, after, asked["limit"] + 1)
        except (NotOurs, ValueError, TypeError):
            raise ValidationError({"cursor": ["This cursor is not one of ours."]}) from None
        page = self.page(views, places, after, asked["limit"])
        address = request.build_absolute_uri()
        return Response(
            {
                "next": replace_query_param(address, "cursor", write_cursor(page.place)),
                "more": page.more,
                "as_of": timezone.now(),
                "results": page.changes,
            }
        )


def changes_for(user, kinds: Iterable[str], after: Place, limit: int) -> FeedPage:
    """Return a page of the feed as somebody (a user or an Actor) sees it, without a request. Call while acting as them.

    Raises ValidationError for a kind that is not in the feed.
    """
    feed = ChangesViewSet(resources=resources(), request=SimpleNamespace(user=user))
    views = feed._views(",".join(kinds))
    return feed.page(views, feed._places(views, after, limit + 1), after, limit)
