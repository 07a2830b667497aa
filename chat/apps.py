from django.apps import AppConfig

# Between runs that nobody asked for. Retention looks every hour, as days end at another hour in other zones.
MINUTES = {
    "chat.tasks.group_gaps": 5,
    "chat.tasks.follow_up_gaps": 1,
    "chat.tasks.run_question_sets": 5,
    "chat.tasks.apply_retention": 60,
}


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import erasure
        from tenants import timetable

        erasure.register()
        timetable.register(MINUTES)
