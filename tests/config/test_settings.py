"""Settings that lie in `.env` count as those of the environment do, PRODUCTION too."""

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.checks import check_settings
from config.environment import Environment
from knowledge.checks import check_embedding_model

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("PRODUCTION", "SECRET_KEY", "INTERNAL_API_SECRET", "SESSION_COOKIE_SECURE")
GIVEN = "SECRET_KEY=" + "k" * 60 + "\nINTERNAL_API_SECRET=" + "s" * 40 + "\n"


def settings_of(env_file: Path, shown: tuple[str, ...] = SHOWN, **environment: str) -> dict[str, Any]:
    """What the product makes of an `.env`, started with nothing else in its environment; {} if it does not start."""
    bare = {"PATH": os.environ["PATH"], "ENV_FILE": str(env_file), "DATA_DIR": str(env_file.parent / "var")}
    code = (
        "import json\nfrom django.conf import settings\n"
        f"print(json.dumps({{name: getattr(settings, name) for name in {shown}}}))"
    )
    environment = {**bare, "DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def test_production_may_be_said_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"PRODUCTION=1\n{GIVEN}")
    assert settings_of(file) == {
        "PRODUCTION": True,
        "SECRET_KEY": "k" * 60,
        "INTERNAL_API_SECRET": "s" * 40,
        "SESSION_COOKIE_SECURE": True,
    }
    assert file.read_text() == f"PRODUCTION=1\n{GIVEN}"  # nothing was made up
    assert settings_of(file, PRODUCTION="0")["PRODUCTION"] is False  # the environment wins


def test_in_production_no_secret_is_made_up(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PRODUCTION=1\nSECRET_KEY=\n")
    assert settings_of(file) == {}
    assert file.read_text() == "PRODUCTION=1\nSECRET_KEY=\n"


def test_on_a_laptop_what_the_file_leaves_empty_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SECRET_KEY=\nINTERNAL_API_SECRET=" + "s" * 40)
    made = settings_of(file)
    assert len(made["SECRET_KEY"]) > 50 and made["INTERNAL_API_SECRET"] == "s" * 40
    assert settings_of(file) == made


def test_white_space_around_values_is_no_part_of_them(tmp_path: Path) -> None:
    """`echo` ends a file with a line break, and people write a space after a comma."""
    for name, value in {"INTERNAL_API_SECRET": "s" * 40, "PRODUCTION": "true", "SECRET_KEY": "k" * 60}.items():
        (tmp_path / name).write_text(value + "\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in ("INTERNAL_API_SECRET", "PRODUCTION", "SECRET_KEY")}
    lists = {"DASHBOARD_DOMAINS": "a.example, *.b.example ,", "ALLOWED_HOSTS": " c.example"}
    assert settings_of(tmp_path / ".env", (*SHOWN, *lists), **files, **lists) == {
        "PRODUCTION": True,
        "SECRET_KEY": "k" * 60 + "\n",  # the keys that were made with it stay good
        "INTERNAL_API_SECRET": "s" * 40,
        "SESSION_COOKIE_SECURE": True,
        "DASHBOARD_DOMAINS": ["a.example", "*.b.example"],
        "ALLOWED_HOSTS": ["c.example"],
    }


def test_a_setting_that_would_do_harm_later_is_refused_at_the_start(settings: Any) -> None:
    assert check_settings(None) == []
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "workers": 0}
    settings.DASHBOARD_DOMAINS = ["localhost:*", "https://dash.example/app"]
    settings.CURRENCY, settings.LIMITS_WHEN_UNREACHABLE, settings.BUDGET_HOLD = "usd", "ask", Decimal("NaN")
    assert [error.msg for error in check_settings(None)] == [
        "LIMITS_WHEN_UNREACHABLE is either refuse or admit.",
        "CURRENCY is a code of three capital letters, such as USD.",
        "WORKERS is at least 1.",
        "BUDGET_HOLD is an amount in dollars, such as 0.05.",
        "DASHBOARD_DOMAINS: “https://dash.example/app” is not a domain such as example.com or *.example.com.",
    ]


def test_an_embedding_model_that_nobody_knows_is_refused_at_the_start(settings: Any) -> None:
    assert check_embedding_model(None) == []
    settings.EMBEDDING_MODEL = "text-embedding-3-smal"
    assert [error.msg for error in check_embedding_model(None)] == [
        "EMBEDDING_MODEL 'text-embedding-3-smal' is not a known model: set EMBEDDING_DIMENSIONS as well."
    ]
    settings.EMBEDDING_DIMENSIONS = 1024
    assert check_embedding_model(None) == []


def test_env_example_has_the_defaults(tmp_path: Path) -> None:
    """Whoever takes the comment signs away has changed nothing yet."""
    _, everything_else = (
        (ROOT / ".env.example").read_text(encoding="utf-8").split("# Everything else, with its default")
    )
    named = re.findall(r"^# ([A-Z][A-Z0-9_]+=.*)$", everything_else, re.MULTILINE)
    plain, uncommented = tmp_path / "plain.env", tmp_path / "uncommented.env"
    plain.write_text("PRODUCTION=1\n" + GIVEN)
    uncommented.write_text("PRODUCTION=1\n" + GIVEN + "\n".join(line for line in named if line[:8] != "ENV_FILE"))
    assert all_settings(uncommented) == all_settings(plain)


def all_settings(env_file: Path) -> str:
    """Every setting of the product, started with nothing else in its environment."""
    bare = {"PATH": os.environ["PATH"], "ENV_FILE": str(env_file), "DATA_DIR": str(env_file.parent / "var")}
    code = "from config import settings as s\nprint(*((n, getattr(s, n)) for n in dir(s) if n.isupper()), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(env_file.name, "")


def read(kind: str, value: str | None, default: Any) -> Any:
    environment = Environment()
    environment.ENVIRON = {} if value is None else {"THE_SETTING": value}
    return getattr(environment, kind)("THE_SETTING", default=default)


def test_switches_numbers_and_lists_are_read_as_people_write_them() -> None:
    assert [read("bool", text, None) for text in ("1", "Yes", " on ", "TRUE")] == [True] * 4
    assert [read("bool", text, None) for text in ("0", "no", "Off", "false")] == [False] * 4
    assert (read("int", " 5 ", 1), read("float", "0.5", 1.0)) == (5, 0.5)
    assert read("list", "a.example, b.example ,", ["x"]) == ["a.example", "b.example"]
    assert [read(kind, text, 7) for kind in ("bool", "int", "float", "list", "str") for text in ("", None)] == [7] * 10


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        ("bool", "enabled", "1 or 0"), ("int", "12h", "a whole number"), ("float", "2m", "a number"),
        ("float", "nan", "a number"), ("float", "0,15", "a number"),
    ],
)  # fmt: skip
def test_a_value_that_a_setting_can_not_have_is_refused_by_name(kind: str, text: str, what: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^THE_SETTING is {what}, not “{text}”.$"):
        read(kind, text, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "chat.example.com"), ("QDRANT_URL", "qdrant:6333"), ("OPENAI_BASE_URL", "ollama:11434/v1"),
        ("EXPRESS_CALLBACK_URL", "https://"), ("TRUSTED_PROXIES", ["nginx"]), ("TRUSTED_PROXIES", ["10.0.0.0/99"]),
        ("ALLOWED_HOSTS", ["https://chat.example.com"]), ("REDIS_URL", "localhost:6379"), ("INGEST_SECONDS", 0),
        ("LLM_TOTAL_TIMEOUT", -1.0),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_at_the_start(name: str, value: Any, settings: Any) -> None:
    assert check_settings(None) == []
    setattr(settings, name, value)
    [error] = check_settings(None)
    assert error.msg.startswith(f"{name} is ")


@pytest.mark.parametrize("setting", ["PRODUCTION=enabled", "DATABASE_URL=mysql://u@h/x", "LOG_LEVEL=loud"])
def test_a_command_says_which_setting_is_wrong_and_nothing_else(setting: str, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": str(tmp_path / ".env"),
        "DATA_DIR": str(tmp_path),
        name: value,
    }
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{name} is ")


def test_the_log_level_may_be_written_small(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert settings_of(file, LOG_LEVEL="warning") != {}
    assert settings_of(file, LOG_LEVEL="loud") == {}
