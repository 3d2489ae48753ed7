"""The parts of ``benchmarks/probes.py``, one module each."""
