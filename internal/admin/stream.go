package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// stream is one response of server-sent events.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// open begins a stream, or answers that there are too many. close must be called when ok.
func (s *Server) open(w http.ResponseWriter) (st *stream, ok bool) {
	select {
	case s.streams <- struct{}{}:
	default:
		fail(w, http.StatusServiceUnavailable, "too many streams are open", fmt.Sprintf("at most %d: close some, or ask another node", maxStreams))
		return nil, false
	}
	s.metrics.streams.Inc()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, rc: http.NewResponseController(w)}, true
}

func (s *Server) closeStream() {
	<-s.streams
	s.metrics.streams.Dec()
}

// send writes one event, or a comment that keeps the connection alive when v is nil. False: the client is gone or too slow.
func (st *stream) send(id uint64, v any) bool {
	_ = st.rc.SetWriteDeadline(time.Now().Add(answerTimeout))
	text := ": alive\n\n"
	if v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			return false
		}
		text = "data: " + string(b) + "\n\n"
		if id > 0 {
			text = "id: " + strconv.FormatUint(id, 10) + "\n" + text
		}
	}
	if _, err := st.w.Write([]byte(text)); err != nil {
		return false
	}
	return st.rc.Flush() == nil
}

// streamEvents sends the events kept after ?after= or Last-Event-ID, then each new one.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after", 0, 1<<63)
	if err != nil {
		failWith(w, err)
		return
	}
	if id, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		after = id
	}
	st, ok := s.open(w)
	if !ok {
		return
	}
	defer s.closeStream()
	tick := time.NewTicker(s.opt.EventPoll)
	defer tick.Stop()
	last := time.Now()
	if !st.send(0, nil) {
		return
	}
	for {
		for _, e := range s.opt.Source.Events(after) {
			if !st.send(e.Seq, e) {
				return
			}
			after, last = e.Seq, time.Now()
		}
		if time.Since(last) > 10*time.Second {
			if !st.send(0, nil) {
				return
			}
			last = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// streamStats sends the numbers of now, at once and then once a second.
func (s *Server) streamStats(w http.ResponseWriter, r *http.Request) {
	st, ok := s.open(w)
	if !ok {
		return
	}
	defer s.closeStream()
	tick := time.NewTicker(s.opt.StatsEvery)
	defer tick.Stop()
	for st.send(0, s.opt.Source.Stats()) {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
