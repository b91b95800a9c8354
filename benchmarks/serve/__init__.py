"""Our server beside others: the same ONNX files, one core for the server, another for who asks.

load      asks over so many connections, each as soon as it has its answer
work      what is asked: an Iris row, a picture, many rows, tensors
servers   how ours is started, and any other
others    the others: `peers/` has one file for each
turns     all in turns, so that a noisy machine is noisy for all
rounds    each server at each task: medians, ratios, memory, time to ready, and a control
curves    against connections, rows, the width of a network, workers
bare      ONNX Runtime without a server
pictures  of all that
"""
