"""Door: load the demo once."""

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from coalition.access import SYSTEM, acting_as
from coalition.demo import people, world
from coalition.models import Operation
from monitoring.demo.watch import load_watch
from monitoring.vocabulary import load_sources
from pledges.demo.plan import load_plan
from pledges.vocabulary import load_capabilities


class Command(BaseCommand):
    help = "Load the demo, whole or not at all. Loading it again changes nothing."

    def handle(self, **options):
        try:
            people.refuse_real_deployments()
        except people.OthersCanComeIn as error:
            raise CommandError(str(error)) from error
        with acting_as(SYSTEM, why="Demo"):
            with connection.cursor() as cursor:  # two at once: the second waits, and then finds it loaded
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('seed_demo', 0))")
            if not Operation.objects.filter(code=world.OPERATION).exists():
                load_demo()
        self.stdout.write(people.table_of_people())


def load_demo() -> None:
    """Write the demo into the open transaction."""
    world.load_nations()
    load_capabilities()
    load_sources()
    users = people.load_people()
    operation = world.load_operation()
    load_plan(operation, world.load_sectors(), world.load_conditions(operation), users)
    load_watch(users)
