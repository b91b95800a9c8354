"""`python -m benchmarks gpu`: what a GPU gives to the service, and what it takes from the machine."""
