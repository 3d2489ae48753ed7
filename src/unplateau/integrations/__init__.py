"""Where people already look: trainers' callbacks, trackers, and models that call tools."""
