"""Files that are two things at once, or far more than they seem, sent through the real doors."""

import io
import json
import zipfile

import pytest
import xlsxwriter
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from coalition import jobs
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import ImportBatch
from monitoring.models import Evidence
from tests.factories import a_member, a_report, the_operation

pytestmark = pytest.mark.django_db
SCRIPT = b"<script>alert(1)</script>"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(60)
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as _packed:
    _packed.writestr("../../evil.html", SCRIPT)


def as_a(role: str) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(a_member(role))
    return client


@pytest.fixture
def report():
    with acting_as(SYSTEM):
        return a_report()


def attach(client: Client, report, name: str, content: bytes, said: str = "text/html") -> list[Evidence]:
    client.post(
        f"/monitoring/reports/{report.pk}/evidence/", {"files": SimpleUploadedFile(name, content, content_type=said)}
    )
    with acting_as(SYSTEM):
        return list(Evidence.objects.filter(report=report))


TWO_THINGS = {
    "GIF and script": ("x.js", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)//"),
    "GIF and page": ("x.html", b"GIF89a" + SCRIPT),
    "PDF and page": ("x.html", b"%PDF-1.7\n" + SCRIPT + bytes(40)),
    "PNG and page": ("x.svg", PNG + b"<html><body>" + SCRIPT),
    "JPEG and script": ("x.php", bytes.fromhex("ffd8ffe000104a464946") + b"<?php phpinfo(); ?>" + SCRIPT),
    "ZIP and page": ("x.html", ZIP.getvalue() + SCRIPT),
    "text and page": ("x.html", b"Seen at noon\n" + SCRIPT),
}


@pytest.mark.parametrize("kind", TWO_THINGS)
def test_a_file_that_is_two_things_is_handed_out_as_neither_page_nor_script(report, kind):
    name, content = TWO_THINGS[kind]
    monitor = as_a(Role.MONITOR)
    for kept in attach(monitor, report, name, content):
        answer = monitor.get(f"/monitoring/reports/{report.pk}/evidence/{kept.pk}/")
        assert answer.status_code == 200
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer["Content-Security-Policy"]
        assert "script-src" not in answer["Content-Security-Policy"]
        for word in ("html", "javascript", "svg", "xml", "php", "octet-stream"):
            assert word not in answer["Content-Type"], (kind, answer["Content-Type"])
        assert b"".join(answer.streaming_content) == content


ONE_THING = {
    "SVG": ("photo.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "SVG behind a declaration": ("photo.png", b'<?xml version="1.0"?><svg onload="alert(1)"/>'),
    "page behind white space": ("a.txt", b"\n\n  \t<!DOCTYPE html>" + SCRIPT),
    "page behind a byte order mark": ("a.txt", b"\xef\xbb\xbf<html>" + SCRIPT),
    "page in UTF-16": ("a.txt", "<html><script>alert(1)</script>".encode("utf-16")),
    "program": ("photo.jpg", b"\x7fELF\x02\x01\x01" + bytes(60)),
    "Windows program": ("photo.jpg", b"MZ" + bytes(100)),
    "shell script": ("notes.txt", b"#!/bin/sh\nrm -rf ~\n"),
    "nothing": ("photo.jpg", b""),
}


@pytest.mark.parametrize("kind", ONE_THING)
def test_what_a_browser_or_a_machine_would_run_is_not_kept_whatever_it_is_called(report, kind):
    name, content = ONE_THING[kind]
    assert attach(as_a(Role.MONITOR), report, name, content, "image/png") == []


@pytest.mark.parametrize(
    "name", ["a\r\nX-Evil: 1.txt", 'a"; filename=b.html', "../../../etc/passwd", "a\0.html", "‮txt.exe"]
)
def test_a_name_changes_no_header_and_no_path(report, name):
    monitor = as_a(Role.MONITOR)
    [kept] = attach(monitor, report, name, b"Seen at noon\n", "text/plain")
    answer = monitor.get(f"/monitoring/reports/{report.pk}/evidence/{kept.pk}/")
    assert "X-Evil" not in answer.headers
    assert answer["Content-Disposition"].count("filename") == 1
    assert ".." not in kept.file.name
    assert "passwd" not in kept.file.name


# --- Bombs -----------------------------------------------------------------------------------------


def a_bomb_of_cells() -> bytes:
    """A workbook of a few kilobytes whose one sheet unpacks to hundreds of megabytes."""
    book = io.BytesIO()
    with xlsxwriter.Workbook(book, {"in_memory": True}) as made:
        made.add_worksheet().write(0, 0, "x")
    out = io.BytesIO()
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("sheet1.xml"):
                content = content.replace(b"<sheetData>", b"<sheetData>" + b" " * 300_000_000)
            new.writestr(item.filename, content)
    return out.getvalue()


def entities() -> bytes:
    """A workbook whose sheet declares entities that grow by themselves."""
    out = io.BytesIO()
    lol = b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("[Content_Types].xml", lol + b"]><Types>&j;</Types>")
        packed.writestr("xl/workbook.xml", lol + b"]><workbook>&j;</workbook>")
    return out.getvalue()


def a_zip_of_zeros() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("reports.csv", bytes(200_000_000))
    return out.getvalue()


BOMBS = {
    "workbook that unpacks to 300 MB": ("x.xlsx", a_bomb_of_cells),
    "workbook of entities": ("x.xlsx", entities),
    "ZIP of zeros": ("x.csv", a_zip_of_zeros),
    "GeoJSON nested without end": ("x.geojson", lambda: b"[" * 500_000),
    "GeoJSON of one deep geometry": (
        "x.geojson",
        lambda: (b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":' +
                 b'{"type":"GeometryCollection","geometries":[' * 3_000 + b"]}" * 3_000 + b',"properties":{}}]}'),
    ),
    "GeoJSON with a number too large": (
        "x.geojson",
        lambda: json.dumps({"type": "FeatureCollection", "features": []}).encode().replace(b"[]", b"[1e999999]"),
    ),
    "one endless line": ("x.csv", lambda: b"a," * 2_000_000),
    "a quotation mark never closed": ("x.csv", lambda: b'a,b\n1,"' + b"x" * 3_000_000),
    "Parquet": ("x.parquet", lambda: b"PAR1" + bytes(100) + b"PAR1"),
    "KML": ("x.kml", lambda: b'<?xml version="1.0"?><kml><Placemark/></kml>'),
    "KMZ": ("x.kmz", lambda: ZIP.getvalue()),
    "gzip": ("x.csv", lambda: bytes.fromhex("1f8b0800000000000003") + bytes(100)),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_ends_as_a_sentence_and_nothing_else(kind):
    name, make = BOMBS[kind]
    planner = as_a(Role.PLANNER)
    with acting_as(SYSTEM):
        the_operation()
    answer = planner.post("/imports/new/", {"profile": "reports", "file": SimpleUploadedFile(name, make())})
    if answer.status_code != 302:  # refused at the door
        assert answer.status_code in (400, 413, 422)
        return
    with acting_as(SYSTEM):
        batch = ImportBatch.objects.latest("pk")
    jobs.work(batch.job_id)
    with acting_as(SYSTEM):
        batch.refresh_from_db()
    page = planner.get(f"/imports/{batch.pk}/").content.decode()
    assert "Traceback" not in page
    if batch.state != ImportBatch.State.READ:
        assert batch.state == ImportBatch.State.UNREADABLE
        assert batch.error.endswith(".")
        assert len(batch.error) < 500
    else:
        assert batch.summary
