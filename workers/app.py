"""The Celery application. Messages are rings of a doorbell: they carry no data, and losing one is harmless."""

from __future__ import annotations

from celery import Celery

from config.settings import Settings


def make_celery(settings: Settings) -> Celery:
    """Celery with settings under which a frozen or dead broker cannot hang or lose anything."""
    app = Celery("ledgerwire", include=["workers.tasks"])
    app.conf.update(
        broker_url=settings.celery_broker_url,
        # Nobody waits for a result; the rows tell what was done.
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue="ledgerwire",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_processes,
        # Time limits lie below the visibility timeout, or a long task would run twice at once.
        task_time_limit=300,
        task_soft_time_limit=240,
        broker_transport_options={
            "visibility_timeout": 600,
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 15,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry=False,
        worker_soft_shutdown_timeout=3.0,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        broker_heartbeat=None,
        timezone="UTC",
        beat_schedule={
            "look-what-is-due": {"task": "ledgerwire.sweep", "schedule": 3.0, "options": {"expires": 10}},
            "keep-house": {"task": "ledgerwire.housekeeping", "schedule": 60.0, "options": {"expires": 120}},
        },
    )
    return app
