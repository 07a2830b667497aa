from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate
from django.urls import register_converter


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import checks, paths, staff, timetable  # noqa: F401  (registers the checks)

        register_converter(paths.IdConverter, "id")
        timetable.register({"tenants.tasks.resume_erasures": 5})  # minutes
        user_logged_in.connect(staff.remember_login, dispatch_uid="tenants.login")
        post_migrate.connect(_install_policies, sender=self, dispatch_uid="tenants.policies")
        post_migrate.connect(timetable.enter, sender=self, dispatch_uid="tenants.timetable")


def _install_policies(using: str, **kwargs: Any) -> None:
    from tenants import policies

    policies.install(using)
