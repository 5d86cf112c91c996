"""What is needed, what is offered, and how ready that makes the coalition."""
