package main

import (
	"archive/zip"
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"time"
)

func at(text string) time.Time {
	instant, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return instant
}

// All that is asked, in any order.
func questions(zones string) ([]question, error) {
	all := []question{}
	for _, expression := range expressions {
		all = append(all, question{expression, "UTC", at("2026-11-27T10:11:12Z")})
	}
	for _, zone := range zoneNames {
		all = append(all, question{"@daily", zone, at("2026-01-01T00:00:00Z")})
	}
	// Two are wrong, or one of the two.
	all = append(all, question{"@every 1h", "Local", time.Time{}}, question{"60 * * * *", "utc", time.Time{}})
	for _, line := range strings.Split(strings.TrimSpace(byHand), "\n") {
		columns := strings.Split(line, " | ")
		all = append(all, question{columns[0], columns[1], at(columns[2])})
	}
	known, err := everyZone(zones)
	if err != nil {
		return nil, err
	}
	all = append(all, known...)
	for _, watched := range watchedZones {
		around, err := aroundChanges(watched)
		if err != nil {
			return nil, err
		}
		all = append(all, around...)
	}
	// A fixed seed: math/rand promises the same numbers for it in every Go 1.
	random := rand.New(rand.NewSource(36))
	for range 1200 {
		all = append(all, question{sentence(random), pick(random, watchedZones).name, instant(random)})
	}
	for range 600 {
		all = append(all, question{spoiled(random, sentence(random)), "Etc/UTC", at("2026-11-27T10:11:12Z")})
	}
	return all, nil
}

// Every name of the database, at both ends of summer.
func everyZone(zones string) ([]question, error) {
	archive, err := zip.OpenReader(filepath.Join(zones, "zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	all := []question{}
	for _, file := range archive.File {
		if !strings.HasSuffix(file.Name, "/") {
			all = append(all, question{"0 12 1 */4 *", file.Name, at("2026-06-15T00:00:00Z")})
		}
	}
	return all, nil
}

// Around each change of the clock of a zone: the time of day that the change skips or repeats, its
// neighbours, and schedules that are open when it comes.
func aroundChanges(watched watchedZone) ([]question, error) {
	zone, err := time.LoadLocation(watched.name)
	if err != nil {
		return nil, err
	}
	all := []question{}
	for _, years := range watched.years {
		for _, change := range changes(zone, years[0], years[1]) {
			before, after := offset(zone, change.Add(-time.Second)), offset(zone, change)
			// The wall clock of either side, in the middle of what is skipped or repeated.
			middle := change.Add(time.Duration(before+after) * time.Second / 2)
			wall := change.Add(time.Duration(before) * time.Second)
			day := change.Add(-26 * time.Hour)
			for _, asked := range []struct {
				expression string
				from       time.Time
			}{
				{fmt.Sprintf("%d %d * * *", middle.Minute(), middle.Hour()), day},
				{fmt.Sprintf("%d %d * * *", wall.Minute(), wall.Hour()), day},
				{fmt.Sprintf("*/20 %d * * *", middle.Hour()), day},
				{fmt.Sprintf("%d %d %d %d *", middle.Minute(), middle.Hour(), middle.Day(), middle.Month()), day},
				{fmt.Sprintf("0 %d * * %d", (wall.Hour()+1)%24, wall.Weekday()), day},
				{"*/15 * * * *", change.Add(-20 * time.Minute)},
				{"0 */2 * * *", change.Add(-3 * time.Hour)},
				{"@hourly", change.Add(-90 * time.Minute)},
				{"@daily", change.Add(-30 * time.Hour)},
				{"30 0-4 * * *", change.Add(-2 * time.Hour)},
				{"0 9 * * 1-5", change.Add(-50 * time.Hour)},
			} {
				all = append(all, question{asked.expression, watched.name, asked.from})
			}
		}
	}
	return all, nil
}

func offset(zone *time.Location, instant time.Time) int {
	_, offset := instant.In(zone).Zone()
	return offset
}

// The first seconds of a new offset from the beginning of one year to that of another.
func changes(zone *time.Location, first, last int) []time.Time {
	const step = 12 * time.Hour
	all := []time.Time{}
	end := time.Date(last, 1, 1, 0, 0, 0, 0, time.UTC)
	for begin := time.Date(first, 1, 1, 0, 0, 0, 0, time.UTC); begin.Before(end); begin = begin.Add(step) {
		low, high := begin, begin.Add(step)
		if offset(zone, low) == offset(zone, high) {
			continue
		}
		for high.Sub(low) > time.Second {
			middle := low.Add(high.Sub(low) / 2).Truncate(time.Second)
			if offset(zone, middle) == offset(zone, begin) {
				low = middle
			} else {
				high = middle
			}
		}
		all = append(all, high)
	}
	return all
}

func pick[T any](random *rand.Rand, from []T) T {
	return from[random.Intn(len(from))]
}

func instant(random *rand.Rand) time.Time {
	begin := at("2025-01-01T00:00:00Z")
	return begin.Add(time.Duration(random.Int63n(4*366*24*60*60)) * time.Second)
}

var weekdays = []string{"sun", "Mon", "TUE", "wed", "thu", "fri", "SAT"}
var months = []string{"jan", "Feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "DEC"}

// A schedule by the grammar, mostly one that fires.
func sentence(random *rand.Rand) string {
	fields := []string{
		field(random, 0, 59, nil),
		field(random, 0, 23, nil),
		field(random, 1, 31, nil),
		field(random, 1, 12, months),
		field(random, 0, 6, weekdays),
	}
	// So many fields at once would seldom fire: most schedules leave days and months open.
	for i := 2; i < len(fields); i++ {
		if random.Intn(3) > 0 {
			fields[i] = pick(random, []string{"*", "*", "*", "?"})
		}
	}
	return strings.Join(fields, " ")
}

func field(random *rand.Rand, low, high int, names []string) string {
	terms := []string{}
	for range 1 + random.Intn(4)/2 {
		terms = append(terms, term(random, low, high, names))
	}
	return strings.Join(terms, ",")
}

func term(random *rand.Rand, low, high int, names []string) string {
	value := func(value int) string {
		if names != nil && random.Intn(3) == 0 {
			return names[value-low]
		}
		return fmt.Sprint(value)
	}
	first := low + random.Intn(high-low+1)
	last := first + random.Intn(high-first+1)
	text := value(first)
	switch random.Intn(5) {
	case 0:
		text = pick(random, []string{"*", "*", "?"})
	case 1, 2:
		text += "-" + value(last)
	}
	if random.Intn(3) == 0 {
		text += fmt.Sprintf("/%d", 1+random.Intn(high+5))
	}
	return text
}

// A schedule with a letter taken out, put in or replaced.
func spoiled(random *rand.Rand, text string) string {
	letters := []string{"*", "/", "-", ",", "?", "0", "7", "60", " ", "\t", "L", "W", "#", "@", "+", ".", "_", "x", "mon", "\u00a0", "é"}
	for range 1 + random.Intn(2) {
		place := random.Intn(len(text))
		if text[place] >= 0x80 {
			continue
		}
		switch random.Intn(3) {
		case 0:
			text = text[:place] + text[place+1:]
		case 1:
			text = text[:place] + pick(random, letters) + text[place:]
		default:
			text = text[:place] + pick(random, letters) + text[place+1:]
		}
	}
	return strings.ToValidUTF8(text, "?")
}
