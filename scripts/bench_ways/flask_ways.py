"""The same of Flask, which is asked by WSGI alone."""

from __future__ import annotations

import importlib

from bench_ways.aioflask_ways import applications

apps = applications(importlib.import_module("flask"))
