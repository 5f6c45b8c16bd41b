"""Identity of provider objects: (connection, kind, provider's id) stands for one id of ours, for ever."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows
from core.ids import new_id

Key = tuple[UUID, str, str]

_KEYS = Rows(connection_id="uuid", kind="text", object_id="text", id="uuid")
# The useless-looking update locks a key that exists already: whoever states something about an object holds
# its key until commit, so two workers never merge into the same object at once.
_IDENTIFY = text(
    _KEYS.insert(
        "object_keys",
        "ON CONFLICT (connection_id, kind, object_id) DO UPDATE SET object_id = excluded.object_id "
        "RETURNING connection_id, kind, object_id, id",
    )
)


class Identified(dict[Key, UUID]):
    """Ids by key. `fresh` are those that did not exist before: nothing can be stored about them."""

    fresh: frozenset[UUID] = frozenset()

    def known(self) -> list[UUID]:
        """The ids of objects that may have rows."""
        return [identity for identity in self.values() if identity not in self.fresh]


def identify(connection: Connection, keys: Iterable[Key]) -> Identified:
    """The ids of provider objects, made where they are new, each locked until the transaction ends.

    Keys are taken in sorted order, so that two transactions cannot wait for each other.
    """
    wanted = sorted(set(keys))
    found = Identified()
    if not wanted:
        return found
    proposed = [new_id() for _ in wanted]
    rows = connection.execute(
        _IDENTIFY,
        _KEYS.arrays(
            connection_id=[key[0] for key in wanted],
            kind=[key[1] for key in wanted],
            object_id=[key[2] for key in wanted],
            id=proposed,
        ),
    ).all()
    found.update({(row.connection_id, row.kind, row.object_id): row.id for row in rows})
    found.fresh = frozenset(found.values()).intersection(proposed)
    return found
