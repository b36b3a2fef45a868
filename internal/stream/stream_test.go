package stream

import (
	"strconv"
	"testing"
)

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
