"""From a bundle to predictions: models, the repository that holds them, and the runtimes that run them."""
