"""The same rows for maps: OGC API - Features, Part 1: Core, so that QGIS and GDAL connect by one address.

Source: OGC 17-069r4 (version 1.0.1). A collection is a list resource of the API: its viewset says which rows a person
may see and how they are filtered, its columns say what a feature shows.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, re_path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django_filters.rest_framework import BaseInFilter, MultipleChoiceFilter
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

from coalition.access import actor_of
from coalition.api import CoalitionViewSet, asked_fields, refuse_unknown
from coalition.columns import Area, Kind, Point
from coalition.paging import KeysetPagination
from coalition.refusals import no_such_address
from coalition.rows import Stored

GEOJSON = "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
CONFORMS_TO = [
    f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "oas30", "geojson", "html")
]
WORLD = [-180.0, -90.0, 180.0, 90.0]
NUMBER = re.compile(r"[-+]?[0-9]{1,4}(?:\.[0-9]{0,20})?", re.ASCII)
OWN = {"f", "limit", "bbox", "datetime", "cursor", "fields"}  # of items; the others are filters of the resource


@dataclass(frozen=True)
class Collection:
    """A list resource as a collection. ``times``: the fields of when a feature begins and ends, if it does."""

    name: str
    title: str
    viewset: type[CoalitionViewSet]
    times: tuple[str, str] | None = None

    @property
    def description(self) -> str:
        return (self.viewset.__doc__ or "").strip().partition("\n")[0]

    @property
    def filters(self) -> Mapping[str, Any]:
        """Return the filters of the resource, by name, without those that Features has its own way for."""
        return {name: each for name, each in self.viewset.filterset_class.base_filters.items() if name not in OWN}


class Pages(KeysetPagination):
    """Pages of features; a limit that is too high is not an error, but the highest there is (7.15.2)."""

    largest = 5000

    def size(self, request) -> int:
        asked = request.query_params.get("limit", "100")
        if not (asked.isascii() and asked.isdigit() and int(asked[:12]) >= 1):
            raise ValidationError({"limit": ["A whole number from 1."]})
        return min(int(asked[:12]), self.largest)


class ByF(BaseContentNegotiation):
    """``?f=`` before ``Accept``; what is accepted otherwise gets JSON."""

    def select_parser(self, request, parsers):
        return parsers[0]

    def select_renderer(self, request, renderers, format_suffix=None):
        asked = request.query_params.get("f")
        if asked not in (None, "json", "html"):
            raise ValidationError({"f": [f"Not known here: {asked}. Known are json, html."]})
        accepted = request.META.get("HTTP_ACCEPT", "")
        request.wants_html = asked == "html" or (asked is None and "text/html" in accepted)
        return renderers[0], renderers[0].media_type


class OgcView(APIView):
    """What every address has. ``collections`` are what stands below it, by name."""

    http_method_names = ["get", "head", "options"]
    content_negotiation_class = ByF
    renderer_classes = [JSONRenderer]
    schema = None
    collections: Mapping[str, Collection] = {}

    def check_permissions(self, request):
        if request.method.lower() not in self.http_method_names and request.user.is_authenticated:
            self.http_method_not_allowed(request)
        super().check_permissions(request)

    def address(self, *parts: str) -> str:
        """Return an address below the landing page."""
        return self.request.build_absolute_uri(reverse("ogc:landing") + "/".join(parts))

    def collection(self, name: str) -> Collection:
        try:
            return self.collections[name]
        except KeyError:
            raise Http404 from None

    def answer(self, title: str, body: dict, *, media_type: str = "application/json", **context) -> HttpResponse:
        """Answer with JSON, or with the page that shows the same."""
        if self.request.wants_html:
            response = render(self.request, "ogc/page.html", {"title": title, "body": body, **context})
        else:
            response = HttpResponse(json.dumps(body), content_type=media_type)
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def links(self, *parts: str, media_type: str = "application/json") -> list[dict]:
        here = self.address(*parts)
        return [link("self", here, media_type, "This"), link("alternate", f"{here}?f=html", "text/html", "As a page")]

    def described(self, collection: Collection) -> dict:
        """Return what is said about a collection (7.13)."""
        spatial = extent_of(collection.viewset.queryset.visible_to(self.request.user), collection)
        extent: dict[str, Any] = {"spatial": {"bbox": [spatial], "crs": CRS84}}
        if collection.times:
            extent["temporal"] = {"interval": [[None, None]]}
        items = self.address("collections", collection.name, "items")
        return {
            "id": collection.name,
            "title": collection.title,
            "description": collection.description,
            "itemType": "feature",
            "crs": [CRS84],
            "extent": extent,
            "links": [
                *self.links("collections", collection.name),
                link("items", items, GEOJSON, f"{collection.title} as GeoJSON"),
                link("items", f"{items}?f=html", "text/html", f"{collection.title} as a page"),
            ],
        }


def link(rel: str, href: str, media_type: str, title: str) -> dict:
    return {"rel": rel, "href": href, "type": media_type, "title": title}


class Landing(OgcView):
    """What there is (7.2)."""

    def get(self, request):
        refuse_unknown(request, {"f": False})
        body = {
            "title": "Coalition readiness",
            "description": "Areas and what was seen in them, as far as you may see it.",
            "links": [
                *self.links(),
                link("service-desc", self.address("api"), OPENAPI, "The description of this API"),
                link("service-doc", self.address("api?f=html"), "text/html", "The same as a page"),
                link("conformance", self.address("conformance"), "application/json", "What it conforms to"),
                link("data", self.address("collections"), "application/json", "The collections"),
            ],
        }
        return self.answer("Maps: OGC API – Features", body, links=body["links"])


class Conformance(OgcView):
    """Which parts of the standard hold (7.4)."""

    def get(self, request):
        refuse_unknown(request, {"f": False})
        return self.answer("Conformance", {"conformsTo": CONFORMS_TO}, lines=CONFORMS_TO)


class Collections(OgcView):
    """The collections there are (7.13)."""

    def get(self, request):
        refuse_unknown(request, {"f": False})
        found = [self.described(collection) for collection in self.collections.values()]
        shown = [
            link("items", f"{self.address('collections', each['id'])}?f=html", "", each["title"]) for each in found
        ]
        return self.answer("Collections", {"links": self.links("collections"), "collections": found}, links=shown)


class OneCollection(OgcView):
    """One collection (7.14)."""

    def get(self, request, name):
        refuse_unknown(request, {"f": False})
        body = self.described(self.collection(name))
        return self.answer(body["title"], body, links=body["links"], lead=body["description"])


class Items(OgcView):
    """Features of a collection, some at a time (7.15)."""

    def get(self, request, name):
        collection = self.collection(name)
        several = {
            key: isinstance(each, MultipleChoiceFilter | BaseInFilter) for key, each in collection.filters.items()
        }
        refuse_unknown(request, dict.fromkeys(OWN, False) | several)
        view = viewset_of(collection, request)
        rows = in_box(view.filter_queryset(view.get_queryset()), collection, request.query_params.get("bbox"))
        rows = at_time(rows, collection, request.query_params.get("datetime"))
        fields = asked_fields(request, view.columns, actor_of(request.user))

        def read(some: QuerySet, limit: int):
            return stored(view, some, fields).feature_objects(limit)

        features, onwards, _ = Pages().page(rows, request, view, read)
        here = request.build_absolute_uri()
        links = [
            link("self", here, GEOJSON, "These features"),
            link("alternate", self.address("collections", name, "items?f=html"), "text/html", "As a page"),
            link("collection", self.address("collections", name), "application/json", collection.title),
        ]
        if onwards:
            links.append(link("next", onwards, GEOJSON, "The next features"))
        if request.wants_html:
            found = [json.loads(feature) for feature in features]
            return self.answer(collection.title, {}, features=found, links=links[2:])
        body = (
            f'{{"type":"FeatureCollection","timeStamp":"{timezone.now():%Y-%m-%dT%H:%M:%SZ}",'
            f'"numberReturned":{len(features)},"links":{json.dumps(links)},"features":[{",".join(features)}]}}'
        )
        return HttpResponse(body.encode(), content_type=GEOJSON, headers={"Cache-Control": "private, no-store"})


class OneItem(OgcView):
    """One feature (7.16)."""

    def get(self, request, name, feature_id):
        refuse_unknown(request, {"f": False})
        collection = self.collection(name)
        view = viewset_of(collection, request)
        view.kwargs = {view.lookup_url_kwarg or view.lookup_field: feature_id}
        rows = view.get_queryset().filter(pk=view.get_object().pk)
        [row] = stored(view, rows, ()).feature_objects(1)
        links = [
            *self.links("collections", name, "items", feature_id, media_type=GEOJSON),
            link("collection", self.address("collections", name), "application/json", collection.title),
        ]
        feature = json.loads(row.text) | {"links": links}
        title = f"{collection.title}: {feature['id']}"
        return self.answer(title, feature, media_type=GEOJSON, features=[feature], links=links[2:])


class Description(OgcView):
    """The OpenAPI document, version 3.0: the one that the standard and its clients know."""

    def get(self, request):
        refuse_unknown(request, {"f": False})
        body = openapi(self.collections, self.address().rstrip("/"))
        lines = [f"GET {path}: {methods['get']['summary']}" for path, methods in body["paths"].items()]
        return self.answer("Description", body, media_type=OPENAPI, lines=lines)


def viewset_of(collection: Collection, request) -> CoalitionViewSet:
    """Return the resource's viewset, ready to say which rows there are."""
    return collection.viewset(request=request, args=(), kwargs={}, action="list", format_kwarg=None)


def stored(view: CoalitionViewSet, rows: QuerySet, fields: tuple[str, ...]) -> Stored:
    return Stored.of(rows, view.columns, actor_of(view.request.user), fields, key=view.lookup_field)


# --- Where and when ---------------------------------------------------------------------------------


def box_of(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a ``bbox`` of four numbers, or six with heights. Raises a 400."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (4, 6) or not all(NUMBER.fullmatch(part) for part in parts):
        raise ValidationError({"bbox": ["Four numbers with commas between them: west,south,east,north in degrees."]})
    numbers = [float(part) for part in parts]
    west, south, east, north = numbers if len(numbers) == 4 else (*numbers[:2], *numbers[3:5])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
        raise ValidationError({"bbox": ["Longitudes run from -180 to 180, latitudes from -90 to 90."]})
    if west > east or south > north:
        raise ValidationError({"bbox": ["South lies below north and west of east; no box crosses the date line here."]})
    return west, south, east, north


def in_box(rows: QuerySet, collection: Collection, text: str | None) -> QuerySet:
    """Keep what lies in the box, by the place that the viewer sees. Raises a 400."""
    if not text:
        return rows
    west, south, east, north = box_of(text)
    place = collection.viewset.columns.place
    if "bbox" in collection.viewset.filterset_class.base_filters:
        return rows  # the resource has filtered by it already, with its index
    if isinstance(place, Area):
        box = shapely.box(west, south, east, north)
        areas = rows.order_by().values_list("pk", place.polygon)
        inside = [pk for pk, polygon in areas if shapely.from_geojson(json.dumps(polygon)).intersects(box)]
        return rows.filter(pk__in=inside)
    raise ValidationError({"bbox": ["These features have no place."]})


def extent_of(rows: QuerySet, collection: Collection) -> list[float]:
    """Return the box around areas; for points the world, which gives nothing away and costs nothing."""
    place = collection.viewset.columns.place
    if not isinstance(place, Area):
        return WORLD
    polygons = [json.dumps(polygon) for polygon in rows.values_list(place.polygon, flat=True)]
    bounds = shapely.total_bounds(shapely.from_geojson(polygons)) if polygons else WORLD
    return [float(each) for each in bounds]


def at_time(rows: QuerySet, collection: Collection, text: str | None) -> QuerySet:
    """Keep what happened within a ``datetime``: an instant, a day, or an interval open at either end (7.15.4)."""
    if not text:
        return rows
    first, slash, last = text.partition("/")
    begin, end = instant_of(first), instant_of(last if slash else first, is_end=True)
    if begin and end and begin > end:
        raise ValidationError({"datetime": ["The interval ends before it begins."]})
    if not collection.times:
        return rows
    begins, ends = collection.times
    if begin:
        rows = rows.filter(**{f"{ends}__gte": begin})
    if end:
        rows = rows.filter(**{f"{begins}__lte": end})
    return rows


def instant_of(text: str, *, is_end: bool = False) -> datetime | None:
    """Return an instant, the first or last of a day, or None for ``..`` and nothing. Raises a 400."""
    if text in ("", ".."):
        return None
    text = text.replace(" ", "+")
    try:
        if (day := parse_date(text)) is not None:
            time = datetime.max.time() if is_end else datetime.min.time()
            return datetime.combine(day, time, tzinfo=timezone.get_default_timezone())
        found = parse_datetime(text)
        if found is not None:
            return (
                timezone.make_aware(found)
                if timezone.is_naive(found)
                else found.astimezone(timezone.get_default_timezone())
            )
    except (OverflowError, ValueError):
        pass
    raise ValidationError({"datetime": ["An instant, a day, or two with a slash between them; .. is open."]})


# --- The description --------------------------------------------------------------------------------

JSON_TYPES = {
    Kind.INTEGER: {"type": "integer"},
    Kind.DECIMAL: {"type": "number"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DAY: {"type": "string", "format": "date"},
    Kind.INSTANT: {"type": "string", "format": "date-time"},
    Kind.INTEGERS: {"type": "array", "items": {"type": "integer"}},
    Kind.TEXTS: {"type": "array", "items": {"type": "string"}},
    Kind.OBJECT: {},
}
ERROR = {
    "type": "object",
    "required": ["type", "code", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
}


def openapi(collections: Mapping[str, Collection], server: str) -> dict:
    """Return the OpenAPI 3.0 document of the collections."""
    f = parameter("f", {"type": "string", "enum": ["json", "html"]}, "The form of the answer")
    paths = {
        "/": operation("The landing page", "landing", [f]),
        "/conformance": operation("What it conforms to", "conformance", [f]),
        "/api": operation("This description", "api", [f]),
        "/collections": operation("The collections", "collections", [f]),
    }
    for name, collection in collections.items():
        at = f"/collections/{name}"
        paths[at] = operation(f"About {name}", f"{name}.about", [f])
        paths[f"{at}/items"] = operation(
            collection.title,
            f"{name}.items",
            [f, *item_parameters(collection)],
            {"type": "object", "required": ["type", "features"], "properties": {
                "type": {"type": "string", "enum": ["FeatureCollection"]},
                "features": {"type": "array", "items": feature_schema(collection)},
            }},
            GEOJSON,
        )  # fmt: skip
        of_path = {"name": "featureId", "in": "path", "required": True, "schema": {"type": "string"}}
        paths[f"{at}/items/{{featureId}}"] = operation(
            f"One of {name}", f"{name}.item", [f, of_path], feature_schema(collection), GEOJSON
        )
    return {
        "openapi": "3.0.3",
        "info": {"title": "Coalition readiness: features", "version": "1"},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{"token": []}],
    }


def parameter(name: str, schema: dict, about: str) -> dict:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": about, "style": "form"}


def operation(
    summary: str, name: str, parameters: list[dict], schema: dict | None = None, media_type: str = "application/json"
) -> dict:
    content = {media_type: {"schema": schema or {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    whys = {"400": "Not understood", "401": "No valid session or token", "403": "Not for you", "404": "Not there"}
    return {
        "get": {
            "summary": summary,
            "operationId": name,
            "parameters": parameters,
            "responses": {"200": {"description": summary, "content": content}}
            | {code: {"description": why, "content": refused} for code, why in whys.items()},
        }
    }


def item_parameters(collection: Collection) -> list[dict]:
    limit = {"type": "integer", "minimum": 1, "maximum": Pages.largest, "default": 100}
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6}
    names = [column.name for column in collection.viewset.columns]
    filters = [parameter(name, {"type": "string"}, str(each.label or "")) for name, each in collection.filters.items()]
    return [
        parameter("limit", limit, "Features on a page"),
        parameter("bbox", box, "west,south,east,north in degrees") | {"explode": False},
        parameter("datetime", {"type": "string"}, "An instant, a day, or an interval with a slash"),
        parameter("cursor", {"type": "string"}, "Where to go on: taken from the link `next`"),
        parameter("fields", {"type": "array", "items": {"type": "string", "enum": names}}, "Only these properties")
        | {"explode": False},
        *filters,
    ]


def feature_schema(collection: Collection) -> dict:
    place = collection.viewset.columns.place
    hidden = place.columns if isinstance(place, Area) else ()
    properties = {
        column.name: {"nullable": True, **JSON_TYPES.get(column.kind, {"type": "string"})}
        for column in collection.viewset.columns
        if column.name not in hidden
    }
    kinds = ["Point"] if isinstance(place, Point) else ["Polygon", "MultiPolygon"]
    return {
        "type": "object",
        "required": ["type", "geometry", "properties"],
        "properties": {
            "type": {"type": "string", "enum": ["Feature"]},
            "id": {},
            "geometry": {
                "type": "object",
                "nullable": True,
                "properties": {
                    "type": {"type": "string", "enum": kinds},
                    "coordinates": {"type": "array", "items": {}},
                },
            },
            "properties": {"type": "object", "properties": properties},
        },
    }


def urls_of(collections: list[Collection]) -> list[URLPattern]:
    """Return what stands below /ogc/. Clients write addresses with a last slash or without."""
    known = {collection.name: collection for collection in collections}
    name = "(?P<name>[a-z-]{1,40})"
    return [
        re_path("^$", Landing.as_view(collections=known), name="landing"),
        re_path("^conformance/?$", Conformance.as_view(collections=known), name="conformance"),
        re_path("^api/?$", Description.as_view(collections=known), name="api"),
        re_path("^collections/?$", Collections.as_view(collections=known), name="collections"),
        re_path(f"^collections/{name}/?$", OneCollection.as_view(collections=known), name="collection"),
        re_path(f"^collections/{name}/items/?$", Items.as_view(collections=known), name="items"),
        re_path(
            f"^collections/{name}/items/(?P<feature_id>[^/]{{1,60}})/?$",
            OneItem.as_view(collections=known),
            name="item",
        ),
        re_path("", no_such_address),
    ]
