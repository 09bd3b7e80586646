"""Users as sites have them that never meant to use Django's, and something that they write."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class ByAddress(AbstractBaseUser):
    """Known by a random key and an address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)

    objects = BaseUserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []


class ByBadge(AbstractBaseUser):
    """Known by the text on a badge, which is the key."""

    badge = models.CharField(max_length=40, primary_key=True)

    objects = BaseUserManager()
    USERNAME_FIELD = "badge"
    REQUIRED_FIELDS: ClassVar[list[str]] = []


class Ward(models.Model):
    name = models.CharField(max_length=40)
