"""What `addapt bench step` runs in processes of their own: methods, and plain PyTorch."""
