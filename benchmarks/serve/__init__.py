"""Our server beside others: the same ONNX files, one core for the server, another for who asks.

load      asks over so many connections, each as soon as it has its answer
work      what is asked: an Iris row, a picture, many rows, tensors
servers   who is asked; `peers/` has one file for each that is not ours
rounds    in turns, so that a noisy machine is noisy for all; medians, ratios, and a control
curves    against connections, rows and the width of a network; pictures
"""
