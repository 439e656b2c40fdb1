"""Removing channels: which ones, how many, and repairing what is left.

    readings = Readings(groups, chosen, samples, spill)     covariances of what reads each group
    eliminate(size, problems)                               the order in which channels go, and what each costs
    Trials(...), calibrated(...)                            that cost in units of the model's output error
    choose_widths(groups, chosen, losses, limit, ...)       counts under one budget for the whole model
    repair(graph, original, context, kept, samples)         the weights left, solved by least squares

The pass `prune_channels` is these steps in this order.
"""
