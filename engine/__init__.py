"""The parts of the engine; knows nothing of pipelines or strategies."""
