"""Which rooms a person is in without asking."""

from __future__ import annotations

from core.identity.actors import Actor, Role


def default_rooms(actor: Actor) -> list[str]:
    """The person's own room, and the ones of their role."""
    rooms = [f"user:{actor.id}"]
    if actor.role in {Role.INVESTOR, Role.SELLER}:
        rooms.append("marketplace")
    if actor.is_operator:
        rooms.append("operators")
    return rooms
