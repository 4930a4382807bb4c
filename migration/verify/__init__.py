"""Each service asked on green before users are sent there."""
