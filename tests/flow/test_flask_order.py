"""Flask's own order: what hooks, handlers and helpers see, in every colour and by every door.

tests/data/flask_flows has the scenarios, tests/data/flask_flows.json what Flask 3.1.3 did in them.
Each is played here for views and hooks of both colours, and has to give the same log, entry by
entry, and the same answers. Where aioflask differs on purpose, `DIFFERENCES` says how and why: it
turns Flask's log into ours, so a difference that is there no more fails as one that is new does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import pytest

import aioflask
from aioflask.concurrency import on_loop
from aioflask.templating import render_template_string_async
from tests.data.flask_flows import SCENARIOS
from tests.data.flask_flows.scene import Entry, Log, Reply, Scene, Steps, finish_async, furnish
from tests.flow.doors import COLOURS, Flow

RECORDING = Path(__file__).parents[1] / "data" / "flask_flows.json"
RECORDED = json.loads(RECORDING.read_text("utf-8"))
FLOWS: dict[str, Log] = RECORDED["flows"]


# --- what differs on purpose -------------------------------------------------------------------


def starts(entry: Entry, *names: str) -> bool:
    return str(entry["at"]).startswith(names)


def within(entry: Entry, other: Entry) -> Entry:
    """The entry, seeing the request that another one sees, or an app's context alone."""
    keys = ("in", "endpoint", "args")
    seen = {key: other[key] for key in keys if key in other}
    return {key: entry[key] for key in entry if key not in keys} | seen


def followed(log: Log) -> Iterator[tuple[Entry, Entry]]:
    """Each entry with the one after it."""
    return pairwise([*log, {"at": "", "in": "nothing"}])


def swapped(old: Entry, new: Entry) -> Callable[[Log], Log]:
    """Let entries that have the items of `old` say `new` instead."""

    def change(log: Log) -> Log:
        return [entry | new if entry.items() >= old.items() else entry for entry in log]

    return change


def dropped(old: Entry) -> Callable[[Log], Log]:
    """Leave entries out that have the items of `old`."""
    return lambda log: [entry for entry in log if not entry.items() >= old.items()]


def the_end_sees_the_request(log: Log) -> Log:
    request = ("teardown_request", "do_teardown_request", "signal request_tearing_down")
    context = ("teardown_appcontext", "do_teardown_appcontext", "signal appcontext_tearing_down")
    changed: Log = []
    for entry in log:
        before = next((each for each in reversed(changed) if "in" in each), entry)
        if starts(entry, *context) and starts(before, *request, *context):
            entry = within(entry, before)
        changed.append(entry)
    return changed


def the_start_sees_the_request(log: Log) -> Log:
    pushed = {"at": "signal appcontext_pushed", "in": "app"}
    return [within(e, after) if e.items() >= pushed.items() else e for e, after in followed(log)]


def the_start_sees_a_request_that_is_not_matched(log: Log) -> Log:
    changed: Log = []
    for entry, after in followed(log):
        if starts(entry, "signal appcontext_pushed") and "in the app" not in after["at"]:
            entry = entry | {"in": after["in"]}
        changed.append(entry)
    return changed


def every_teardown_function_runs(log: Log) -> Log:
    changed: Log = []
    known = {entry["at"][-1] for entry in log}
    for entry in log:
        kind, _, name = str(entry["at"]).partition(" ")
        changed.append(entry)
        if kind.startswith("teardown") and name == "fails":
            rest = [number for number in "21" if number in known]
            changed += [entry | {"at": f"{kind} {number}"} for number in rest]
    return changed


def torn_down_once(log: Log) -> Log:
    """Of what ends twice within a request, keep the second."""
    changed: Log = []
    ended: set[str] = set()
    for entry in reversed(log):
        if starts(entry, "answer", "raised", "closed"):
            ended.clear()
        if starts(entry, "teardown", "signal appcontext_popped"):
            if entry["at"] in ended:
                continue
            ended.add(entry["at"])
        changed.append(entry)
    return changed[::-1]


def opened_after_matching(log: Log) -> Log:
    return [within(e, after) if starts(e, "open_session") else e for e, after in followed(log)]


def failed_after_matching(log: Log) -> Log:
    """The first of two requests fails before it is matched."""
    end = next(place for place, entry in enumerate(log) if starts(entry, "answer"))
    first = [entry | {"endpoint": "view"} if "in" in entry else entry for entry in log[:end]]
    return [*first, *log[end:]]


def opened_once(log: Log) -> Log:
    """Of two calls one after the other, keep the second."""
    return [e for e, after in followed(log) if not e["at"] == after["at"] == "open_session"]


def one_adapter(log: Log) -> Log:
    changed = dropped({"at": "create_url_adapter", "request": False})(log)
    return [
        within(e, {"in": after["in"]}) if starts(e, "create_url_adapter") else e
        for e, after in followed(changed)
    ]


def read_before_the_view(log: Log) -> Log:
    """The view whose body is too large is not begun."""
    return [
        entry
        for entry, after in followed(log)
        if not (starts(entry, "read", "form") and starts(after, "errorhandler 413"))
    ]


def relative_redirects(log: Log) -> Log:
    changed: Log = []
    for entry in log:
        if entry.get("status") == 308 and "headers" in entry:
            headers = [each.replace("http://localhost/", "/") for each in entry["headers"]]
            for place, header in enumerate(headers):
                name, _, value = header.partition(": ")
                if name == "content-length":  # The page shows the URL twice.
                    headers[place] = f"{name}: {int(value) - 2 * len('http://localhost')}"
            entry = entry | {"headers": headers}
            if "body" in entry:
                entry["body"] = entry["body"].replace("http://localhost/", "/")
        changed.append(entry)
    return changed


class Difference(NamedTuple):
    """Why something goes otherwise, how Flask's log is turned into ours, and where."""

    reason: str
    change: Callable[[Log], Log]
    scenarios: str = ""
    """Their names; none for every scenario in which it can be seen."""
    views: tuple[str, ...] = COLOURS
    """The colours of views with which it is so."""


ONE_CONTEXT = "One context holds app and request, as Flask 3.2 has it: "
G_IS_KEPT: Entry = {"g": {"x": 1}}
DIFFERENCES = [
    Difference(
        "A session interface of one's own is asked after the URL is matched, on the side where the"
        " view runs.",
        opened_after_matching,
        """session_transactions_of_the_client sessions_of_an_interface_that_takes_notes
        sessions_that_cannot_be_opened sessions_that_nobody_touches
        sessions_when_the_request_fails""",
    ),
    Difference(
        f"{ONE_CONTEXT}functions and signals of its end still see the request.",
        the_end_sees_the_request,
    ),
    Difference(
        f"{ONE_CONTEXT}the signal of its start sees the request, whose URL is matched: the endpoint"
        " decides where the request runs.",
        the_start_sees_the_request,
        """a_request_context_inside_a_view all_signals_of_a_request all_signals_of_errors
        an_app_context_inside_a_view context_processors_and_their_order signals_when_a_hook_answers
        sessions_of_an_interface_that_takes_notes what_sys_exc_info_says""",
    ),
    Difference(
        f"{ONE_CONTEXT}so it is in a block, where the URL is matched after the signal.",
        the_start_sees_a_request_that_is_not_matched,
        "a_whole_request_by_hand signals_of_contexts_by_hand",
    ),
    Difference(
        f"{ONE_CONTEXT}URLs can be built in its last functions.",
        swapped(
            {"at": "urls", "found": ["RuntimeError"] * 3},
            {"found": ["/", "/parent/child", "http://localhost/"]},
        ),
        "url_for_in_every_hook",
    ),
    Difference(
        f"{ONE_CONTEXT}entered again it has the same `g`.",
        lambda log: swapped({"exception": "Broken out of the block", "in": "GET /"}, G_IS_KEPT)(
            swapped({"at": "again", "in": "GET /"}, G_IS_KEPT)(log)
        ),
        "a_context_that_is_entered_twice",
    ),
    Difference(
        f"{ONE_CONTEXT}it has one URL adapter, made when the request is there.",
        one_adapter,
        "create_url_adapter_replaced",
    ),
    Difference(
        "Every teardown function runs, also after one that raised, as Flask 3.2 has it.",
        every_teardown_function_runs,
        "a_teardown_function_raises a_teardown_function_raises_after_the_view_has",
    ),
    Difference(
        "`stream_with_context` keeps the context, which ends once, with the stream. Flask 3.1 ends"
        " it before the stream, enters it again and ends it twice.",
        torn_down_once,
        """a_stream_that_fails a_stream_that_is_closed_early a_stream_whose_session_is_read
        a_stream_with_context a_stream_with_context_as_a_decorator
        a_stream_with_context_in_a_response streamed_templates""",
    ),
    Difference(
        "So the URL of a request whose session cannot be opened is matched, too.",
        failed_after_matching,
        "sessions_that_fail_to_open_or_save",
    ),
    Difference(
        "A session that was not opened is not saved. Flask tries to, which fails and is logged.",
        dropped({"at": "logged", "exception": "AttributeError"}),
        "sessions_that_fail_to_open_or_save",
    ),
    Difference(
        "`session_transaction()` opens the session once. Flask opens another one for its context.",
        opened_once,
        "session_transactions_of_the_client",
    ),
    Difference(
        "The error names the after hook that returned nothing. Flask falls over it later.",
        lambda log: json.loads(json.dumps(log).replace("AttributeError", "TypeError")),
        "an_after_hook_returns_nothing",
    ),
    Difference(
        "A redirect of the URL map is relative, so that no Host header gets into it.",
        relative_redirects,
        """a_redirect_of_a_rule hooks_of_a_redirect_to_the_slash methods_of_the_walk_replaced
        other_methods_replaced routing_errors_and_handlers""",
    ),
    Difference(
        "The body is read before an `async def` view begins, so one that is too large begins none.",
        read_before_the_view,
        "bodies_that_are_too_large",
        ("async",),
    ),
]


def differences(name: str, view: str) -> Iterator[Difference]:
    for difference in DIFFERENCES:
        if view in difference.views and name in (difference.scenarios.split() or [name]):
            yield difference


def expected(name: str, view: str) -> Log:
    """What Flask did, with what aioflask does otherwise on purpose."""
    log = FLOWS[name]
    for difference in differences(name, view):
        log = difference.change(log)
    return log


# --- playing -----------------------------------------------------------------------------------


@dataclass(kw_only=True)
class OurScene(Scene):
    """A scene on aioflask: requests enter by the door of a flow."""

    flow: Flow | None = None
    apps: list[Any] = field(default_factory=list)

    def make(self, kind: Any = None, **options: Any) -> Any:
        app = super().make(kind, **options)
        self.apps.append(app)
        if self.flow is not None:
            self.flow.app = app
            app.config["WORKER_THREADS"] = self.flow.threads
        return app

    def send(self, path: str, method: str, **kwargs: Any) -> Reply:
        assert self.flow is not None
        answer = self.flow.request(path, method, **kwargs)
        return Reply(answer.status, list(answer.headers), answer.data)

    def close(self) -> None:
        super().close()
        for app in self.apps:  # Thousands of apps: their threads need not wait for a collection.
            app._pools.clear()

    # What a plain call cannot do on the loop has a sibling there, which is awaited.

    def render(self, source: str, **values: Any) -> Any:
        if on_loop():
            return render_template_string_async(source, **values)
        return super().render(source, **values)

    def load_body(self) -> Any:
        return aioflask.request.load_body() if on_loop() else super().load_body()

    def enter(self, context: Any) -> Any:
        return context.__aenter__() if on_loop() else super().enter(context)

    def leave(self, context: Any, error: BaseException | None = None) -> Any:
        if not on_loop():
            return super().leave(context, error)
        return context.__aexit__(type(error) if error else None, error, None)

    def joined(self, thread: threading.Thread) -> Any:
        return until_ended(thread) if on_loop() else super().joined(thread)

    def run(self, steps: Callable[[], Steps]) -> None:
        """By the door of an event loop: on that loop, as a task."""
        if self.flow is None or self.flow.loop is None:
            super().run(steps)
        else:
            self.flow.run(lambda: finish_async(steps()))


async def until_ended(thread: threading.Thread) -> None:
    while thread.is_alive():
        await anyio.sleep(0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnish(tmp_path_factory.mktemp("flows"))


def play(name: str, folder: Path, view: str, hook: str, flow: Flow | None = None) -> Log:
    scene = OurScene(
        flask=aioflask,
        folder=folder,
        pause=anyio.lowlevel.checkpoint,
        view_colour=view,
        hook_colour=hook,
        flow=flow,
    )
    try:
        SCENARIOS[name].play(scene)
    finally:
        scene.close()
    log: Log = json.loads(json.dumps(scene.log))
    return log


@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize("name", [name for name, each in SCENARIOS.items() if each.doors])
def test_requests_go_as_in_flask(flow: Flow, hooks: str, name: str, folder: Path) -> None:
    assert play(name, folder, flow.colour, hooks, flow) == expected(name, flow.colour)


@pytest.mark.parametrize("hooks", COLOURS)
@pytest.mark.parametrize("view", COLOURS)
@pytest.mark.parametrize("name", [name for name, each in SCENARIOS.items() if not each.doors])
def test_blocks_and_clients_go_as_in_flask(name: str, view: str, hooks: str, folder: Path) -> None:
    assert play(name, folder, view, hooks) == expected(name, view)


# --- the recording -----------------------------------------------------------------------------


def test_the_recording_is_of_all_scenarios() -> None:
    assert RECORDED["flask"] == "3.1.3"
    assert FLOWS.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.reason)
def test_every_difference_is_one(difference: Difference) -> None:
    """It changes Flask's log in each of its scenarios; in one at least where it names none."""
    names = difference.scenarios.split()
    changed = set()
    for name, log in FLOWS.items():
        for each in differences(name, difference.views[0]):
            before, log = log, each.change(log)
            if each is difference and log != before:
                changed.add(name)
    assert changed == set(names or changed) and changed
