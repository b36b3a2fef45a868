package command

import (
	"fmt"
	"io"
	"strconv"

	"gamed/internal/admin"
)

// nearly is how much of a limit may be taken before it is a finding, in percent: there new logins begin to be turned away.
const nearly = 85

// nearlyFull lists the limits that are almost reached.
func nearlyFull(limits []admin.Limit) (found []string) {
	for _, l := range limits {
		if l.Limit > 0 && l.Used > 0 && float64(l.Used) >= float64(l.Limit)*nearly/100 {
			found = append(found, fmt.Sprintf("%s: %d of %d are taken", l.Name, l.Used, l.Limit))
		}
	}
	return found
}

// showLimits tells people the bounds in force.
func showLimits(out io.Writer, limits []admin.Limit) {
	rows := make([]string, 0, len(limits))
	for _, l := range limits {
		limit, used := "off", ""
		if l.Limit > 0 {
			limit = strconv.FormatInt(l.Limit, 10)
		}
		if l.Used >= 0 {
			used = strconv.FormatInt(l.Used, 10)
		}
		rows = append(rows, l.Name+"\t"+limit+"\t"+used)
	}
	columns(out, "LIMIT\tVALUE\tTAKEN", rows)
}
