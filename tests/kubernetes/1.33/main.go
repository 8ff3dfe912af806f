// One binary that is every Kubernetes component of the test cluster, chosen by
// its first argument: no package registry ships kube-apiserver as a file, but
// all of Kubernetes is a Go module.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	_ "time/tzdata" // CronJob time zones, on hosts without a zone database too

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 kubelet.NewKubeletCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	// A symbolic link named like a component runs it, as busybox does.
	if name := filepath.Base(os.Args[0]); components[name] == nil && name != "etcd" {
		if len(os.Args) < 2 {
			fail("")
		}
		os.Args = os.Args[1:]
	} else {
		os.Args[0] = name
	}
	if os.Args[0] == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	command, known := components[os.Args[0]]
	if !known {
		fail(os.Args[0])
	}
	os.Exit(cli.Run(command()))
}

func fail(name string) {
	names := []string{"etcd"}
	for component := range components {
		names = append(names, component)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "unknown component %q; the first argument is one of %s\n", name, strings.Join(names, ", "))
	os.Exit(2)
}
