"""What a signature means: what is bound, what stays Flask's, and which mistakes are found when."""

from __future__ import annotations

import functools
import sys
import types
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import pytest
from werkzeug.datastructures import FileStorage

from aioflask import Flask
from aioflask.typed import Depends, Form, Header, Path, Query, SignatureError

if t.TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@dataclass
class Item:
    name: str


@dataclass
class Other:
    name: str


class Session:
    """Nothing that a request could become."""


def app_with(view: Callable[..., Any], rule: str = "/", **options: Any) -> Flask:
    app = Flask("signatures", static_folder=None)
    app.config["TESTING"] = True
    app.add_url_rule(rule, "view", view, methods=["GET", "POST"], **options)
    return app


# fmt: off
def two_bodies(a: Item, b: Other) -> None: ...
def json_and_form(a: Item, b: Annotated[str, Form()]) -> None: ...
def json_and_file(a: Item, b: FileStorage) -> None: ...
def unknown_class(session: Session) -> None: ...
def path_marked_as_query(id: Annotated[int, Query()]) -> None: ...
def query_marked_as_path(q: Annotated[int, Path()]) -> None: ...
def two_markers(q: Annotated[int, Query(), Header()]) -> None: ...
def marker_as_default(q: int = Query(ge=1)) -> None: ...  # type: ignore[assignment]
def marker_without_annotation(q=Query()) -> None: ...  # type: ignore[no-untyped-def]  # noqa: B008
def depends_as_default(q: int = Depends(two_markers)) -> None: ...  # type: ignore[assignment]
def bound_of_a_text(q: Annotated[str, Query(ge=1)]) -> None: ...
def container_of_a_form(a: Annotated[list[Item], Form()]) -> None: ...
def not_callable(q: Annotated[int, Depends(3)]) -> None: ...
def session_of_a_dependency(s: Annotated[Session, Depends(unknown_class)]) -> None: ...
def texts_of_a_class(q: Annotated[Session, Query()]) -> None: ...
# fmt: on


MISTAKES: list[tuple[Callable[..., Any], list[str]]] = [
    (two_bodies, ["two_bodies()", "'a', 'b'", "one model", "class Input"]),
    (json_and_form, ["'a'", "'b'", "Annotated[..., Form()]"]),
    (json_and_file, ["'a'", "'b'", "form"]),
    (
        unknown_class,
        ["'session'", "unknown_class()", "Session", "Depends(get_session)", "TYPED_VIEWS"],
    ),
    (path_marked_as_query, ["'id'", "variable of the rule", "id: Annotated[int, Path()]"]),
    (query_marked_as_path, ["'q'", "no such variable", "q: Annotated[int, Query()]"]),
    (two_markers, ["'q'", "Query and Header", "q: Annotated[int, Query()]"]),
    (marker_as_default, ["'q'", "q: Annotated[int, Query(...)]"]),
    (marker_without_annotation, ["'q'", "q: Annotated[str, Query(...)]"]),
    (depends_as_default, ["'q'", "q: Annotated[int, Depends(...)]"]),
    (bound_of_a_text, ["'q'", "bound_of_a_text()"]),
    (container_of_a_form, ["'a'", "Annotated["]),
    (not_callable, ["'q'", "3", "Depends(func)"]),
    (session_of_a_dependency, ["'session'", "unknown_class()"]),
    (texts_of_a_class, ["'q'", "Session"]),
]


@pytest.mark.parametrize(
    ("view", "words"), MISTAKES, ids=lambda value: getattr(value, "__name__", "")
)
def test_mistakes_are_found_when_the_view_is_registered(view: Any, words: list[str]) -> None:
    with pytest.raises(SignatureError) as caught:
        app_with(view, "/<int:id>")
    for word in words:
        assert word in str(caught.value)


def test_a_type_that_no_library_reads() -> None:
    @dataclass
    class Holder:
        session: Session

    def view(data: Holder) -> None: ...

    with pytest.raises(SignatureError) as caught:
        app_with(view)
    assert "'data'" in str(caught.value) and "Session" in str(caught.value)


def test_a_dependency_that_depends_on_itself() -> None:
    def one(x: Annotated[int, Depends(lambda: two)]) -> None: ...
    def two(x: Annotated[int, Depends(one)]) -> None: ...

    one.__annotations__["x"] = Annotated[int, Depends(two)]
    with pytest.raises(SignatureError, match="depends on itself"):
        app_with(one)


def test_a_body_of_a_websocket() -> None:
    app = Flask("ws", static_folder=None)
    with pytest.raises(SignatureError, match=r"websocket\.typed"):

        @app.websocket("/ws")
        async def view(data: Item) -> None: ...


# --- what stays as it was -------------------------------------------------------------------------
def test_annotated_flask_code_means_what_it_meant() -> None:
    app = Flask("existing", static_folder=None)

    @app.get("/")
    @app.get("/page/<int:page>")
    def pages(page: int = 1) -> str:
        return f"page {page!r}"

    @app.get("/<name>")
    def name(name: int) -> str:  # The converter decides, as in Flask.
        return repr(name)

    @app.get("/dict")
    def a_dict() -> dict[str, t.Any]:
        return {"a": 1}

    @app.get("/tuple")
    def a_tuple() -> tuple[str, int]:
        return "made", 201

    @app.get("/list")
    def a_list() -> list[dict[str, int]]:
        return [{"a": 1}]

    @app.get("/unknown/<id>")
    def unknown(id: Unknown, other: Session | None = None) -> Unknown:
        return f"{id} {other}"

    @app.get("/any")
    def anything(x: Any = 3, *args: int, y=4, **more: int) -> t.Any:  # type: ignore[no-untyped-def]
        return f"{x} {y} {args} {more}"

    client = app.test_client()
    assert client.get("/?page=7").text == "page 1"
    assert client.get("/page/3").text == "page 3"
    assert client.get("/3").text == "'3'"
    assert client.get("/dict").get_json() == {"a": 1}
    assert client.get("/tuple").status_code == 201
    assert client.get("/list").get_json() == [{"a": 1}]
    assert client.get("/unknown/x").text == "x None"
    assert client.get("/any?x=7&y=7&more=1").text == "3 4 () {}"


def test_what_a_url_value_preprocessor_adds_is_not_bound() -> None:
    app = Flask("preprocessor", static_folder=None)

    @app.url_value_preprocessor
    def add(endpoint: str | None, values: dict[str, Any] | None) -> None:
        assert values is not None
        values["lang"] = values.pop("code", "en").upper()

    @app.get("/<code>/")
    def view(lang: str, q: int = 1) -> dict[str, Any]:
        return {"lang": lang, "q": q}

    client = app.test_client()
    assert client.get("/de/?q=2&lang=fr").get_json() == {"lang": "DE", "q": 2}


def token_required(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(Item("me"), *args, **kwargs)

    return wrapper


def test_what_a_decorator_gives_is_never_bound() -> None:
    app = Flask("decorated", static_folder=None)

    @app.get("/me/<int:id>")
    @token_required
    def me(current_user: Item, id: int) -> dict[str, t.Any]:
        return {"name": current_user.name, "id": id}

    response = app.test_client().get("/me/3", json={"name": "other"})
    assert response.get_json() == {"name": "me", "id": 3}


def test_typed_views_can_be_switched_off() -> None:
    app = Flask("off", static_folder=None)
    app.config["TYPED_VIEWS"] = False

    @app.get("/")
    def view(q: int = 3) -> dict[str, int]:
        return {"q": q}

    @app.get("/injected")
    def injected(session: Session) -> str:
        return type(session).__name__

    plain: Any = app.view_functions["injected"]
    app.view_functions["injected"] = partial(plain, session=Session())  # As injectors do.
    client = app.test_client()
    assert client.get("/?q=7").get_json() == {"q": 3}
    assert client.get("/injected").text == "Session"


# --- names that come later ------------------------------------------------------------------------
LATE = """
from __future__ import annotations
from aioflask import Flask
app = Flask("late", static_folder=None)

@app.post("/")
async def create(data: Item) -> Item:
    return data
"""
MODEL = """
from dataclasses import dataclass

@dataclass
class Item:
    name: str
"""


def late(source: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    module = types.ModuleType("late")
    monkeypatch.setitem(sys.modules, "late", module)
    exec(source, vars(module))
    app: Flask = module.app
    return app


def test_a_model_below_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    client = late(LATE + MODEL, monkeypatch).test_client()
    assert client.post("/", json={"name": "x"}).get_json() == {"name": "x"}
    assert client.post("/", json={"name": 1}).status_code == 422


def test_a_model_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    app = late(LATE, monkeypatch)
    app.config["TESTING"] = True
    with pytest.raises(SignatureError) as caught:
        app.test_client().post("/", json={})
    assert "'data'" in str(caught.value) and "create()" in str(caught.value)
    assert "'Item'" in str(caught.value)


@pytest.mark.anyio
async def test_a_mistake_in_what_comes_later_ends_the_start_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = late(LATE, monkeypatch)
    sent: list[Any] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "create()" in sent[0]["message"] and "'Item'" in sent[0]["message"]


def test_models_of_an_app_factory() -> None:
    def create_app() -> Flask:
        app = Flask("factory", static_folder=None)

        @dataclass
        class Inner:
            name: str

        @app.post("/")
        def view(data: Inner) -> Inner:
            return data

        return app

    client = create_app().test_client()
    assert client.post("/", json={"name": "x"}).get_json() == {"name": "x"}
