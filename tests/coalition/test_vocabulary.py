"""What every deployment starts with."""

import io

import pytest
from django.core.management import call_command

from coalition.access import SYSTEM, acting_as
from coalition.models import Nation
from pledges.models import Capability

pytestmark = pytest.mark.django_db


def test_the_vocabulary_adds_what_is_missing_and_keeps_what_was_edited():
    with acting_as(SYSTEM):
        call_command("load_vocabulary", stdout=io.StringIO())
        Capability.objects.filter(code="eod").update(name="Bomb disposal", description="Ours")
        Capability.objects.filter(code="role-1").delete()
        said = io.StringIO()
        call_command("load_vocabulary", stdout=said)
        assert "0 nations and 1 capabilities" in said.getvalue()
        assert Capability.objects.get(code="eod").name == "Bomb disposal"
        assert Capability.objects.count() >= 50
        assert not Nation.objects.exclude(standing="considering").exists()


def test_shipped_capabilities_pass_their_own_rules():
    with acting_as(SYSTEM):
        call_command("load_vocabulary", stdout=io.StringIO())
        for capability in Capability.objects.all():
            capability.full_clean()
            assert capability.description
