"""The five lectures that this project grew from, row by row beside what is built here.

worked      the examples that the lectures work by hand, through our own networks, losses and steps
rows        the eighteen rows of docs/lectures.md
document    docs/lectures.md, and the pictures that go with it
"""
