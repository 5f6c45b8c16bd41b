"""The web: webhooks, the HTTP API, pages and Socket.IO."""
