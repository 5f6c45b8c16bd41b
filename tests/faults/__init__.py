"""Processes are killed, frozen and cut off here, and nothing may be lost."""
