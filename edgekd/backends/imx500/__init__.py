"""Sony's IMX500, an image sensor with a network processor: checks, the dialect of its converter, a kit."""
