"""Settings of the tests for many users at once, under real servers: databases from the environment, HTTP and WebSockets."""

from __future__ import annotations

from testproject.served import *  # noqa: F403

ROOT_URLCONF = "testproject.crowded_urls"
