"""What was answered, how long it took, and how sure it was: counters that all worker processes share.

They lie in memory that the parent process maps before it forks, a block for each worker. A worker writes into its own
block alone, so nothing is locked between processes, and what a killed worker has counted is still there.

    layout      which numbers there are of each model
    counters    the memory: `Telemetry` of all workers, `Recorder` of one
    contents    what was seen and said in many requests
    watch       one request, as it goes
    prometheus  all of it, as Prometheus reads it
"""

from service.telemetry.counters import Recorder, Telemetry
from service.telemetry.watch import Watch

__all__ = ["Recorder", "Telemetry", "Watch"]
