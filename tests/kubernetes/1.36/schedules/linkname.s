// Empty on purpose: see controller.go.
