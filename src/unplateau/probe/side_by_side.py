"""Arms side by side, as tasks of Ray: on the cluster that ``RAY_ADDRESS`` names, else on one on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import UnreadableError
from .job import Job, Say, spread
from .told import Outcome

EXTRA = "pip install 'unplateau[ray]'"


def on_ray(job: Job, say: Say) -> list[Outcome]:
    """Run all arms at once; all machines need the same folders. Raises ``UnreadableError`` where there is no Ray."""
    if find_spec("ray") is None:
        raise UnreadableError(f"--ray needs Ray, which is not installed: {EXTRA}, or --list for a scheduler")
    from ..prepare._ray import Ray

    with Ray(job.where.root) as ray:
        return spread(job, ray, say)
