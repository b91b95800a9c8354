"""What clients speak: the V1 and V2 inference protocols, health, metrics, and the documentation of them all."""
