"""What engines share: how runs are started and shown, and how attempts are carried out."""
