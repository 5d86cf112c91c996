"""What every deployment starts with: the parties that reports name, and a first set of sources.

Loading adds what is missing and leaves what is there. What a party says begins as "cannot be judged", whichever it is.
"""

from pathlib import Path

from coalition.vocabulary import rows
from monitoring.models import Party, Source

HERE = Path(__file__).parent


def load_parties() -> int:
    """Add the shipped parties whose code and name are both free; return how many were added."""
    before = Party.objects.count()
    Party.objects.bulk_create([Party(**row) for row in rows(HERE / "parties.csv")], ignore_conflicts=True)
    return Party.objects.count() - before


def load_sources() -> int:
    """Add the shipped sources whose code and name are both free, with the parties they speak for; return how many."""
    load_parties()
    before, parties = Source.objects.count(), {party.code: party for party in Party.objects.all()}
    found = [Source(**row | {"party": parties.get(row["party"])}) for row in rows(HERE / "sources.csv")]
    # A party that somebody renamed away leaves its statements without a voice.
    speaking = [source for source in found if source.source_class != Source.Class.PARTY or source.party]
    Source.objects.bulk_create(speaking, ignore_conflicts=True)
    return Source.objects.count() - before
