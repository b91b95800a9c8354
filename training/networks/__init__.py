"""Networks: scaling, layers and outputs as PyTorch modules, all of which are exported."""
