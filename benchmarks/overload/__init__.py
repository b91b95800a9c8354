"""Overload: more requests than the service can handle, slow clients, and whether health checks are answered meanwhile.

open_loop     requests at a rate that does not depend on the responses
probes        health checks beside the load, from a process of their own
slow_senders  bodies that never come to their end
scenarios     the loads, and what is printed about each
command       the arguments and --help
"""
