"""Make a backup, and throw the oldest away: `manage.py back_up FOLDER`."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from coalition import backup, embedded


class Command(BaseCommand):
    help = "Back the database and the uploaded files up into a new folder in FOLDER. Run it as the owner, like migrate."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, help="where backups lie, each in a folder named by its time")
        parser.add_argument("--keep", type=int, default=0, help="keep so many of the newest; 0 keeps all")

    def handle(self, *, folder: Path, keep: int, **options):
        url = settings.DATABASE_URL or embedded.addresses(settings.DATA_DIR).owner_database
        try:
            made = backup.make(url, Path(settings.MEDIA_ROOT), folder.resolve())
            gone = backup.throw_away(folder.resolve(), keep)
        except (backup.CannotBackUp, OSError) as error:
            raise CommandError(str(error)) from error
        rows = sum(int(what.split()[0]) for what in made.database["tables"].values())
        self.stdout.write(
            f"{made.folder}: {rows} rows in {len(made.database['tables'])} tables, {len(made.files)} files."
        )
        for name in gone:
            self.stdout.write(f"Thrown away: {name}")
