"""Training: nanoGPT's runs, faster, exact, and with all written down that a diagnosis needs.

Row 2; imports rows 0 and 1 only, and torch inside its modules alone (``settings`` and ``tokens`` need none).
"""
