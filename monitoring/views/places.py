"""What people type as a place, turned around: one spelling into the others, and names into places. JSON for the maps."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from coalition.pages import for_members
from monitoring import gazetteer, places
from monitoring.places import Point

MOST_SUGGESTIONS = 8


def written(point: Point) -> dict:
    """Return the point in every spelling, and ``doubt``: a sentence when it should be confirmed, else ""."""
    return {
        "longitude": round(point.longitude, 6),
        "latitude": round(point.latitude, 6),
        "precision_m": round(point.precision_m),
        "degrees": places.as_degrees(point),
        "dms": places.as_dms(point),
        "mgrs": places.as_mgrs(point),
        "doubt": places.doubt(point),
    }


@require_GET
@for_members()
def convert(request: HttpRequest) -> JsonResponse:
    """Answer ``?text=`` (degrees, DMS or MGRS) as `written`, or 422 with ``detail``: why it is no place."""
    try:
        return JsonResponse(written(places.parse(request.GET.get("text", ""))))
    except places.NotAPlace as error:
        return JsonResponse({"detail": str(error)}, status=422)


@require_GET
@for_members()
def search(request: HttpRequest) -> JsonResponse:
    """Answer ``?q=`` with the populated places whose names begin like it or are spelt alike, at most eight."""
    found = gazetteer.search(request.GET.get("q", ""), MOST_SUGGESTIONS)
    results = [
        {"name": place.name, "cyrillic": place.cyrillic, "where": place.oblast or place.country, **written(place.point)}
        for place in found
    ]
    return JsonResponse({"results": results})
