"""What every deployment starts with."""

import io
from collections import Counter

import pytest
from django.core.management import call_command

from coalition.access import SYSTEM, acting_as
from coalition.models import Nation
from monitoring.models import Party, Source
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


def test_the_parties_have_neutral_names_and_begin_with_the_same_trust():
    with acting_as(SYSTEM):
        call_command("load_vocabulary", stdout=io.StringIO())
        assert list(Party.objects.values_list("name", flat=True)) == ["Russian Federation", "Ukraine"]
        told = Source.objects.filter(source_class=Source.Class.PARTY).values_list("party__code", "reliability")
        assert Counter(told) == {("ru", "F"): 3, ("ua", "F"): 3}
        for source in Source.objects.all():
            source.full_clean()


def test_a_source_that_was_judged_keeps_its_judgement():
    with acting_as(SYSTEM):
        call_command("load_vocabulary", stdout=io.StringIO())
        Source.objects.filter(code="press").update(reliability="C")
        Source.objects.filter(code="witnesses").delete()
        said = io.StringIO()
        call_command("load_vocabulary", stdout=said)
        assert "0 parties and 1 sources" in said.getvalue()
        assert Source.objects.get(code="press").reliability == "C"


def test_shipped_capabilities_pass_their_own_rules():
    with acting_as(SYSTEM):
        call_command("load_vocabulary", stdout=io.StringIO())
        for capability in Capability.objects.all():
            capability.full_clean()
            assert capability.description
