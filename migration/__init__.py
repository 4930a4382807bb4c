"""The `bluegreen` command: one module per step of the data's way, decisions pure, the outside world in clients/
behind ports/.
"""
