"""``/metrics``: not there for strangers, and it gives away nothing but how the work goes."""

import re
from ipaddress import ip_network

import pytest
import yaml
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models.functions import Now
from prometheus_client.parser import text_string_to_metric_families

from coalition import jobs, metrics, stale, tasks
from coalition.access import SYSTEM, acting_as
from coalition.models import Job
from tests.bed import ROOT
from tests.factories import a_member, a_nation, a_pledge

pytestmark = pytest.mark.django_db
TOKEN = "a-token-nobody-will-guess"


@pytest.fixture
def read(client, settings):
    """Return a function that reads the metrics as {(name, values of the labels in the order of their names): value}."""
    settings.METRICS_TOKEN = TOKEN

    def ask() -> dict[tuple[str, tuple], float]:
        answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.content.decode())
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for each in families
            for sample in each.samples
        }

    return ask


def test_unless_opened_metrics_look_like_any_unknown_address(client):
    unknown, closed = client.get("/no-such-address"), client.get("/metrics")
    assert closed.status_code == unknown.status_code
    assert closed.status_code in (302, 404)
    assert b"coalition_" not in closed.content
    client.force_login(a_member("administrator"))
    assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", f"Token {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"])
def test_only_the_whole_token_opens(client, settings, header):
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"authorization": header}).status_code != 200


def test_an_empty_token_opens_nothing(client, settings):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code != 200


def test_a_network_is_let_in_only_when_it_asks_directly(client, settings):
    settings.METRICS_NETWORKS = [ip_network("10.20.0.0/16")]
    assert client.get("/metrics", REMOTE_ADDR="10.20.3.4").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.21.3.4").status_code != 200
    through_the_proxy = {"x-forwarded-for": "10.20.3.4"}
    assert client.get("/metrics", REMOTE_ADDR="10.20.3.4", headers=through_the_proxy).status_code != 200


def test_requests_are_counted_by_view_and_an_invented_address_makes_no_label(client, read):
    before = read()
    client.get("/accounts/login/")
    client.get("/some/invented/address")
    client.generic("INVENTED", "/accounts/login/")
    after = read()

    def more(*labels):
        return after[("coalition_requests_total", labels)] - before.get(("coalition_requests_total", labels), 0)

    assert more("GET", "200", "account_login") == 1
    assert ("coalition_request_seconds_count", ("GET", "account_login")) in after
    assert not any("INVENTED" in labels or "invented" in str(labels) for _, labels in after)


def test_what_waits_has_a_length_and_an_age_and_failures_are_counted(read):
    with acting_as(SYSTEM):
        Job.objects.create(kind="export")
        Job.objects.create(kind="export", state=Job.State.FAILED, finished_at=Now())
        stale.mark("readiness", ["a", "b"])
    tasks.report_for_duty()
    seen = read()
    assert seen[("coalition_jobs_waiting", ("export",))] == 1
    assert seen[("coalition_jobs_failed", ("export",))] == 1
    assert seen[("coalition_jobs_failed", ("import.read",))] == 0, (
        "no zero for a kind without jobs: no alert could see it"
    )
    assert seen[("coalition_stale_keys", ("readiness",))] >= 2
    assert seen[("coalition_last_beat_timestamp_seconds", ())] > 0


def test_the_end_of_a_sweep_is_noted(read):
    cache.delete(stale.swept_key("readiness"))
    assert read()[("coalition_last_sweep_timestamp_seconds", ("readiness",))] == 0
    stale.drain("readiness", lambda keys: None)
    assert read()[("coalition_last_sweep_timestamp_seconds", ("readiness",))] > 0


def test_without_its_database_it_still_says_so(read, monkeypatch):
    def nobody_answers():
        raise OperationalError

    monkeypatch.setattr(connection, "ensure_connection", nobody_answers)
    seen = read()
    assert seen[("coalition_part_up", ("database",))] == 0
    assert not any(name.startswith("coalition_jobs") for name, _ in seen)


def test_no_label_and_no_number_says_what_people_wrote(read):
    def shape():
        gone_up = {"coalition_requests_total", "coalition_request_seconds_bucket", "coalition_request_seconds_sum"}
        return {
            key: value
            for key, value in read().items()
            if not key[0].startswith(("coalition_request", "coalition_disk", "coalition_database", "coalition_stale"))
            and key[0] not in gone_up
        }

    before = shape()
    with acting_as(SYSTEM):
        for code in ("FR", "EE"):
            a_nation(code)
        a_pledge()
    assert shape() == before
    known = {*jobs.kinds(), *stale.kinds(), "database", "broker", "worker", "migrations", "waiting", "dead"}
    assert {label for _, labels in before for label in labels} <= known


def test_each_metric_that_alerts_ask_for_is_there(read, client):
    client.get("/accounts/login/")
    names = {name for name, _ in read()}
    rules = yaml.safe_load((ROOT / "docs/alerts.yml").read_text())
    asked = {
        name
        for group in rules["groups"]
        for rule in group["rules"]
        for name in re.findall(r"\bcoalition_\w+", rule["expr"])
    }
    assert asked
    assert asked - names == set()


def test_every_metric_is_said_in_the_operations_page(read):
    page = (ROOT / "docs/operations.md").read_text()
    names = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name, _ in read() if name.startswith("coalition_")}
    assert [name for name in sorted(names) if name not in page] == []


def test_the_registry_asks_nothing_before_it_is_read():
    assert metrics.State().describe() == []
