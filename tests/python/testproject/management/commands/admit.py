"""Admits a patient."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from testproject.models import Patient


class Command(BaseCommand):
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password", default="")
        parser.add_argument("--header", action="append", default=[])
        parser.add_argument("--beds", type=int, default=1)
        parser.add_argument("--fail", type=int)
        parser.add_argument("--exit", type=int)
        parser.add_argument("--then")

    def handle(self, *args: Any, **options: Any) -> None:
        Patient.objects.create(name=options["name"])
        if options["then"]:
            call_command("admit", options["then"])
        if options["fail"] is not None:
            raise CommandError("no bed left", returncode=options["fail"])
        if options["exit"] is not None:
            sys.exit(options["exit"])
