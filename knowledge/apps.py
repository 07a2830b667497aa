from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    name = "knowledge"

    def ready(self) -> None:
        from knowledge import checks, erasure, export  # noqa: F401 - checks register themselves

        erasure.register()
        export.register()
