"""``manage.py seed``: the staff, groups, conditions and first patients that the demo works with."""

import datetime

from django.contrib.auth.models import Group, Permission, User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from clinic.models import Condition, Patient, Physician

CONDITIONS = {"E11": "Type 2 diabetes", "I10": "Hypertension", "J45": "Asthma", "M54": "Back pain"}
# Group, and the permissions that its members have on the clinic's models.
GROUPS = {
    "physicians": {"view", "add", "change", "delete"},
    "clerks": {"view", "add"},
}
PATIENTS = 12


class Command(BaseCommand):
    help = "Creates users, groups, conditions and patients, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password", required=True, help="the password of every user that is created")

    def handle(self, *, password: str, **options: object) -> None:
        if User.objects.exists():
            return
        with transaction.atomic():
            for name, verbs in GROUPS.items():
                group = Group.objects.create(name=name)
                group.permissions.set(permissions(verbs))
            User.objects.create_superuser("root", password=password)
            clerk = User.objects.create_user("cleo", password=password)
            clerk.groups.add(Group.objects.get(name="clerks"))
            physicians = [self.physician(name, password) for name in ("ana", "ben", "chloe")]
            conditions = [Condition.objects.create(code=code, name=name) for code, name in CONDITIONS.items()]
            for number in range(PATIENTS):
                patient = Patient.objects.create(
                    name=f"Patient {number}",
                    ssn=f"078-05-{number:04d}",
                    birth_date=datetime.date(1950 + number, 1 + number % 12, 1 + number),
                    allergies={"penicillin": "severe"} if number % 3 == 0 else {},
                    physician=physicians[number % len(physicians)],
                )
                patient.conditions.add(conditions[number % len(conditions)])

    def physician(self, name: str, password: str) -> Physician:
        user = User.objects.create_user(name, password=password)
        user.groups.add(Group.objects.get(name="physicians"))
        return Physician.objects.create(user=user, specialty="internal medicine")


def permissions(verbs: set[str]) -> list[Permission]:
    ours = Permission.objects.filter(content_type__app_label="clinic")
    return [permission for permission in ours if permission.codename.split("_")[0] in verbs]
