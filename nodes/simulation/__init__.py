"""Runs on virtual time: the deployed machines and workers in this process, over a network that is a model of one."""
