"""What provisioning observes, creates, changes and takes away."""
