"""``python -m swapped.site MODEL KEY``: the site with this user model, one sign-in, one refusal, one write of a user with this key."""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

PASSWORD = "hunter2-of-the-badge"


def write(request: HttpRequest) -> HttpResponse:
    from swapped.models import Ward

    Ward.objects.create(name=str(request.user.pk))
    return HttpResponse(status=201)


urlpatterns = [path("write/", write)]


def configure(model: str) -> None:
    settings.configure(
        SECRET_KEY="tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="swapped.site",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        AUTH_USER_MODEL=f"swapped.{model}",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "indelible.django", "swapped"],
        MIDDLEWARE=[
            "indelible.django.AuditMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        INDELIBLE={"SERVICE": "swapped", "AGENT": "external", "ON_ERROR": "raise"},
    )
    django.setup()


def visit(key: str) -> None:
    """What the user with this key does."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("check")
    model = get_user_model()
    user = model(
        **{model._meta.pk.name: key, model.USERNAME_FIELD: key if model._meta.pk.name == model.USERNAME_FIELD else "ana@example.org"}
    )
    user.set_password(PASSWORD)
    user.save()
    browser = Client()
    name = user.get_username()
    assert not browser.login(**{model.USERNAME_FIELD: name, "password": "wrong"})
    assert browser.login(**{model.USERNAME_FIELD: name, "password": PASSWORD})
    assert browser.post("/write/").status_code == 201
    browser.logout()
    user.set_password("hunter3-of-the-badge")
    user.save()
    user.delete()
    call_command("indelible", "coverage")


if __name__ == "__main__":
    from swapped import site

    site.configure(sys.argv[1])
    site.visit(sys.argv[2])
