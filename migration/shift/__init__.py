"""Traffic goes to green step by step, judged by what users get, and back at once."""
