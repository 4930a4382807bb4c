"""AWS of the lab: moto, with Route 53's own rules, an EKS whose clusters are real, and a DNS server."""
