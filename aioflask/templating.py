"""Templates: Jinja with the app's and the blueprints' folders, and the context processors.

Follows https://flask.palletsprojects.com/en/stable/api/#template-rendering.
"""

from __future__ import annotations

import typing as t
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from jinja2 import BaseLoader, Template, TemplateNotFound
from jinja2 import Environment as BaseEnvironment
from jinja2.runtime import new_context

from .concurrency import iscoroutinefunction, on_loop, run_sync
from .globals import _active, _cv_app, _request_context
from .helpers import stream_with_context
from .signals import before_render_template, template_rendered

if t.TYPE_CHECKING:
    from .app import Flask
    from .scaffold import Scaffold

_Source = tuple[str, str | None, Callable[[], bool] | None]
_Names = str | Template | list[str | Template]


def _default_template_ctx_processor() -> dict[str, t.Any]:
    """The variables of every template: ``g``, and ``request`` if there is one."""
    ctx, of_request = _cv_app.get(None), _request_context()
    if ctx is None:
        return {}
    # COMPAT: `session` stays the proxy, which notes that the template looked at the session.
    return {"g": ctx.g, "request": of_request.request} if of_request else {"g": ctx.g}


class Environment(BaseEnvironment):
    """A Jinja environment that looks for templates where the app and its blueprints keep them."""

    def __init__(self, app: Flask, **options: t.Any) -> None:
        if "loader" not in options:
            options["loader"] = app.create_global_jinja_loader()
        super().__init__(**options)
        self.app = app


class DispatchingJinjaLoader(BaseLoader):
    """Asks the app's loader for a template, then the blueprints' in the order of registration."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def get_source(self, environment: BaseEnvironment, template: str) -> _Source:
        """The first source found; TemplateNotFound if nobody has it."""
        if self.app.config["EXPLAIN_TEMPLATE_LOADING"]:
            return self._get_source_explained(environment, template)
        return self._get_source_fast(environment, template)

    # COMPAT: loaders of extensions replace these three, `_iter_loaders` most of all.

    def _get_source_fast(self, environment: BaseEnvironment, template: str) -> _Source:
        for _, loader in self._iter_loaders(template):
            try:
                return loader.get_source(environment, template)
            except TemplateNotFound:
                continue
        raise TemplateNotFound(template)

    def _get_source_explained(self, environment: BaseEnvironment, template: str) -> _Source:
        attempts: list[tuple[BaseLoader, Scaffold, _Source | None]] = []
        for owner, loader in self._iter_loaders(template):
            try:
                attempts.append((loader, owner, loader.get_source(environment, template)))
            except TemplateNotFound:
                attempts.append((loader, owner, None))
        from .debughelpers import explain_template_loading_attempts

        explain_template_loading_attempts(self.app, template, attempts)
        for _, _, source in attempts:
            if source is not None:
                return source
        raise TemplateNotFound(template)

    def _iter_loaders(self, template: str) -> Iterator[tuple[Scaffold, BaseLoader]]:
        for owner in (self.app, *self.app.iter_blueprints()):
            loader = owner.jinja_loader
            if loader is not None:
                yield owner, loader

    def list_templates(self) -> list[str]:
        """Every name that can be loaded, each once."""
        loaders = (owner.jinja_loader for owner in (self.app, *self.app.iter_blueprints()))
        return list({name for each in loaders if each for name in each.list_templates()})


def _context_processors(app: Flask) -> Sequence[Callable[[], t.Any]]:
    """The app's context processors, then those of the request's blueprints, outermost first."""
    processors = app.template_context_processors
    found = processors.get(None, [])
    if len(processors) > 1 and (ctx := _request_context()) and (names := ctx.request.blueprints):
        found = [*found, *(func for name in names[::-1] for func in processors.get(name, ()))]
    return found


def _update_context(app: Flask, context: dict[str, t.Any]) -> None:
    """`Flask.update_template_context`: processors fill ``context``; what it held before wins."""
    given = context.copy()
    for processor in _context_processors(app):
        if iscoroutinefunction(processor):
            if on_loop():
                name = getattr(processor, "__qualname__", repr(processor))
                raise RuntimeError(_needs_await(f"the context processor {name}() is `async def`"))
            processor = app.ensure_sync(processor)
        context.update(processor())
    context.update(given)


async def _update_context_async(app: Flask, context: dict[str, t.Any]) -> None:
    """The same on the event loop, where ``async def`` processors are awaited."""
    update: Callable[[dict[str, t.Any]], t.Any] = app.update_template_context
    if update.__module__ != f"{__package__}.app":  # Replaced, by a function of either colour.
        await (update(context) if iscoroutinefunction(update) else run_sync(update, context))
        return
    given = context.copy()
    for processor in _context_processors(app):
        values = processor()
        context.update(await values if iscoroutinefunction(processor) else values)
    context.update(given)


def _needs_await(reason: str) -> str:
    return (
        f"A template was rendered by a plain call on the event loop, but {reason}: there, a plain"
        " call cannot wait for it. Instead of\n\n    return render_template(name, ...)\n\nwrite\n\n"
        "    return await render_template_async(name, ...)\n\n(or render_template_string_async), or"
        " make the view a plain `def`, which runs in a thread."
    )


def _send(signal: t.Any, app: Flask, template: Template, context: dict[str, t.Any]) -> None:
    if signal.receivers:
        signal.send(app, _async_wrapper=app.ensure_sync, template=template, context=context)


def _render(app: Flask, template: Template, context: dict[str, t.Any]) -> str:
    is_async = template.environment.is_async
    if is_async and on_loop():
        raise RuntimeError(_needs_await("the Jinja environment has enable_async=True"))
    app.update_template_context(context)
    _send(before_render_template, app, template, context)
    # Jinja's own render() would start a second loop, in which the app's clients are strangers.
    text: str = app.ensure_sync(template.render_async)(context) if is_async else (
        _text(template, context)
    )  # fmt: skip
    _send(template_rendered, app, template, context)
    return text


def _text(template: Template, context: dict[str, t.Any]) -> str:
    """`Template.render`, which would ask a chain of dicts for every global, one by one."""
    layers, kind = getattr(template.globals, "maps", None), type(template)
    if layers is None or kind.render is not Template.render or (
        kind.new_context is not Template.new_context
    ):  # fmt: skip
        return template.render(context)
    known: dict[str, t.Any] = {}
    for layer in reversed(layers):
        known.update(layer)
    environment, blocks = template.environment, template.blocks
    names = {**known, **context}
    made = new_context(environment, template.name, blocks, names, True, known)
    try:
        return environment.concat(template.root_render_func(made))
    except Exception:
        environment.handle_exception()


async def _render_async(app: Flask, template: Template, context: dict[str, t.Any]) -> str:
    await _update_context_async(app, context)
    _send(before_render_template, app, template, context)
    is_async = template.environment.is_async
    text = await template.render_async(context) if is_async else _text(template, context)
    _send(template_rendered, app, template, context)
    return text


def _stream(app: Flask, template: Template, context: dict[str, t.Any]) -> Iterator[str]:
    app.update_template_context(context)
    _send(before_render_template, app, template, context)

    def generate() -> Iterator[str]:
        if template.environment.is_async:
            yield app.ensure_sync(template.render_async)(context)
        else:
            yield from template.generate(context)
        _send(template_rendered, app, template, context)

    async def generate_async() -> AsyncIterator[str]:
        async for piece in template.generate_async(context):
            yield piece
        _send(template_rendered, app, template, context)

    awaits = template.environment.is_async and on_loop()
    stream = t.cast("Iterator[str]", generate_async() if awaits else generate())
    return stream_with_context(stream) if _request_context() else stream


def _select(names: _Names) -> tuple[Flask, Template]:
    app = _active().app
    return app, app.jinja_env.get_or_select_template(names)


def _compile(source: str) -> tuple[Flask, Template]:
    app = _active().app
    return app, app.jinja_env.from_string(source)


def render_template(template_name_or_list: _Names, **context: t.Any) -> str:
    """Render a template with these variables and those of the context processors.

    The first name of a list that exists is taken; jinja2.TemplateNotFound if none does.
    https://flask.palletsprojects.com/en/stable/api/#flask.render_template
    """
    return _render(*_select(template_name_or_list), context)


def render_template_string(source: str, **context: t.Any) -> str:
    """Render a template whose source is given, autoescaped, as :func:`render_template` does."""
    return _render(*_compile(source), context)


async def render_template_async(template_name_or_list: _Names, **context: t.Any) -> str:
    """As :func:`render_template`; awaits ``async def`` context processors, filters and calls."""
    return await _render_async(*_select(template_name_or_list), context)


async def render_template_string_async(source: str, **context: t.Any) -> str:
    """As :func:`render_template_string`; awaits as :func:`render_template_async` does."""
    return await _render_async(*_compile(source), context)


def stream_template(template_name_or_list: _Names, **context: t.Any) -> Iterator[str]:
    """Render piece by piece, for a view to return; the request stays active meanwhile.

    On the event loop with ``enable_async=True`` the iterator is an asynchronous one.
    https://flask.palletsprojects.com/en/stable/api/#flask.stream_template
    """
    return _stream(*_select(template_name_or_list), context)


def stream_template_string(source: str, **context: t.Any) -> Iterator[str]:
    """Render a template whose source is given, as :func:`stream_template` does."""
    return _stream(*_compile(source), context)
