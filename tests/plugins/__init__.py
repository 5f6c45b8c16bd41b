"""Connectors of nobody, for tests: whole ones that do everything the plugin API has."""
