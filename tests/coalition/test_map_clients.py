"""Programs that people use open what we serve: GDAL over OGC API - Features and GeoJSON, pandas and pyarrow Parquet."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pandas as pd
import pyogrio
import pytest
import shapely
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import ApiToken, Sector
from monitoring.models import Report
from tests.factories import a_member, a_report, a_sector


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def address(committed) -> Iterator[str]:
    """The address of a server of the test's database, in a thread of this process."""
    server = WSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())

    def serve():
        server.serve_forever(poll_interval=0.05)
        connections.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def analyst(address):
    with acting_as(SYSTEM):
        return a_member(Role.ANALYST)


READ = """
import json, sys, pyogrio, shapely
source, headers, layer, box = sys.argv[1:]
pyogrio.set_gdal_config_options({"GDAL_HTTP_HEADER_FILE": headers})
options = {"bbox": tuple(json.loads(box))} if box else {}
meta, _, places, columns = pyogrio.raw.read(source, layer=layer, PAGE_SIZE=10, **options)
values = dict(zip(meta["fields"], columns))
places = [place and shapely.from_wkb(place).wkt for place in places]
layers = [name for name, _ in pyogrio.list_layers(source)]
print(json.dumps({"layers": layers, "ids": [str(each) for each in values["id"]], "places": places}))
"""


@pytest.fixture
def gdal(address, analyst, tmp_path) -> Callable[..., dict]:
    """Read a layer as an analyst, by a token: GDAL's driver heeds a file of headers. In a process of its own, because
    it holds on to Python's lock while it waits for our server in this one."""
    with acting_as(SYSTEM):
        secret = ApiToken.objects.create(analyst, scope=ApiToken.Scope.READ)[1]
    headers = tmp_path / "headers.txt"
    headers.write_text(f"Authorization: Token {secret}\n")

    def read(layer: str, box: str = "") -> dict:
        words = [sys.executable, "-c", READ, f"OAPIF:{address}/ogc/", str(headers), layer, box]
        return json.loads(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)

    return read


def reported(longitude: float | None, seen: float | None = None, **fields) -> Report:
    """Write a report at a place; ``seen`` is where the coalition sees it."""
    seen = longitude if seen is None else seen
    place = {"longitude": longitude, "latitude": 48.0, "place_precision_m": 50} if longitude else {}
    return a_report(coalition_longitude=seen, coalition_latitude=48.0 if longitude else None, **place, **fields)


@pytest.fixture
def reports(address) -> list[Report]:
    """Reports in a row from west to east, a hidden one, a sensitive one, and one without a place."""
    with acting_as(SYSTEM):
        a_sector()
        reported(31.0, tier=Tier.PLANNING)
        row = [reported(30 + number / 10) for number in range(23)]
        return [*row, reported(59.3333, seen=59.33, sensitive=True), reported(None)]


def test_gdal_reads_every_feature_through_paging(gdal, reports):
    read = gdal("reports")
    assert {"sectors", "reports"} <= set(read["layers"])
    assert sorted(int(each) for each in read["ids"]) == sorted(report.pk for report in reports)
    assert read["places"].count(None) == 1
    with acting_as(SYSTEM):
        assert len(gdal("sectors")["ids"]) == Sector.objects.count()


def test_gdal_sees_a_sensitive_place_as_its_tier_does(gdal, reports):
    places = gdal("reports")["places"]
    assert "POINT (59.33 48)" in places
    assert "POINT (59.3333 48)" not in places


def test_gdal_asks_for_a_box(gdal, reports):
    assert len(gdal("reports", "[29.95, 47, 30.45, 49]")["ids"]) == 5


def test_geojson_and_geoparquet_open_in_the_tools_of_analysts(analyst, reports):
    client = Client()
    client.force_login(analyst)
    content = client.get("/api/v1/reports/?format=geojson").getvalue()
    _, _, places, _ = pyogrio.raw.read(content)
    assert len(places) == len(reports)
    table = pd.read_parquet(io.BytesIO(client.get("/api/v1/reports/?format=parquet").getvalue()))
    assert len(table) == len(reports)
    assert str(table["occurred_from"].dtype).startswith("datetime64[us, UTC")
    points = shapely.from_wkb(table["geometry"].to_numpy())
    assert [point and (point.x, point.y) for point in points] == [
        None if pd.isna(lon) else (lon, lat) for lon, lat in zip(table["longitude"], table["latitude"], strict=True)
    ]
