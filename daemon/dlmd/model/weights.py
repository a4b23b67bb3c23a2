"""From a folder with `config.json` and safetensors to a module. Runs no code it finds there."""
