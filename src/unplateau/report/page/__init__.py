"""The page: one HTML file that holds all that is known of a run, or of several side by side.

It opens from disk with the network off: its style, its script and its pictures stand in it, and its
Content-Security-Policy lets nothing else in. Without scripts it says all the same; they add zoom, hover and switches.
"""

from __future__ import annotations

from .document import main_of, page
from .view import View, view

__all__ = ["View", "main_of", "page", "view"]
