package simulation

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSimYears simulates as many years of a cluster's life as GAMED_SIM_YEARS says, with new seeds each time (or those from
// GAMED_SIM_FROM on), and tells how far it is. make simulate runs it.
func TestSimYears(t *testing.T) {
	years, err := strconv.ParseFloat(os.Getenv("GAMED_SIM_YEARS"), 64)
	if err != nil {
		t.Skip("GAMED_SIM_YEARS is not set: make simulate")
	}
	from := uint64(time.Now().Unix()) << 24
	if v, err := strconv.ParseUint(os.Getenv("GAMED_SIM_FROM"), 10, 64); err == nil {
		from = v
	}
	const year = 365.25 * 24 * float64(time.Hour)
	const batch = 20_000
	began, simulated, ops := time.Now(), 0.0, uint64(0)
	for next := from; simulated < years*year; next += batch {
		sum, bad := explore(next, batch, sound)
		if bad != nil {
			explain(t, bad)
		}
		simulated += float64(sum.simulated.Load())
		ops += sum.ops.Load()
		fmt.Printf("%v: seeds %d to %d hold; %.1f days of %.2f years simulated, %d operations\n", time.Since(began).Round(time.Second), from, next+batch-1,
			simulated/24/float64(time.Hour), years, ops)
	}
}
