"""The trail in Django's admin and in a REST framework API: read-only, escaped, paged by cursor, and recorded."""

from __future__ import annotations

import html
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client
from django.urls import include, path
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

import indelible
from agents import running_agent, until
from indelible import _agent, _client
from indelible.django.trail.models import Record
from indelible.drf_trail import AuditTrailMixin, TrailProblem, TrailViewSet
from testproject.models import Patient
from trails import Trail

pytestmark = pytest.mark.usefixtures("database", "_urls")
# What a page asks the agent has nothing to do with the database of the site.
ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

LIST = "/admin/indelible_trail/record/"
HOSTILE = "<script>alert('x')</script> {} {0} {{ 7|add:7 }} {% now %} %s %(a)s"


class PatientSerializer(ModelSerializer):
    class Meta:
        model = Patient
        fields = ("id", "name")


class NotTheLast(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Patient) -> bool:
        return obj.name != "hidden"


class PatientViewSet(AuditTrailMixin, ModelViewSet):
    queryset = Patient.objects.all()
    serializer_class = PatientSerializer
    permission_classes = (NotTheLast,)


router = DefaultRouter()
router.register("patients", PatientViewSet)
router.register("trail", TrailViewSet, basename="trail")
urlpatterns = [path("admin/", admin.site.urls), path("api/", include(router.urls))]


@pytest.fixture
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def agent(trail: Trail, database: str) -> Iterator[Path]:
    with running_agent(trail.data_dir):
        yield trail.data_dir


def in_trail(agent: Path, query: str, count: int = 1) -> list[dict[str, Any]]:
    until(lambda: len(_client.search(agent, query, limit=200).records) >= count)
    return _client.search(agent, query, limit=200).records


def client_of(**kind: Any) -> Client:
    user = User.objects.create_user("ana", password="x", **kind)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def superuser(database: str) -> Client:
    return client_of(is_staff=True, is_superuser=True)


def permitted(client: Client) -> None:
    # The tests before this one emptied the table behind its back.
    ContentType.objects.clear_cache()
    permission, _ = Permission.objects.get_or_create(
        codename="view_record", content_type=ContentType.objects.get_for_model(Record), defaults={"name": "Can view record"}
    )
    User.objects.get(username="ana").user_permissions.add(permission)


@pytest.mark.scenario(37)
class TestHostility:
    @pytest.mark.defect("G-9", "G-10")
    def test_hostile_text_is_shown_as_text_on_every_page(self, agent: Path, superuser: Client) -> None:
        indelible.record(
            "bell.ring",
            resource={"type": "house.Bell", "id": HOSTILE, "label": HOSTILE},
            reason=HOSTILE,
            meta={HOSTILE: {"Header": HOSTILE}},
            changes=[{"field": HOSTILE, "old": HOSTILE, "new": [HOSTILE]}],
        )
        (record,) = in_trail(agent, "action:bell.ring")
        listed = superuser.get(LIST, {"q": "action:bell.ring"})
        shown = superuser.get(f"{LIST}{record['event']['id']}/change/")
        for response in (listed, shown):
            assert response.status_code == 200
            text = response.content.decode()
            assert "<script>alert" not in text
            assert html.escape(HOSTILE) in text
        # What is stored is there: not a dash where the page could not read it.
        assert text.count(html.escape("alert('x')")) >= 6

    @pytest.mark.defect("G-10")
    def test_a_hostile_query_is_shown_as_text(self, agent: Path, superuser: Client) -> None:
        for query in (f'"{HOSTILE}"', '"><script>alert(1)</script>', "{{ 7|add:7 }}"):
            response = superuser.get(LIST, {"q": query, "cursor": '"><script>'})
            assert response.status_code == 400
            assert "<script>alert" not in response.content.decode()
            assert html.escape(query) in response.content.decode()

    @pytest.mark.defect("G-11", "S-12")
    def test_nobody_adds_changes_or_deletes(self, agent: Path, superuser: Client) -> None:
        indelible.record("bell.ring")
        (record,) = in_trail(agent, "action:bell.ring")
        one = f"{LIST}{record['event']['id']}/"
        for address in (f"{LIST}add/", f"{one}delete/", f"{one}history/"):
            assert superuser.get(address).status_code == superuser.post(address, {"post": "yes"}).status_code == 403
        for address in (LIST, f"{one}change/"):
            assert superuser.get(address).status_code == 200
            for method in (superuser.post, superuser.put, superuser.patch, superuser.delete):
                assert method(address, {"action": "delete_selected"}).status_code == 403
        index = superuser.get("/admin/").content.decode()
        assert f'href="{LIST}"' in index
        assert f"{LIST}add/" not in index
        assert in_trail(agent, "action:bell.ring")[0]["event"] == record["event"]


@ONE_DATABASE
class TestAdmin:
    @pytest.mark.defect("G-11", "S-12")
    def test_the_model_cannot_be_written_in_code_either(self) -> None:
        with pytest.raises(TypeError, match="read-only"):
            Record().save()
        with pytest.raises(TypeError, match="read-only"):
            Record(pk=1).delete()
        assert list(Record.objects.all()) == []

    def test_only_superusers_and_those_with_the_permission_look(self, agent: Path) -> None:
        staff = client_of(is_staff=True)
        assert staff.get(LIST).status_code == 403
        assert LIST not in staff.get("/admin/").content.decode()
        permitted(staff)
        assert staff.get(LIST).status_code == 200
        assert staff.get(f"{LIST}1/change/").status_code in (200, 404)
        User.objects.update(is_staff=False)
        assert staff.get(LIST).status_code == 302
        assert Client().get(LIST).status_code == 302

    @pytest.mark.defect("G-18")
    def test_who_looked_at_what_is_recorded(self, agent: Path, superuser: Client) -> None:
        superuser.get(LIST, {"q": "type:house.Bell"})
        reads = [row["event"] for row in in_trail(agent, "action:audit.read")]
        (read,) = [event for event in reads if event["meta"]["query"] == "type:house.Bell"]
        assert read["actor"] == {"type": "user", "id": str(User.objects.get().pk), "auth": "stated"}

    def test_pages_follow_each_other_without_gap_or_overlap(self, agent: Path, superuser: Client) -> None:
        for number in range(120):
            indelible.record("bell.ring", resource=f"house.Bell/b{number:03}")
        in_trail(agent, "action:bell.ring", 120)
        seen: list[str] = []
        address: str | None = f"{LIST}?q=action:bell.ring"
        while address:
            response = superuser.get(address)
            seen += [record["resource"] for record in response.context["records"]]
            following = response.context["next"]
            assert ('rel="next"' in response.content.decode()) == bool(following)
            address = f"{LIST}{following}" if following else None
        assert seen == [f"house.Bell/b{number:03}" for number in reversed(range(120))]

    def test_a_query_that_cannot_be_read_says_where(self, agent: Path, superuser: Client) -> None:
        response = superuser.get(LIST, {"q": "actorr:ana"})
        assert response.status_code == 400
        content = response.content.decode()
        assert content.count("column 1") == 1
        assert "Did you mean `actor:`?" in content

    def test_a_request_is_shown_by_what_it_asked_for(self, agent: Path, superuser: Client) -> None:
        superuser.get("/admin/login/")
        in_trail(agent, "kind:request path:/admin/login/")
        response = superuser.get(LIST, {"q": "kind:request path:/admin/login/"})
        assert [record["resource"] for record in response.context["records"]] == ["GET /admin/login/"]

    def test_a_record_that_is_not_there_is_not_found(self, agent: Path, superuser: Client) -> None:
        assert superuser.get(f"{LIST}01900000-0000-7000-8000-000000000000/change/").status_code == 404
        assert superuser.get(f"{LIST}nonsense/change/").status_code in (400, 404)

    def test_without_an_agent_there_is_a_page_that_says_what_to_do(self, trail: Trail, superuser: Client) -> None:
        for address in (LIST, f"{LIST}1/change/"):
            response = superuser.get(address)
            assert response.status_code == 503
            assert f"indelible --data {trail.data_dir} serve" in response.content.decode()

    def test_an_agent_that_hangs_costs_a_page_its_deadline_and_no_more(
        self, agent: Path, superuser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_client, "DEADLINE_S", 0.3)
        os.kill(int((_agent.description(agent) or {})["pid"]), signal.SIGSTOP)
        response = superuser.get(LIST)
        assert response.status_code == 503
        assert "does not answer" in response.content.decode()

    def test_a_page_sends_no_statement_but_those_of_the_session(
        self, agent: Path, superuser: Client, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(2):
            assert superuser.get(LIST).status_code == 200

    @pytest.mark.scenario(38)
    @pytest.mark.defect("G-13")
    def test_there_is_no_table_and_no_migration(self) -> None:
        call_command("makemigrations", "--check", "--dry-run", stdout=io.StringIO())
        call_command("dumpdata", "indelible_trail", stdout=(dumped := io.StringIO()))
        call_command("dumpdata", "indelible_trail", use_base_manager=True, stdout=dumped)
        assert dumped.getvalue().replace("\n", "") == "[][]"


@ONE_DATABASE
class TestApi:
    def test_a_list_is_paged_by_cursor(self, agent: Path, superuser: Client) -> None:
        for number in range(5):
            indelible.record("bell.ring", resource=f"house.Bell/{number}")
        in_trail(agent, "action:bell.ring", 5)
        seen: list[str] = []
        parameters = {"q": "action:bell.ring", "limit": "2"}
        while True:
            body = superuser.get("/api/trail/", parameters).json()
            seen += [record["event"]["resource"]["id"] for record in body["results"]]
            if body["next"] is None:
                break
            parameters["cursor"] = body["next"]
        assert seen == ["4", "3", "2", "1", "0"]

    def test_one_record_has_its_leaf_entry(self, agent: Path, superuser: Client) -> None:
        indelible.record("bell.ring", reason=HOSTILE)
        (record,) = in_trail(agent, "action:bell.ring")
        response = superuser.get(f"/api/trail/{record['event']['id']}/")
        assert (response.status_code, response.json()["event"]["reason"]) == (200, HOSTILE)
        assert "entry" in response.json()

    def test_an_object_shows_what_happened_to_it_and_to_no_other(self, agent: Path, superuser: Client) -> None:
        patients = [Patient.objects.create(name=name) for name in ("ana", "bo")]
        patients[0].name = "anna"
        patients[0].save()
        in_trail(agent, "kind:change type:testproject.Patient", 3)
        body = superuser.get(f"/api/patients/{patients[0].pk}/trail/").json()
        assert [record["event"]["action"] for record in body["results"]] == ["patient.update", "patient.create"]
        assert {record["event"]["resource"]["id"] for record in body["results"]} == {str(patients[0].pk)}
        wider = superuser.get(f"/api/patients/{patients[0].pk}/trail/", {"q": "kind:any OR kind:any"}).json()
        assert len(wider["results"]) == 2, "a query of the client's own reaches no other object"

    def test_an_objects_trail_needs_both_permissions(self, agent: Path) -> None:
        client = client_of()
        shown, hidden = Patient.objects.create(name="ana"), Patient.objects.create(name="hidden")
        assert client.get(f"/api/patients/{shown.pk}/").status_code == 200
        assert client.get(f"/api/patients/{shown.pk}/trail/").status_code == 403
        permitted(client)
        assert client.get(f"/api/patients/{shown.pk}/trail/").status_code == 200
        assert client.get(f"/api/patients/{hidden.pk}/trail/").status_code == 403
        assert client.get("/api/patients/0/trail/").status_code == 404

    def test_the_list_needs_the_permission(self, agent: Path) -> None:
        assert Client().get("/api/trail/").status_code in (401, 403)
        client = client_of(is_staff=True)
        assert client.get("/api/trail/").status_code == client.get("/api/trail/1/").status_code == 403
        permitted(client)
        assert client.get("/api/trail/").status_code == 200

    def test_nothing_can_be_written(self, agent: Path, superuser: Client) -> None:
        for method in (superuser.post, superuser.put, superuser.patch, superuser.delete):
            assert method("/api/trail/").status_code == method("/api/trail/1/").status_code == 405

    def test_a_handler_of_errors_may_ask_a_problem_for_its_codes(self) -> None:
        problem = TrailProblem(_client.TrailRefused(400, "unknown field", "one of: actor", 7))
        codes, details = problem.get_codes(), problem.get_full_details()
        assert codes == dict.fromkeys(["error", "help", "column"], "error")
        assert details["column"] == {"message": 7, "code": "error"}
        assert json.loads(JSONRenderer().render(problem.detail)) == {"error": "unknown field", "help": "one of: actor", "column": 7}
        assert TrailProblem(_client.TrailUnavailable("no agent", "start it")).get_codes() == {"error": "error"}

    def test_mistakes_and_a_missing_agent_have_their_status(self, agent: Path, superuser: Client) -> None:
        response = superuser.get("/api/trail/", {"q": "actorr:ana"})
        assert (response.status_code, response.json()["column"]) == (400, 1)
        assert superuser.get("/api/trail/", {"limit": "x"}).status_code == 400
        assert superuser.get("/api/trail/", {"cursor": "x"}).status_code == 400
        assert superuser.get("/api/trail/01900000-0000-7000-8000-000000000000/").status_code == 404

    def test_without_an_agent_a_client_hears_nothing_of_the_host(self, trail: Trail, superuser: Client) -> None:
        response = superuser.get("/api/trail/")
        assert response.status_code == 503
        assert response.json() == {"error": "the audit trail cannot be read at the moment"}

    @pytest.mark.defect("H5")
    def test_who_looked_is_recorded(self, agent: Path, superuser: Client) -> None:
        superuser.get("/api/trail/", {"q": "type:house.Door"})
        read = next(row["event"] for row in in_trail(agent, "action:audit.read") if row["event"]["meta"]["query"] == "type:house.Door")
        assert read["actor"]["id"] == str(User.objects.get().pk)
