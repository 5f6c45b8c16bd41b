"""What happens behind the web: tasks, the relay, and the one transport to providers."""
