"""What is recorded of every request: metrics of all workers, drift, log lines, traces.

    middleware        around the application: request id, timer, hooks
    request_timer     one request: its stages, and how it ended
    counter_layout    which counters each model has, and where each is in memory
    shared_counters   the memory: one block for each worker process
    prediction_stats  labels, confidences and drift of many predictions, counted in batches
    drift             the values monitored for data drift
    snapshot          the counters of one model, by name
    prometheus        all counters as Prometheus reads them
    request_log       which requests are logged, and what a line says about one
    log_lines         log lines: JSON, or plain text on a terminal
    tracing           OpenTelemetry spans

The counters are in memory that the parent process maps before it forks, one block for each worker. A worker writes to
its own block alone, so no lock is shared between processes, and the counts of a killed worker remain.
"""
