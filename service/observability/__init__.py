"""What is recorded of every request: metrics in memory that all workers share, log lines, and traces."""
