"""``testproject.crowded`` under WSGI and ASGI, the latter with a consumer of channels."""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.apps import apps
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import path

from indelible.django import AuditWebsocketMiddleware


class Ward(AsyncWebsocketConsumer):
    """Creates a group for each message; closes when it is told to."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            await self.close(code=4001)
        else:
            await database_sync_to_async(apps.get_model("auth", "Group").objects.create)(name=text_data)
            await self.send(text_data=f"made {text_data}")


wsgi = get_wsgi_application()
asgi = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(AuditWebsocketMiddleware(URLRouter([path("wards/", Ward.as_asgi())]))),
    }
)
