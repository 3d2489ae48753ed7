"""unplateau: why a training loss stopped falling, and what to do about it."""

__version__ = "0.1.0"
