from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import erasure, queue

        erasure.register()
        post_migrate.connect(queue.schedule_jobs, sender=self)
