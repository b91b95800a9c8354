"""The Open Inference Protocol (V2) over REST, with Triton's extensions for binary tensors and classification.

views      the routes
requests   JSON and binary tensors to arrays
responses  outputs to JSON and binary tensors
metadata   metadata of the server and its models, Triton's configuration and statistics
"""
