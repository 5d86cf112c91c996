"""Files of a report: kept by content, handed to nobody who may not see the report, and whole or not at all."""

import errno
import hashlib
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.http import Http404

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.disk import NoRoom
from monitoring import evidence
from monitoring.models import Evidence
from tests.factories import a_member, a_report

pytestmark = pytest.mark.django_db

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(60)
MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(60)


def a_file(content: bytes = PNG, name: str = "crater.png") -> ContentFile:
    return ContentFile(content, name=name)


@pytest.fixture
def report():
    with acting_as(SYSTEM):
        return a_report()


@pytest.fixture
def monitor():
    return a_member(Role.MONITOR)


@pytest.fixture
def shelf(settings, tmp_path):
    """An empty folder for files; return a function that lists what lies there."""
    settings.MEDIA_ROOT = tmp_path
    return lambda: [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_is_kept_with_its_sum_under_a_name_of_ours(report, monitor, shelf):
    kept = evidence.attach(report.pk, a_file(name="../../etc/crater.png"), by=monitor)
    assert (kept.file_name, kept.content_type, kept.size) == ("crater.png", "image/png", len(PNG))
    assert kept.sha256 == hashlib.sha256(PNG).hexdigest()
    assert [path.read_bytes() for path in shelf()] == [PNG]
    assert "crater" not in str(shelf()[0])


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (PNG, "image/png"),
        (MP4, "video/mp4"),
        (b"%PDF-1.7\n" + bytes(50), "application/pdf"),
        (b"PK\x03\x04\x14\x00" + bytes(50), "application/zip"),
        ("Постріли о 14:30\n".encode(), "text/plain"),
        (("ї" * 5000).encode(), "text/plain"),
    ],
)
def test_the_type_is_what_the_content_says_and_not_the_name(report, monitor, shelf, content, content_type):
    assert evidence.attach(report.pk, a_file(content, "x.html"), by=monitor).content_type == content_type


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"\xef\xbb\xbf \n<!DOCTYPE html><script>alert(1)</script>",
        b"<?xml version='1.0'?><svg/>",
        b"#!/bin/sh\nrm -rf /\n",
        b"MZ" + bytes(80),
        b"\x7fELF" + bytes(80),
        b"text with \x00 inside",
        b"\xff\xfe\xfd" * 30,
        b"",
    ],
)
def test_what_could_run_or_is_not_understood_is_not_kept(report, monitor, shelf, content):
    with pytest.raises(ValidationError):
        evidence.attach(report.pk, a_file(content, "photo.png"), by=monitor)
    assert shelf() == []


def test_a_file_that_is_too_large_is_refused(report, monitor, shelf, monkeypatch):
    monkeypatch.setattr(evidence, "LARGEST", 50)
    with pytest.raises(ValidationError, match="MB"):
        evidence.attach(report.pk, a_file(), by=monitor)


def test_the_same_content_twice_is_one_file(report, monitor, shelf):
    first, again = (evidence.attach(report.pk, a_file(name=name), by=monitor) for name in ("a.png", "b.png"))
    assert first == again
    assert len(shelf()) == 1


def test_a_full_disk_is_said_and_leaves_nothing(report, monitor, shelf, monkeypatch):
    def full(self, name, content):
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"as much as there was room for")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileSystemStorage, "_save", full)
    with pytest.raises(NoRoom, match="disk is full"):
        evidence.attach(report.pk, a_file(), by=monitor)
    with acting_as(SYSTEM):
        assert not Evidence.objects.exists()
    assert shelf() == []


def test_several_files_are_kept_together_or_not_at_all(report, monitor, shelf):
    with pytest.raises(ValidationError):
        evidence.attach_all(report.pk, [a_file(), a_file(b"<html>", name="b.png")], by=monitor)
    assert shelf() == []


def test_a_row_that_cannot_be_written_leaves_no_file(report, monitor, shelf, monkeypatch):
    def broken(self, **_):
        raise RuntimeError

    monkeypatch.setattr(Evidence, "save", broken)
    with pytest.raises(RuntimeError):
        evidence.attach(report.pk, a_file(), by=monitor)
    assert shelf() == []


def test_who_may_not_file_attaches_nothing_and_who_may_not_see_finds_nothing(report, monitor, shelf):
    with pytest.raises(PermissionDenied):
        evidence.attach(report.pk, a_file(), by=a_member(Role.ANALYST))
    kept = evidence.attach(report.pk, a_file(), by=monitor)
    with acting_as(SYSTEM):
        type(report).objects.update(tier=Tier.PLANNING)
    with pytest.raises(Http404):
        evidence.attach(report.pk, a_file(), by=monitor)
    with acting_as(monitor), pytest.raises(Http404):
        evidence.open_seen(report.pk, kept.pk, by=monitor)


def test_a_file_is_found_only_under_its_own_report(report, monitor, shelf):
    kept = evidence.attach(report.pk, a_file(), by=monitor)
    with acting_as(monitor):
        assert evidence.open_seen(report.pk, kept.pk, by=monitor)[1].read() == PNG
        with pytest.raises(Http404):
            evidence.open_seen(report.pk + 1, kept.pk, by=monitor)


def test_a_file_the_disk_has_lost_is_not_found(report, monitor, shelf):
    kept = evidence.attach(report.pk, a_file(), by=monitor)
    shelf()[0].unlink()
    with acting_as(monitor), pytest.raises(Http404, match="any more"):
        evidence.open_seen(report.pk, kept.pk, by=monitor)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("C:\\photos\\crater.png", "crater.png"),
        ("..", "file"),
        ("", "file"),
        ("\u202egnp.exe", "gnp.exe"),
    ],
)
def test_a_name_is_one_that_people_can_read(report, monitor, shelf, given, shown):
    file = a_file()
    file.name = given
    assert evidence.attach(report.pk, file, by=monitor).file_name == shown
