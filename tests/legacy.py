"""One small site, written with Flask itself, with Django and with Bottle, and an app of ours.

They are imported by name, when they are asked for: the package never depends on them, and Django's
settings are those of a whole process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from aioflask import Flask, WSGIApp, request

SLOW_SECONDS = 0.3
KEY = "no secret"
VIEWS = "hello greet where old login me upload stream release slow error".split()
"""Each is a method of the three sites and a path, to which `greet` adds a name."""


def received(note: str, name: str, file: Any) -> dict[str, Any]:
    """What an upload's view has got."""
    data = file.read()
    digest = hashlib.sha256(data).hexdigest()
    return {"note": note, "name": name, "size": len(data), "sha256": digest}


class Site:
    """What the three have in common."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        """A piece, and another once somebody has asked for `/release`."""
        yield b"first "
        yield b"last" if self.released.wait(10) else b"nobody came"
        self.released.clear()


class FlaskSite(Site):
    def __init__(self) -> None:
        super().__init__()
        self.flask = importlib.import_module("flask")
        self.application = self.flask.Flask("legacy", static_folder=None)
        self.application.secret_key = KEY
        self.application.register_error_handler(404, self.missing)
        for name in VIEWS:
            path = "/greet/<name>" if name == "greet" else f"/{name}"
            methods = ["POST"] if name == "upload" else ["GET"]
            self.application.add_url_rule(path, name, getattr(self, name), methods=methods)

    def hello(self) -> str:
        return f"Hello, {self.flask.request.args.get('name', 'World')}!"

    def greet(self, name: str) -> str:
        return f"Hello, {name}!"

    def where(self) -> dict[str, str]:
        link = self.flask.url_for("greet", name="é")
        return {
            "root": self.flask.request.script_root,
            "link": link,
            "url": self.flask.request.url,
        }

    def old(self) -> Any:
        return self.flask.redirect(self.flask.url_for("hello", name="moved"))

    def login(self) -> str:
        self.flask.session["user"] = self.flask.request.args["user"]
        return "welcome"

    def me(self) -> str:
        return str(self.flask.session.get("user", "nobody"))

    def upload(self) -> dict[str, Any]:
        file = self.flask.request.files["file"]
        return received(self.flask.request.form["note"], file.filename, file)

    def stream(self) -> Any:
        return self.pieces(), {"Content-Type": "text/plain"}

    def release(self) -> str:
        self.released.set()
        return "released"

    def slow(self) -> str:
        time.sleep(SLOW_SECONDS)
        return "slow"

    def error(self) -> str:
        raise ValueError("a mistake in the legacy app")

    def missing(self, error: Exception) -> Any:
        return f"Nothing at {self.flask.request.path} here.", 404


class DjangoSite(Site):
    """The site is Django's URL configuration itself."""

    def __init__(self) -> None:
        super().__init__()
        self.http = importlib.import_module("django.http")
        self.urls = importlib.import_module("django.urls")
        self.urlpatterns = []
        for name in VIEWS:
            path = "greet/<str:name>" if name == "greet" else name
            self.urlpatterns.append(self.urls.path(path, getattr(self, name), name=name))
        importlib.import_module("django.conf").settings.configure(
            ALLOWED_HOSTS=["localhost", "127.0.0.1"],
            LOGGING_CONFIG=None,
            MIDDLEWARE=[
                "django.middleware.common.CommonMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
            ],
            ROOT_URLCONF=self,
            SECRET_KEY=KEY,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        )
        importlib.import_module("django").setup()
        self.application = importlib.import_module("django.core.wsgi").get_wsgi_application()

    def hello(self, request: Any) -> Any:
        return self.http.HttpResponse(f"Hello, {request.GET.get('name', 'World')}!")

    def greet(self, request: Any, name: str) -> Any:
        return self.http.HttpResponse(f"Hello, {name}!")

    def where(self, request: Any) -> Any:
        link = self.urls.reverse("greet", args=["é"])
        root, url = request.META["SCRIPT_NAME"], request.build_absolute_uri()
        return self.http.JsonResponse({"root": root, "link": link, "url": url})

    def old(self, request: Any) -> Any:
        return self.http.HttpResponseRedirect(self.urls.reverse("hello") + "?name=moved")

    def login(self, request: Any) -> Any:
        request.session["user"] = request.GET["user"]
        return self.http.HttpResponse("welcome")

    def me(self, request: Any) -> Any:
        return self.http.HttpResponse(request.session.get("user", "nobody"))

    def upload(self, request: Any) -> Any:
        file = request.FILES["file"]
        return self.http.JsonResponse(received(request.POST["note"], file.name, file))

    def stream(self, request: Any) -> Any:
        return self.http.StreamingHttpResponse(self.pieces(), content_type="text/plain")

    def release(self, request: Any) -> Any:
        self.released.set()
        return self.http.HttpResponse("released")

    def slow(self, request: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return self.http.HttpResponse("slow")

    def error(self, request: Any) -> Any:
        raise ValueError("a mistake in the legacy app")

    def handler404(self, request: Any, exception: Exception) -> Any:
        return self.http.HttpResponseNotFound(f"Nothing at {request.path_info} here.")


class BottleSite(Site):
    def __init__(self) -> None:
        super().__init__()
        self.bottle = importlib.import_module("bottle")
        self.application = self.bottle.Bottle()
        self.application.error(404)(self.missing)
        for name in VIEWS:
            path = "/greet/<name>" if name == "greet" else f"/{name}"
            method = "POST" if name == "upload" else "GET"
            self.application.route(path, method, getattr(self, name), name=name)

    def hello(self) -> str:
        return f"Hello, {self.bottle.request.query.name or 'World'}!"

    def greet(self, name: str) -> str:
        return f"Hello, {name}!"

    def where(self) -> dict[str, str]:
        link = self.application.get_url("greet", name="%C3%A9")
        root = self.bottle.request.script_name.rstrip("/")
        return {"root": root, "link": link, "url": self.bottle.request.url}

    def old(self) -> None:
        self.bottle.redirect(self.application.get_url("hello", name="moved"))

    def login(self) -> str:
        user = self.bottle.request.query.user
        self.bottle.response.set_cookie("user", user, secret=KEY, path="/")
        return "welcome"

    def me(self) -> str:
        return str(self.bottle.request.get_cookie("user", "nobody", secret=KEY))

    def upload(self) -> dict[str, Any]:
        upload = self.bottle.request.files["file"]
        answer = received(self.bottle.request.forms.note, upload.raw_filename, upload.file)
        # Bottle keeps each thread's last request, and so the files of its body.
        upload.file.close()
        self.bottle.request.body.close()
        return answer

    def stream(self) -> Iterator[bytes]:
        self.bottle.response.content_type = "text/plain"
        return self.pieces()

    def release(self) -> str:
        self.released.set()
        return "released"

    def slow(self) -> str:
        time.sleep(SLOW_SECONDS)
        return "slow"

    def error(self) -> str:
        raise ValueError("a mistake in the legacy app")

    def missing(self, error: Any) -> str:
        return f"Nothing at {self.bottle.request.environ['PATH_INFO']} here."


LEGACY: dict[str, Callable[[], Site]] = {
    "flask": FlaskSite,
    "django": functools.cache(DjangoSite),  # Its settings cannot be made twice.
    "bottle": BottleSite,
}


def make_site() -> Flask:
    """An app of ours with all three below their names, and a view of its own below one of them."""
    site = Flask("site", static_folder=None)
    hooked: list[str] = []

    @site.before_request
    async def hook() -> None:
        hooked.append(request.path)

    @site.get("/")
    async def index() -> str:
        return "the site"

    @site.get("/flask/hello/new")
    def new() -> str:
        return "rewritten"

    @site.get("/hooked")
    async def seen() -> list[str]:
        return hooked

    for name, make in LEGACY.items():
        legacy: Any = make()
        site.mount(f"/{name}", WSGIApp(legacy.application))
    return site
