"""The parts of docs/accuracy.md, one module each; ``benchmarks/accuracy.py`` puts them together."""
