"""The live feed: business code announces, the relay numbers, clients resume."""

from core.live.feed import FeedEvent, after, announce, sequences

__all__ = ["FeedEvent", "after", "announce", "sequences"]
