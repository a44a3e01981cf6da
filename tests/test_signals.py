"""Signals tell who listens what happens; plain calls refuse receivers that they cannot await."""

from __future__ import annotations

import functools
import typing as t

import pytest
from blinker import NamedSignal

import aioflask
from aioflask import Flask, signals

PLAIN = [
    signals.template_rendered,
    signals.before_render_template,
    signals.appcontext_pushed,
    signals.appcontext_popped,
    signals.message_flashed,
]
AWAITED = [
    signals.request_started,
    signals.request_finished,
    signals.request_tearing_down,
    signals.got_request_exception,
    signals.appcontext_tearing_down,
]


async def async_receiver(sender: object, **values: t.Any) -> None: ...


class Receiver:
    async def __call__(self, sender: object, **values: t.Any) -> None: ...

    async def method(self, sender: object, **values: t.Any) -> None: ...

    def plain(self, sender: object, **values: t.Any) -> None: ...


def test_the_names_are_flasks_and_ours() -> None:
    assert sorted(signals._signals) == [
        "appcontext-popped",
        "appcontext-pushed",
        "appcontext-tearing-down",
        "before-render-template",
        "got-background-exception",
        "got-request-exception",
        "got-websocket-exception",
        "message-flashed",
        "request-finished",
        "request-started",
        "request-tearing-down",
        "template-rendered",
        "websocket-finished",
        "websocket-received",
        "websocket-sent",
        "websocket-started",
        "websocket-tearing-down",
    ]


@pytest.mark.parametrize("signal", PLAIN, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "receiver",
    [async_receiver, Receiver(), Receiver().method, functools.partial(async_receiver, x=1)],
    ids=["function", "callable", "method", "partial"],
)
def test_a_signal_of_a_plain_call_refuses_async_receivers(
    signal: NamedSignal, receiver: t.Any
) -> None:
    for connect in (
        signal.connect,
        signal.connect_via(object()),
        lambda r: signal.connected_to(r).__enter__(),
    ):
        with pytest.raises(TypeError, match=rf"{signal.name}.*Connect a plain function"):
            connect(receiver)
    assert not signal.receivers


@pytest.mark.parametrize("signal", PLAIN, ids=lambda s: s.name)
def test_a_signal_of_a_plain_call_takes_plain_receivers(signal: NamedSignal) -> None:
    receiver = Receiver()
    with signal.connected_to(receiver.plain):
        assert signal.receivers
    with signal.connected_to(functools.partial(receiver.plain)):
        assert signal.receivers
    assert not signal.receivers


@pytest.mark.parametrize("signal", AWAITED, ids=lambda s: s.name)
def test_a_signal_of_the_walk_takes_receivers_of_both_colours(signal: NamedSignal) -> None:
    with signal.connected_to(async_receiver), signal.connected_to(Receiver().plain):
        assert len(signal.receivers) == 2


@pytest.mark.parametrize("receivers_async", [False, True], ids=["def", "async def"])
def test_a_request_sends_its_signals_in_order(receivers_async: bool) -> None:
    app = Flask(__name__)
    calls: list[t.Any] = []

    def receiver(name: str) -> t.Callable[..., t.Any]:
        def record(sender: Flask, **values: t.Any) -> None:
            assert sender is app
            calls.append((name, *sorted(values)))

        async def record_async(sender: Flask, **values: t.Any) -> None:
            record(sender, **values)

        return record_async if receivers_async else record

    @app.before_request
    async def before() -> None:
        calls.append("before")

    @app.after_request
    async def after(response: t.Any) -> t.Any:
        calls.append("after")
        response.data = b"stuff"
        return response

    @app.get("/")
    async def index() -> str:
        calls.append("view")
        return "ignored"

    with (
        aioflask.request_started.connected_to(receiver("started"), app),
        aioflask.request_finished.connected_to(receiver("finished"), app),
        aioflask.request_tearing_down.connected_to(receiver("tearing down"), app),
        aioflask.appcontext_tearing_down.connected_to(receiver("app tearing down"), app),
    ):
        assert app.test_client().get("/").data == b"stuff"
    assert calls == [
        ("started",),
        "before",
        "view",
        "after",
        ("finished", "response"),
        ("tearing down", "exc"),
        ("app tearing down", "exc"),
    ]


def test_an_unhandled_exception_is_sent_and_reaches_the_teardown() -> None:
    app = Flask(__name__)
    errors: list[tuple[str, BaseException | None]] = []

    def on_error(sender: Flask, exception: BaseException) -> None:
        errors.append(("error", exception))

    def on_teardown(sender: Flask, exc: BaseException | None) -> None:
        errors.append(("teardown", exc))

    @app.get("/")
    async def index() -> str:
        raise ZeroDivisionError

    with (
        aioflask.got_request_exception.connected_to(on_error, app),
        aioflask.appcontext_tearing_down.connected_to(on_teardown, app),
    ):
        assert app.test_client().get("/").status_code == 500
    assert [(name, type(error)) for name, error in errors] == [
        ("error", ZeroDivisionError),
        ("teardown", ZeroDivisionError),
    ]


def test_contexts_templates_and_flashed_messages_are_announced() -> None:
    app = Flask(__name__)
    app.secret_key = "test"
    seen: list[t.Any] = []

    def change(sender: Flask, template: t.Any, context: dict[str, t.Any]) -> None:
        context["drink"] = "tea"

    def flashed(sender: Flask, message: str, category: str) -> None:
        seen.append((message, category))

    @app.get("/")
    def index() -> str:
        aioflask.flash("Saved.", "notice")
        return aioflask.render_template_string("{{ drink }}", drink="milk")

    with (
        aioflask.appcontext_pushed.connected_to(lambda sender: seen.append("pushed"), app),
        aioflask.appcontext_popped.connected_to(lambda sender: seen.append("popped"), app),
        aioflask.before_render_template.connected_to(change, app),
        aioflask.template_rendered.connected_to(
            lambda sender, template, context: seen.append(context["drink"]), app
        ),
        aioflask.message_flashed.connected_to(flashed, app),
    ):
        assert app.test_client().get("/").data == b"tea"
    assert seen == ["pushed", ("Saved.", "notice"), "tea", "popped"]


def test_a_muted_signal_is_not_sent() -> None:
    app, calls = Flask(__name__), list[object]()

    def receive(sender: Flask, **values: t.Any) -> None:
        calls.append(sender)

    with signals.request_started.connected_to(receive, app):
        with signals.request_started.muted():
            app.test_client().get("/")
        assert calls == []
        app.test_client().get("/")
        assert calls == [app]
