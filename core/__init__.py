"""The vocabulary and the domain. Knows nothing of Flask, Celery, Socket.IO or HTTP."""
