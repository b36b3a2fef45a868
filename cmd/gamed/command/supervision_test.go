package command

import (
	"context"
	"fmt"
	"time"

	"gamed/internal/admin"
)

func (s *source) Supervision(context.Context) admin.Supervision {
	return admin.Supervision{Nodes: []admin.SupervisedNode{
		{Node: "a", Dispatch: "sharded", Entities: 3, Quarantined: []admin.QuarantinedEntity{{Key: "player/bob", LeftMS: 2000}},
			Workers: []admin.SupervisedWorker{{Worker: "0", State: "blocked", Entities: 3, Mailbox: 7, Restarts: 1, Key: "player/ann", What: "call bad: block", RunningMS: 12_500}}},
		{Node: "c", Error: "silent"},
	}}
}

func (s *source) DeadLetters(_ context.Context, node string, limit int) (admin.DeadLettersPage, error) {
	at := time.Now()
	until := at.Add(4 * time.Second)
	return admin.DeadLettersPage{Total: 3, Errors: []string{"c: silent"}, DeadLetters: []admin.DeadLetter{
		{Time: at, Node: "a", Key: "player/ann", What: "bad: panic", Bytes: 17, Cause: fmt.Sprintf("%s %d", node, limit), Stack: "main", Quarantined: &until}}}, nil
}
