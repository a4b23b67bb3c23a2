"""Training and evidence: pretraining, evaluation, and tuning on the user's own tests."""
