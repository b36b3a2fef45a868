package protocol

// Code says how a call ended (the status of REPLY) or why a connection is closed (GOAWAY).
type Code string

// CodeOK is the status of a call that succeeded.
const CodeOK Code = "ok"

// Codes of class retry.
const (
	CodeBusy         Code = "busy"
	CodeUnavailable  Code = "unavailable"
	CodeMoved        Code = "moved"
	CodeDegraded     Code = "degraded"
	CodeRateLimited  Code = "rate_limited"
	CodeDraining     Code = "draining"
	CodeShutdown     Code = "shutdown"
	CodeSlowConsumer Code = "slow_consumer"
	CodeHelloTimeout Code = "hello_timeout"
	CodeIdle         Code = "idle"
	CodeInternal     Code = "internal"
)

// Codes of class fix.
const (
	CodeNotFound  Code = "not_found"
	CodeForbidden Code = "forbidden"
	CodeInvalid   Code = "invalid"
	CodeTooLate   Code = "too_late"
	CodeOut       Code = "out"
	CodeStaleRef  Code = "stale_ref"
	CodeConflict  Code = "conflict"
)

// Codes of class end.
const (
	CodeBadFrame      Code = "bad_frame"
	CodeFrameTooLarge Code = "frame_too_large"
	CodeBadVersion    Code = "bad_version"
	CodeBadName       Code = "bad_name"
	CodeBadToken      Code = "bad_token"
	CodeExpiredToken  Code = "expired_token"
	CodeHelloRequired Code = "hello_required"
	CodeReplaced      Code = "replaced"
	CodeKicked        Code = "kicked"
)

// Class says what a client does about a code.
type Class uint8

// The classes.
const (
	ClassOK    Class = iota // nothing: it worked
	ClassRetry              // the same again, later: nothing was done, or it is not known to be stored yet
	ClassFix                // change the request
	ClassEnd                // do not come back
)

var classNames = [...]string{"ok", "retry", "fix", "end"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// codeTable is the one list of codes; docs/PROTOCOL.md shows it and a test compares them.
var codeTable = [...]struct {
	code   Code
	class  Class
	advice string
}{
	{CodeBusy, ClassRetry, "a queue on the way is full, or 64 calls are open: send the same ref again a little later"},
	{CodeUnavailable, ClassRetry, "the owner or the store cannot be reached now: send the same ref again after retry_ms"},
	{CodeMoved, ClassRetry, "the entity is changing its node: send the same ref again at once"},
	{CodeDegraded, ClassRetry, "the cluster cannot do this safely while it is damaged: send the same ref again after retry_ms"},
	{CodeRateLimited, ClassRetry, "too many frames: slow down, send the same ref again after retry_ms"},
	{CodeDraining, ClassRetry, "this node is being emptied: connect to one of addrs and resume"},
	{CodeShutdown, ClassRetry, "this node stops: connect to one of addrs, or here after retry_ms, and resume"},
	{CodeSlowConsumer, ClassRetry, "the client reads too slowly: connect again, resume, read faster"},
	{CodeHelloTimeout, ClassRetry, "no whole HELLO came in time: connect again and send it at once"},
	{CodeIdle, ClassRetry, "nothing was heard for too long: connect again, resume, answer PING"},
	{CodeInternal, ClassRetry, "the handler failed and nothing was changed: the same ref may be sent again; if it stays, report it"},

	{CodeNotFound, ClassFix, "no such topic, game or event: correct it"},
	{CodeForbidden, ClassFix, "not allowed for this player now: join first, or use a token with the role"},
	{CodeInvalid, ClassFix, "the payload is wrong: correct it and use a new ref"},
	{CodeTooLate, ClassFix, "the time for this is over: go on with what comes next"},
	{CodeOut, ClassFix, "the player is eliminated or only watches: stop answering"},
	{CodeStaleRef, ClassFix, "the ref is older than the answers that are kept: use a higher ref for new calls"},
	{CodeConflict, ClassFix, "contradicts what is there already: look at the present state first"},

	{CodeBadFrame, ClassEnd, "the client broke the protocol: mend the client"},
	{CodeFrameTooLarge, ClassEnd, "a frame is over the limit: mend the client"},
	{CodeBadVersion, ClassEnd, "the server does not speak this version: use another client"},
	{CodeBadName, ClassEnd, "the name is missing or ill-formed: choose another"},
	{CodeBadToken, ClassEnd, "the token is not accepted: get another"},
	{CodeExpiredToken, ClassEnd, "the token is over its time: get a new one"},
	{CodeHelloRequired, ClassEnd, "the first frame was not HELLO: mend the client"},
	{CodeReplaced, ClassEnd, "the player is connected elsewhere: do not reconnect by yourself"},
	{CodeKicked, ClassEnd, "an operator ended the session: do not reconnect by yourself"},
}

var codeIndex = func() map[Code]int {
	m := make(map[Code]int, len(codeTable))
	for i := range codeTable {
		m[codeTable[i].code] = i
	}
	return m
}()

// Class is the code's class. A code of a later version counts as fix: nothing may be concluded from it but that the request, as
// it was, did not succeed.
func (c Code) Class() Class {
	if c == CodeOK {
		return ClassOK
	}
	if i, known := codeIndex[c]; known {
		return codeTable[i].class
	}
	return ClassFix
}

// Advice is one line that says what to do; "" for CodeOK and for codes of a later version.
func (c Code) Advice() string {
	if i, known := codeIndex[c]; known {
		return codeTable[i].advice
	}
	return ""
}

// Codes are all codes but CodeOK, in the order of the docs. The slice is the caller's.
func Codes() []Code {
	out := make([]Code, len(codeTable))
	for i := range codeTable {
		out[i] = codeTable[i].code
	}
	return out
}

// codeOf is the code b names; known ones do not allocate.
func codeOf(b []byte) Code {
	if string(b) == string(CodeOK) {
		return CodeOK
	}
	if i, known := codeIndex[Code(b)]; known {
		return codeTable[i].code
	}
	return Code(b)
}
