"""Search the values of a recipe's parameters for the models that meet its goals best, on one machine or a cluster."""
