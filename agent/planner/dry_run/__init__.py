"""What will be observed: a world as data, and each step as what it makes of one."""
