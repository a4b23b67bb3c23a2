"""What tuning learns from: log-probabilities of fills, advantages, the loss."""
