"""What a training step takes, measured side by side with plain PyTorch."""
