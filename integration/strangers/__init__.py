"""Random documents on the lab, and objects of others under names of theirs: networks, volumes, containers, images."""
