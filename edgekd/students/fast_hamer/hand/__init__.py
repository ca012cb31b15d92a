"""The hand: its model, its rotations, how it is skinned and drawn. numpy, and torch where a file says so."""
