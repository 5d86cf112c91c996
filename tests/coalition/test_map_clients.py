"""Programs that people use open what we serve: GDAL over OGC API - Features and GeoJSON, pandas and pyarrow Parquet."""

import io
import threading
from collections.abc import Iterator
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


@pytest.fixture
def gdal(analyst, tmp_path) -> Iterator[None]:
    """GDAL logged in as an analyst, by a token: its driver heeds a file of headers and nothing else."""
    with acting_as(SYSTEM):
        secret = ApiToken.objects.create(analyst, scope=ApiToken.Scope.READ)[1]
    headers = tmp_path / "headers.txt"
    headers.write_text(f"Authorization: Token {secret}\n")
    pyogrio.set_gdal_config_options({"GDAL_HTTP_HEADER_FILE": str(headers)})
    yield
    pyogrio.set_gdal_config_options({"GDAL_HTTP_HEADER_FILE": None})


@pytest.fixture
def reports(address) -> list[Report]:
    """Reports in a row from west to east, a hidden one, a sensitive one, and one without a place."""
    with acting_as(SYSTEM):
        a_sector()
        shown = [a_report(longitude=30 + number / 10, latitude=48.0, place_precision_m=50) for number in range(23)]
        a_report(longitude=31.0, latitude=48.0, place_precision_m=50, tier=Tier.PLANNING)
        shown.append(a_report(longitude=33.3333, latitude=48.3333, place_precision_m=50, sensitive=True))
        shown.append(a_report())
        return shown


def test_gdal_reads_every_feature_through_paging(address, gdal, reports):
    source = f"OAPIF:{address}/ogc/"
    assert {"sectors", "reports"} <= {name for name, _ in pyogrio.list_layers(source)}
    meta, _, places, columns = pyogrio.raw.read(source, layer="reports", PAGE_SIZE="10")
    values = dict(zip(meta["fields"], columns, strict=True))
    assert sorted(int(each) for each in values["id"]) == sorted(report.pk for report in reports)
    assert sum(place is None for place in places) == 1
    _, _, areas, _ = pyogrio.raw.read(source, layer="sectors")
    with acting_as(SYSTEM):
        assert len(areas) == Sector.objects.count()


def test_gdal_sees_a_sensitive_place_only_as_its_tier_does(address, gdal, reports):
    _, _, places, _ = pyogrio.raw.read(f"OAPIF:{address}/ogc/", layer="reports")
    exact = shapely.Point(33.3333, 48.3333)
    assert not any(shapely.from_wkb(place).equals(exact) for place in places if place is not None)


def test_gdal_asks_for_a_box(address, gdal, reports):
    _, _, places, _ = pyogrio.raw.read(f"OAPIF:{address}/ogc/", layer="reports", bbox=(29.95, 47, 30.45, 49))
    assert len(places) == 5


def test_geojson_and_geoparquet_open_in_the_tools_of_analysts(analyst, reports):
    client = Client()
    with acting_as(SYSTEM):
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
