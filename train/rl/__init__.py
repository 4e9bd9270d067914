"""Learning from verdicts: self-play tasks, rollouts, rewards, updates, and the promotion gate."""
