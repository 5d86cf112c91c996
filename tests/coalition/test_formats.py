"""Every list in the formats that programs open: HXL by its standard, Parquet with pyarrow and pandas, GeoJSON with GDAL."""

import io
import json
import re

import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.api_urls import router
from monitoring import placing, rollups
from pledges import readiness
from tests.coalition.test_api import TABLE
from tests.factories import a_member, a_report, an_incident

pytestmark = pytest.mark.django_db

# Source: HXL hashtag dictionary, release 1.1 (hxlstandard.org). Other words are allowed by the standard as extensions, but
# no tool knows them.
CORE = """
    access activity adm1 adm2 adm3 adm4 adm5 affected beneficiary capacity cause channel contact country crisis currency
    date delivery description event frequency geo group impact indicator inneed item loc meta modality need operations org
    output population reached region respondee sector service severity status subsector targeted theme value
    """
# Source: HXL tagging conventions, release 1.1: a hashtag and any number of attributes, each once, in ASCII.
TAG = re.compile(r"#(?P<tag>[a-z][a-z0-9_]*)(?P<attributes>(\+[a-z][a-z0-9_]*)*)")
PLACED = {"sectors": {"Polygon", "MultiPolygon"}, "reports": {"Point"}, "incidents": {"Point"}}


def addresses() -> list[str]:
    """Return the address of every list there is, those that are counted included."""
    found = []
    for name, viewset, _ in router.registry:
        for action in viewset.listing:
            path = "" if action == "list" else f"{getattr(viewset, action).url_path}/"
            if hasattr(viewset, action):
                found.append(f"{name}/{path}")
    return found


@pytest.fixture
def planner() -> Client:
    """A planner, and rows in every list."""
    with acting_as(SYSTEM):
        for make, _ in TABLE.values():
            make(Tier.COALITION, True)
        for make in (a_report, an_incident):
            for longitude in (30.1, 30.2):
                thing = make(place_name="=“Село”")
                thing.longitude, thing.latitude, thing.place_precision_m = longitude, 50.2, 100
                placing.place(thing)
                thing.save()
        user = a_member(Role.PLANNER)
    readiness.sweep()
    rollups.mark_all()
    rollups.sweep()
    client = Client()
    client.force_login(user)
    return client


def file(client: Client, address: str, ending: str) -> bytes:
    answer = client.get(f"/api/v1/{address}?format={ending}")
    assert answer.status_code == 200, (address, answer.content)
    return answer.getvalue()


def test_every_list_in_hxl_has_a_known_tag_on_every_column(planner):
    for address in addresses():
        names, tags, *_ = file(planner, address, "hxl").decode().splitlines()
        assert len(tags.split(",")) == len(names.split(",")), address
        for column, tag in zip(names.split(","), tags.split(","), strict=True):
            found = TAG.fullmatch(tag)
            assert found, (address, column, tag)
            assert found["tag"] in CORE.split(), (address, column, tag)
            attributes = found["attributes"].split("+")[1:]
            assert len(set(attributes)) == len(attributes), (address, column, tag)


def test_no_two_columns_of_a_list_have_the_same_hxl_tag(planner):
    for address in addresses():
        tags = file(planner, address, "hxl").decode().splitlines()[1].split(",")
        assert sorted(tags) == sorted(set(tags)), address


def test_every_list_in_parquet_is_read_by_pyarrow_and_by_pandas(planner):
    for address in addresses():
        content = file(planner, address, "parquet")
        table, frame = pq.read_table(io.BytesIO(content)), pd.read_parquet(io.BytesIO(content))
        header = file(planner, address, "csv").decode().splitlines()[0].split(",")
        name = address.rstrip("/")
        assert [column for column in table.column_names if column != "geometry"] == header, address
        assert len(frame) == table.num_rows, address
        assert name not in TABLE or name in ("jobs", "exports") or len(frame) > 0, address
        assert ("geometry" in table.column_names) == (name in PLACED), address
        if name in PLACED:
            geo = json.loads(table.schema.metadata[b"geo"])
            about = geo["columns"]["geometry"]
            assert (geo["version"], geo["primary_column"], about["encoding"]) == ("1.1.0", "geometry", "WKB")
            assert about["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
            shapes = shapely.from_wkb(frame["geometry"].dropna().to_numpy())
            assert {shape.geom_type for shape in shapes} <= set(about["geometry_types"]) == PLACED[name]
            assert all(shape.within(shapely.box(20, 40, 50, 60)) for shape in shapes)


def test_every_list_with_places_in_geojson_opens_in_gdal_with_every_row_where_it_lies(planner):
    for name, kinds in {**PLACED, "reports/hexes": {"Polygon"}}.items():
        meta, _, places, columns = pyogrio.raw.read(file(planner, f"{name}/", "geojson"), datetime_as_string=True)
        rows = planner.get(f"/api/v1/{name}/?limit=1000" if name in PLACED else f"/api/v1/{name}/").json()["results"]
        assert len(places) == len(rows) > 0, name
        assert meta["crs"] == "EPSG:4326", name
        shapes = shapely.from_wkb([place for place in places if place is not None])
        assert len(shapes), name
        assert {shape.geom_type for shape in shapes} <= kinds, name
        if kinds == {"Point"}:
            seen = sorted((row["longitude"], row["latitude"]) for row in rows if row["longitude"] is not None)
            assert sorted((shape.x, shape.y) for shape in shapes) == seen, name
            assert "=“Село”" in set(dict(zip(meta["fields"], columns, strict=True))["place_name"]), name
