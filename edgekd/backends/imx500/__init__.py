"""Sony's IMX500, a camera sensor that runs a network: checks, dialect, kit, and the vendor's files read back."""
