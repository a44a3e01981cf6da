"""The command ``aioflask``, and the groups that commands of an app belong to.

Flask's command line with its names, options and ``FLASK_`` environment variables; ``run`` serves
with uvicorn, and a command may be an ``async def`` function. Loaded when a command is defined or
run, never by ``import aioflask``.

https://flask.palletsprojects.com/en/stable/cli/
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import sys
import traceback
import typing as t
from collections.abc import Callable
from functools import partial, update_wrapper

import click
from click.core import ParameterSource
from werkzeug.utils import import_string

from . import reloader, serving
from .app import Flask
from .concurrency import async_to_sync
from .globals import current_app
from .helpers import get_debug_flag, get_load_dotenv

# isort: off
from .finder import (  # COMPAT: Flask has them here.
    NoAppException as NoAppException, find_app_by_string as find_app_by_string, split_app_path,
    find_best_app as find_best_app, locate_app as locate_app, prepare_import as prepare_import,
)  # fmt: skip
# isort: on

if t.TYPE_CHECKING:
    import ssl

    from werkzeug.routing import Rule

    Certificate: t.TypeAlias = ssl.SSLContext | tuple[str, str] | t.Literal["adhoc"]

P = t.ParamSpec("P")
T = t.TypeVar("T")
F = t.TypeVar("F", bound=Callable[..., t.Any])


# --- which app -------------------------------------------------------------------------------


class ScriptInfo:
    """What a command line says about the app, and the app once it is loaded.

    It is ``ctx.obj`` of every command. ``app_import_path`` is what ``--app`` was given;
    ``create_app``, a callable without arguments, makes the app instead of finding it; ``data`` is
    a dict for commands of one's own.
    https://flask.palletsprojects.com/en/stable/api/#flask.cli.ScriptInfo
    """

    def __init__(
        self, app_import_path: str | None = None, create_app: Callable[..., Flask] | None = None,
        set_debug_flag: bool = True, load_dotenv_defaults: bool = True,
    ) -> None:  # fmt: skip
        self.app_import_path = app_import_path
        self.create_app = create_app
        self.data: dict[t.Any, t.Any] = {}
        self.set_debug_flag = set_debug_flag
        self.load_dotenv_defaults: bool = get_load_dotenv(load_dotenv_defaults)
        self._loaded_app: Flask | None = None

    def load_app(self) -> Flask:
        """The app, loaded at the first call. Raises :class:`NoAppException` if there is none."""
        if self._loaded_app is None:
            app = self._find_app()
            if self.set_debug_flag:
                app.debug = get_debug_flag()
            self._loaded_app = app
        return self._loaded_app

    def _find_app(self) -> Flask:
        if self.create_app is not None:
            app = self.create_app()
            if app is None:
                raise NoAppException("create_app() returned None. Did it forget to return the app?")
            return app
        if self.app_import_path:
            path, name = split_app_path(self.app_import_path)
            return locate_app(prepare_import(path), name)
        for path in ("wsgi.py", "app.py"):
            found = locate_app(prepare_import(path), None, raise_if_not_found=False)
            if found is not None:
                return found
        raise NoAppException(
            "No application was given and there is no 'wsgi.py' or 'app.py' in"
            f" '{os.getcwd()}'. Name one before the command, 'aioflask --app module:name run', or"
            " in the environment variable FLASK_APP."
        )


def pass_script_info(f: Callable[t.Concatenate[ScriptInfo, P], T]) -> Callable[P, T]:
    """Give the decorated command the :class:`ScriptInfo` as its first argument."""
    return click.make_pass_decorator(ScriptInfo, ensure=True)(f)


def create_app_from_environment() -> Flask:
    """The app that ``FLASK_APP`` names, found as ``aioflask run`` does.

    What every worker process starts from; any ASGI server can do the same:
    ``uvicorn --factory aioflask.cli:create_app_from_environment``.
    """
    os.environ["FLASK_RUN_FROM_CLI"] = "true"  # Makes app.run() in the module do nothing.
    try:
        return ScriptInfo(os.environ.get("FLASK_APP")).load_app()
    except NoAppException as error:
        raise SystemExit(f"Error: {error.format_message()}") from error


# --- commands in an app's context ------------------------------------------------------------


def _outcome(ctx: click.Context, value: t.Any) -> t.Any:
    """What a command gave; a coroutine is run to its end on the event loop meanwhile."""
    if not inspect.iscoroutine(value):
        return value

    async def run() -> t.Any:
        # click keeps its context per thread, and a coroutine runs on the loop's.
        with ctx.scope(cleanup=False):
            return await value

    # An app that overrides ensure_sync decides how its coroutines are run.
    return current_app.ensure_sync(run)() if current_app else async_to_sync(run)()


def with_appcontext(f: F) -> F:
    """Run a command, plain or ``async def``, in the context of the app that the line names.

    Commands of ``app.cli``, ``blueprint.cli`` and any :class:`AppGroup` have it already. ::

        @click.command()
        @with_appcontext
        async def rebuild(): ...
    """

    return _command(f, in_context=True)


def _command(f: F, in_context: bool) -> F:
    @click.pass_context
    def command(ctx: click.Context, /, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if in_context and not current_app:
            ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
        return _outcome(ctx, ctx.invoke(f, *args, **kwargs))

    return t.cast(F, update_wrapper(command, f))


class _Awaiting(click.Command):
    """Stands behind `click.Group`, which hands on the function that it was made of."""

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        if kwargs.get("callback") is not None:
            kwargs["callback"] = _command(kwargs["callback"], in_context=False)
        super().__init__(*args, **kwargs)


class AppGroup(click.Group, _Awaiting):
    """A click group whose commands run in the app's context and may be ``async def``.

    Its own function may be ``async def`` as well.
    https://flask.palletsprojects.com/en/stable/api/#flask.cli.AppGroup
    """

    def command(  # type: ignore[override]
        self, *args: t.Any, **kwargs: t.Any
    ) -> Callable[[Callable[..., t.Any]], click.Command]:
        """As `click.Group.command`; ``with_appcontext=False`` leaves the app's context out."""
        in_context = kwargs.pop("with_appcontext", True)

        def decorator(f: Callable[..., t.Any]) -> click.Command:
            make = super(AppGroup, self).command(*args, **kwargs)
            return t.cast(click.Command, make(_command(f, in_context)))

        return decorator

    def group(  # type: ignore[override]
        self, *args: t.Any, **kwargs: t.Any
    ) -> Callable[[Callable[..., t.Any]], click.Group]:
        """As `click.Group.group`, with AppGroup as its class."""
        kwargs.setdefault("cls", AppGroup)
        return t.cast(Callable[[Callable[..., t.Any]], click.Group], super().group(*args, **kwargs))


# --- options of every command line -----------------------------------------------------------


def get_version(ctx: click.Context, param: click.Parameter, value: t.Any) -> None:
    """Print the versions that a bug report needs, and end."""
    if not value or ctx.resilient_parsing:
        return
    lines = [f"Python {platform.python_version()}"]
    lines += [f"{name} {_installed(name)}" for name in ("aioflask", "Werkzeug", "uvicorn")]
    flask = _installed("Flask")
    if flask:
        # Extensions read this number and think they run on it.
        lines.append(f"Flask {flask} (installed beside, not used)")
    click.echo("\n".join(lines), color=ctx.color)
    ctx.exit()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None if name == "Flask" else "(not installed as a distribution)"


_before_all_else = partial(click.Option, is_eager=True, expose_value=False)
version_option: click.Option = _before_all_else(
    ["--version"], help="Show the versions of Python, aioflask and its parts.",
    callback=get_version, is_flag=True,
)  # fmt: skip


def _set_app(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        ctx.ensure_object(ScriptInfo).app_import_path = value
    return value


# Eager, and before --help in the list: the help text lists the commands of the app.
_app_option = _before_all_else(
    ["-A", "--app"], metavar="IMPORT", callback=_set_app,
    help=(
        "The application: 'module', 'folder/file.py', 'module:name' or 'module:factory(args)'."
        " A module alone is searched for 'app', 'application', 'create_app' and 'make_app'."
    ),
)  # fmt: skip


def _take_flasks_place(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        try:
            from . import as_flask  # noqa: F401
        except RuntimeError as error:
            raise click.UsageError(str(error), ctx) from None


# COMPAT: extensions import Flask. Before --app, and of `run` too, where one looks for it.
_as_flask_option = _before_all_else(
    ["--as-flask"], is_flag=True, envvar="AIOFLASK_AS_FLASK", callback=_take_flasks_place,
    help="Put aioflask in Flask's place, so that Flask's extensions run on it.",
)  # fmt: skip


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> bool | None:
    source = ctx.get_parameter_source(param.name or "")
    # An option that nobody gave must not hide FLASK_DEBUG.
    if source in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP):
        return None
    # The environment, since a factory or a worker process asks for it before there is an app.
    os.environ["FLASK_DEBUG"] = "1" if value else "0"
    return value


_debug_option = click.Option(
    ["--debug/--no-debug"], help="Turn debug mode on or off.",
    expose_value=False, callback=_set_debug,
)  # fmt: skip


def _load_env_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        import dotenv  # noqa: F401
    except ImportError:
        if value is not None:
            raise click.BadParameter(
                "python-dotenv is needed to read an env file: pip install python-dotenv", ctx, param
            ) from None
    defaults = ctx.ensure_object(ScriptInfo).load_dotenv_defaults
    if value is not None or defaults:
        load_dotenv(value, load_defaults=defaults)
    return value


_env_file_option = _before_all_else(
    ["-e", "--env-file"], type=click.Path(exists=True, dir_okay=False), callback=_load_env_file,
    help=(
        "Set environment variables from this file. It goes before '.env' and '.flaskenv', and"
        " what is set already goes before all of them. Needs python-dotenv."
    ),
)  # fmt: skip


def load_dotenv(path: str | os.PathLike[str] | None = None, load_defaults: bool = True) -> bool:
    """Set environment variables from ``path``, ``.env`` and ``.flaskenv``, the earlier ones first.

    Variables that are set stay as they are. Gives whether any file had something; without
    python-dotenv nothing is read, and a line on stderr says so if there was something to read.
    https://flask.palletsprojects.com/en/stable/api/#flask.cli.load_dotenv
    """
    try:
        import dotenv
    except ImportError:
        if path or os.path.isfile(".env") or os.path.isfile(".flaskenv"):
            click.secho(
                " * There are .env files here that are not read: pip install python-dotenv",
                fg="yellow",
                err=True,
            )
        return False

    files: list[str | os.PathLike[str]] = []
    if load_defaults:
        found = (dotenv.find_dotenv(name, usecwd=True) for name in (".flaskenv", ".env"))
        files += [name for name in found if name]
    if path is not None and os.path.isfile(path):
        files.append(path)
    values: dict[str, str | None] = {}
    for file in files:
        values |= dotenv.dotenv_values(file, encoding="utf-8")
    for key, value in values.items():
        if value is not None:
            os.environ.setdefault(key, value)
    return bool(values)


class FlaskGroup(AppGroup):
    """The group of a whole command line: its own commands, plugins' and the app's.

    ``create_app`` makes the app instead of ``--app``; ``add_default_commands`` adds run, shell and
    routes; ``load_dotenv`` reads .env files; ``set_debug_flag`` lets FLASK_DEBUG set ``app.debug``.
    Plugins are entry points of the group ``aioflask.commands``, and of ``flask.commands`` once
    aioflask stands in Flask's place.
    https://flask.palletsprojects.com/en/stable/api/#flask.cli.FlaskGroup
    """

    def __init__(
        self, add_default_commands: bool = True, create_app: Callable[..., Flask] | None = None,
        add_version_option: bool = True, load_dotenv: bool = True, set_debug_flag: bool = True,
        **extra: t.Any,
    ) -> None:  # fmt: skip
        params: list[click.Parameter] = list(extra.pop("params", None) or ())
        # Options with callbacks, so that a group function of one's own loses none of it. The env
        # file is first: it may say FLASK_APP.
        params += [_env_file_option, _as_flask_option, _app_option, _debug_option]
        if add_version_option:
            params.append(version_option)
        settings = extra.setdefault("context_settings", {})
        settings.setdefault("auto_envvar_prefix", "FLASK")
        super().__init__(params=params, **extra)
        self.create_app = create_app
        self.load_dotenv = load_dotenv
        self.set_debug_flag = set_debug_flag
        if add_default_commands:
            for command in (run_command, shell_command, routes_command, openapi_command):
                self.add_command(command)
        self._plugin_groups = ["aioflask.commands", "flask.commands"]

    def _load_plugin_commands(self) -> None:
        for group in self._plugin_groups[:]:
            # Flask's plugins import Flask, and would bring in the real one, whose app is not ours.
            if group == "flask.commands" and "aioflask.as_flask" not in sys.modules:
                continue
            self._plugin_groups.remove(group)
            for entry in importlib.metadata.entry_points(group=group):
                try:
                    self.add_command(entry.load(), entry.name)
                except Exception as error:  # One plugin must not take all commands away.
                    text = f"Command '{entry.name}' ({entry.value}) is left out: {error!r}"
                    click.secho(f"Warning: {text}", err=True, fg="yellow")

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """A command of ours, of a plugin or of the app; the app is loaded only for its own."""
        self._load_plugin_commands()
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        try:
            app = ctx.ensure_object(ScriptInfo).load_app()
        except Exception as error:
            if ctx.resilient_parsing:  # A shell completes the line: nobody wants to read it there.
                return None
            if not isinstance(error, NoAppException):
                raise
            if not self._is_flasks(ctx, name):
                _show_error(error.format_message())
            return None
        self._load_plugin_commands()  # The app's module may have put us in Flask's place.
        # Parameter callbacks of the app's commands may want current_app.
        if not current_app or current_app._get_current_object() is not app:  # type: ignore[attr-defined]
            ctx.with_resource(app.app_context())
        command = super().get_command(ctx, name) or app.cli.get_command(ctx, name)
        if command is None:
            self._is_flasks(ctx, name)
        return command

    def _is_flasks(self, ctx: click.Context, name: str) -> bool:
        """Say of a plugin's command that is for Flask how it is reached; else False."""
        for group in () if ctx.resilient_parsing else self._plugin_groups:
            if importlib.metadata.entry_points(group=group, name=name):
                raise click.UsageError(
                    f"The command '{name}' is of an extension of Flask's, and aioflask does not"
                    f" stand in Flask's place. Write '{ctx.info_name} --as-flask {name}', set"
                    " AIOFLASK_AS_FLASK=1, or begin the app's module with"
                    " 'import aioflask.as_flask'."
                )
        return False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands; an app that fails to load is shown and left out."""
        names: set[str] = set()
        try:
            names.update(ctx.ensure_object(ScriptInfo).load_app().cli.list_commands(ctx))
        except Exception as error:
            if not ctx.resilient_parsing:
                _show_error(_told(error))
        self._load_plugin_commands()  # The app's module may have put us in Flask's place.
        return sorted(names.union(super().list_commands(ctx)))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None,
        **extra: t.Any,
    ) -> click.Context:  # fmt: skip
        """As `click.Command.make_context`, with a :class:`ScriptInfo` as ``ctx.obj``."""
        # A module that calls app.run() when it is imported would block the command.
        os.environ["FLASK_RUN_FROM_CLI"] = "true"
        if "obj" not in extra and "obj" not in self.context_settings:
            extra["obj"] = ScriptInfo(
                create_app=self.create_app,
                set_debug_flag=self.set_debug_flag,
                load_dotenv_defaults=self.load_dotenv,
            )
        return super().make_context(info_name, args, parent=parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As `click.Group.parse_args`; a help page knows the app of the environment too."""
        bare = not args and self.no_args_is_help
        if bare or (len(args) == 1 and args[0] in self.get_help_option_names(ctx)):
            _env_file_option.handle_parse_result(ctx, {}, [])
            _as_flask_option.handle_parse_result(ctx, {}, [])
            _app_option.handle_parse_result(ctx, {}, [])
        return super().parse_args(ctx, args)


def _told(error: Exception) -> str:
    """Why there is no app: the message that says what to do, or the traceback of another error."""
    message = error.format_message() if isinstance(error, NoAppException) else ""
    return message or traceback.format_exc()


def _show_error(text: str) -> None:
    click.secho(f"Error: {text}\n", err=True, fg="red")


# --- run -------------------------------------------------------------------------------------


def show_server_banner(debug: bool, app_import_path: str | None) -> None:
    """Say once what is being served; a restart after a change says nothing."""
    if reloader.in_child():
        return
    if app_import_path is not None:
        click.echo(f" * Serving aioflask app '{app_import_path}'")
    if debug is not None:
        click.echo(f" * Debug mode: {'on' if debug else 'off'}")


if t.TYPE_CHECKING:
    _ParamType = click.ParamType[t.Any]
else:
    _ParamType = click.ParamType  # Older versions of click have no generic one.


class CertParamType(_ParamType):
    """The type of ``--cert``: a file, the word 'adhoc', or the import of an SSLContext."""

    name = "path"

    def __init__(self) -> None:
        self.path_type: click.Path = click.Path(exists=True, dir_okay=False, resolve_path=True)

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> t.Any:
        try:
            import ssl
        except ImportError:
            raise click.BadParameter(
                'This Python was built without SSL, which "--cert" needs.', ctx, param
            ) from None
        try:
            return self.path_type(value, param, ctx)
        except click.BadParameter:
            name = click.STRING(value, param, ctx).lower()
            if name == "adhoc":
                return self._adhoc(name, param, ctx)
            context = import_string(name, silent=True)
            if isinstance(context, ssl.SSLContext):
                return context
            raise

    def _adhoc(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            import cryptography  # noqa: F401
        except ImportError:
            raise click.BadParameter(
                "An ad-hoc certificate needs the cryptography package: pip install cryptography",
                ctx,
                param,
            ) from None
        return value


def _validate_key(ctx: click.Context, param: click.Parameter, value: t.Any) -> t.Any:
    """Join ``--cert`` and ``--key`` into a pair; a file needs a key, nothing else takes one."""
    cert = ctx.params.get("cert")
    if cert is None or (isinstance(cert, str) and cert != "adhoc"):
        if value is None and cert is None:
            return None
        if value is None:
            raise click.BadParameter('Required with a certificate file in "--cert".', ctx, param)
        if cert is None:
            raise click.BadParameter('Give the certificate too, with "--cert".', ctx, param)
        ctx.params["cert"] = cert, value
    elif value is not None:
        kind = '"adhoc"' if cert == "adhoc" else "an SSLContext"
        raise click.BadParameter(f'Not used when "--cert" is {kind}: leave it out.', ctx, param)
    return value


class SeparatedPathType(click.Path):
    """A list of paths, separated as in PATH: by ``:``, on Windows by ``;``."""

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> t.Any:
        convert = partial(super().convert, param=param, ctx=ctx)
        return [convert(item) for item in self.split_envvar_value(value)]


_paths_help = f"Several are separated by {os.pathsep!r}."


@click.command("run", short_help="Serve the app while you develop it.")
@click.option("--host", "-h", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", "-p", default=5000, help="The port to listen on; 0 takes a free one.")
@click.option(
    "--cert",
    type=CertParamType(),
    help="Serve HTTPS with this certificate file, or with 'adhoc' for one made up now.",
    is_eager=True,
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    callback=_validate_key,
    expose_value=False,
    help="The file with the key of the certificate.",
)
@click.option(
    "--reload/--no-reload", default=None, help="Start again when a file changes. On in debug mode."
)
@click.option(
    "--debugger/--no-debugger",
    default=None,
    help="Answer an exception with the debugger in the browser. On in debug mode.",
)
@click.option(
    "--workers", "-w", type=click.IntRange(1), default=1, help="How many processes serve."
)
@click.option(
    "--with-threads/--without-threads",
    default=True,
    help="Kept for Flask's sake: requests are always served side by side.",
)
@click.option(
    "--extra-files",
    type=SeparatedPathType(),
    help=f"More files whose change starts it again. {_paths_help}",
)
@click.option(
    "--exclude-patterns",
    type=SeparatedPathType(),
    help=f"Patterns of files whose change does not. {_paths_help}",
)
@pass_script_info
def run_command(
    info: ScriptInfo, host: str, port: int, reload: bool | None, debugger: bool | None,
    workers: int, with_threads: bool, cert: Certificate | None, extra_files: list[str] | None,
    exclude_patterns: list[str] | None,
) -> None:  # fmt: skip
    """Serve the app with uvicorn while you develop it.

    In debug mode ('--debug') it starts again after every change. For production give the app to
    uvicorn itself.
    """
    debug = get_debug_flag()
    _check_run(info, reload, workers, with_threads)
    reload = (debug and workers == 1) if reload is None else reload
    load = _loader(info, eager=not reload, workers=workers)
    show_server_banner(debug, info.app_import_path)
    serving.serve(
        load, host, port, use_reloader=reload, workers=workers, ssl_context=cert,
        use_debugger=debug if debugger is None else debugger,
        extra_files=extra_files, exclude_patterns=exclude_patterns,
    )  # fmt: skip


run_command.params[:0] = [_as_flask_option, _debug_option]


def _check_run(info: ScriptInfo, reload: bool | None, workers: int, with_threads: bool) -> None:
    """Refuse options that contradict each other or cannot be followed."""
    if not with_threads:
        raise click.UsageError(
            "--without-threads cannot be followed: requests are always served side by side, async"
            " views on the event loop, plain views on worker threads. Leave it out."
        )
    if workers > 1 and reload:
        raise click.UsageError("--reload watches one process. Leave out --workers, or --reload.")
    if workers > 1 and info.create_app is not None:
        raise click.UsageError(
            "--workers needs an app that every process can import by name, and this command line"
            " was given a create_app function. Use 'aioflask --app module:factory run --workers N'."
        )


def _loader(info: ScriptInfo, eager: bool, workers: int) -> Callable[[], t.Any]:
    """How the server gets the app: now, in the reloader's child, or in each worker."""
    if eager:
        info.load_app()  # An error in it is shown now, before anything listens.
    elif info.app_import_path:
        prepare_import(split_app_path(info.app_import_path)[0])  # Its folder is watched then.
    if workers == 1:
        return partial(_load_or_report, info)
    if info.app_import_path:
        os.environ["FLASK_APP"] = info.app_import_path
    return lambda: f"{__name__}:{create_app_from_environment.__name__}"


def _load_or_report(info: ScriptInfo) -> t.Any:
    """The app; after a change that broke it, one that answers with the error until the next."""
    try:
        return info.load_app()
    except Exception as error:
        if not reloader.is_restart():
            raise
        text = _told(error)
        _show_error(text)
        return reloader.broken_app(text)


@click.command("shell", short_help="Open Python with the app at hand.")
@with_appcontext
def shell_command() -> None:
    """Start an interactive Python with the app's context and its shell's names."""
    import code

    names: dict[str, t.Any] = {}
    startup = os.environ.get("PYTHONSTARTUP")
    if startup and os.path.isfile(startup):
        with open(startup, encoding="utf-8") as file:
            exec(compile(file.read(), startup, "exec"), names)
    names.update(current_app.make_shell_context())

    # Set by site.py: history, and completion of __main__'s names, where ours are wanted.
    hook = getattr(sys, "__interactivehook__", None)
    if hook is not None:
        try:
            import readline
            from rlcompleter import Completer
        except ImportError:
            pass
        else:
            readline.set_completer(Completer(names).complete)
        hook()

    banner = (
        f"Python {sys.version} on {sys.platform}\n"
        f"App: {current_app.import_name}\n"
        f"Instance: {current_app.instance_path}"
    )
    code.interact(banner=banner, local=names)


def _methods(rule: Rule, hidden: set[str]) -> str:
    return "WebSocket" if rule.websocket else ", ".join(sorted((rule.methods or set()) - hidden))


@click.command("routes", short_help="List what the app answers to.")
@click.option(
    "--sort",
    "-s",
    type=click.Choice(("endpoint", "methods", "domain", "rule", "match")),
    default="endpoint",
    help="The column to sort by; 'match' is the order in which routes are tried.",
)
@click.option("--all-methods", is_flag=True, help="Show HEAD and OPTIONS too.")
@with_appcontext
def routes_command(sort: str, all_methods: bool) -> None:
    """List the routes of the app with their endpoints and methods."""
    rules = list(current_app.url_map.iter_rules())
    if not rules:
        click.echo("No routes were registered.")
        return
    hidden = set() if all_methods else {"HEAD", "OPTIONS"}
    columns = {
        "endpoint": ("Endpoint", [str(rule.endpoint) for rule in rules]),
        "methods": ("Methods", [_methods(rule, hidden) for rule in rules]),
    }
    by_host = current_app.url_map.host_matching
    domains = [(rule.host if by_host else rule.subdomain) or "" for rule in rules]
    if any(domains):
        columns["domain"] = ("Host" if by_host else "Subdomain", domains)
    columns["rule"] = ("Rule", [rule.rule for rule in rules])

    rows = list(zip(*(values for _, values in columns.values()), strict=True))
    if sort in columns:
        rows.sort(key=lambda row: row[list(columns).index(sort)])
    titles = [title for title, _ in columns.values()]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, ["-" * width for width in widths], *rows):
        click.echo("  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)))


@click.command("openapi")
@with_appcontext
def openapi_command() -> None:
    """Print the app's OpenAPI document."""
    from .typed import openapi

    openapi.print_document()


cli: FlaskGroup = FlaskGroup(
    name="aioflask",
    help="""\
Run, inspect and extend an aioflask application.

The application is named with '--app' or the environment variable FLASK_APP;
otherwise it is looked for in 'wsgi.py' and 'app.py' in the current directory.""",
)


def main() -> None:
    """Run the command line ``aioflask``."""
    cli.main()
