"""Agents for other programs, and back: safetensors and ONNX. docs/export.md explains the files."""
