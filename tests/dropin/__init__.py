"""Scripts that people wrote for the original run unchanged."""
