"""What is published: wheel and sdist, installed and used without the repository."""
