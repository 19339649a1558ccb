"""What is asked: the request, and the rules by which options become one."""
