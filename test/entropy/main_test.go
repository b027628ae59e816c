package main

import "testing"

func TestCompare(t *testing.T) {
	a, b := []string{"random 1", "child 2"}, []string{"random 3", "child 4"}
	for name, tt := range map[string]struct {
		said [3][]string
		ok   bool
	}{
		"good":                    {[3][]string{a, a, b}, true},
		"nothing repeats":         {[3][]string{a, b, b}, false},
		"the device is ignored":   {[3][]string{a, a, a}, false},
		"ignored for the service": {[3][]string{a, a, {"random 1", "child 4"}}, false},
		"ignored for the child":   {[3][]string{a, a, {"random 3", "child 2"}}, false},
		"one seed for all":        {[3][]string{{"random 1", "child 1"}, {"random 1", "child 1"}, {"random 3", "child 3"}}, false},
		"in another order":        {[3][]string{a, a, {"child 4", "random 3"}}, false},
	} {
		if err := compare(tt.said); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
