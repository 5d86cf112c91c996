"""History cannot be bent unseen: each way of tampering, by somebody who owns the whole database, is named."""

import json
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from coalition import sealing
from coalition.access import SYSTEM, acting_as
from coalition.models import Condition, HistorySeal
from tests import bed
from tests.factories import a_condition, a_pledge


@pytest.fixture
def owner(committed):
    """A connection that may do anything to the database: the superuser's, with triggers off."""
    address = bed.ENGINES.superuser_database.rpartition("/")[0] + "/" + settings.DATABASES["default"]["NAME"]
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        yield superuser


def test_x(owner):
    with acting_as(SYSTEM):
        c = a_condition()
        for n in range(3):
            Condition.objects.filter(pk=c.pk).update(note=str(n))
    print(sealing.seal())
    print(sealing.verify())
    call_command("verify_history")
