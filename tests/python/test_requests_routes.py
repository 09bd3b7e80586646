"""Route templates: low cardinality, whatever the site writes its patterns with."""

from __future__ import annotations

from typing import Any

import pytest

from indelible.django import _own_urls, _routes


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


class Tokens:
    """Masks parameters that begin as tokens do."""

    def masked_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name.startswith("token"))


class Unequal:
    """What a converter may give: it is compared with nothing."""

    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("path", "info", "route", "parameters", "shown"),
    [
        ("/p/a/7-c0ffee/b", "/a/7-c0ffee/b", "a/<part:token>/b", {"token": "7"}, "/p/a/[masked]/b"),
        ("/a/c0ffee/b", "/a/c0ffee/b/", "a/<part:token>/b/", {"token": "c0"}, "/a/[masked]/b"),
        ("/a/c0ffee/", "/a/c0ffee/", "a/<odd:token>/", {"token": Unequal()}, "/a/[masked]/"),
        ("/a/x/y/7", "/a/x/y/7", "a/<path:token>/<int:id>", {"token": "x/y", "id": 7}, "/a/[masked]/7"),
        ("/a/x/y/c0ffee", "/a/x/y/c0ffee", "a/<path:token>", {"token": "x"}, "/a/:token"),
        ("/a/xx/y/c0ffee", "/a/xx/y/c0ffee", "a/<path:token>", {"token": "x"}, "/a/:token"),
        ("/a/s/masked", "/a/s/masked", "a/<str:token1>/<str:token2>", {"token1": "s", "token2": "masked"}, "/a/[masked]/[masked]"),
        ("/a/7", "/a/7", "a/<int:id>", {"id": 7, "token": None}, "/a/7"),
        ("/a/7?t=c0", "/a/7", "a/<int:id>", {"id": 7, "token": "c0"}, "/a/7?t=[masked]"),
    ],
)
def test_what_stands_for_a_secret_in_a_path_is_masked(path: str, info: str, route: str, parameters: dict[str, Any], shown: str) -> None:
    assert _own_urls.masked_path(path, _own_urls.Target(info, route, parameters), Tokens()) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "parameters", "shown"),
    [
        ("http://10.0.0.1:8000/a/0/?page=10&pin=0", {"token": 0}, "http://10.0.0.1:8000/a/[masked]/?page=10&pin=[masked]"),
        ("/a/x-c0ffee/", {"token": "c0ffee", "id": 0}, "/a/x-[masked]/"),
        ("/a/c%2F0/", {"token": "c/0", "token2": None}, "/a/[masked]/"),
    ],
)
def test_what_a_view_was_given_is_masked_where_its_answer_leads(url: str, parameters: dict[str, Any], shown: str) -> None:
    assert _own_urls.without_secrets(url, parameters, Tokens()) == shown  # type: ignore[arg-type]
