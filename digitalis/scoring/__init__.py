"""`digitalis predict`: a model's predictions for tables, arrays and folders of pictures, without a server.

inputs     files -> batches of rows, always the same ones
rows       a batch of a table -> the network's input, and why some rows have none
scorer     a batch -> predictions, in each of several processes
parts      predictions -> files, each whole or not there, so that a run can go on where it was stopped
run        all batches over all processes
cluster    ... over a Ray cluster
command    the command line, and its progress
"""
