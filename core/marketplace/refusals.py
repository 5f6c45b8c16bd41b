"""What is refused to an investor, by name. Codes are stable: clients decide by them."""

from __future__ import annotations

from core.errors import Conflict, Forbidden, Invalid


class NotOnOffer(Conflict):
    """The invoice is not, not yet or no longer on offer, or not in this way."""

    code = "not_on_offer"


class MoreThanRemaining(Conflict):
    """More is wanted than is left. `remaining` is what is left, in minor units."""

    code = "more_than_remaining"

    def __init__(self, remaining: int) -> None:
        super().__init__(f"only {remaining} minor units are left of this offer")
        self.remaining = remaining


class BelowMinimumSlice(Invalid):
    """A slice is smaller than the listing allows. The last remainder may always be taken."""

    code = "below_minimum_slice"


class OwnInvoice(Forbidden):
    """Seller, buyer, and whoever shares a PAN with either, put no money into the invoice."""

    code = "own_invoice"


class CapExceeded(Conflict):
    """The investor's own caps forbid it, until they say that they mean it."""

    code = "cap_exceeded"


class BidLeads(Conflict):
    """A bid that would win stays, once the auction is about to close."""

    code = "bid_leads"
