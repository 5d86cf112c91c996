"""Door: load the shipped nations, capabilities, parties and sources."""

from django.core.management.base import BaseCommand

from coalition.access import SYSTEM, acting_as
from coalition.vocabulary import load_nations
from monitoring.vocabulary import load_parties, load_sources
from pledges.vocabulary import load_capabilities


class Command(BaseCommand):
    help = "Add the shipped nations, capabilities, parties and sources that are missing. What is there stays as it is."

    def handle(self, **options):
        with acting_as(SYSTEM, why="Shipped vocabulary"):
            nations, capabilities = load_nations(), load_capabilities()
            parties, sources = load_parties(), load_sources()
        self.stdout.write(
            f"Added {nations} nations and {capabilities} capabilities, {parties} parties and {sources} sources."
        )
