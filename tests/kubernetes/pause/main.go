// The first process of every pod of the test cluster: it holds the pod's
// namespaces open, takes in orphaned processes, and ends when it is told to.
//
// With an argument it is instead the smallest workload that a Job can run: it
// writes the argument as its termination message and ends at once.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		say(os.Args[1])
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap collects every child that has ended: one SIGCHLD can stand for many.
func reap() {
	for {
		child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if child <= 0 || err != nil {
			return
		}
	}
}

func say(message string) {
	fmt.Println(message)
	if err := os.WriteFile("/dev/termination-log", []byte(message), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the termination message:", err)
		os.Exit(1)
	}
}
