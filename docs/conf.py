"""Sphinx's configuration; build with `sphinx-build -W --keep-going docs docs/_build`."""

from __future__ import annotations

project = "aioflask"
author = "The aioflask authors"
copyright = f"2026, {author}"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = "aioflask"
