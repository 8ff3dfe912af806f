// Prints what the Kubernetes CronJob controller makes of many schedules: which
// ones the API server takes, and when the controller starts their Jobs.
// policy/src/schedule/kubernetes.jsonl is its output:
//
//	cd tests/kubernetes/1.36
//	CGO_ENABLED=0 go run -trimpath ./schedules > ../../../policy/src/schedule/kubernetes.jsonl
//
// Same inputs, same modules and same Go give the same bytes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// How many times of a schedule are printed.
const times = 4

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("cannot ask go for its root: %w", err)
	}
	zones := filepath.Join(strings.TrimSpace(string(goroot)), "lib", "time")
	// The zones that Go itself comes with and that kube-controller-manager has built in, whatever
	// this machine has.
	if err := os.Setenv("ZONEINFO", filepath.Join(zones, "zoneinfo.zip")); err != nil {
		return err
	}
	questions, err := questions(zones)
	if err != nil {
		return err
	}
	lines := make([]string, 0, len(questions))
	for _, question := range questions {
		line, err := answer(question)
		if err != nil {
			return fmt.Errorf("%q in %s from %s: %w", question.expression, question.zone, question.from, err)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, versions(zones))
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return out.Flush()
}

// A question to the controller.
type question struct {
	expression, zone string
	from             time.Time
}

// The question and its answer as a line of JSON: expression, zone, from, answer. The answer is the
// next times in UTC, with "stuck" at the end if the controller never comes to a next one; or "never",
// or what is refused.
func answer(q question) (string, error) {
	from := q.from.UTC().Format(time.RFC3339Nano)
	text := ""
	if refused := refusedFields(q.expression, q.zone); len(refused) > 0 {
		from, text = "", "refused: "+strings.Join(refused, " ")
	} else {
		fires, err := fires(q)
		if err != nil {
			return "", err
		}
		text = fires
	}
	line := new(strings.Builder)
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode([]string{q.expression, q.zone, from, text})
	return strings.TrimSuffix(line.String(), "\n"), err
}

func fires(q question) (string, error) {
	asked := ask(q.expression, q.zone)
	fires := make([]string, 0, times)
	for from := q.from; len(fires) < times; {
		next, err := asked.next(from)
		if err != nil {
			return "", err
		}
		if next == stuck {
			fires = append(fires, "stuck")
			break
		}
		if next.IsZero() {
			break
		}
		fires = append(fires, shown(next))
		from = next
	}
	if len(fires) == 0 {
		return "never", nil
	}
	return strings.Join(fires, " "), nil
}

// Zones of old were off by seconds, and so are the minutes of their clocks.
func shown(instant time.Time) string {
	if instant.Second() != 0 {
		return instant.UTC().Format("2006-01-02T15:04:05Z")
	}
	return instant.UTC().Format("2006-01-02T15:04Z")
}

// What the answers depend on, as a comment.
func versions(zones string) string {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			versions[module.Path] = module.Version
		}
	}
	release := "unknown"
	if script, err := os.ReadFile(filepath.Join(zones, "update.bash")); err == nil {
		if found := regexp.MustCompile(`(?m)^DATA=(\S+)`).FindSubmatch(script); found != nil {
			release = string(found[1])
		}
	}
	return fmt.Sprintf("# Kubernetes %s, robfig/cron %s, %s, tzdb %s; made by tests/kubernetes/1.36/schedules",
		versions["k8s.io/kubernetes"], versions["github.com/robfig/cron/v3"], runtime.Version(), release)
}
