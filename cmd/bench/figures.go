package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/BurntSushi/toml"
)

//go:embed benches.toml
var benchesTOML string

// tolerance is how many percent worse than the baseline a figure may be.
const tolerance = 2

// bench is one benchmark of the list.
type bench struct {
	Name     string
	Image    string // that prints it: bench, system or disk
	What     string // what one operation is
	Goal     uint64 // instructions
	Switches uint64 // address spaces entered per operation
	Grain    uint64 // instructions by which the figure may differ between two runs of the same code
}

// figures are instructions by name.
type figures map[string]uint64

// parseBenches reads the list of benchmarks.
func parseBenches(text string) ([]bench, error) {
	var f struct{ Bench []bench }
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return nil, err
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		return nil, fmt.Errorf("list of benchmarks: unknown key %v", keys[0])
	}
	seen := map[string]bool{}
	for _, b := range f.Bench {
		if b.Name == "" || b.What == "" || b.Goal == 0 || !slices.Contains([]string{"bench", "system", "disk"}, b.Image) || seen[b.Name] {
			return nil, fmt.Errorf("list of benchmarks: %q is incomplete or there twice", b.Name)
		}
		seen[b.Name] = true
	}
	return f.Bench, nil
}

// names returns the names of the benchmarks of one image; with only, of one.
func names(benches []bench, image, only string) map[string]bool {
	out := map[string]bool{}
	for _, b := range benches {
		if b.Image == image && (only == "" || only == b.Name) {
			out[b.Name] = true
		}
	}
	return out
}

func selectBenches(benches []bench, name string) []bench {
	for _, b := range benches {
		if b.Name == name {
			return []bench{b}
		}
	}
	return nil
}

// parseLine reads "bench: NAME N insns". ok is false for any other line that does
// not begin like one.
func parseLine(line string) (name string, n uint64, ok bool, err error) {
	rest, ok := strings.CutPrefix(line, "bench: ")
	if !ok {
		return "", 0, false, nil
	}
	f := strings.Split(rest, " ")
	if len(f) == 3 && f[0] != "" && f[2] == "insns" {
		if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
			return f[0], n, true, nil
		}
	}
	return "", 0, false, fmt.Errorf("%q is not a figure", line)
}

// readBaseline reads lines "NAME N". No file is an empty baseline.
func readBaseline(file string) (figures, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return figures{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := figures{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text := lines.Text()
		if text == "" || text[0] == '#' {
			continue
		}
		name, number, _ := strings.Cut(text, " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if _, twice := out[name]; err != nil || twice || n == 0 {
			return nil, fmt.Errorf("%s: bad line %q", file, text)
		}
		out[name] = n
	}
	return out, lines.Err()
}

// writeBaseline writes the figures in the order of the list.
func writeBaseline(file string, benches []bench, got figures) error {
	var b strings.Builder
	b.WriteString("# Instructions per operation, written by make bench UPDATE=1.\n")
	for _, bench := range benches {
		n, ok := got[bench.Name]
		if !ok {
			return fmt.Errorf("no new baseline: %s is missing", bench.Name)
		}
		fmt.Fprintf(&b, "%s %d\n", bench.Name, n)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// report prints a table and reports whether every figure is there and none is too
// much worse than the baseline. A goal that is missed is shown, not judged.
func report(out io.Writer, benches []bench, got, old figures) bool {
	ok := true
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "name\tinsns\tbaseline\tchange\tgoal\tspaces\t ")
	for _, b := range benches {
		n, there := got[b.Name]
		base, known := old[b.Name]
		note, change := "", ""
		switch {
		case !there:
			note, ok = "MISSING", false
		case !known:
			note = "new"
		default:
			change = fmt.Sprintf("%+.1f %%", 100*(float64(n)/float64(base)-1))
			switch {
			case n*100 > base*(100+tolerance) && n > base+b.Grain:
				note, ok = "WORSE", false
			case n < base:
				note = "better"
			}
		}
		if there && n > b.Goal {
			note += " over the goal"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t  %s\n", b.Name, n, base, change, b.Goal, b.Switches, strings.TrimSpace(note))
	}
	w.Flush()
	return ok
}
