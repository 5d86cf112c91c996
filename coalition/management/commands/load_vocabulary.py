"""Door: load the shipped nations and capabilities."""

from django.core.management.base import BaseCommand

from coalition.access import SYSTEM, acting_as
from coalition.vocabulary import load_nations
from pledges.vocabulary import load_capabilities


class Command(BaseCommand):
    help = "Add the shipped nations and capabilities that are missing. What is there, edited or not, stays as it is."

    def handle(self, **options):
        with acting_as(SYSTEM, why="Shipped vocabulary"):
            nations, capabilities = load_nations(), load_capabilities()
        self.stdout.write(f"Added {nations} nations and {capabilities} capabilities.")
