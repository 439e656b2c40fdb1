"""Recover what other steps have lost: train the model of this point of a recipe towards the model as read.

    twin = Twin(graph, ...)      the graph as a function of PyTorch tensors, with its weights as parameters
    Trainer(twin, ...)           trains them, so that its values come near those of the model as read
    teams.team()                 the processes that train together
    write_back(graph, ...)       the same graph with these weights

torch is an optional package: only the functions and modules of this room import it, and nothing imports them before
`need_torch` has said what to install. `vggc.recovery.torch_package` imports without it.
"""
