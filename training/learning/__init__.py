"""From a recipe to a trained network that reached its acceptance threshold.

train           all steps of a training run, and the acceptance test
validate        checks of the recipe before the run
fit             the loop over epochs and mini-batches
curve           the points of the learning curve
optimisation    one step of gradient descent, by automatic differentiation
backprop        the same step written out, for small networks
tasks           loss and metrics of each kind of task
distillation    a teacher network, whose predictions are the targets
ood_head        the out-of-distribution head
calibration     temperature scaling, and the thresholds of abstention
seed_sweep      many small networks trained as one batch, from different seeds
"""
