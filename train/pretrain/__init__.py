"""Models from scratch or from an autoregressive checkpoint: stages, examples, the trainer."""
