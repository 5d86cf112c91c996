import pytest
from django.core.cache import cache
from django.db import OperationalError, connection

from coalition import health, tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ask_again_about_migrations():
    health.demand_all_migrations.cache_clear()


def test_strangers_may_ask_and_learn_only_names(client):
    tasks.report_for_duty()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "parts": {"database": "ok", "migrations": "ok", "broker": "ok", "worker": "ok"},
    }


def test_the_process_is_alive_whatever_else_is_not(client, monkeypatch):
    monkeypatch.setattr(connection, "ensure_connection", _nobody_answers)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_probes_need_no_known_host_name(client):
    assert client.get("/healthz", headers={"host": "10.0.0.7"}).status_code == 200


def test_a_missing_broker_degrades_and_people_can_work(client, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    tasks.report_for_duty()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["parts"]["broker"]) == ("degraded", "missing")


def test_a_silent_worker_is_named(client):
    cache.delete(health.WORKER_SEEN)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["parts"]["worker"]) == ("degraded", "missing")


def test_without_its_database_the_product_is_unavailable(client, monkeypatch):
    monkeypatch.setattr(connection, "ensure_connection", _nobody_answers)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"


def test_a_migration_that_waits_makes_it_unavailable(client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'coalition'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["migrations"] == "missing"


def _nobody_answers():
    raise OperationalError
