"""The deployment files say what the product needs (they can't be run where there is no container engine)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_everything_is_there_and_healthy_before_what_needs_it(services: dict[str, Any]) -> None:
    assert set(services) == {"migrate", "web", "worker", "postgres", "redis", "qdrant"}
    for name, service in services.items():
        assert "healthcheck" in service or name == "migrate"
        for needed, condition in service.get("depends_on", {}).items():
            once = needed == "migrate"
            assert condition["condition"] == ("service_completed_successfully" if once else "service_healthy")


def test_only_the_migration_knows_the_owner_of_the_tables(services: dict[str, Any]) -> None:
    knowing = [name for name, service in services.items() if "DATABASE_OWNER_URL" in service.get("environment", {})]
    assert knowing == ["migrate"]
    assert all(
        "support_chat:" in services[name]["environment"]["DATABASE_URL"] for name in ("migrate", "web", "worker")
    )


def test_the_commands_exist(services: dict[str, Any]) -> None:
    from django.core.management import get_commands

    for service in services.values():
        for command in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            if isinstance(command, list) and "manage.py" in command:
                assert command[command.index("manage.py") + 1] in get_commands()


def test_the_image_installs_what_the_test_command_installs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    makefile = (ROOT / "Makefile").read_text()
    pinned = next(word for word in makefile.split() if word.startswith("uv=="))
    assert pinned in dockerfile
    assert "--require-hashes" in dockerfile and "-r requirements.txt" in dockerfile
