"""A whole OP Stack in processes of this machine: geth as L1, op-node and op-batcher, and Tributary or op-geth as L2 client."""
