"""Learning-rate schedules: plain values, called with the optimiser step; one file each.

A word means the same in all of them: ``peak``, ``floor``, ``warmup``, ``decay``, ``steps``.
"""
