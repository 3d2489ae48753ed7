"""The demo: a small GPT is trained into a plateau by a plausible mistake, and the other verbs find it, mend it and check.

Each step is a process of ``unplateau``, with the words that a user would type; nothing is computed beforehand.
"""
