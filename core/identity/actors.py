"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a person does here. One role a person."""

    SELLER = "seller"
    BUYER = "buyer"
    INVESTOR = "investor"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A known asker. A service acts for the operator who made its token."""

    id: UUID
    role: Role
    email: str
    name: str
    is_service: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether everything may be read."""
        return self.role is Role.OPERATOR
