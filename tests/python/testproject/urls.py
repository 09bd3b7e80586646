"""The URLs of the site that the tests run in."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("testproject.views_requests")),
    path("", include("testproject.views_tasks")),
    path("", include("testproject.views_intent")),
    path("bodies/", include("testproject.views_bodies")),
]
