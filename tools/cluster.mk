# The test cluster by hand. Options: ASYNCENDPOINTS_CLUSTER_PROVIDER (auto kubeconfig kind native),
# ASYNCENDPOINTS_CLUSTER_NAME (default dev). In a shell: eval "$(make -s cluster)"
.PHONY: cluster cluster-install cluster-down chaos

cluster: $(STAMP) ## Start a Kubernetes to try things on; prints what to export
	@PYTHONPATH=tests $(BIN)/python -m support.kube.provider up

cluster-install: $(STAMP) ## Build the images, install the chart and the example on that cluster
	@PYTHONPATH=tests $(BIN)/python tests/support/kube/install.py

cluster-down: $(STAMP) ## Remove every trace of that cluster
	@PYTHONPATH=tests $(BIN)/python -m support.kube.provider down

chaos: $(STAMP) ## Inject faults on that cluster under load, then prove that nothing was lost or done twice
	@PYTHONPATH=tests $(BIN)/python -m faults.chaos --minutes $(MINUTES) --seed $(SEED) $(ARGS)
