"""Figures of runs where people look already: Prometheus, MLflow, TensorBoard, Weights & Biases, OpenTelemetry."""
