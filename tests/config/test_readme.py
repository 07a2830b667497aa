"""The README is true: its settings, commands and make targets are the product's own."""

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUR_APPS = ("config", "tenants", "billing", "knowledge", "chat")


def test_every_setting_is_in_the_table() -> None:
    settings = (ROOT / "config" / "settings.py").read_text(encoding="utf-8")
    read = re.findall(r'env\.\w+\(\s*"(\w+)"', settings)
    assert table("## Settings") == sorted(set(read))


def test_every_command_is_in_the_table_and_helps() -> None:
    ours = [name for name, app in get_commands().items() if app in OUR_APPS]
    assert sorted(re.match(r"manage\.py (\w+)", row)[1] for row in table("## Commands")) == sorted(ours)


def test_the_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE)) <= set(targets)


def test_env_example_names_every_setting() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)
    compose_only = {"POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD", "GRAFANA_PASSWORD"}
    assert sorted(named) == sorted({*table("## Settings"), *compose_only})


def test_env_example_puts_nothing_behind_a_value() -> None:
    """What reads `.env` takes the whole line: a comment there would be the secret, and everybody's."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    values = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    assert [name for name, value in values.items() if value != value.strip() or "#" in value] == []
    secret = ("SECRET_KEY", "INTERNAL_API_SECRET", "POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD", "GRAFANA_PASSWORD")
    assert [values[name] for name in secret] == [""] * len(secret)


def table(heading: str) -> list[str]:
    """The first column of the first table under a heading, without back-quotes, sorted."""
    section = README.split(heading, 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return sorted(re.match(r"\| `([^`]+)`", row)[1] for row in rows)
