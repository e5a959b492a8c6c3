"""What people use today, each as a small adapter written from its published semantics."""
