"""Click-through-rate prediction in PyTorch."""

__version__ = "1.0.0a1"
