package node

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// faultHook is called at each step of a move. It is nil unless a test says otherwise by GAMED_FAULT=POINT:N:kill: then the process
// kills itself, as kill -9 would, when it comes to the point for the Nth time. The points, in the order of a move: sealed (the
// workers have let go), give (one entity was sent), given (a partition was), handed (the word was given), restored (the new owner
// has made the entities), active (it has let in what was held).
var faultHook = faultFrom(os.Getenv("GAMED_FAULT"), func() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
})

func faultPoint(point string) {
	if faultHook != nil {
		faultHook(point)
	}
}

// faultFrom reads a setting; what is not understood is no fault.
func faultFrom(setting string, kill func()) func(point string) {
	words := strings.Split(setting, ":")
	if len(words) != 3 || words[2] != "kill" {
		return nil
	}
	n, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || n < 1 {
		return nil
	}
	var count atomic.Int64
	return func(point string) {
		if point == words[0] && count.Add(1) == n {
			kill()
		}
	}
}
