"""A network at work: pictures, folders, videos and cameras in, answers out."""
