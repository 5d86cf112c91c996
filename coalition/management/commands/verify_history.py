"""Is the history what was sealed? For the operator, after a restore, and for who keeps checkpoints elsewhere."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from coalition import sealing
from coalition.access import SYSTEM, acting_as


class Command(BaseCommand):
    help = "Check the whole history against its seals; exit 1 and name the first bad row where it was bent."

    def add_arguments(self, parser):
        parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a checkpoint that was kept elsewhere")
        parser.add_argument("--save", type=Path, metavar="FILE", help="write the newest checkpoint there if all holds")
        parser.add_argument("--seal", action="store_true", help="seal first what was written and is not sealed yet")

    def handle(self, *, checkpoint: Path | None, save: Path | None, seal: bool, **options):
        try:
            stored = sealing.read_checkpoint(checkpoint.read_bytes()) if checkpoint else None
            if seal:
                self.stdout.write(f"sealed just now: {sealing.seal()} rows")
        except OSError as error:
            raise CommandError(f"{checkpoint}: {error.strerror}.") from error
        except (sealing.NotACheckpoint, sealing.NoKey) as error:
            raise CommandError(str(error)) from error
        verdict = sealing.verify(stored=stored)
        if verdict.fault:
            raise CommandError(verdict.sentence)
        self.stdout.write(f"not sealed yet: {verdict.unsealed} rows")
        if save:
            with acting_as(SYSTEM):
                newest = sealing.newest_checkpoint()
            if newest is None:
                raise CommandError("Nothing is sealed yet, so there is no checkpoint to save.")
            save.write_text(newest.text())
        self.stdout.write(verdict.sentence)
