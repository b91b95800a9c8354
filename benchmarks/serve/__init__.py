"""Digitalis and other servers under load: the same ONNX files, servers on one core, the load generator on another.

load_generator    closed-loop load over many connections; requests per second and latency percentiles
workloads         the requests: Iris rows as JSON, an image in a form, a batch of images as a V2 tensor
servers           how a server is started, suspended, resumed, stopped, and how its memory is read
others            the other servers, each in its own file in `peers/`
interleave        alternates between the servers, round after round
comparison        each server under each workload: medians, ratios, memory, startup time, and a control
curves            over the number of connections, rows, hidden units and workers
onnxruntime_only  ONNX Runtime without a server
plots             charts of the above
"""
