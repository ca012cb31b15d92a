"""What a person declares: targets and recipes, and the record of a model's inputs and outputs."""
