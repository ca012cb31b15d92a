"""Where pictures of hands come from. numpy and Pillow."""
