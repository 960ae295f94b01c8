"""From what users hold in memory or stream to batches."""
