"""Connector plugins: data and pure functions, one module a provider. See README.md for how to add one."""
