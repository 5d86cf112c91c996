"""How long from a saved pledge to a dashboard that is right, through the real product with the big plan loaded?

Run it from the repository (`make bench`): `python tests/bench/saved_to_shown_bench.py`. The product is started as people
start it, web server, worker, beat, PostgreSQL and Redis; the plan is that of ``readiness_bench``. A planner logs pledges
over HTTP and loads the readiness matrix until it shows the new sum. Nothing is asserted about seconds.
"""

import re
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

# isort: split
from coalition.access import SYSTEM, Role, acting_as
from coalition.templatetags.formatting import quantity
from pledges.models import Pledge
from tests.bench.figures import SHORT, figure
from tests.bench.readiness_bench import a_plan
from tests.factories import PASSWORD, a_member
from tests.product import eventually, running_product
from tests.visitor import Visitor

SAMPLES = 5 if SHORT else 60


def offered(page: str, capability: str) -> float:
    """Return what the matrix shows as offered of a capability."""
    found = re.search(rf'capability={capability}&amp;[^"]*level=offered">([^<]+)', page)
    return float(re.sub(r"[^\d.]", "", found[1])) if found else 0.0


def main() -> None:
    """Print how long saving took, and how long until the page was right, counted from the click on."""
    with running_product(bed.DATA_DIR / "saved-to-shown") as product:
        with product.database():
            operation = a_plan()
            day = operation.today().replace(year=operation.today().year + 1)
            with acting_as(SYSTEM):
                a_member(Role.PLANNER, username="bench")
                codes = list(Pledge.objects.values_list("capability__code", flat=True))  # the larger, the likelier
                nation = Pledge.objects.values_list("nation", flat=True).first()
        eventually(lambda: product.status().get("status") == "ok", within_s=60)
        planner = Visitor(product.address)
        assert planner.log_in("bench", PASSWORD) == 302
        rng = np.random.default_rng(3)
        address = f"/readiness/?on={day}"
        status, page = planner.ask(address)
        assert status == 200, page
        saved, shown, pages = [], [], []
        for number in range(SAMPLES + 5):
            code, amount = codes[int(rng.integers(len(codes)))], int(rng.integers(1, 100)) * 50
            expected = offered(page, code) + amount
            draft = {
                "nation": nation, "capability": f"Capability {code[1:]}", "what": f"Saved {number}",
                "quantity": str(amount), "status": "offered", "available_from": str(operation.today()),
                "notice_days": "0", "tier": "2", "caveats-TOTAL_FORMS": "0", "caveats-INITIAL_FORMS": "0",
                "idempotency_key": f"bench-{number}",
            }  # fmt: skip
            clicked = time.monotonic()
            status, text = planner.ask("/pledges/new/", draft)
            assert status == 302, text
            acknowledged = time.monotonic()
            while True:
                status, page = planner.ask(address)
                if status == 200 and offered(page, code) == expected:
                    break
                assert time.monotonic() - clicked < 60, f"{code} never showed {quantity(expected)}"
            if number >= 5:  # the first are for the caches of all parts
                saved.append(acknowledged - clicked)
                shown.append(time.monotonic() - clicked)
                pages.append(planner.waits[-1])
        print(f"\npledge saved to page right, {SAMPLES} times, with 2,000 pledges loaded")
        for name, times, at_most in (
            ("saving a pledge, p95", saved, None),
            ("the readiness page meanwhile, p95", pages, None),
            ("pledge saved → the page shows it, p95", shown, 1000),
        ):
            middle, most, worst = np.quantile(times, (0.5, 0.95, 1.0)) * 1000
            note = f"p50 {middle:.0f}, slowest {worst:.0f}, of {len(times)}; real product, 2,000 pledges"
            figure(name, most, "ms", at_most=at_most, note=note)


if __name__ == "__main__":
    main()
