"""Teachers of PicoSAM3: models, files and networks that answer a box with a mask."""
