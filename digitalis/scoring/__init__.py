"""`digitalis predict`: a model's predictions for tables, arrays and folders of pictures, without a server.

models     which bundle is meant
inputs     files, which are checked -> batches of rows, always the same ones
tables     ... of CSV and Parquet
batch      what is read and predicted at a time
rows       a batch of a table -> the network's input, and why some rows have none
scorer     a batch -> predictions, in each of several processes
parts      predictions -> files, each whole or not there, so that a run can go on where it was stopped
run        all batches over all processes
cluster    ... over a Ray cluster
command    the command line
progress   how far it is
"""
