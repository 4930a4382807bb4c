"""Green is as large as blue at its peak before it gets users."""
