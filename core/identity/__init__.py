"""People, their roles, and how they prove who they are."""

from core.identity.actors import Actor, Role

__all__ = ["Actor", "Role"]
