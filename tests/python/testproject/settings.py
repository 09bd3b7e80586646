"""Settings of the site that the tests run in. ``conftest.py`` puts the databases of the test at hand in the place of these."""

from __future__ import annotations

SECRET_KEY = "tests only"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "testproject.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "rest_framework",
    "rest_framework.authtoken",
    "indelible.django",
    "indelible.django.evidence",
    "indelible.django.trail",
    "testproject",
]
MIDDLEWARE = [
    "indelible.django.AuditMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
INDELIBLE = {"SERVICE": "tests", "AGENT": "external", "ON_ERROR": "raise", "MASK": {"fields": ["maiden_name"]}}
# Tables are made straight from the models: running every migration of Django's own apps would take longer than the tests.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "sessions", "admin", "authtoken", "testproject"))
SIMPLE_JWT = {"SIGNING_KEY": "of the tests only, and long enough for SHA-256"}
