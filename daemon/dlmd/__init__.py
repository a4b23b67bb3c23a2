"""dlmd: a local code assistant on masked-diffusion language models (the core package)."""
