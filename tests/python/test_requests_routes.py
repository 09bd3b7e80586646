"""Route templates: low cardinality, whatever the site writes its patterns with."""

from __future__ import annotations

import pytest

from indelible.django import _routes


@pytest.mark.parametrize(
    ("route", "template"),
    [
        ("", "/"),
        ("patients/<int:pk>/", "/patients/:pk/"),
        ("patients/<pk>", "/patients/:pk"),
        ("<int:pk>-<slug:s>/", "/:pk-:s/"),
        (r"api/^patients/(?P<pk>[^/.]+)/$", "/api/patients/:pk/"),
        (r"api/^patients/(?P<pk>[^/.]+)\.(?P<format>[a-z0-9]+)/?$", "/api/patients/:pk.:format/"),
        (r"clinics/<uuid:clinic>/^beds/(?P<bed>\d+)\Z", "/clinics/:clinic/beds/:bed"),
        (r"^a/(?P<year>\d{4})-(?P<month>\d{2})/$", "/a/:year-:month/"),
        (r"^x/(\d+)/(?:y/)?(?P<n>(a|b)[)]+)$", "/x/:1/y/:n"),
        (r"^x/(?P<n>[]()]+)/$", "/x/:n/"),
        (r"^x/(?P<n>\(\d+\))/$", "/x/:n/"),
        (r"^(?i:files)/(?!private)([0-9]{4})/$", "/files/:1/"),
        (r"^q/\d+/[a-z]+/$", "/q/:1/:2/"),
        (r"admin/^(?P<url>.*)$", "/admin/:url"),
        (r"^broken(?P<n>[a-z", "/broken:n"),
    ],
)
def test_parameters_become_names(route: str, template: str) -> None:
    assert _routes.template(route) == template
