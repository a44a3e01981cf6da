"""Flask's Celery example: a worker of its own process, and tasks that a page submits and polls.

Its configuration is Redis's; the environment sets another, as the example provides for. Broker and
results are folders, so a worker and a server have nothing but these in common.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.chromium import chromium
from tests.examples.flask_examples import FORMS, Example
from tests.flask_sdist import flask_sdist  # noqa: F401
from tests.live import Server

pytestmark = pytest.mark.system

SECONDS = 20


def settings(folder: Path) -> dict[str, str]:
    """Environment variables that give the example folders for its broker and its results."""
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()
    queue = str(folder / "queue")
    options = {"data_folder_in": queue, "data_folder_out": queue}
    options["control_folder"] = str(folder / "control")
    return {
        "FLASK_CELERY__broker_url": "filesystem://",
        "FLASK_CELERY__broker_transport_options": json.dumps(options),
        "FLASK_CELERY__result_backend": f"file://{folder / 'results'}",
    }


class Tasks(NamedTuple):
    """A server of the example and the worker that does what it submits."""

    url: str
    worker: Server

    def submit(self, task: str, **form: int) -> str:
        answer = httpx.post(f"{self.url}/tasks/{task}", data=form, timeout=20).json()
        return str(answer["result_id"])

    def result(self, id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/tasks/result/{id}", timeout=20)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def states(self, id: str) -> list[dict[str, Any]]:
        """The results that polling sees, one after the other, until there is the last."""
        seen = [self.result(id)]
        end = time.monotonic() + SECONDS
        while not seen[-1]["ready"]:
            assert time.monotonic() < end, (seen, self.worker.output)
            time.sleep(0.1)
            if (result := self.result(id)) != seen[-1]:
                seen.append(result)
        return seen


@pytest.fixture(scope="module", params=FORMS)
def tasks(
    request: pytest.FixtureRequest,
    flask_sdist: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tasks]:
    folder = tmp_path_factory.mktemp("celery")
    example = Example(flask_sdist, "celery", request.param, folder)
    environ = settings(folder)
    command = ["-m", "celery", "-A", "make_celery", "worker", "--loglevel", "INFO"]
    with (
        example.start(*command, **environ) as worker,
        example.serve("uvicorn", "--factory", "task_app:create_app", **environ) as url,
    ):
        worker.until(lambda: " ready." in worker.output)
        yield Tasks(url, worker)


def done(value: Any) -> dict[str, Any]:
    return {"ready": True, "successful": True, "value": value}


def test_a_result_comes_back(tasks: Tasks) -> None:
    ids = [tasks.submit("add", a=number, b=2) for number in range(5)]
    assert len(set(ids)) == 5
    assert [tasks.states(id)[-1] for id in ids] == [done(number + 2) for number in range(5)]
    tasks.worker.until(lambda: f"tasks.add[{ids[0]}] succeeded" in tasks.worker.output)


def test_progress_is_seen(tasks: Tasks) -> None:
    states = tasks.states(tasks.submit("process", total=2))
    assert states[-1] == done({"current": 2, "total": 2})
    for current in (1, 2):
        value = {"current": current, "total": 2}
        assert {"ready": False, "successful": None, "value": value} in states


def test_submitting_does_not_wait(tasks: Tasks) -> None:
    id = tasks.submit("block")
    assert tasks.result(id) == {"ready": False, "successful": None, "value": None}
    tasks.worker.until(lambda: f"Task task_app.tasks.block[{id}] received" in tasks.worker.output)
    assert f"[{id}] succeeded" not in tasks.worker.output
    tasks.worker.until(lambda: f"[{id}] succeeded in" in tasks.worker.output)
    # The task's result is ignored, so nobody hears that it is there.
    assert not tasks.result(id)["ready"]


def test_the_page_in_a_browser(tasks: Tasks, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        page.open(f"{tasks.url}/")
        page.fill("#add [name=b]", "38")
        page.click("#add [type=submit]")
        # The form for "process" is left alone: its script fails, with Flask as well, when it polls
        # before the worker has begun.
        page.until("document.querySelector('#add-result').innerText == '42'")
