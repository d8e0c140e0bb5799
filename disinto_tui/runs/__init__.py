"""What the tool does: observe, plan, run. Everything that changes the world goes through here."""
