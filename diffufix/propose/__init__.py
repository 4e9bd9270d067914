"""From text to token ids and back: prompts, holes and the edits a model proposes for them."""
