"""Agents as safetensors and ONNX files, for other programs; see docs/export.md."""
