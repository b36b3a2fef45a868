package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gamed/games/trivia"
	"gamed/protocol"
)

// maxShow is the longest payload of open, in bytes; the rest of the frame needs little more.
const maxShow = protocol.MaxFrameIn - 512

// showFile is what a file holds: this object, or only the list of questions.
type showFile struct {
	Questions []showQuestion `json:"questions"`
	Prize     int64          `json:"prize"`
	Pause     float64        `json:"pause"` // seconds
}

type showQuestion struct {
	Text    string   `json:"text"`
	Choices []string `json:"choices"`
	Answer  *int     `json:"answer"`
	Seconds float64  `json:"seconds"` // left out: 10
}

// readShow reads and judges a file ("-": stdin). Errors name the place in the file.
func readShow(path string, stdin io.Reader) (trivia.Show, error) {
	var b []byte
	var err error
	if path == "-" {
		path = "standard input"
		b, err = io.ReadAll(io.LimitReader(stdin, 1<<20))
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return trivia.Show{}, fmt.Errorf("read show: %w", err)
	}
	s, err := parseShow(b)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parseShow is stricter than the server: a misspelt or forgotten key is an error. The rules of a show are the server's own.
func parseShow(b []byte) (trivia.Show, error) {
	s := showFile{Pause: trivia.DefaultPause}
	var v any = &s
	if strings.HasPrefix(strings.TrimSpace(string(b)), "[") {
		v = &s.Questions
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return trivia.Show{}, place(b, dec.InputOffset(), err)
	}
	if dec.More() {
		return trivia.Show{}, place(b, dec.InputOffset(), errors.New("more follows after the end of the show"))
	}
	for i := range s.Questions {
		q := &s.Questions[i]
		switch {
		case strings.TrimSpace(q.Text) == "":
			return trivia.Show{}, fmt.Errorf("question %d: text is missing", i+1)
		case q.Answer == nil:
			return trivia.Show{}, fmt.Errorf("question %d: answer is missing: the index of the right choice, from 0", i+1)
		case q.Seconds == 0:
			q.Seconds = 10
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return trivia.Show{}, fmt.Errorf("show: %w", err)
	}
	return fits(trivia.ParseShow(text))
}

// fits refuses a show that is too large for one message.
func fits(s trivia.Show, err error) (trivia.Show, error) {
	if errors.Is(err, protocol.ErrValues) {
		return s, fmt.Errorf("the show is too large for one message (%w): take fewer questions", err)
	}
	if err != nil {
		return s, err
	}
	if p := s.Payload(); len(p) > maxShow {
		return s, fmt.Errorf("the show is too large for one message (%d of %d bytes): take fewer questions", len(p), maxShow)
	}
	return s, nil
}

// place adds the line to an error of the JSON decoder.
func place(b []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
		err = fmt.Errorf("%s: want %s, not %s", kind.Field, kind.Type, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New(`the file ends too early: want {"questions":[{"text","choices","answer","seconds"}],"prize"}`)
	}
	line := 1 + bytes.Count(b[:min(offset, int64(len(b)))], []byte("\n"))
	return fmt.Errorf("line %d: %w", line, err)
}

// longest is how long a running show is silent at most; a fail-over takes seconds more.
func longest(s trivia.Show) time.Duration {
	var most float64
	for _, q := range s.Questions {
		most = max(most, q.Seconds)
	}
	return time.Duration((s.Pause+most)*float64(time.Second)) + 10*time.Second
}
