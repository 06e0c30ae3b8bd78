"""The engine on PyTorch: operations, freezing, backbones, gates, methods, memory."""
