"""The map: what was reported where, as hexes far out and single events near, with the same data as a table beside it."""

from datetime import date, timedelta

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from coalition.editing import FIRST_DAY, LAST_DAY
from coalition.forms import DayInput
from coalition.models import Sector
from coalition.pages import for_members, operation_of, operations_of, page_or_part
from monitoring import gazetteer, on_the_map, places, rollups
from monitoring.boxes import Box
from monitoring.filters import BoxField
from monitoring.kinds import FAMILY_OF, KINDS_OF, Family, Kind
from monitoring.models import OUT, Occurrence, Party, Source
from monitoring.on_the_map import Asked, Dot, Hex, Picture

ROWS = 100  # of the table beside the map; the map itself shows more
USUAL_DAYS = 7
LONGEST_DAYS = 20 * 366
COUNTED = [choice for choice in Occurrence.choices if choice[0] not in OUT]


class DayField(forms.DateField):
    """A day that may be asked for, in the browser's own date picker."""

    widget = DayInput

    def clean(self, value) -> date | None:
        day = super().clean(value)
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise forms.ValidationError(f"Days lie between {FIRST_DAY} and {LAST_DAY}.")
        return day


class MapForm(forms.Form):
    """What the map shows. The names are those of the API's filters of reports."""

    occurred_after = DayField(label="From")
    occurred_before = DayField(label="Until")
    family = forms.ChoiceField(choices=[("", "All families"), *Family.choices], required=False)
    kind = forms.ChoiceField(choices=[("", "All kinds"), *Kind.choices], required=False)
    accused = forms.ModelChoiceField(
        Party.objects.order_by("name"), to_field_name="code", empty_label="Anybody", required=False
    )
    occurrence = forms.ChoiceField(choices=[("", "Any"), *COUNTED], required=False)
    source_class = forms.ChoiceField(
        label="Source", choices=[("", "All classes"), *Source.Class.choices], required=False
    )
    sector = forms.ModelChoiceField(
        Sector.objects.filter(kind=Sector.Kind.SECTOR).order_by("code"),
        to_field_name="code",
        empty_label="Everywhere",
        required=False,
    )
    bbox = BoxField(required=False, widget=forms.HiddenInput)
    zoom = forms.IntegerField(required=False, min_value=0, max_value=20, widget=forms.HiddenInput)
    on = DayField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict:
        """Refuse days in the wrong order, and a kind of another family."""
        found = super().clean()
        first, last = found.get("occurred_after"), found.get("occurred_before")
        if first and last and not timedelta(0) <= last - first <= timedelta(days=LONGEST_DAYS):
            self.add_error("occurred_before", "The last day is not before the first, and at most 20 years after it.")
        kind, family = found.get("kind"), found.get("family")
        if kind and family and FAMILY_OF[Kind(kind)] != family:
            self.add_error("kind", f"This kind is not of the family {Family(family).label}.")
        return found

    def asked(self) -> Asked:
        """Return the question that a valid form asks."""
        found = self.cleaned_data
        family = found["family"]
        return Asked(
            first=found["occurred_after"],
            last=found["occurred_before"],
            box=Box(*found["bbox"]) if found.get("bbox") else None,
            kinds=(found["kind"],) if found["kind"] else tuple(KINDS_OF[Family(family)]) if family else (),
            accused=found["accused"].pk if found["accused"] else None,
            occurrences=(found["occurrence"],) if found["occurrence"] else (),
            source_class=found["source_class"],
            sector=found["sector"].pk if found["sector"] else None,
        )


def _today(request: HttpRequest) -> date:
    return operation_of(request).today() if operations_of(request) else timezone.now().date()


def _form(request: HttpRequest) -> MapForm:
    """Return the form of the address; days that it does not name are the last week."""
    today = _today(request)
    data = request.GET.copy()
    data.setdefault("occurred_before", today.isoformat())
    data.setdefault("occurred_after", (today - timedelta(days=USUAL_DAYS - 1)).isoformat())
    return MapForm(data)


@require_GET
@for_members()
def page(request: HttpRequest) -> HttpResponse:
    """The map, or for a script only what changes with its view: the sentence, the table and the data of the drawing."""
    form = _form(request)
    context = {"form": form, "days": USUAL_DAYS, "zones_url": reverse("monitoring:map_zones")}
    if form.is_valid():
        whole = form.asked()
        step = on_the_map.step_days(whole.first, whole.last)
        asked = on_the_map.window(whole, form.cleaned_data["on"], step)
        zoom = 6 if form.cleaned_data["zoom"] is None else form.cleaned_data["zoom"]
        shown = on_the_map.picture(request.user, asked, zoom)
        age = rollups.as_of()
        context |= _shown(request, shown) | {"whole": whole, "asked": asked, "step": step}
        context |= {"as_of": age.counted_until, "stale": age.is_amber, "recomputing": age.waiting}
        if not shown.events:
            context["newest"] = _newest(request, asked)
    response = page_or_part(request, "monitoring/map.html", "monitoring/_map_picture.html", context)
    response["Cache-Control"] = "private, no-store"
    return response


def _newest(request: HttpRequest, asked: Asked) -> dict | None:
    """Return the last week that has events, when it is another one than asked for."""
    newest = on_the_map.newest_day(request.user)
    if newest is None or asked.first <= newest <= asked.last:
        return None
    return {"first": newest - timedelta(days=USUAL_DAYS - 1), "last": newest}


def _shown(request: HttpRequest, shown: Picture) -> dict:
    parties = dict(Party.objects.values_list("pk", "name"))
    elsewhere = _elsewhere(request)
    return {
        "picture": shown,
        "hex_rows": [_hex_row(each, elsewhere) for each in shown.hexes[:ROWS]],
        "point_rows": [_point_row(dot, parties) for dot in shown.points[:ROWS]],
        "rows": ROWS,
        "drawing": {
            "hexes": [[_text(each), each.events, each.reports, each.outline] for each in shown.hexes],
            "points": [_drawn(dot) for dot in shown.points],
            "parties": {pk: parties.get(pk, "") for pk in {dot.accused_id for dot in shown.points} if pk},
            "kinds": {
                kind: [Kind(kind).label, FAMILY_OF[Kind(kind)].value] for kind in {dot.kind for dot in shown.points}
            },
        },
    }


def _text(each: Hex) -> str:
    """A cell is text in JSON: JavaScript's numbers would round it."""
    return f"{each.cell:x}"


def _drawn(dot: Dot) -> list:
    """[noun, id, longitude, latitude, precision in metres, kind, accused's id, instant, name of the place]."""
    place = dot.place
    degrees = [round(place.longitude, 5), round(place.latitude, 5), round(place.precision_m)]
    return [
        dot.noun,
        dot.id,
        *degrees,
        dot.kind,
        dot.accused_id,
        f"{dot.occurred_from:%Y-%m-%dT%H:%MZ}",
        dot.place_name,
    ]


def _elsewhere(request: HttpRequest) -> str:
    """Return the address of the same question without its part of the map, ready for another one."""
    query = request.GET.copy()
    for name in ("bbox", "zoom"):
        query.pop(name, None)
    rest = query.urlencode()
    return f"{request.path}?{rest}{'&' if rest else ''}"


def _hex_row(each: Hex, elsewhere: str) -> dict:
    middle, box = each.middle, each.box
    near = gazetteer.nearest(round(middle.longitude, 2), round(middle.latitude, 2))
    return {
        "id": _text(each),
        "near": near.name,
        "where": near.oblast or near.country,
        "mgrs": places.as_mgrs(middle),
        "events": each.events,
        "reports": each.reports,
        "href": f"{elsewhere}bbox={box.west:.3f},{box.south:.3f},{box.east:.3f},{box.north:.3f}&zoom=9",
    }


def _point_row(dot: Dot, parties: dict[int, str]) -> dict:
    return {
        "key": f"{dot.noun}-{dot.id}",
        "url": reverse(f"monitoring:{dot.noun}", args=[dot.id]),
        "kind": Kind(dot.kind).label,
        "noun": dot.noun,
        "at": dot.occurred_from,
        "accused": parties.get(dot.accused_id, ""),
        "place_name": dot.place_name,
        "mgrs": places.as_mgrs(dot.place),
        "degrees": places.as_degrees(dot.place),
        "precision_m": dot.place.precision_m,
    }


@require_GET
@for_members()
def zones(request: HttpRequest) -> JsonResponse:
    """Answer all areas as GeoJSON: sectors, buffer zones, lines, protected sites."""
    features = [
        {
            "type": "Feature",
            "id": sector.code,
            "properties": {"name": sector.name, "kind": sector.kind, "label": sector.get_kind_display()},
            "geometry": sector.polygon,
        }
        for sector in Sector.objects.visible_to(request.user).order_by("kind", "code")
    ]
    response = JsonResponse({"type": "FeatureCollection", "features": features})
    response["Cache-Control"] = "private, no-store"
    return response
