"""Fixtures for all tests. The engines start with the first import: see tests/bed.py."""

import hypothesis
import pytest
from django.conf import settings

from tests import bed  # before anything that imports models
from tests.product import running_product

# `make test ARGS="--hypothesis-profile=thorough -k recount"` tries thousands of random plans in place of a handful.
hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=2_000, deadline=None)
hypothesis.settings.load_profile("quick")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment):
    """Give this process a database of its own; tests use it as the app role."""
    name = f"test_{bed.NUMBER}"
    bed.copy_template(name)
    bed.use(name)
    yield
    bed.use("postgres")
    bed.drop(name)


@pytest.fixture
def committed(django_db_setup, django_db_blocker):
    """Let the test commit for real, in this and in other threads; afterwards the database is made anew.

    Use it in place of ``django_db(transaction=True)``, which would TRUNCATE: the app role may not.
    """
    name = settings.DATABASES["default"]["NAME"]
    with django_db_blocker.unblock():
        yield
        bed.use(name)
    bed.copy_template(name)


def pytest_collection_modifyitems(items):
    """Refuse Django's way to test commits: it would TRUNCATE."""
    for item in items:
        mark = item.get_closest_marker("django_db")
        if "transactional_db" in item.fixturenames or (mark and mark.kwargs.get("transaction")):
            raise pytest.UsageError(f"{item.nodeid}: tests run as the app role; use `committed`, not transaction=True.")


@pytest.fixture(scope="session", autouse=True)
def _own_media_folder(tmp_path_factory):
    settings.MEDIA_ROOT = tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def live_product():
    """The real thing with the demo loaded: web, worker, beat and engines of its own, shared by a whole run."""
    with running_product(bed.DATA_DIR / f"product-{bed.NUMBER}", demo=True) as product:
        yield product


def pytest_terminal_summary(terminalreporter):
    """Print what tests measured and noted by ``record_property``."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{name}: {value}")
