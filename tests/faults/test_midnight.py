"""The clock runs over midnight while people save, and is set back: every answer is of the day that it is."""

import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from coalition.access import SYSTEM, acting_as
from coalition.models import Operation
from pledges.models import Pledge, PledgeStep, ReadinessLine
from tests.faults.people import RECOVERED_WITHIN_S, SHORT, Officer
from tests.product import eventually

pytestmark = [pytest.mark.faults, pytest.mark.skipif(SHORT, reason="The short form has three faults.")]
BEFORE_MIDNIGHT_S = 6.0


@pytest.fixture
def clock(product):
    """Return the function that puts the product's clock forward by so many seconds. Set right again afterwards."""
    turned = product.data_dir / "clock-turned-by-s"

    def turn(seconds: float) -> None:
        unfinished = turned.with_suffix(".new")
        unfinished.write_text(str(seconds))
        unfinished.replace(turned)

    yield turn
    turned.unlink(missing_ok=True)


def test_the_date_turns_while_people_save_and_then_back(product, officer, crowd, clock, cost, django_db_blocker):
    with django_db_blocker.unblock(), product.database():
        with acting_as(SYSTEM):
            operation = Operation.objects.order_by("pk").first()
        zone = ZoneInfo(operation.time_zone)
        today = timezone.now().astimezone(zone).date()
        tomorrow = today + timedelta(days=1)
        midnight = datetime.combine(tomorrow, datetime.min.time(), zone)
        assert officer.save("ends-today")
        with acting_as(SYSTEM):
            Pledge.objects.filter(what="ends-today").update(available_from=today, available_until=today)

        def answers_are_of(day) -> bool:
            with acting_as(SYSTEM):
                lines = ReadinessLine.objects.filter(operation=operation)
                return lines.exists() and not lines.exclude(computed_for=day).exists()

        clock((midnight - timezone.now()).total_seconds() - BEFORE_MIDNIGHT_S)
        turns_at = time.monotonic() + BEFORE_MIDNIGHT_S
        late = Officer(product.address)  # the sessions of the morning have run out by now
        assert late.log_in("officer-gb") == 302
        before = late.offered()
        with crowd("midnight") as people:
            people.until_saved(3)
            time.sleep(max(0.0, turns_at - time.monotonic()))
            people.until_saved(10)
            eventually(lambda: answers_are_of(tomorrow), within_s=2 * RECOVERED_WITHIN_S)
            recovered = time.monotonic() - turns_at
        eventually(lambda: late.offered() in (n := before + len(people.acknowledged), n - 1), within_s=60)
        with acting_as(SYSTEM):
            pledge = Pledge.objects.get(what="ends-today")
            lapses = PledgeStep.objects.filter(pledge=pledge, to_status=Pledge.Status.LAPSED).count()
        assert (pledge.status, lapses) == (Pledge.Status.LAPSED, 1)
        clock(0.0)
        back = time.monotonic()
        eventually(lambda: answers_are_of(today), within_s=2 * RECOVERED_WITHIN_S)
        note = f"set back by a day, answers of that day after {time.monotonic() - back:.1f} s"
    cost("clock over midnight", recovered_s=recovered, note=note, **people.figures())
