//go:build tamago

// A process has a budget of page frames, and the kernel ends it when it touches
// one more. So collection and stacks are paced by the budget, not by sizes that
// suit a server.

package runtime

// memBudget is the budget in bytes, or 0 if there is none.
var memBudget uintptr

// baseHeapMinimum is the heap size of the first collection with GOGC=100.
func baseHeapMinimum() uint64 {
	if memBudget == 0 {
		return defaultHeapMinimum
	}
	return max(512<<10, min(defaultHeapMinimum, uint64(memBudget)/4))
}

// budgetMemoryLimit is the default of GOMEMLIMIT: an eighth of the budget is for
// the program's variables, the first stack and page tables.
func budgetMemoryLimit() int64 { return int64(memBudget - memBudget/8) }
