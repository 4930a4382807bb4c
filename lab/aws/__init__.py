"""AWS of the lab: moto, with Route 53's own rules, an EKS whose clusters are real, and a DNS server.

    server.py        one port: requests signed for EKS go to eks.py, all others to moto
    route53.py       puts the rules of record_sets.py and PENDING changes into moto; `zones` is what DNS serves
    dns.py           weighted sets, aliases, wildcards, negative answers
    eks*.py          EKS over the lab's control API (control.py); its VPC and security group in moto (network.py)

To know when writing clients against it:
- State is in memory: it goes with the process.
- Names with a wildcard are listed as `*.`, AWS lists them as `\\052.`; both are accepted.
- ListResourceRecordSets pages by name and type alone (moto), so a weighted group must not cross a page of 300.
- A batch is checked change by change: to make a simple record weighted, its DELETE comes before the CREATEs.
- Subnets given to EKS must exist, in two zones of one VPC; add-on versions must be in eks_catalogue.py.
- Node groups and add-ons are ACTIVE at once and start no nodes or pods: nodes are the lab's own.
"""
