"""What the filters of a trained network look for: guided backpropagation and its HTML page."""
