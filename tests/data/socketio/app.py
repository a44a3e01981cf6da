"""The app that Socket.IO's own clients talk to in the tests, in one process or in several."""

from __future__ import annotations

# mypy: ignore-errors
import os
import threading

from aioflask import Flask, g, request, session
from aioflask.socketio import (
    ConnectionRefusedError,
    Namespace,
    SocketIO,
    call,
    disconnect,
    emit,
    join_room,
    leave_room,
    rooms,
    send,
)

app = Flask(__name__)
app.secret_key = "only for tests"
socketio = SocketIO(app, message_queue=os.environ.get("QUEUE"))
counts = {"begun": 0, "ended": 0}


@app.before_request
def begin():
    g.user = request.args.get("user", "nobody")


@app.teardown_appcontext
def end(exc):
    counts["ended"] += 1


@app.get("/login/<name>")
def login(name):
    session["name"] = name
    return {"pid": os.getpid()}


@app.get("/tell/<text>")
def tell(text):
    socketio.emit("told", {"text": text, "by": "plain"})
    return "told"


@app.get("/tell-async/<text>")
async def tell_async(text):
    await socketio.emit("told", {"text": text, "by": "async"})
    return "told"


@app.get("/counts")
def show_counts():
    return counts


@socketio.on("connect")
def connect(auth):
    counts["begun"] += 1
    if auth == {"token": "wrong"}:
        raise ConnectionRefusedError("wrong token", {"code": 7})
    session["events"] = 0
    emit("welcome", {"name": session.get("name"), "ip": request.remote_addr})


@socketio.on("disconnect")
async def left(reason):
    await socketio.emit("left", reason, skip_sid=request.sid)


@socketio.event
def plain(first, second):
    session["events"] += 1
    on_loop = threading.current_thread() is threading.main_thread()
    return {"sum": first + second, "events": session["events"], "on_loop": on_loop}


@socketio.event
async def asynchronous(data):
    session["events"] += 1
    on_loop = threading.current_thread() is threading.main_thread()
    await emit("echo", data)
    return data, session["events"], on_loop


@socketio.on("message")
def message(text):
    send(text.upper(), broadcast=True)


@socketio.on("join")
async def join(room):
    await join_room(room)
    await emit("joined", request.sid, to=room, include_self=False)
    return rooms()


@socketio.on("leave")
def leave(room):
    leave_room(room)
    return rooms()


@socketio.on("say")
async def say(room, text):
    await emit("said", text, to=room)


@socketio.on("ask me")
def ask_me():
    emit("question", 20, callback=lambda answer: emit("acknowledged", [answer, request.sid]))
    return "asked"


@socketio.on("call me")
async def call_me():
    return await call("question", 1)


@socketio.on("work")
def work():
    sid = request.sid

    async def count():
        for number in range(3):
            await socketio.emit("progress", number, to=sid)
            await socketio.sleep(0.01)

    def plainly():
        socketio.sleep(0.01)
        socketio.emit("progress", "plain", to=sid)

    socketio.start_background_task(plainly)
    socketio.start_background_task(count)


@socketio.on("send me away")
def send_away():
    disconnect()


@socketio.on("fail")
def fail(kind):
    raise KeyError(kind)


@socketio.on("fail", namespace="/chat")
async def fail_there(kind):
    raise KeyError(kind)


@socketio.on_error("/chat")
def on_error(error):
    emit("failed", repr(error))
    return "handled"


class Room(Namespace):
    def on_connect(self):
        pass

    async def on_double(self, number):
        await self.emit("doubled", number * 2)
        return self.namespace


socketio.on_namespace(Room("/room"))


@socketio.on("connect", namespace="/chat")
async def connect_there():
    pass
