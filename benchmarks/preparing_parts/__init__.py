"""What ``benchmarks/preparing.py`` is made of: the corpus, the peers' recipes and ours, each a process of its own."""
