"""Projects: spin.toml, the sources that it names, and wasm package registries."""
