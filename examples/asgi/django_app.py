"""Jobs around a Django project, which has no lifespan: `uvicorn django_app:app`.

In a project of yours, asgi.py has the last statement, and the rest is where it is now.
"""

from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from asyncendpoints import MemoryStore, asgi

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="an example")


async def index(request: HttpRequest) -> JsonResponse:
    """A path of the project's own."""
    return JsonResponse({"jobs": "/async/greetings/{name}"})


urlpatterns = [path("", index)]

app = asgi(
    Path(__file__).with_name("endpoint.yaml"),
    MemoryStore(),
    app=get_asgi_application(),
    prefix="/async",
    worker=True,
)
