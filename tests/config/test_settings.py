"""Settings that lie in `.env` count as those of the environment do, PRODUCTION too."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from config.checks import check_settings

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
    settings.DASHBOARD_DOMAINS = ["localhost:*", "https://dash.example/app"]
    settings.CURRENCY, settings.LIMITS_WHEN_UNREACHABLE, settings.BUDGET_HOLD = "usd", "ask", Decimal("NaN")
    assert [error.msg for error in check_settings(None)] == [
        "LIMITS_WHEN_UNREACHABLE is either refuse or admit.",
        "CURRENCY is a code of three capital letters, such as USD.",
        "BUDGET_HOLD is an amount in dollars, such as 0.05.",
        "DASHBOARD_DOMAINS: “https://dash.example/app” is not a domain such as example.com or *.example.com.",
    ]
