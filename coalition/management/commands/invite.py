"""Door: let the first person in, or one more, from a shell on the server."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from coalition import env, people
from coalition.access import SYSTEM, Role, acting_as
from coalition.complaints import sentences
from coalition.models import Nation, User


class Command(BaseCommand):
    help = "Print the link of a new invitation. It works once; the person chooses name and password behind it."

    def add_arguments(self, parser):
        parser.add_argument("role", choices=Role.values)
        parser.add_argument("--nation", default="", help="two letters; a staff officer needs one")
        parser.add_argument("--for", dest="for_whom", default="", help="whom it is for")
        parser.add_argument("--days", type=int, default=people.USUAL_DAYS, help="until it expires")
        parser.add_argument(
            "--address", default="", help="what people type to come here: https://readiness.example.org"
        )
        parser.add_argument("--if-nobody", action="store_true", help="say nothing where there is an account already")

    def handle(self, *, role, nation, for_whom, days, address, if_nobody, **options):
        if if_nobody and User.objects.exists():
            return
        address = address or next(iter(settings.CSRF_TRUSTED_ORIGINS), f"http://127.0.0.1:{env.number('PORT', 8000)}")
        try:
            with acting_as(SYSTEM, why="Invited on the server"):
                of = Nation.objects.filter(pk=nation.upper()).first() if nation else None
                if nation and of is None:
                    raise CommandError(f"There is no nation {nation}. Load the shipped ones: manage.py load_vocabulary")
                whom = for_whom or Role(role).label
                _, secret = people.invite(by=SYSTEM, for_whom=whom, role=role, nation=of, days=days)
        except ValidationError as error:
            raise CommandError(sentences(error)) from error
        self.stdout.write(f"{address.rstrip('/')}{reverse('invitation', args=[secret])}")
