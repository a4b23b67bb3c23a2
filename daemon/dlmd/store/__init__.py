"""Models on this machine: pulled from a hub, listed, verified, removed.

Loads no torch, and huggingface_hub only where something is downloaded: `dlmd ls` answers at once.
"""
