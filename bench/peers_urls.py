"""One view for each way in which a user can be known: each writes a row that holds the key of the user who asked for it."""

import asyncio
import itertools

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from clinic.models import Condition

_asked = itertools.count()


def code_of(user: object) -> str:
    """A code that is one of its kind and begins with the key of the user."""
    return f"{user.pk}-{next(_asked)}"


def by_session(request: HttpRequest) -> HttpResponse:
    """A plain view."""
    Condition.objects.create(code=code_of(request.user), name="session")
    return JsonResponse({})


@api_view(["POST"])
@authentication_classes([TokenAuthentication])
@permission_classes([IsAuthenticated])
def by_token(request: Request) -> Response:
    """A view of the REST framework, which knows its user only inside."""
    Condition.objects.create(code=code_of(request.user), name="token")
    return Response({})


async def by_async(request: HttpRequest) -> HttpResponse:
    """An async view that gives way to the others between knowing its user and writing."""
    user = await request.auser()
    await asyncio.sleep(0)
    await Condition.objects.acreate(code=code_of(user), name="async")
    return JsonResponse({})


urlpatterns = [path("session/", by_session), path("token/", by_token), path("async/", by_async)]
