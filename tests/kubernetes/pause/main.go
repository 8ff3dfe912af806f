// The first process of every pod of the test cluster: it holds the pod's
// namespaces open, takes in orphaned processes, and ends when it is told to.
//
// With arguments it is instead the smallest workload that a Job can run:
//
//	say TEXT            writes the text as its termination message
//	dial ADDRESS...     connects to each HOST:PORT; says which failed
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		pause()
		return
	}
	switch arguments := os.Args[2:]; os.Args[1] {
	case "say":
		end(strings.Join(arguments, " "), 0)
	case "dial":
		dial(arguments)
	default:
		end("unknown command "+os.Args[1], 2)
	}
}

func pause() {
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

func dial(addresses []string) {
	for _, address := range addresses {
		if err := reach(address); err != nil {
			end(err.Error(), 1)
		}
	}
	end("reached "+strings.Join(addresses, " "), 0)
}

// A service that was made a moment ago refuses until the node has rules for it.
func reach(address string) error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		connection, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err == nil {
			return connection.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) > 10*time.Second {
			return err
		}
	}
}

func end(message string, code int) {
	fmt.Println(message)
	if err := os.WriteFile("/dev/termination-log", []byte(message), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the termination message:", err)
		code = 1
	}
	os.Exit(code)
}
