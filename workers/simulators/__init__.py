"""Stand-ins for providers, on this machine: signed deliveries, and the HTTP APIs that pointers lead to."""
