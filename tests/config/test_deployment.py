"""The deployment files say what the product needs (they can't be run where there is no container engine)."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
OURS = {"migrate", "web-1", "web-2", "worker"}
ADDRESS = re.compile(r"([a-z-]+-\d):(\d+)")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def test_everything_is_there_and_healthy_before_what_needs_it(services: dict[str, Any]) -> None:
    assert set(services) == OURS | {"nginx", "postgres", "redis", "qdrant", "prometheus", "grafana"}
    for name, service in services.items():
        assert "healthcheck" in service or name == "migrate"
        for needed, condition in service.get("depends_on", {}).items():
            once = needed == "migrate"
            assert condition["condition"] == ("service_completed_successfully" if once else "service_healthy")


def test_everything_that_stays_has_limits_and_comes_back(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name != "migrate":
            assert {"memory", "cpus"} <= set(service["deploy"]["resources"]["limits"]), name
            assert service["restart"] == "unless-stopped"


def test_our_processes_may_write_nothing_but_their_data(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])
        assert service["volumes"] == ["files:/data"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    final = dockerfile.rpartition("\nFROM ")[2]
    assert "USER app" in final and "DATA_DIR=/data" in final
    assert "chmod -R a+rX /app" in dockerfile  # that user can read what was cloned under a umask of 077
    assert not re.search(r"apt|gcc|pip install|build-essential", final)


def test_only_the_migration_knows_the_owner_of_the_tables(services: dict[str, Any]) -> None:
    knowing = [name for name, service in services.items() if "DATABASE_OWNER_URL" in service.get("environment", {})]
    assert knowing == ["migrate"]
    assert all("support_chat:" in services[name]["environment"]["DATABASE_URL"] for name in OURS)
    for name in OURS:  # `env_file` hands them all of .env, where Compose's own passwords lie, too
        told = services[name]["environment"]
        assert services[name]["env_file"] == ".env"
        assert {told[secret] for secret in ("POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD", "GRAFANA_PASSWORD")} == {""}


def test_postgresql_is_not_called_ready_while_its_image_still_makes_the_database(services: dict[str, Any]) -> None:
    """The server that does so has no TCP, and `migrate` is not started again."""
    assert services["postgres"]["healthcheck"]["test"][:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_nothing_but_the_edge_is_reached_from_outside(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"nginx": ["80:80", "443:443"], "grafana": ["127.0.0.1:3000:3000"]}


def test_the_files_name_each_other_rightly(compose: dict[str, Any], services: dict[str, Any]) -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert set(ADDRESS.findall(nginx)) == {("web-1", "8000"), ("web-2", "8000")}
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    for job in prometheus["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        assert set(found["names"]) <= OURS
        assert services[found["names"][0]]["environment"]["METRICS_ADDRESS"].endswith(f":{found['port']}")
    network = compose["networks"]["default"]["ipam"]["config"][0]["subnet"]
    assert services["web-1"]["environment"]["TRUSTED_PROXIES"] == network
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith("./config") or (ROOT / source).exists(), volume


def test_the_commands_exist(services: dict[str, Any]) -> None:
    from django.core.management import get_commands

    for service in services.values():
        for command in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            if isinstance(command, list) and "manage.py" in command:
                assert command[command.index("manage.py") + 1] in get_commands()


def test_the_operators_are_told_of_services_that_there_are(services: dict[str, Any]) -> None:
    """And to run nothing beside one that has a fixed address: the second would not start."""
    told = (ROOT / "OPERATIONS.md").read_text()
    lines = [line.split("#")[0] for line in re.findall(r"docker compose ((?:run|stop|up) [^`\n]+)", told)]
    words = [[word for word in line.split() if word in services or word == "web"] for line in lines]
    runs = {named[0] for line, named in zip(lines, words, strict=True) if line.startswith("run")}
    assert runs == {"migrate", "worker"}
    assert {word for named in words for word in named} == {"migrate", "worker", "web-1", "web-2"}
    assert [name for name in runs if "networks" in services[name]] == []


def test_the_image_installs_what_the_test_command_installs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    makefile = (ROOT / "Makefile").read_text()
    pinned = next(word for word in makefile.split() if word.startswith("uv=="))
    assert pinned in dockerfile
    assert "ARG REQUIREMENTS=requirements.txt" in dockerfile
    assert "--require-hashes" in dockerfile and "-r $REQUIREMENTS" in dockerfile


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_locks_agree_and_every_pin_has_its_hash() -> None:
    plain, telemetry = pins("requirements.txt"), pins("requirements-telemetry.txt")
    assert plain.items() <= telemetry.items() and "opentelemetry-sdk" in telemetry.keys() - plain.keys()
    for name in ("requirements.txt", "requirements-telemetry.txt", "requirements-dev.txt"):
        for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text()):
            assert entry.startswith("#") or "--hash=sha256:" in entry, entry[:80]


def test_ci_audits_the_dependencies_or_says_that_it_could_not(tmp_path: Path) -> None:
    """Its last step, with a stand-in for `make` and for the way out to the advisory database."""
    step = (ROOT / ".ci" / "run").read_text().partition("\nmake test\n")[2]
    assert step.count("make audit\n") == 1
    for reached, audited, status in ((0, 0, 0), (0, 2, 2), (1, 0, 0)):
        for name, code in (("python3", reached), ("make", audited)):
            (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $1\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        script = f"set -euo pipefail\nPATH={tmp_path}:$PATH\n{step}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.returncode == status
        assert done.stdout.splitlines()[1].startswith("make audit" if not reached else "Not audited: ")


# Their metadata says nothing; their files do: MIT, both for development only.
UNDECLARED = {"axe-playwright-python", "promql-parser"}
LESSER = {"psycopg", "psycopg-binary", "psycopg-pool"}  # LGPL: used as they are, as libraries


def test_no_dependency_has_a_licence_that_binds_the_product() -> None:
    for distribution in importlib.metadata.distributions():
        name, licence = distribution.metadata["Name"].lower(), licence_of(distribution.metadata)
        assert licence or name in UNDECLARED, name
        binding = re.search(r"\bA?GPL|Affero|General Public", licence) and not re.search(r"\bLGPL|Lesser", licence)
        assert not binding, f"{name}: {licence}"
        assert not re.search(r"\bLGPL|Lesser", licence) or name in LESSER, f"{name}: {licence}"


def licence_of(metadata: Any) -> str:
    classified = [line.rpartition("::")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License")]
    return metadata.get("License-Expression") or " ".join(classified) or (metadata.get("License") or "")[:100]


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    names = ("SECRET_KEY", "INTERNAL_API_SECRET", "OPENAI_API_KEY", "METRICS_TOKEN", "DATABASE_URL", "QDRANT_API_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    for name in names:
        (tmp_path / name).write_text(f"sqlite:///{tmp_path}/{name}")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    environment |= {"PRODUCTION": "1", "ENV_FILE": os.devnull, "DATA_DIR": str(tmp_path)}
    code = f"from config import settings; import json; print(json.dumps([getattr(settings, n) for n in {names!r}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout) == [f"sqlite:///{tmp_path}/{name}" for name in names], done.stderr
