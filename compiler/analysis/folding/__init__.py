"""Where a scale and a shift of channels can go: into the weights before them, or into those behind them."""
