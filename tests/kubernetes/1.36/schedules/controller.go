package main

import (
	"fmt"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/batch/validation"
	apivalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	_ "k8s.io/kubernetes/pkg/controller/cronjob"
)

// The controller's own functions, which it does not export: a copy here could only agree with
// itself. A body is missing, so this package needs an assembly file, even an empty one.

//go:linkname formatSchedule k8s.io/kubernetes/pkg/controller/cronjob.formatSchedule
func formatSchedule(cj *batchv1.CronJob, recorder record.EventRecorder) string

//go:linkname nextScheduleTime k8s.io/kubernetes/pkg/controller/cronjob.nextScheduleTime
func nextScheduleTime(logger klog.Logger, cj *batchv1.CronJob, now time.Time, schedule cron.Schedule, recorder record.EventRecorder) (*time.Time, error)

// The fields for which the API server refuses a new CronJob with this schedule and zone.
func refusedFields(expression, zone string) []string {
	job := &batch.CronJob{Spec: batch.CronJobSpec{Schedule: expression, TimeZone: &zone}}
	refused := []string{}
	for _, problem := range validation.ValidateCronJobCreate(job, apivalidation.PodValidationOptions{}) {
		switch problem.Field {
		case "spec.schedule":
			refused = append(refused, "schedule")
		case "spec.timeZone":
			refused = append(refused, "timeZone")
		}
	}
	return refused
}

// A CronJob as the controller sees it.
type asked struct {
	job      batchv1.CronJob
	schedule cron.Schedule
	broken   error
}

func ask(expression, zone string) asked {
	job := batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: expression, TimeZone: &zone}}
	schedule, err := cron.ParseStandard(formatSchedule(&job, nil))
	return asked{job, schedule, err}
}

// No time: the controller's search goes round for ever, as on a day that a zone leaves out, or
// comes back to where it began, as where a minute past midnight is repeated.
var stuck = time.Unix(-1, 0)

// The first time after `from`, zero if there is none.
func (a asked) next(from time.Time) (time.Time, error) {
	if a.broken != nil {
		return time.Time{}, fmt.Errorf("the API server takes it, the controller does not: %w", a.broken)
	}
	next := a.search(from)
	if next == stuck || next.IsZero() {
		return next, nil
	}
	// The controller looks one time ahead, and starts no Job for the last one of a schedule that
	// ends, as on 29 February 2096.
	if second := a.search(next); second == stuck || second.IsZero() {
		return next, nil
	}
	last := metav1.NewTime(from)
	a.job.Status.LastScheduleTime = &last
	if early := a.due(next.Add(-time.Second)); early != nil {
		return next, fmt.Errorf("the controller starts a Job for %s a second early", early)
	}
	if due := a.due(next); due == nil || !due.Equal(next) {
		return next, fmt.Errorf("the controller starts a Job for %v, its schedule says %s", due, next)
	}
	return next, nil
}

// For which time the controller starts a Job at `now`.
func (a asked) due(now time.Time) *time.Time {
	due, err := nextScheduleTime(klog.Background(), &a.job, now, a.schedule, nil)
	if err != nil {
		return nil
	}
	return due
}

func (a asked) search(from time.Time) time.Time {
	found := make(chan time.Time, 1)
	go func() { found <- a.schedule.Next(from) }()
	select {
	case next := <-found:
		if !next.IsZero() && !next.After(from) {
			return stuck
		}
		return next
	case <-time.After(5 * time.Second):
		return stuck
	}
}
