"""What is measured of each document, once; a profile decides over it. A file a group, one pass over a batch's bytes."""
