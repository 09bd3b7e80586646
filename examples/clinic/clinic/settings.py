"""Settings of the clinic.

The audit trail is the two lines marked so, and the dict at the end. The rest is what Django asks of any project.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything that running the clinic writes: its database, and with it the trail.
DATA = Path(os.environ.get("CLINIC_DATA", BASE_DIR / "data"))
DATA.mkdir(parents=True, exist_ok=True)

# An example that listens on loopback; a real project reads its key from the environment and fails without it.
SECRET_KEY = os.environ.get("CLINIC_SECRET_KEY", "not a secret: this clinic is an example")
DEBUG = os.environ.get("CLINIC_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "clinic",
    "indelible.django",  # the audit trail, first line
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "rest_framework.authtoken",
]

MIDDLEWARE = [
    "indelible.django.AuditMiddleware",  # the audit trail, second line
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "clinic.urls"
WSGI_APPLICATION = "clinic.wsgi.application"

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
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "clinic.sqlite3",
        "OPTIONS": {
            "timeout": 30,
            # A write lock is taken at BEGIN: two workers that read and then write wait for each other instead of failing.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
STATIC_URL = "static/"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["clinic.permissions.ModelPermissions"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 20,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

INDELIBLE = {"SERVICE": "clinic", "DATA_DIR": str(DATA / "indelible")}
