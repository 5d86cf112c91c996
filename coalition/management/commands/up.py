"""The whole product on this machine, with nothing installed: `make run`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError

from coalition import embedded, env
from coalition.supervision import Supervisor, answers_within, engine_parts, product_parts


class Command(BaseCommand):
    help = "Start the engines, migrate, load the demo once, serve. Ctrl-C stops all of it."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument(
            "--port", type=int, default=env.number("PORT", 8000), help="on 127.0.0.1; else $PORT, or 8000"
        )
        parser.add_argument(
            "--no-demo", dest="demo", action="store_false", default=env.flag("DEMO", True), help="also: DEMO=0"
        )
        parser.add_argument(
            "--check-ready", action="store_true", help="start nothing: wait a minute for a running copy to answer"
        )

    def handle(self, *, port: int, demo: bool, check_ready: bool, **options):
        if check_ready:
            if not answers_within(port, 60):
                raise CommandError(f"Nothing answers at http://127.0.0.1:{port}/healthz.")
            return
        if not settings.EMBEDDED:
            raise CommandError(
                "DATABASE_URL is set, so the database is somebody else's to start. Unset it to run everything here, "
                "or start web, worker and beat as docker-compose.yml does."
            )
        if not 0 < port < 65536:
            raise CommandError(f"PORT must be between 1 and 65535, not {port}.")
        if not embedded.is_free(port):
            raise CommandError(f"Port {port} is taken, or not ours to use. Choose another: make run PORT=8123")
        try:
            with embedded.Engines(settings.DATA_DIR) as engines, stopped_by_signals():
                self.serve(engines, port, demo)
        except embedded.CannotStart as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.tell("Stopped.")

    def serve(self, engines: embedded.Engines, port: int, demo: bool) -> None:
        """Bring everything up in order, then keep it up until a signal comes."""
        data_dir = engines.data_dir
        supervisor = Supervisor(data_dir / "parts.json", self.tell)
        try:
            self.tell(f"Starting PostgreSQL and Redis in {data_dir} …")
            supervisor.add(engine_parts(engines))
            engines.make_roles()
            self.tell("Bringing the database up to date …")
            owner = embedded.addresses(data_dir).owner_database
            run_manage("migrate", "--verbosity=0", DATABASE_URL=owner)
            people = self.load_demo(data_dir) if demo else self.let_first_one_in(port)
            self.tell("Starting worker, beat and web …")
            supervisor.add(product_parts(data_dir, settings.BASE_DIR, port))
            self.tell(f"\n{people}\nReady: http://127.0.0.1:{port}/   Logs: {data_dir / 'logs'}   Ctrl-C stops it.\n")
            supervisor.run()
        finally:
            supervisor.stop()

    def load_demo(self, data_dir: Path) -> str:
        """Load the demo if this folder has never had it; return what it says about its people."""
        if "seed_demo" not in get_commands():
            return ""
        stamp = data_dir / "demo-people"  # what it said; not written when it was interrupted
        if not stamp.exists():
            self.tell("Loading the demo, once …")
            said = run_manage("seed_demo")
            embedded.write_private(stamp, said)
        return stamp.read_text()

    def let_first_one_in(self, port: int) -> str:
        """Return a link for the first administrator; nothing once there is an account."""
        link = run_manage("invite", "administrator", "--if-nobody", f"--address=http://127.0.0.1:{port}").strip()
        return f"Nobody has an account yet. Make the first administrator's here, once:\n  {link}\n" if link else ""

    def tell(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


class Stopped(BaseException):
    """Somebody wants us to end. Not an Exception: nothing on the way may swallow it."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or hang-up into Stopped, and ignore those that follow: we are at it."""

    def stop(*_details) -> None:
        for number in caught:
            signal.signal(number, lambda *_: None)
        raise Stopped

    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_manage(*words: str, **environment: str) -> str:
    """Run another command in a process of its own and return what it said. Raises CommandError with its complaint.

    Its own process, because it may need another role than ours, and new settings now that the engines are up.
    """
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]
    known = {"DATA_DIR": str(settings.DATA_DIR), "SECRET_KEY": settings.SECRET_KEY}
    done = subprocess.run(
        command,
        env=os.environ | known | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"manage.py {words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
