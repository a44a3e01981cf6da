"""Flask for ASGI.

A request enters the house on the top floor, through a door (`wsgi`, `testing`, `serving`, `cli`),
and comes to the application (`app`, with `blueprints` and what both share in `scaffold`). The
application walks it through its steps (`walk`), by the plan of its endpoint (`plan`). Below is what
one request owns: its context (`ctx`), its session, templates, and the functions that views call
(`helpers`). Further down is HTTP: the request and response (`wrappers`), the body that arrives
(`body`), the rules and how they are matched (`routing`). On the ground floor are the words that all
others use: the proxies (`globals`), the bridge between ``def`` and ``async def`` (`concurrency`),
configuration, JSON, signals and types.
"""

from __future__ import annotations

import sys
import typing as t

from . import late as late  # isort: skip

# isort: off
# fmt: off
from . import json
from .app import Flask
from .blueprints import Blueprint
from .concurrency import nonblocking, run_sync
from .config import Config
from .ctx import (
    after_this_request, copy_current_request_context, has_app_context, has_request_context,
    has_websocket_context,
)
from .globals import current_app, g, request, session, websocket
from .helpers import (
    abort, flash, get_flashed_messages, get_template_attribute, make_response, redirect, send_file,
    send_from_directory, stream_with_context, url_for,
)
from .json import jsonify
from .signals import (
    appcontext_popped, appcontext_pushed, appcontext_tearing_down, before_render_template,
    got_background_exception, got_request_exception, got_websocket_exception, message_flashed,
    request_finished, request_started, request_tearing_down, template_rendered,
    websocket_finished, websocket_received, websocket_sent, websocket_started,
    websocket_tearing_down,
)
from .templating import (
    render_template, render_template_async, render_template_string, render_template_string_async,
    stream_template, stream_template_string,
)
from .wrappers import Request, Response

__all__ = [
    "Flask", "Blueprint", "Config",
    "WebSocket", "WebSocketDisconnect", "BadMessage", "websocket",
    "Request", "Response", "make_response", "jsonify", "json",
    "EventSourceResponse", "ServerSentEvent",
    "abort", "redirect", "url_for", "send_file", "send_from_directory", "stream_with_context",
    "current_app", "g", "request", "session", "flash", "get_flashed_messages",
    "has_app_context", "has_request_context", "has_websocket_context",
    "after_this_request", "copy_current_request_context", "copy_current_websocket_context",
    "run_sync", "nonblocking", "WSGIApp", "ASGIApp",
    "render_template", "render_template_string",
    "render_template_async", "render_template_string_async",
    "stream_template", "stream_template_string", "get_template_attribute",
    "appcontext_popped", "appcontext_pushed", "appcontext_tearing_down",
    "before_render_template", "template_rendered", "message_flashed", "got_request_exception",
    "got_background_exception",
    "request_started", "request_finished", "request_tearing_down",
    "websocket_started", "websocket_received", "websocket_sent", "websocket_finished",
    "websocket_tearing_down", "got_websocket_exception",
]

if t.TYPE_CHECKING:
    from .asgiapp import ASGIApp
    from .sse import EventSourceResponse, ServerSentEvent
    from .websockets import (
        BadMessage, WebSocket, WebSocketDisconnect, copy_current_websocket_context,
    )
    from .wsgiapp import WSGIApp
else:
    # Doors that most apps do not have, and one (COMPAT) that needs no import of its own in Flask.
    _LATER = {
        "ASGIApp": "asgiapp", "WSGIApp": "wsgiapp", "cli": "cli",
        "EventSourceResponse": "sse", "ServerSentEvent": "sse", "BadMessage": "websockets",
        "WebSocket": "websockets", "WebSocketDisconnect": "websockets",
        "copy_current_websocket_context": "websockets",
    }
    # fmt: on

    def __getattr__(name: str) -> t.Any:
        if name == "__version__":
            # PERF: looking through the installed distributions costs milliseconds at each start.
            from importlib.metadata import PackageNotFoundError, version

            try:
                return version("aioflask")
            except PackageNotFoundError:  # a checkout on the path, not installed
                return "0+unknown"
        if name in _LATER:
            from importlib import import_module

            module = import_module(f"aioflask.{_LATER[name]}")
            return module if name == "cli" else getattr(module, name)
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )
