"""The live feed: business code announces, the relay numbers, clients resume."""

from core.live.feed import FeedEvent, after, announce, sequences
from core.live.rooms import default_rooms

__all__ = ["FeedEvent", "after", "announce", "default_rooms", "sequences"]
