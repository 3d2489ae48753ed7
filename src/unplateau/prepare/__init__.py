"""Documents to token shards, fair splits and a manifest: streaming, bounded in memory, restartable.

Sources become documents (``sources``), documents become pieces of tokens with their hashes and statistics
(``work``), and pieces become duplicate clusters, splits, shards and ``manifest.json`` (``job``). A piece is a pure
function of its part of the source, so pieces may be made anywhere, in any order, and made again.
"""
