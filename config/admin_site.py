"""The admin as the product's desk: it holds our own pages only."""

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig


class DeskAdminConfig(AdminConfig):
    """Pages that other apps bring know no roles, no scope and no audit, so they are taken out again."""

    def ready(self) -> None:
        super().ready()
        from tenants.desk import DeskAdmin

        for model, page in list(admin.site._registry.items()):
            if not isinstance(page, DeskAdmin):
                admin.site.unregister(model)
