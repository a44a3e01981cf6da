"""The same of Quart, whose plain functions run on threads, too."""

from __future__ import annotations

import types

import quart
from bench_ways.aioflask_ways import applications

apps = applications(types.SimpleNamespace(**{**vars(quart), "Flask": quart.Quart}))
