"""What the trail says of changes, in the words of the clinic. The app of the trail imports this module by its name."""

from clinic.models import Appointment
from indelible.django.formatters import Formatter, formatter


@formatter(Appointment, event="update", route="PATCH|/api/appointments/:pk/")
class Moved(Formatter):
    """Appointments that get another time."""

    def get_description(self) -> str:
        return f"Moved appointment {self.occasion.key} to {self.occasion.instance.starts_at:%d %B %Y, %H:%M}"
