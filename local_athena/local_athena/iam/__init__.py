"""Who calls, and what they may do: moto keeps users and policies, the decision is taken here."""
