"""The webhook's way in: deliveries, events, the queue of record."""
