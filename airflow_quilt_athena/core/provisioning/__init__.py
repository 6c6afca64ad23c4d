"""Decisions of provisioning: policy documents, and what differs in them."""
