"""What tuning learns from: rollouts, their rewards, and the loss."""
