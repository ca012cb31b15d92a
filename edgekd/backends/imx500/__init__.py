"""Sony's IMX500: a network that runs inside the image sensor."""
