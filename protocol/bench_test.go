package protocol

import "testing"

// benchCall is a CALL of 85 bytes with a payload such as games use.
func benchCall() []byte {
	p := AppendMap(nil, 3)
	p = AppendInt(AppendStr(p, "q"), 3)
	p = AppendInt(AppendStr(p, "choice"), 1)
	p = AppendStr(AppendStr(p, "note"), "forty bytes of text, no more and no less")
	return AppendCall(nil, 1234, "trivia:friday", "answer", p)
}

func BenchmarkCheck85(b *testing.B) {
	body := benchCall()[LengthSize:]
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if Check(body) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCheck4096Values(b *testing.B) {
	body := wide(MaxValues)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if Check(body) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParseCall(b *testing.B) {
	body := benchCall()[LengthSize:]
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseCall(body); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkAppendReply(b *testing.B) {
	call, _ := ParseCall(benchCall()[LengthSize:])
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendReply(dst[:0], call.Ref, call.Payload)
	}
}

func BenchmarkAppendPush(b *testing.B) {
	call, _ := ParseCall(benchCall()[LengthSize:])
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendPush(dst[:0], call.Topic, 77, call.Event, call.Payload)
	}
}

func BenchmarkFrameFromJSON(b *testing.B) {
	line := []byte(`[3,1234,"trivia:friday","answer",{"q":3,"choice":1,"note":"thirty-one bytes of payload .."}]`)
	dst := make([]byte, 0, 256)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = FrameFromJSON(dst[:0], line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrameToJSON(b *testing.B) {
	call, _ := ParseCall(benchCall()[LengthSize:])
	body := AppendPush(nil, "trivia:friday", 77, "question", call.Payload)[LengthSize:]
	dst := make([]byte, 0, 512)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = FrameToJSON(dst[:0], body); err != nil {
			b.Fatal(err)
		}
	}
}
