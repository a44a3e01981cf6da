"""A Socket.IO client for plain tests, without a server; made by ``socketio.test_client(app)``.

Source: https://flask-socketio.readthedocs.io/en/latest/api.html
"""

from __future__ import annotations

import typing as t
import uuid

from socketio import packet  # type: ignore[import-untyped]
from socketio.async_pubsub_manager import AsyncPubSubManager  # type: ignore[import-untyped]

from .concurrency import background_loop
from .testing import EnvironBuilder

if t.TYPE_CHECKING:
    from .app import Flask
    from .socketio import SocketIO
    from .testing import FlaskClient


class SocketIOTestClient:
    """One client. What it receives is kept until `get_received` takes it.

    Handlers have run when a method returns, plain ones on the test's own thread, and what they
    raise is raised there if the app is testing. ``flask_test_client`` lends its cookies, so that
    handlers see the session of the app.
    """

    clients: t.ClassVar[dict[str, SocketIOTestClient]] = {}

    def __init__(
        self,
        app: Flask,
        socketio: SocketIO,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: t.Any = None,
        auth: t.Any = None,
        flask_test_client: FlaskClient | None = None,
    ) -> None:
        server = socketio.server
        if isinstance(server.manager, AsyncPubSubManager):
            raise RuntimeError(
                "The test client cannot be used with a message queue. Leave message_queue out in"
                " the configuration of the tests."
            )
        self.app: Flask = app
        self.socketio: SocketIO = socketio
        self.flask_test_client: FlaskClient | None = flask_test_client
        self.eio_sid: str = uuid.uuid4().hex
        self.connected: dict[str, bool] = {}
        self.queue: list[dict[str, t.Any]] = []
        self.acks: t.Any = None
        self._sent = 0
        self._partial: t.Any = None
        self.clients[self.eio_sid] = self
        server._send_packet, server._send_eio_packet = _send_packet, _send_eio_packet
        server.async_handlers = False
        self.connect(namespace, query_string, headers, auth)

    def _run(self, func: t.Callable[..., t.Any], *args: t.Any) -> None:
        self.socketio._loop = background_loop().loop
        background_loop().serve(func, *args)

    def _give(self, made: t.Any) -> None:
        encoded = made.encode()
        for piece in encoded if isinstance(encoded, list) else [encoded]:
            self._run(self.socketio.server._handle_eio_message, self.eio_sid, piece)

    def is_connected(self, namespace: str | None = None) -> bool:
        """Whether it is connected to a namespace."""
        return self.connected.get(namespace or "/", False)

    def connect(
        self,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: t.Any = None,
        auth: t.Any = None,
    ) -> None:
        """Connect to a further namespace."""
        name, server = namespace or "/", self.socketio.server
        options: t.Any = {
            "path": "/socket.io/",
            "query_string": (query_string or "").removeprefix("?"),
            "headers": headers,
            "environ_base": {"REMOTE_ADDR": "127.0.0.1"},
        }
        client = self.flask_test_client
        if client is None:
            environ = EnvironBuilder(self.app, **options).get_environ()
        else:
            environ = client._request_from_builder_args((), options).environ
            client._add_cookies_to_wsgi(environ)
        self._run(server._handle_eio_connect, self.eio_sid, environ)
        self.connected[name] = True  # Unless it is refused now.
        self._give(packet.Packet(packet.CONNECT, auth, namespace=name))

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave a namespace."""
        self._check(namespace)
        self._give(packet.Packet(packet.DISCONNECT, namespace=namespace))
        self.connected.pop(namespace or "/", None)

    def emit(
        self, event: str, *args: t.Any, callback: bool = False, namespace: str | None = None
    ) -> t.Any:
        """Send an event; with ``callback`` returns what the handler returned."""
        self._check(namespace)
        self._sent += callback
        number = self._sent if callback else None
        self._give(packet.Packet(packet.EVENT, data=[event, *args], namespace=namespace, id=number))
        acks, self.acks = self.acks, None
        return acks[0] if acks is not None and len(acks) == 1 else acks

    def send(
        self, data: t.Any, json: bool = False, callback: bool = False, namespace: str | None = None
    ) -> t.Any:
        """Send the event ``message`` or ``json``."""
        event = "json" if json else "message"
        return self.emit(event, data, callback=callback, namespace=namespace)

    def get_received(self, namespace: str | None = None) -> list[dict[str, t.Any]]:
        """What has come since the last call: dicts with ``name``, ``args`` and ``namespace``."""
        self._check(namespace)
        found = [each for each in self.queue if each["namespace"] == (namespace or "/")]
        self.queue = [each for each in self.queue if each not in found]
        return found

    def _check(self, namespace: str | None) -> None:
        if not self.is_connected(namespace):
            raise RuntimeError(f"The client is not connected to {namespace or '/'!r}.")

    def _receive(self, got: t.Any) -> None:
        name = got.namespace or "/"
        if got.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            event, *args = got.data
            single = event in ("message", "json")  # COMPAT: their one argument is not in a list.
            self.queue.append(
                {"name": event, "args": args[0] if single else args, "namespace": name}
            )
        elif got.packet_type in (packet.ACK, packet.BINARY_ACK):
            self.acks = got.data
        elif got.packet_type in (packet.DISCONNECT, packet.CONNECT_ERROR):
            self.connected[name] = False


async def _send_packet(eio_sid: str, made: t.Any) -> None:
    """What stands in the server's place that sends a packet: encoded, so that it can be."""
    encoded = made.encode()
    first, *attachments = encoded if isinstance(encoded, list) else [encoded]
    got = packet.Packet(encoded_packet=first)
    for each in attachments:
        got.add_attachment(each)
    if client := SocketIOTestClient.clients.get(eio_sid):
        client._receive(got)


async def _send_eio_packet(eio_sid: str, made: t.Any) -> None:
    """The same for a packet that goes to many, and comes in pieces."""
    client = SocketIOTestClient.clients.get(eio_sid)
    if client is None:
        return
    if client._partial is not None:
        client._partial.add_attachment(made.data)
    else:
        client._partial = packet.Packet(encoded_packet=made.data)
    got = client._partial
    if got.attachment_count == len(got.attachments):
        client._partial = None
        client._receive(got)
