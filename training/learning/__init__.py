"""From a recipe to a trained network: the loop, its losses, and the figure that must be reached."""
