"""What can be known of a graph without running it: channels, ranges, costs, what folds. Edits nothing."""
