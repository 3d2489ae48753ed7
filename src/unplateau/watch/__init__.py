"""Watch a run: follow its log, judge it at each evaluation, and say what is new, once."""
