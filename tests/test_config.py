"""The configuration loads itself from files, objects and the environment."""

from __future__ import annotations

import json
import tomllib
import typing as t
from pathlib import Path

import pytest

import aioflask
from aioflask import Config, Flask
from aioflask.config import ConfigAttribute

# Loaded by the tests from this very module.
TEST_KEY = "foo"
SECRET_KEY = "config"
lower_key = "not a setting"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


LOADED = {"TEST_KEY": "foo", "SECRET_KEY": "config"}


def test_a_python_file_gives_its_names_in_capitals(config: Config, tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("A = 1\nb = 2\nB2 = __file__\n")
    assert config.from_pyfile("settings.py") is True
    assert config == {"A": 1, "B2": str(tmp_path / "settings.py")}


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-15", "latin-1"])
def test_a_python_file_may_declare_its_encoding(
    config: Config, tmp_path: Path, encoding: str
) -> None:
    source = f'# -*- coding: {encoding} -*-\nVALUE = "föö"\n'
    (tmp_path / "settings.py").write_text(source, encoding)
    config.from_pyfile(tmp_path / "settings.py")
    assert config["VALUE"] == "föö"


def test_an_object_or_its_import_name_gives_its_attributes_in_capitals(config: Config) -> None:
    class Base:
        TEST_KEY = "foo"

    class Settings(Base):
        SECRET_KEY = "config"
        lower_key = 1

    config.from_object(Settings)
    assert config == LOADED
    config.from_object("http.HTTPStatus")
    assert config["OK"] == 200


def test_the_application_takes_its_attributes_from_the_configuration() -> None:
    app = Flask(__name__)
    app.config.from_object(aioflask.signals)
    app.config.from_mapping(LOADED, PERMANENT_SESSION_LIFETIME=42)
    assert app.secret_key == "config"
    assert app.permanent_session_lifetime.seconds == 42
    app.secret_key = "other"
    assert app.config["SECRET_KEY"] == "other"


def test_a_subclass_is_used_by_the_application() -> None:
    class Strict(Config):
        pass

    class App(Flask):
        config_class = Strict

    assert isinstance(App(__name__).config, Strict)


def test_a_file_of_any_format_is_read_by_a_function(config: Config, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"TEST_KEY": "foo", "lower": 1}')
    (tmp_path / "a.toml").write_text('SECRET_KEY = "config"')
    assert config.from_file("a.json", json.load)
    assert config.from_file("a.toml", tomllib.load, text=False)
    assert config == LOADED


def test_a_mapping_pairs_or_keywords_give_their_keys_in_capitals(config: Config) -> None:
    pairs: t.Any = [("A", 1), ("b", 2)]
    assert config.from_mapping({"A": 0, "b": 1}, B=3, c=4)
    assert config == {"A": 0, "B": 3}
    config.from_mapping(pairs)
    assert config == {"A": 1, "B": 3}


def test_loaders_go_through_a_subclass_own_setter(tmp_path: Path) -> None:
    class Recording(Config):
        seen: t.ClassVar[list[str]] = []

        def __setitem__(self, key: str, value: t.Any) -> None:
            self.seen.append(key)
            super().__setitem__(key, value)

    Recording(tmp_path).from_mapping(A=1)
    assert Recording.seen == ["A"]


@pytest.mark.parametrize("loader", ["from_pyfile", "from_file"])
def test_a_missing_file_is_an_error_unless_silenced(config: Config, loader: str) -> None:
    load: t.Any = getattr(config, loader)
    more = {"load": json.load} if loader == "from_file" else {}
    with pytest.raises(FileNotFoundError) as e:
        load("missing.cfg", **more)
    message = str(e.value)
    assert message.startswith(
        "[Errno 2] Unable to load configuration file (No such file or directory):"
    )
    assert message.endswith("missing.cfg'")
    assert load("missing.cfg", silent=True, **more) is False


def test_an_error_of_the_file_itself_is_never_silenced(config: Config, tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("open('nowhere/at/all')")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        config.from_pyfile("settings.py", silent=True)


def test_a_variable_may_name_the_file(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match=r"'FOO_SETTINGS' is not set.*export FOO_SETTINGS="):
        config.from_envvar("FOO_SETTINGS")
    assert config.from_envvar("FOO_SETTINGS", silent=True) is False
    monkeypatch.setenv("FOO_SETTINGS", "missing.cfg")
    assert config.from_envvar("FOO_SETTINGS", silent=True) is False
    with pytest.raises(FileNotFoundError, match="Unable to load"):
        config.from_envvar("FOO_SETTINGS")
    (tmp_path / "missing.cfg").write_text("A = 1")
    assert config.from_envvar("FOO_SETTINGS")
    assert config == {"A": 1}


def test_variables_with_the_prefix_are_read_as_json_or_text(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "SHOP_STRING": "value",
        "SHOP_BOOL": "true",
        "SHOP_FLOAT": "1.2",
        "SHOP_DICT": '{"k": "v"}',
        "NOT_SHOP_OTHER": "other",
        "FLASK_A": "1",
    }.items():
        monkeypatch.setenv(name, text)
    assert config.from_prefixed_env("SHOP")
    assert config == {"STRING": "value", "BOOL": True, "FLOAT": 1.2, "DICT": {"k": "v"}}
    config.from_prefixed_env(loads=lambda text: text + "!")
    assert config["A"] == "1!"


def test_a_double_underscore_steps_into_a_dict(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_EXIST__ok", "other")
    monkeypatch.setenv("FLASK_EXIST__inner__ik", "2")
    monkeypatch.setenv("FLASK_EXIST__new__more", '{"k": false}')
    monkeypatch.setenv("FLASK_NEW__K", "v")
    config["EXIST"] = {"ok": "value", "flag": True, "inner": {"ik": 1}}
    config.from_prefixed_env()
    assert config["EXIST"] == {
        "ok": "other",
        "flag": True,
        "inner": {"ik": 2},
        "new": {"more": {"k": False}},
    }
    assert config["NEW"] == {"K": "v"}


def test_a_step_into_something_else_names_the_variable(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_A", "1")
    monkeypatch.setenv("FLASK_A__B", "2")
    with pytest.raises(TypeError, match=r"'FLASK_A__B' sets a key inside 'A'.* but 1\."):
        config.from_prefixed_env()


class Folded(Config):
    """A configuration that does not tell apart capitals and small letters."""

    def __setitem__(self, key: str, value: t.Any) -> None:
        super().__setitem__(key.upper(), value)

    def __getitem__(self, key: str) -> t.Any:
        return super().__getitem__(key.upper())

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key).upper())


class Section:
    """Neither a dict nor registered as a mapping, but used like one."""

    def __init__(self) -> None:
        self.values: dict[str, t.Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> t.Any:
        return self.values[key]

    def __setitem__(self, key: str, value: t.Any) -> None:
        self.values[key] = value


def test_variables_go_through_the_methods_of_a_subclass_and_of_what_they_step_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLASK_plain", "FLASK_mail__PORT", "FLASK_Mail__HOST", "FLASK_SECTION__a__b"):
        monkeypatch.setenv(name, "1")
    config, section = Folded(tmp_path), Section()
    config["SECTION"] = section
    config.from_prefixed_env()
    assert dict(config) == {"SECTION": section, "PLAIN": 1, "MAIL": {"PORT": 1, "HOST": 1}}
    assert section.values == {"a": {"b": 1}}


def test_a_namespace_becomes_keywords(config: Config) -> None:
    config.update(FOO_OPTION_1="a", FOO_OPTION_2="b", BAR_STUFF="c")
    assert config.get_namespace("FOO_") == {"option_1": "a", "option_2": "b"}
    assert config.get_namespace("BAR_", lowercase=False) == {"STUFF": "c"}
    assert config.get_namespace("BAR_", trim_namespace=False) == {"bar_stuff": "c"}


def test_an_attribute_converts_what_it_reads() -> None:
    class App(Flask):
        retries = ConfigAttribute[int]("RETRIES", get_converter=int)

    app = App(__name__)
    app.config["RETRIES"] = "3"
    assert app.retries == 3
    assert isinstance(App.__dict__["retries"], ConfigAttribute)
    assert App.retries is App.__dict__["retries"]


def test_the_text_form_names_the_class(config: Config) -> None:
    config["A"] = 1
    assert repr(config) == "<Config {'A': 1}>"
