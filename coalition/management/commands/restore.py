"""Load a backup into an empty database, for good: `manage.py restore BACKUP`."""

from pathlib import Path

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from coalition import backup, embedded


class Command(BaseCommand):
    help = "Restore one backup, made by back_up, into an empty database and media folder. Run it as the owner."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, help="one backup")

    def handle(self, *, folder: Path, **options):
        url = settings.DATABASE_URL or embedded.addresses(settings.DATA_DIR).owner_database
        try:
            source = backup.read(folder.resolve())
            with psycopg.connect(url) as connection:
                if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone():
                    raise CommandError("The database is not empty. Nothing was changed.")
            backup.restore_database(source, url)
            backup.restore_files(source, Path(settings.MEDIA_ROOT))
            with psycopg.connect(url) as connection:
                (xid,) = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        except (backup.CannotBackUp, OSError, psycopg.Error) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Restored {source.folder.name}: {len(source.files)} files, {len(source.database['tables'])} tables."
        )
        if xid <= source.xid:
            self.stdout.write(
                "One step is left, or the feed of changes stands still: stop the database, run\n"
                f"  pg_resetwal --epoch={backup.epoch_above(source.xid)} DATA_FOLDER_OF_THE_DATABASE\n"
                "and start it again. docs/operations.md says how."
            )
