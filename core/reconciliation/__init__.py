"""Which bank line is which payment: the engine, what it proposes, and what people decide (marketplace rules 4)."""
