"""The five lectures that this project started from: the figures of each beside ours.

worked_examples  the examples that the lectures compute by hand, by our own networks, losses and steps
rows             our figures, for each row of docs/lectures.md
document         docs/lectures.md
pictures         plots of activation functions and decision boundaries
"""
