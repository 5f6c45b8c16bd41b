"""What goes wrong with an embedded server."""


class EmbeddedServerError(Exception):
    """An embedded server cannot be started; the message says what is missing and how to mend it."""
