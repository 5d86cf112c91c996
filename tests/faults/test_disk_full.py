"""The disk for uploads is full, really: a sentence with 507, nothing half-kept, and all works again once there is room."""

import json
import os
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from coalition.access import SYSTEM, acting_as
from coalition.models import ImportBatch
from monitoring.models import Evidence, Report
from tests.faults.people import SHORT
from tests.visitor import Visitor

pytestmark = pytest.mark.faults
SENTENCE = "disk is full"
SPOOLED = 2_000_000  # bytes: above what Django keeps in memory, so it goes through the temporary folder


class Sender(Visitor):
    """Somebody who sends files."""

    def send(self, path: str, field: str, content: bytes, **fields: str) -> tuple[int, str]:
        """POST one file and these fields as a browser does; return status and text."""
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        mark = uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="a.txt"\r\n'
        parts.append(f"{head}Content-Type: text/plain\r\n\r\n".encode() + content + f"\r\n--{mark}--\r\n".encode())
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}", "X-CSRFToken": token}
        request = urllib.request.Request(f"{self.address}{path}", b"".join(parts), headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def filled(disk: Path):
    """Leave no room on the disk for the length of the block."""
    filler = disk / "filler"
    try:
        with filler.open("wb") as file:
            room = os.statvfs(disk)
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
        yield
    finally:
        filler.unlink()


@pytest.fixture
def monitor(product):
    visitor = Sender(product.address)
    assert visitor.log_in("monitor") == 302
    return visitor


def kept(product, disk: Path) -> tuple:
    """Return what is kept of uploads: rows of both kinds, and files."""
    with product.database(), acting_as(SYSTEM):
        rows = Evidence.objects.count(), ImportBatch.objects.count()
    return (*rows, sorted(str(path) for path in disk.rglob("*") if path.is_file() and path.name != "filler"))


def some_report(product) -> int:
    with product.database(), acting_as(SYSTEM):
        return Report.objects.order_by("pk").values_list("pk", flat=True).first()


@pytest.mark.skipif(SHORT, reason="The short form has three faults.")
@pytest.mark.parametrize(
    ("name", "size"), [("media", 200_000), ("temporary", SPOOLED)], ids=["kept files", "files on their way in"]
)
def test_an_upload_that_does_not_fit_is_refused_whole_and_taken_later(
    product, small_disk, monitor, name, size, cost, django_db_blocker
):
    disk, shelf = small_disk(name), small_disk("media")
    with django_db_blocker.unblock():
        report = some_report(product)
        page, api = f"/monitoring/reports/{report}/evidence/", f"/api/v1/reports/{report}/evidence/"
        content = f"{name} {uuid4()} ".encode() * (size // 40)
        before = kept(product, shelf)
        with filled(disk):
            status, text = monitor.send(page, "files", content)
            assert (status, SENTENCE in text) == (507, True), text
            status, text = monitor.send(api, "file", content)
            assert (status, json.loads(text)["code"]) == (507, "no_room")
            assert SENTENCE in json.loads(text)["detail"]
            status, text = monitor.send("/imports/new/", "file", content, profile="reports", dataset="full")
            assert (status, SENTENCE in text) == (507, True), text
            assert monitor.ask(f"/monitoring/reports/{report}/")[0] == 200
            assert kept(product, shelf) == before
        assert monitor.send(page, "files", content)[0] == 302
        after = kept(product, shelf)
        assert (after[0], len(after[2])) == (before[0] + 1, len(before[2]) + 1)
    cost(f"disk full: {name}", acknowledged=1, lost=0, twice=0, longest_request_s=max(monitor.waits), recovered_s=0.0)
