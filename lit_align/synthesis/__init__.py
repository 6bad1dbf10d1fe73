"""Data that the loop makes: prompts, verifiers, judges, preference pairs, and the toy task they are tried on."""
