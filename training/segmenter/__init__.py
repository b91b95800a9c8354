"""The segmenter: a network that finds the ink of a digit in any grey picture, trained on synthetic pictures.

recipe           how it is made
digits           the digits that are drawn into the pictures
distance_fields  ... as distances, which render with any pen at any size
draws            random numbers for batches
placement        where in a picture a digit stands, how large and how distorted
clutter          what is dark and not the digit: lines, frames, table, specks, neighbours
capture          light, blur, low resolution, noise, JPEG
scenes           all of it as batches of pictures with their masks
network          the U-Net
training         the training run, with its checkpoints
evaluation       metrics, in pictures of held-out digits
export           both files, golden examples and manifest; verification
report           a page with pictures, masks and the largest errors
command          `train segmenter`
"""
