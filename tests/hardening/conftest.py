"""One app for all tests of bad input; each of its requests is checked for what always holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.hardening.door import Door


@pytest.fixture(scope="session")
def made() -> Iterator[Door]:
    door = Door()
    yield door
    shutil.rmtree(door.folder)


@pytest.fixture
def door(made: Door) -> Iterator[Door]:
    config = dict(made.app.config)
    yield made
    made.app.config.clear()
    made.app.config.update(config)
    assert made.begun == made.ended
