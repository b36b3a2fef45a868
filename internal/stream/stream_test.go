package stream

import (
	"bytes"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Against a list of all pushes there ever were.
func TestStreamModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Stream
		var all [][]byte
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				size := rapid.SampledFrom([]int{1, 10, 900, 1100, 20 << 10, 64 << 10, 64<<10 + 1}).Draw(t, "size")
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					f := bytes.Repeat([]byte{byte(len(all))}, size)
					all = append(all, f)
					s.Append(f)
				}
			},
			"travel": func(*rapid.T) {
				var other Stream
				other.Restore(s.Offset(), append([][]byte{}, s.Frames()...))
				s = other
			},
			"": func(t *rapid.T) {
				if s.Offset() != uint64(len(all)) {
					t.Fatalf("offset %d after %d pushes", s.Offset(), len(all))
				}
				kept, sum := len(s.Frames()), 0
				if s.First() != s.Offset()+1-uint64(kept) {
					t.Fatalf("first %d with %d kept at %d", s.First(), kept, s.Offset())
				}
				for i, f := range s.Frames() {
					sum += len(f)
					if &f[0] != &all[len(all)-kept+i][0] {
						t.Fatalf("frame %d of %d is another", i, kept)
					}
				}
				if kept > MaxPushes || sum > MaxBytes {
					t.Fatalf("%d frames of %d bytes are kept", kept, sum)
				}
				if next := len(all) - kept - 1; next >= 0 && kept < MaxPushes && sum+len(all[next]) <= MaxBytes && !oversized(all[next:]) {
					t.Fatalf("only %d frames of %d bytes are kept", kept, sum)
				}
				for seen := range uint64(len(all) + 2) {
					frames, missed := s.Since(seen)
					if want := seen < uint64(len(all)-kept) || seen > uint64(len(all)); missed != want {
						t.Fatalf("since %d at %d with %d kept: missed %v", seen, len(all), kept, missed)
					}
					if !missed && len(frames) != len(all)-int(seen) {
						t.Fatalf("since %d at %d: %d frames", seen, len(all), len(frames))
					}
				}
			},
		})
	})
}

// oversized says whether a frame empties the history: what was before such a one, or was pushed out on its way, is gone for good.
func oversized(frames [][]byte) bool {
	for _, f := range frames {
		if len(f) > MaxBytes/4 {
			return true
		}
	}
	return false
}

func TestRestoreKeepsTheBounds(t *testing.T) {
	frame := func(size int) []byte { return make([]byte, size) }
	for name, tt := range map[string]struct {
		offset uint64
		frames [][]byte
		kept   int
	}{
		"more than were ever pushed": {2, [][]byte{frame(1), frame(1), frame(1)}, 2},
		"at the beginning":           {0, [][]byte{frame(1)}, 0},
		"too many bytes":             {9, [][]byte{frame(40 << 10), frame(40 << 10), frame(1)}, 2},
		"one too large":              {9, [][]byte{frame(64<<10 + 1)}, 0},
		"too many":                   {1000, make([][]byte, 70), 64},
		"all":                        {3, [][]byte{frame(1), frame(1), frame(1)}, 3},
	} {
		var s Stream
		s.Restore(tt.offset, tt.frames)
		if len(s.Frames()) != tt.kept || s.First() != tt.offset+1-uint64(tt.kept) || s.Offset() != tt.offset {
			t.Errorf("%s: %d kept, first %d", name, len(s.Frames()), s.First())
		}
		s.Append(frame(1))
		if got, missed := s.Since(tt.offset); missed || len(got) != 1 {
			t.Errorf("%s: does not go on", name)
		}
	}
}

func TestSinceReachesBackAsFarAsTheHistory(t *testing.T) {
	var s Stream
	for i := 1; i <= 100; i++ {
		s.Append([]byte(strconv.Itoa(i)))
	}
	if s.Offset() != 100 {
		t.Fatalf("offset %d, want 100", s.Offset())
	}
	got, missed := s.Since(36)
	if missed || len(got) != 64 || string(got[0]) != "37" || string(got[63]) != "100" {
		t.Fatalf("since 36: %d frames from %s, missed %v", len(got), got[0], missed)
	}
	if _, missed := s.Since(35); !missed {
		t.Fatal("since 35 must be missed: only 64 pushes are kept")
	}
	if got, missed := s.Since(100); missed || len(got) != 0 {
		t.Fatalf("since the present: %d frames, missed %v", len(got), missed)
	}
	if _, missed := s.Since(101); !missed {
		t.Fatal("a position the stream never had must be missed")
	}
}

func TestBytesBoundTheHistory(t *testing.T) {
	var s Stream
	for range 5 {
		s.Append(make([]byte, 20<<10))
	}
	if _, missed := s.Since(2); missed {
		t.Fatal("three frames of 20 KiB fit")
	}
	if _, missed := s.Since(1); !missed {
		t.Fatal("four frames of 20 KiB do not fit in 64 KiB")
	}
	s.Append(make([]byte, 65<<10))
	if _, missed := s.Since(5); !missed {
		t.Fatal("a frame over the bound is not kept")
	}
	s.Append([]byte("x"))
	if got, missed := s.Since(6); missed || len(got) != 1 {
		t.Fatal("the history goes on after an oversized frame")
	}
}
